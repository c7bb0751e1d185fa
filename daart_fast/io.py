"""Where models are kept, which experiment a folder holds, and the small files beside them.

A model's folder is ``results_dir/<sessions>/<backbone>/<experiment name>/version_<N>``, where
``<sessions>`` is the session's id, or, for several, ``multi-<N>`` with an ``expt_info.csv``
inside that lists them.
"""

from __future__ import annotations

import csv
import functools
import itertools
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from daart_fast.backbones import backbone_of
from daart_fast.config import IDS, KEYS, check_name, load_config, split_ids, with_defaults
from daart_fast.errors import ConfigError, DataError
from daart_fast.files import check_archive, replacing, writing

__all__ = [
    "WEIGHTS",
    "best_weights",
    "export_expt_info_to_csv",
    "export_hparams",
    "find_experiment",
    "get_expt_dir",
    "get_model_dir",
    "get_model_params",
    "get_subdirs",
    "get_tt_expt_dir",
    "load_config",
    "make_dir_if_not_exists",
    "matching_versions",
    "read_expt_info_from_csv",
    "read_metrics",
    "what_is_wrong_with_weights",
]

StrPath = str | os.PathLike[str]
WEIGHTS = "best_val_model.pt"
#: what an interrupted training goes on from
CHECKPOINT = "checkpoint.pt"


# --------------------------------------------------------------------------------------------
# folders
# --------------------------------------------------------------------------------------------
def get_subdirs(path: StrPath) -> list[str]:
    """Names of the folders directly inside `path`.

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
    """Make the folder that `save_file` is to be written in."""
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
    base, ids = Path(base_dir), _checked_ids(expt_ids)
    while True:
        # The numbers come first: a folder that another process makes from here on takes the very
        # number that this one would, so that two for the same sessions cannot come about.
        taken = [int(name[6:]) for name in _multi_dirs(base)]
        found = _find_expt_dir(base, ids)
        if found is not None:
            return str(found)
        candidate = base / f"multi-{max(taken, default=-1) + 1}"
        if _make_listed(candidate, ids):
            return str(candidate)


def _checked_ids(expt_ids: str | Sequence[str]) -> list[str]:
    try:
        ids = [check_name(session, "a session id") for session in split_ids(expt_ids)]
    except ConfigError:
        raise
    except ValueError:
        raise ConfigError(f"expected session ids, got {expt_ids!r}") from None
    if not ids:
        raise ConfigError("expected at least one session id, got none")
    return ids


def _find_expt_dir(base: Path, ids: list[str]) -> Path | None:
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
    if model_params.get("model_class", "segmenter") != "segmenter":
        kind = model_params["model_class"]
    name = model_params.get("experiment_name") or ""
    if name:
        check_name(name, "an experiment name", nested=True)
    return os.path.join(base_dir, check_name(kind, "a kind of model"), name)


# --------------------------------------------------------------------------------------------
# which experiment is it
# --------------------------------------------------------------------------------------------
def get_model_params(hparams: Mapping[str, Any]) -> dict[str, Any]:
    """Those parameters by which daart tells models apart.

    They are the general ones (seeds, splits, sequences, losses) and those that the backbone uses.
    daart_fast itself compares every key (see `find_experiment`); this is for scripts that name
    or tabulate models.

    Parameters
    ----------
    hparams
        keys of the config files; missing ones have their defaults

    Returns
    -------
    dict
        a subset of `hparams`
    """
    names = [
        "model_class", "backbone", "rng_seed_train", "rng_seed_model", "trial_splits",
        "train_frac", "sequence_length", "batch_size", "lambda_weak", "lambda_strong",
        "lambda_pred", "lambda_task", "input_type", "semi_supervised_algo", "variational",
        "learning_rate", "n_hid_layers", "activation", "l2_reg",
    ]  # fmt: skip
    params = with_defaults(hparams)
    if params["n_hid_layers"] != 0:
        names.append("n_hid_units")
    names += backbone_of(params).keys
    if params["semi_supervised_algo"]:
        names += ["prob_threshold", "anneal_start", "anneal_end"]
    return {name: params[name] for name in names}


def find_experiment(hparams: dict[str, Any], verbose: bool = False) -> list[str]:
    """Folders of the finished models that were fitted with these parameters, weights and all.

    Two experiments are the same if every key of the config files has the same value, except
    paths, ``device``, ``gpus_vis``, ``tt_n_*`` and those about plotting and resuming. Of paths,
    ``data_dir`` counts where it is another folder and the first one is still there.

    Parameters
    ----------
    hparams
        the keys of the config files (missing ones have their defaults); a list stands for any of
        its values
    verbose
        print, for each other version, which keys differ

    Returns
    -------
    list of str
        the version folders, lowest number first; empty if there is none
    """
    folder = get_tt_expt_dir(hparams)
    if folder is None:
        return []
    return [
        str(version)
        for version, stored in matching_versions(folder, hparams, verbose)
        if stored.get("training_completed") and not what_is_wrong_with_weights(version)
    ]


def best_weights(folder: Path) -> Path | None:
    """Return the best weights of a model directory; daart finds them by this pattern too."""
    found = (folder / WEIGHTS, *sorted(folder.glob("*best*.pt")))
    return next((path for path in found if path.is_file()), None)


def what_is_wrong_with_weights(folder: Path) -> str:
    """Say why the weights in a version folder cannot be used; empty where they can."""
    path = best_weights(folder)
    if path is None:
        return f"{folder / WEIGHTS}: there is no such file of model weights"
    try:
        with open(path, "rb") as file:
            pickled = file.read(2) == b"\x80\x02"  # as torch wrote them before 1.6
        if not pickled and not zipfile.is_zipfile(path):
            raise ValueError("it is no file of torch's, or not all of one")
        check_archive(path)
    except Exception as error:  # of a zip file that may hold anything
        return f"{path}: the weights cannot be read: {error}"
    return ""


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
    base = hparams.get("expt_dir") or _find_expt_dir(
        Path(hparams["results_dir"]), _checked_ids(hparams["expt_ids"])
    )
    return base and Path(get_model_dir(base, hparams)) / name


def matching_versions(
    folder: StrPath, hparams: Mapping[str, Any], verbose: bool = False
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Versions in `folder` that have the same parameters, finished or not.

    Yields
    ------
    (Path, dict)
        the version's folder and its stored hparams
    """
    wanted = _identity(hparams)
    for version in _versions(Path(folder)):
        read = _read_hparams(version / "hparams.yaml")
        if read is None:
            continue
        stored, found = read
        differing = [name for name in wanted if not _equal(name, found[name], wanted[name])]
        if not differing and not _may_be_same_data(stored, hparams):
            differing = ["data_dir"]
        if not differing:
            yield version, stored
        elif verbose:
            print(f"{version} differs:")
            for name in differing:
                there, asked = (
                    found.get(name, stored.get(name)),
                    wanted.get(name, hparams.get(name)),
                )
                print(f"    {name}: {there} there, {asked} asked for")


def _may_be_same_data(stored: Mapping[str, Any], hparams: Mapping[str, Any]) -> bool:
    """Tell whether a version's data folder is one that is asked for, or is not there any more.

    A project may have moved, and its data with it. Two folders that both are there are two.
    """
    there, asked = stored.get("data_dir"), hparams.get("data_dir")
    if not there or not asked or not os.path.isdir(there):
        return True
    folders = asked if isinstance(asked, list) else [asked]
    return any(os.path.isdir(one) and os.path.samefile(there, one) for one in folders)


def _versions(folder: Path) -> list[Path]:
    """``version_<N>`` folders, by number."""
    if not folder.is_dir():
        return []
    names = [name for name in os.listdir(folder) if re.fullmatch(r"version_\d+", name)]
    return [folder / name for name in sorted(names, key=lambda name: int(name[8:]))]


def _read_hparams(path: Path) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Stored hparams and their `_identity`; None where there are none that can be read.

    (After a crash, or where another program wrote them.)
    """
    try:
        return _parse_hparams(path.read_bytes())
    except (OSError, ValueError):
        return None


@functools.lru_cache(maxsize=4096)
def _parse_hparams(text: bytes) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Parse each file once: for each of its trials, a search looks through all versions."""
    stored = load_plain_yaml(text.decode("utf-8"))
    return (stored, _identity(stored)) if isinstance(stored, dict) else None


def _identity(hparams: Mapping[str, Any]) -> dict[str, Any]:
    """Return the value of each key that makes an experiment what it is, in its proper type."""
    values: dict[str, Any] = {}
    for name, key in KEYS.items():
        if key.neutral:
            continue
        value = hparams.get(name, key.default)
        try:
            searched = isinstance(value, list) and key.kind is not IDS
            values[name] = [key.check(one) for one in value] if searched else key.check(value)
        except ValueError:  # a model of another program: its value differs from any of ours
            values[name] = value
    return values


def _equal(name: str, found: Any, wanted: Any) -> bool:
    if KEYS[name].kind is IDS:
        return sorted(found or []) == sorted(wanted or [])
    return bool(found in wanted if isinstance(wanted, list) else found == wanted)


# --------------------------------------------------------------------------------------------
# files
# --------------------------------------------------------------------------------------------
def read_metrics(version: StrPath) -> list[dict[str, str]]:
    """Rows of a version folder's ``metrics.csv`` as far as it is written; none before it starts."""
    try:
        with open(Path(version) / "metrics.csv", newline="", encoding="utf-8") as file:
            # a row that is just being written may be there in part
            return list(csv.DictReader(line for line in file if line.endswith("\n")))
    except OSError:
        return []


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


def export_hparams(hparams: Mapping[str, Any], filename: StrPath | None = None) -> None:
    """Write hparams as YAML, in plain types that any YAML reader takes.

    Parameters
    ----------
    hparams
        functions in it are left out; arrays become lists, paths and unknown objects text
    filename
        ``<tt_version_dir>/hparams.yaml`` where None
    """
    if filename is None:
        filename = Path(hparams["tt_version_dir"]) / "hparams.yaml"
    values = {str(name): _to_plain(value) for name, value in hparams.items() if not callable(value)}
    with replacing(filename) as temporary:
        temporary.write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")


def _to_plain(value: Any) -> Any:
    """Return the same value in the types that YAML has."""
    if isinstance(value, Mapping):
        return {_to_plain(name): _to_plain(element) for name, element in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_to_plain(element) for element in value]
    if hasattr(value, "tolist"):  # NumPy and torch, scalars included
        return _to_plain(value.tolist())
    for plain in (bool, int, float, str):  # subclasses too (NumPy's float64 is a float)
        if isinstance(value, plain):
            return plain(value)
    return None if value is None else str(value)


def load_plain_yaml(text: str) -> Any:
    """Read YAML in which daart may have marked values as Python objects, without making any.

    A tuple is read as a list, a NumPy number as a number, and any other object as None.

    Raises
    ------
    ValueError
        if it is not valid YAML
    """
    try:
        return yaml.load(text, Loader=_PlainLoader)
    except Exception as error:  # PyYAML's own, and whatever a value of the wrong shape raises
        raise ValueError(f"not valid YAML: {error}") from None


class _PlainLoader(yaml.SafeLoader):
    """Reads what stands for Python objects as plain values."""


def _plain_object(loader: _PlainLoader, tag: str, node: yaml.Node) -> Any:
    import numpy as np

    if isinstance(node, yaml.SequenceNode) and tag == "tuple":
        return loader.construct_sequence(node, deep=True)
    if isinstance(node, yaml.MappingNode) and tag == "object/apply:numpy.dtype":
        return loader.construct_mapping(node, deep=True)["args"][0]
    if isinstance(node, yaml.SequenceNode) and tag.endswith(".multiarray.scalar"):
        kind, number = loader.construct_sequence(node, deep=True)
        return np.frombuffer(number, dtype=np.dtype(kind)).item()
    return None


_PlainLoader.add_multi_constructor("tag:yaml.org,2002:python/", _plain_object)
