"""Where models are kept, which experiment a folder holds, and the small files beside them.

A model's folder is ``results_dir/<sessions>/<backbone>/<experiment name>/version_<N>``, where
``<sessions>`` is the session's id, or, for several, ``multi-<N>`` with an ``expt_info.csv``
inside that lists them.
"""

from __future__ import annotations

import csv
import itertools
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from daart_fast.config import KEYS, check_name, split_ids, with_defaults
from daart_fast.errors import ConfigError, DataError
from daart_fast.files import replacing, writing

__all__ = [
    "StrPath",
    "export_expt_info_to_csv",
    "get_expt_dir",
    "get_model_dir",
    "get_subdirs",
    "get_tt_expt_dir",
    "make_dir_if_not_exists",
    "read_expt_info_from_csv",
]


StrPath = str | os.PathLike[str]


def get_subdirs(path: StrPath) -> list[str]:
    """Names of the folders directly inside `path`; kept for daart's scripts.

    Raises
    ------
    NotADirectoryError
        if `path` is no folder
    StopIteration
        if it holds none (as daart has it)
    """
    if not os.path.isdir(path):
        raise NotADirectoryError(f"{os.fspath(path)} is not a folder")
    names = sorted(entry.name for entry in os.scandir(path) if entry.is_dir())
    if not names:
        raise StopIteration(f"{os.fspath(path)} does not contain any subdirectories")
    return names


def make_dir_if_not_exists(save_file: StrPath) -> None:
    """Make the folder that `save_file` is to be written in; kept for daart's scripts."""
    Path(save_file).parent.mkdir(parents=True, exist_ok=True)


def get_expt_dir(base_dir: StrPath, expt_ids: str | Sequence[str]) -> str:
    """Folder that holds the models of these sessions; that of several sessions is made if new.

    Parameters
    ----------
    base_dir
        the results folder
    expt_ids
        a session's id, or several (their order does not matter)

    Returns
    -------
    str
        ``base_dir/<id>`` for one session, else the ``base_dir/multi-<N>`` that lists the same ids

    Raises
    ------
    ConfigError
        if an id would lead out of `base_dir`
    """
    base, ids = Path(base_dir), checked_ids(expt_ids)
    while True:
        # The numbers come first: a folder that another process makes from here on takes the very
        # number that this one would, so that two for the same sessions cannot come about.
        taken = [int(name[6:]) for name in _multi_dirs(base)]
        found = find_expt_dir(base, ids)
        if found is not None:
            return str(found)
        candidate = base / f"multi-{max(taken, default=-1) + 1}"
        if _make_listed(candidate, ids):
            return str(candidate)


def checked_ids(expt_ids: str | Sequence[str]) -> list[str]:
    try:
        ids = [check_name(session, "a session id") for session in split_ids(expt_ids)]
    except ConfigError:
        raise
    except ValueError:
        raise ConfigError(f"expected session ids, got {expt_ids!r}") from None
    if not ids:
        raise ConfigError("expected at least one session id, got none")
    return ids


def find_expt_dir(base: Path, ids: list[str]) -> Path | None:
    """Look up the folder of these sessions; None where several have none yet."""
    if len(ids) == 1:
        return base / ids[0]
    for name in _multi_dirs(base):
        info = base / name / "expt_info.csv"
        listed = read_expt_info_from_csv(info) if info.is_file() else []
        if sorted(row.get("expt") or "" for row in listed) == sorted(ids):
            return base / name
    return None


def _multi_dirs(base: Path) -> list[str]:
    if not base.is_dir():
        return []
    return sorted(name for name in os.listdir(base) if re.fullmatch(r"multi-\d+", name))


def _make_listed(folder: Path, ids: list[str]) -> bool:
    """Make `folder` with its ``expt_info.csv`` inside in one step; False if it is there already."""
    with writing(folder.parent, elsewhere="--results_dir"):
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = tempfile.mkdtemp(prefix=".multi-", dir=folder.parent)
    os.chmod(draft, 0o777 & ~_umask())
    export_expt_info_to_csv(draft, ids)
    try:
        os.rename(draft, folder)
    except OSError:
        shutil.rmtree(draft)
        if not folder.exists():
            raise
        return False
    return True


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def get_model_dir(base_dir: StrPath, model_params: Mapping[str, Any]) -> str:
    """Folder for one kind of model: ``base_dir/<backbone>/[<experiment_name>]``.

    Parameters
    ----------
    base_dir
        what `get_expt_dir` returns
    model_params
        needs ``backbone``; ``experiment_name``, where given, is a folder inside

    Raises
    ------
    ConfigError
        if one of the two would lead out of `base_dir`
    """
    kind = model_params["backbone"]
    model_class = with_defaults(model_params)["model_class"]
    if model_class != KEYS["model_class"].default:  # of daart's own; here there is one
        kind = model_class
    name = model_params.get("experiment_name") or ""
    if name:
        check_name(name, "an experiment name", nested=True)
    return os.path.join(base_dir, check_name(kind, "a kind of model"), name)


def get_tt_expt_dir(hparams: Mapping[str, Any]) -> Path | None:
    """``.../<backbone>/<experiment name>``, from whatever part of it `hparams` has.

    None where these sessions have no folder yet; none is made.
    """
    if "tt_expt_dir" in hparams:
        return Path(hparams["tt_expt_dir"])
    hparams = with_defaults(hparams)
    name = check_name(hparams["tt_experiment_name"], "an experiment name", nested=True)
    if "model_dir" in hparams:
        return Path(hparams["model_dir"]) / name
    base = hparams.get("expt_dir") or find_expt_dir(
        Path(hparams["results_dir"]), checked_ids(hparams["expt_ids"])
    )
    return base and Path(get_model_dir(base, hparams)) / name


def read_expt_info_from_csv(expt_file: StrPath) -> list[dict[str, str]]:
    """Rows of an ``expt_info.csv``: one dict a session, its id under ``expt``."""
    try:
        with open(expt_file, newline="", encoding="utf-8-sig") as file:
            return [dict(row) for row in csv.DictReader(file)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{expt_file}: expected a csv file in UTF-8: {error}") from None


def export_expt_info_to_csv(expt_dir: StrPath, ids_list: Sequence[str]) -> None:
    """Write ``expt_dir/expt_info.csv``, which lists the sessions (column ``expt``)."""
    with (
        replacing(Path(expt_dir) / "expt_info.csv") as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows(itertools.chain([["expt"]], ([session] for session in ids_list)))
