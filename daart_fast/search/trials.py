"""A trial: its settings, what became of it, and how one is run, wherever that is."""

from __future__ import annotations

import copy
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from daart_fast.config import IDS, KEYS, split_ids, with_defaults
from daart_fast.data.sessions import signal_paths
from daart_fast.errors import MENDABLE, ConfigError, DataError, print_error
from daart_fast.experiment.claim import FAILED
from daart_fast.experiment.folders import get_tt_expt_dir
from daart_fast.experiment.identity import matching_versions
from daart_fast.experiment.stored import weights_problem
from daart_fast.files import replacing
from daart_fast.machine import naming_sizes

__all__ = [
    "FAILED",
    "Ended",
    "Event",
    "Events",
    "Job",
    "Known",
    "Outcome",
    "Progressed",
    "Started",
    "attempt",
    "folds",
    "label_of",
    "look_up",
    "loss_settings",
    "output_to",
    "searched_keys",
]


#: Keys that decide which loss is validated, on which frames and how often. The weights of its
#: terms, ``lambda_*``, do too.
LOSS_KEYS = (
    "data_dir", "search_fold", "trial_splits", "train_frac", "sequence_length", "rng_seed_train",
    "val_check_interval", "classifier_type", "ignore_class", "weight_classes", "variational",
    "semi_supervised_algo",
)  # fmt: skip

#: Keys that decide the inputs, which are themselves what lambda_pred and lambda_recon predict.
INPUT_KEYS = (
    "input_type",
    "keypoints",
    "animals",
    "likelihood_threshold",
    "normalization",
    *(name for name in KEYS if name.startswith("kinematic_")),
)


@dataclass
class Job:
    """A trial of a search."""

    #: counted from 1
    number: int
    #: the settings, as test-tube's namespace
    trial: Any
    #: the settings that differ from trial to trial
    label: str = ""
    #: where to write what the trial prints; None: leave it on the terminal
    log: Path | None = None


@dataclass
class Outcome:
    """What became of a trial."""

    #: finished, failed, interrupted, submitted
    status: str
    #: what the function returned
    result: Any = None
    #: in one line
    error: str = ""
    #: the version folder, if one was claimed
    folder: str | None = None
    #: when it began and ended, in seconds since 1970; 0 if it was not run
    began: float = 0.0
    ended: float = 0.0
    #: which worker, GPU or job ran it
    place: str = ""
    #: of one that failed: whether the user can mend it
    mendable: bool = False


@dataclass(frozen=True)
class Started:
    """An event of a search: a trial began."""

    number: int
    place: str


@dataclass(frozen=True)
class Progressed:
    """An event of a search: a trial's epoch, losses, and the part that is done."""

    number: int
    values: dict[str, float]


@dataclass(frozen=True)
class Ended:
    """An event of a search: a trial ended in whatever way."""

    number: int
    outcome: Outcome


Event = Started | Progressed | Ended

#: What an executor is: closing it ends its workers.
Events = Generator[Event, None, None]


# --------------------------------------------------------------------------------------------
# making them
# --------------------------------------------------------------------------------------------
def searched_keys(trials: Sequence[Any]) -> list[str]:
    """Name the keys whose value is not the same in all trials, and the fold if there are any."""
    names = [name for name, key in KEYS.items() if key.kind is not IDS] + ["search_fold"]
    return [name for name in names if len({str(vars(t).get(name)) for t in trials}) > 1]


def label_of(trial: Any, keys: Sequence[str]) -> str:
    """Spell the settings by which a trial differs from the others."""
    return ", ".join(f"{name.removeprefix('search_')}={vars(trial).get(name)}" for name in keys)


def loss_settings(trial: Any) -> dict[str, Any]:
    """Return the settings that trials must share for their validation losses to be comparable."""
    settings = with_defaults(vars(trial))
    names = [*LOSS_KEYS, *(name for name in KEYS if name.startswith("lambda_"))]
    if settings["lambda_pred"] or settings["lambda_recon"]:
        names += INPUT_KEYS
    return {name: settings.get(name) for name in names}


def folds(trials: Sequence[Any]) -> list[Any]:
    """Make of each trial that asks for cross-validation one for each fold.

    Whole sessions are held out, as if `expt_ids_test` listed them: with `cv_folds` k, fold i holds
    out sessions i, i + k, i + 2k, ... of `expt_ids`; with `leave_one_session_out` each session is
    a fold. Sessions that are held out anyway, or without hand labels in use, are in no fold: they
    would have no score.

    Raises
    ------
    ConfigError
        if there are fewer sessions than folds
    """
    labelled = cache(_labelled)  # trials share sessions; files may come before the next call
    return [fold for trial in trials for fold in _folds_of(trial, labelled)]


def _folds_of(trial: Any, labelled: Callable[..., Collection[str]]) -> list[Any]:
    settings = with_defaults(vars(trial))
    if not settings["cv_folds"] and not settings["leave_one_session_out"]:
        return [trial]
    if settings["cv_folds"] and settings["leave_one_session_out"]:
        raise ConfigError("'cv_folds' and 'leave_one_session_out' are both given: expected one")
    test, kept = split_ids(settings["expt_ids_test"]), split_ids(settings["expt_ids_to_keep"])
    elsewhere = test + split_ids(settings["expt_ids_val"])
    sessions = [
        session
        for session in split_ids(settings["expt_ids"])
        if session not in elsewhere and (not kept or session in kept)
    ]
    found = labelled(settings["data_dir"], settings["input_type"], tuple(sessions))
    sessions = [session for session in sessions if session in found]
    n_folds = settings["cv_folds"] or len(sessions)
    if len(sessions) < max(n_folds, 2):
        raise ConfigError(
            f"cross-validation with {n_folds} folds needs {max(n_folds, 2)} sessions or more in "
            f"'expt_ids' that are labelled and not held out; it has {len(sessions)}"
        )
    folds_of_trial = []
    for i in range(n_folds):
        fold = copy.copy(trial)
        fold.search_fold, fold.cv_folds, fold.leave_one_session_out = i, None, False
        fold.expt_ids_test = ";".join(test + sessions[i::n_folds])
        folds_of_trial.append(fold)
    return folds_of_trial


def _labelled(data_dir: str, input_type: str, sessions: tuple[str, ...]) -> Collection[str]:
    """Choose the sessions with a file of hand labels; all, where training will say what is wrong.

    That is where there are no inputs, or no labels of any.
    """

    project = {"data_dir": data_dir, "input_type": input_type}
    try:
        paths = {session: signal_paths(project, session, logging.debug) for session in sessions}
    except DataError:
        return sessions
    return [session for session in sessions if paths[session]["labels_strong"]] or sessions


# --------------------------------------------------------------------------------------------
# what is on the disk
# --------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Known:
    """What the results folder holds of a trial: new, finished, interrupted or failed."""

    state: str
    folder: Path | None = None
    #: the last line of the traceback
    error: str = ""


def look_up(trial: Any) -> Known:
    """Look for a version folder of this trial's parameters; one that is finished comes first.

    One that was finished and has no usable weights any more is none, as it is trained again. (One
    that another process is at work on looks interrupted.)
    """
    hparams = {name: value for name, value in vars(trial).items() if not callable(value)}
    if not {"results_dir", "expt_ids"} <= hparams.keys():
        return Known("new")  # a namespace of some other making
    folder = get_tt_expt_dir(hparams)
    versions = list(matching_versions(folder, hparams)) if folder else []
    ended = [version for version, stored in versions if stored.get("training_completed")]
    for version in ended:
        if not weights_problem(version):
            return Known("finished", version)
    left = [version for version, _ in versions if version not in ended]
    for version in left:
        with suppress(OSError):
            lines = (version / FAILED).read_text(encoding="utf-8").strip().splitlines()
            return Known("failed", version, lines[-1] if lines else "")
    return Known("interrupted", left[0]) if left else Known("new", folder)


# --------------------------------------------------------------------------------------------
# running one
# --------------------------------------------------------------------------------------------
def attempt(
    function: Callable[..., Any], job: Job, arguments: Sequence[Any], place: str
) -> Outcome:
    """Call a function with a trial, and tell what became of it.

    What it raises, or returns as daart's script does, is printed (on a terminal without a
    traceback, if the user can mend it) and kept in the version folder that `create_tt_experiment`
    claimed for it, if that is still there. An interrupt is no failure: the folder can be taken up
    again.
    """
    trial = copy.copy(job.trial)  # create_tt_experiment changes it
    outcome = Outcome("finished", began=time.time(), place=place)
    try:
        with naming_sizes(vars(trial)):
            outcome.result = function(trial, *arguments)
        if isinstance(outcome.result, Exception):
            _fail(outcome, outcome.result, job, vars(trial))
    except KeyboardInterrupt:
        outcome.status = "interrupted"
    except Exception as error:
        _fail(outcome, error, job, vars(trial))
    outcome.folder = vars(trial).get("tt_version_dir")
    outcome.ended = time.time()
    return outcome


def _fail(outcome: Outcome, error: Exception, job: Job, settings: Mapping[str, Any]) -> None:
    """Print an error, and keep it in the outcome and in the version folder."""
    outcome.status, outcome.error = "failed", _one_line(error)
    outcome.mendable = isinstance(error, MENDABLE)
    if job.log is None and outcome.mendable:
        print_error(error)
    else:
        traceback.print_exception(error)
    folder = settings.get("tt_version_dir")
    if folder and Path(folder).is_dir():
        with suppress(OSError), replacing(Path(folder) / FAILED) as temporary:
            text = "".join(traceback.format_exception(error))
            temporary.write_text(text, encoding="utf-8")


def _one_line(error: BaseException) -> str:
    return traceback.format_exception_only(error)[-1].strip().splitlines()[0]


@contextmanager
def output_to(log: Path | None) -> Iterator[None]:
    """Append to a file what this process and its native code print meanwhile; None: don't."""
    if log is None:
        yield
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    streams = (sys.stdout, sys.stderr)
    before = [os.dup(number) for number in (1, 2)]
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        for stream in streams:
            stream.flush()
        for number in (1, 2):
            os.dup2(file, number)
        yield
    finally:
        for stream in streams:
            stream.flush()
        for number, old in zip((1, 2), before, strict=True):
            os.dup2(old, number)
        for number in (file, *before):
            os.close(number)
