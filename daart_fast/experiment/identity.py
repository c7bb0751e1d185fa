"""Which experiment a version folder holds: the comparison of settings."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from daart_fast.backbones import backbone_of
from daart_fast.config import IDS, KEYS, with_defaults
from daart_fast.experiment.folders import StrPath, get_tt_expt_dir
from daart_fast.experiment.stored import load_plain_yaml, weights_problem

__all__ = [
    "find_experiment",
    "finished_versions",
    "get_model_params",
    "matching_versions",
]


def get_model_params(hparams: Mapping[str, Any]) -> dict[str, Any]:
    """Those parameters by which daart tells models apart.

    They are the general ones (seeds, splits, sequences, losses) and those that the backbone uses.
    daart_fast itself compares every key (see `find_experiment`); this is kept for daart's
    scripts, which name or tabulate models.

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


def find_experiment(
    hparams: dict[str, Any], verbose: bool = False, keys_to_sweep: Collection[str] = ()
) -> list[str]:
    """Folders of the finished models that were fitted with these parameters, weights and all.

    Two experiments are the same if every key of the config files has the same value, except
    paths, ``device``, ``gpus_vis``, ``tt_n_*`` and those about plotting and resuming. Of paths,
    ``data_dir`` counts where it is another folder and the first one is still there.

    Parameters
    ----------
    hparams
        the keys to compare; one that is missing may have any value, and a list stands for any of
        its values
    verbose
        print, for each other version, which keys differ
    keys_to_sweep
        keys that may have any value, whatever `hparams` say

    Returns
    -------
    list of str
        the version folders, lowest number first; empty if there is none
    """
    anything = (KEYS.keys() - hparams.keys()) | set(keys_to_sweep)
    return _finished(hparams, verbose, anything)


def finished_versions(hparams: Mapping[str, Any]) -> list[str]:
    """Like `find_experiment`, but a missing key stands for its default."""
    return _finished(hparams, False, ())


def _finished(hparams: Mapping[str, Any], verbose: bool, anything: Collection[str]) -> list[str]:
    folder = get_tt_expt_dir(hparams)
    if folder is None:
        return []
    return [
        str(version)
        for version, stored in matching_versions(folder, hparams, verbose, anything)
        if stored.get("training_completed") and not weights_problem(version)
    ]


def matching_versions(
    folder: StrPath,
    hparams: Mapping[str, Any],
    verbose: bool = False,
    anything: Collection[str] = (),
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Versions in `folder` that have the same parameters, finished or not.

    Keys in `anything` may have any value.

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
        compared = [name for name in wanted if name not in anything]
        differing = [name for name in compared if not _equal(name, found[name], wanted[name])]
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
    kept, ids = values["expt_ids_to_keep"], values["expt_ids"]
    both = isinstance(kept, list) and isinstance(ids, list)
    if both and sorted(map(str, kept)) == sorted(map(str, ids)):
        values["expt_ids_to_keep"] = None  # all of them, as scripts of daart spell it
    return values


def _equal(name: str, found: Any, wanted: Any) -> bool:
    if KEYS[name].kind is IDS:
        return sorted(found or []) == sorted(wanted or [])
    return bool(found in wanted if isinstance(wanted, list) else found == wanted)
