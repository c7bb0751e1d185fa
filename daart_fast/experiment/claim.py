"""Experiments: reading the settings, claiming a folder for the results, cleaning it up."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from daart_fast.config import IDS, KEYS, check_name, split_ids, with_defaults
from daart_fast.errors import some
from daart_fast.experiment.folders import get_expt_dir, get_model_dir
from daart_fast.experiment.identity import finished_versions, matching_versions
from daart_fast.experiment.stored import CHECKPOINT, export_hparams, weights_problem
from daart_fast.experiment.versions import Experiment, claim_version
from daart_fast.machine import check_device

__all__ = [
    "all_settings",
    "clean_tt_dir",
    "console_log",
    "create_tt_experiment",
    "print_hparams",
]


#: What a version folder holds if its trial raised: the traceback.
FAILED = "failed.txt"

#: What a finished folder no longer needs, and what test-tube would leave in one.
LEFTOVERS = (CHECKPOINT, "meta.experiment", "meta_tags.csv", "hparams.yaml.lock")


def print_hparams(hparams: Mapping[str, Any]) -> str:
    """Print the settings that are not the defaults, and where all of them are; return the text."""
    lines = ["settings other than the defaults:"]
    for name in _settings(hparams):
        key, value = KEYS[name], hparams[name]
        # a list of GPUs says nothing where none is used
        if value == key.default or (name == "gpus_vis" and hparams["device"] == "cpu"):
            continue
        sessions = some(split_ids(value), 12) if key.kind is IDS else value
        lines.append(f"  {name}: {sessions}")
    if folder := hparams.get("tt_version_dir"):
        lines.append(f"all settings are in {folder}/hparams.yaml, and in its console.log")
    text = "\n".join(lines)
    print(text + "\n", flush=True)
    return text


def all_settings(hparams: Mapping[str, Any]) -> str:
    """Spell every setting, the keys of each config file together."""
    lines = ["the settings"]
    for file in ("data", "model", "train"):
        names = [name for name in _settings(hparams) if KEYS[name].file == file]
        lines += [f"{file}:", *(f"    {name}: {hparams[name]}" for name in names)]
    return "\n".join(lines)


def _settings(hparams: Mapping[str, Any]) -> list[str]:
    return [name for name in KEYS if name in hparams]


def create_tt_experiment(
    hparams: dict[str, Any],
) -> tuple[dict[str, Any], Experiment] | tuple[None, None]:
    """Claim a folder for this experiment, or take up one that was interrupted.

    Parameters
    ----------
    hparams
        The keys of the config files, single values. Gains ``expt_dir``, ``model_dir``,
        ``tt_expt_dir``, ``tt_version_dir``, ``version``; ids joined by ``;`` become lists, and
        whatever is callable (test-tube's functions) is left out.

    Returns
    -------
    hparams, experiment
        ``hparams.yaml`` is written, ``training_completed`` false in it. Hold on to the experiment
        as long as it runs: the folder is free for others to take up once it is gone. None, None
        if a finished model of the same parameters exists; its folder is printed. A finished model
        whose weights are gone or damaged is named, left as it is, and does not count.

    Raises
    ------
    ConfigError
        This machine has no such device, or a name cannot be one of a folder.
    OutputError
        The folder cannot be made.
    """
    from daart_fast.experiment.newer_data import tell_of_newer_data

    for name in [name for name, value in hparams.items() if callable(value)]:
        del hparams[name]
    for name, key in KEYS.items():
        if key.kind is IDS and name in hparams:
            hparams[name] = split_ids(hparams[name]) or None
    if "expt_ids_to_keep" in hparams:
        _spell_as_daart(hparams, "expt_ids_to_keep")
    hparams["expt_dir"] = get_expt_dir(hparams["results_dir"], hparams["expt_ids"])
    hparams["model_dir"] = get_model_dir(hparams["expt_dir"], hparams)
    name = check_name(hparams["tt_experiment_name"], "an experiment name", nested=True)
    hparams["tt_expt_dir"] = os.path.join(hparams["model_dir"], name)
    while True:
        if finished := finished_versions(hparams):
            print(f"this experiment is finished already; its model is in {finished[0]}")
            tell_of_newer_data(hparams, Path(finished[0]))
            return None, None
        check_device(hparams)
        _tell_of_broken_models(hparams)
        experiment = _interrupted(hparams) or claim_version(Path(hparams["tt_expt_dir"]))
        # between our look and our hold another run may have brought it to its end
        if str(experiment.folder) not in finished_versions(hparams):
            break
        experiment.close()
    hparams["version"] = experiment.version
    hparams["tt_version_dir"] = str(experiment.folder)
    hparams["training_completed"] = False
    experiment.keeps_failure = "search_trial" in hparams
    export_hparams(hparams)
    return hparams, experiment


def _spell_as_daart(hparams: dict[str, Any], name: str) -> None:
    """Leave a list of ids as scripts of daart split it: one text, and no key where it is None."""
    ids = hparams.pop(name)
    if ids is not None:
        hparams[name] = ";".join(ids)


def _interrupted(hparams: Mapping[str, Any]) -> Experiment | None:
    """Hold a version of the same parameters that was cut short and that nobody works on."""
    if not with_defaults(hparams)["resume"]:
        return None
    for folder, stored in matching_versions(hparams["tt_expt_dir"], hparams):
        if not stored.get("training_completed") and (taken := Experiment.take_up(folder)):
            (folder / FAILED).unlink(missing_ok=True)
            print(f"going on with the interrupted training in {folder}")
            return taken
    return None


def _tell_of_broken_models(hparams: Mapping[str, Any]) -> None:
    """Name the finished models of the same parameters whose weights cannot be used."""
    for folder, stored in matching_versions(hparams["tt_expt_dir"], hparams):
        if stored.get("training_completed") and (wrong := weights_problem(folder)):
            print(f"{wrong}. This model was finished; it is trained again, in another folder")


def clean_tt_dir(hparams: Mapping[str, Any]) -> None:
    """Remove from a finished experiment's folder what only an unfinished one needs."""
    for name in LEFTOVERS:
        (Path(hparams["tt_version_dir"]) / name).unlink(missing_ok=True)


@contextmanager
def console_log(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Write what is logged meanwhile to ``console.log``, warnings to the terminal too.

    An exception that ends the block is logged with its traceback. An interrupted training that
    goes on appends to its log.
    """
    logger = logging.getLogger()
    level, file = logger.level, logging.FileHandler(Path(folder) / "console.log", encoding="utf-8")
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    handlers: list[logging.Handler] = [file]
    if not any(type(handler) is logging.StreamHandler for handler in logger.handlers):
        terminal = logging.StreamHandler()
        terminal.setLevel(logging.WARNING)
        terminal.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
        handlers.append(terminal)
    for handler in handlers:
        logger.addHandler(handler)
    logger.setLevel(min(level, logging.INFO))
    try:
        yield
    except BaseException:
        file.handle(_record_of_exception())
        raise
    finally:
        logger.setLevel(level)
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()


def _record_of_exception() -> logging.LogRecord:
    import sys

    return logging.LogRecord(
        "daart_fast", logging.ERROR, __file__, 0, "the training ends here", None, sys.exc_info()
    )
