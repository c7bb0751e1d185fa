"""The three config files: every key, its default, its check, and how paths in it are read.

``KEYS`` is the one table that describes a configuration. A new key is one more row; reading,
checking, defaults, the search over lists, ``daart-fast keys`` and the comparison of experiments
follow from it.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from daart_fast.activations import ACTIVATIONS
from daart_fast.backbones import BACKBONES, backbone_of
from daart_fast.errors import ConfigError, did_you_mean, unreadable
from daart_fast.names import session_name

__all__ = [
    "KEYS",
    "PICTURE_FORMATS",
    "Key",
    "Setting",
    "check_name",
    "check_together",
    "load_config",
    "settings_in",
    "split_ids",
    "with_defaults",
]

#: A ``data_dir`` or ``results_dir`` that begins so lies in ``demo/`` under the current folder.
DEMO = "<demo>"

#: The ``input_type`` whose inputs are features built from the tracked points in ``markers/``.
KINEMATIC = "features-kinematic"

#: What the random generators of NumPy take.
MAX_SEED = 2**32 - 1

#: What pictures may be written as.
PICTURE_FORMATS = ("png", "pdf", "svg")

#: How config files may spell "nothing" besides null.
_NOTHING = {"none", "null", ""}


# --------------------------------------------------------------------------------------------
# values: each reader returns the value in its proper type, or raises ValueError (why not, or "")
# --------------------------------------------------------------------------------------------
def _boolean(value: Any) -> bool:
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if value not in (0, 1):  # True == 1
        raise ValueError
    return bool(value)


def _number(value: Any) -> float:
    """Read a number; YAML takes ``1e-4`` (no point) for text, so text that is a number will do."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise ValueError from None
    if not math.isfinite(number):
        raise ValueError
    return number


def _integer(value: Any) -> int:
    number = _number(value)
    if isinstance(value, int) or re.fullmatch(r"[+-]?\d+", str(value)):
        return int(value)  # where a float has too few digits for it
    if number != int(number):
        raise ValueError
    return int(number)


def _text(value: Any) -> str:
    if isinstance(value, (str, int, float)) and not isinstance(value, bool) and str(value).strip():
        return str(value)
    raise ValueError


def _splits(value: Any) -> str:
    parts = str(value).replace(" ", "").split(";")
    if len(parts) != 4 or not all(part.isdigit() for part in parts) or int(parts[0]) == 0:
        raise ValueError
    return ";".join(parts)


def _device(value: Any) -> str:
    if not re.fullmatch(r"cpu|cuda(:\d+)?", str(value)):
        raise ValueError
    return str(value)


def _picture_formats(value: Any) -> str:
    parts = [part.strip().lower() for part in str(value).split(";")]
    if len(set(parts)) < len(parts) or not set(parts) <= set(PICTURE_FORMATS):
        raise ValueError
    return ";".join(parts)


def _gpus(value: Any) -> int | str:
    if isinstance(value, bool) or not re.fullmatch(r"\d+(;\d+)*", str(value)):
        raise ValueError
    return value if isinstance(value, int) else str(value)


def _minutes(text: str) -> int:
    """Read a time as Slurm does: minutes, M:S, H:M:S, D-H, D-H:M, D-H:M:S; rounded up."""
    days, dash, rest = str(text).rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    if len(parts) > 3 or min(parts) < 0:
        raise ValueError
    if dash:
        hours, minutes, seconds = (parts + [0, 0])[:3]
    else:
        hours, minutes, seconds = {1: [0, *parts, 0], 2: [0, *parts], 3: parts}[len(parts)]
    return _one_or_more(math.ceil(int(days or 0) * 1440 + hours * 60 + minutes + seconds / 60))


def _gigabytes(text: str) -> float:
    match = re.fullmatch(r"([\d.]+)\s*(MB?|GB?|)", str(text).strip(), re.IGNORECASE)
    if match is None or float(match[1]) <= 0:
        raise ValueError
    return float(match[1]) / (1024 if match[2].upper().startswith("M") else 1)


def _none_or_more(value: Any) -> int:
    if (number := _integer(value)) < 0:
        raise ValueError
    return number


def _one_or_more(value: Any) -> int:
    if (number := _integer(value)) < 1:
        raise ValueError
    return number


def _lines(value: Any) -> list[str]:
    return [str(line) for line in value] if isinstance(value, list) else str(value).splitlines()


#: What the ``slurm:`` part may hold: how it is read, and what to ask for where it cannot be.
SLURM: dict[str, tuple[Callable[[Any], Any], str]] = {
    "partition": (_text, "a partition's name"),
    "time": (_minutes, "minutes, or a time as 2:30:00 or 1-12:00:00"),
    "memory": (_gigabytes, "GB, or a size as 500MB"),
    "gpus": (_none_or_more, "a whole number, GPUs of each trial"),
    "cpus": (_one_or_more, "a whole number at least 1, cores of each trial"),
    "constraint": (_text, "features that a node must have"),
    "account": (_text, "an account's name"),
    "qos": (_text, "the name of a quality of service"),
    "at_once": (_one_or_more, "a whole number at least 1, how many trials to run at once"),
    "setup": (_lines, "shell lines to run before each trial"),
}


def _slurm(value: Any) -> dict[str, Any]:
    """Read the ``slurm:`` part, its values as they are spelled (YAML takes 1:30:00 for 5400)."""
    if not isinstance(value, Mapping):
        raise ValueError
    settings = {}
    for name, given in value.items():
        if name not in SLURM:
            raise ConfigError(f"there is no {name!r} in it{did_you_mean(name, SLURM)}")
        read, wanted = SLURM[name]
        try:
            settings[name] = read(given)
        except (ValueError, TypeError):
            raise ConfigError(f"{name!r} is {given!r}: expected {wanted}") from None
    return settings


def _experiment_name(value: Any) -> str:
    return check_name(_text(value), "an experiment name", nested=True)


def _session_ids(value: Any) -> list[str]:
    ids = split_ids(value)
    if not ids:
        raise ValueError
    for session in ids:
        check_name(session, "a session id")
    twice = sorted({session for session in ids if ids.count(session) > 1})
    if twice:
        raise ConfigError(f"{', '.join(twice)}: listed more than once")
    return ids


def split_ids(value: Any) -> list[str]:
    """Session ids from a list, from daart's ``"id1;id2"``, or from nothing.

    Parameters
    ----------
    value
        a list or tuple of ids, one string with ids joined by ``;``, or None

    Returns
    -------
    list of str

    Raises
    ------
    ValueError
        if it is something else
    """
    if value is None:
        return []
    if isinstance(value, str):
        return [part.strip() for part in value.split(";") if part.strip()]
    if isinstance(value, (list, tuple)):
        return [_text(element).strip() for element in value]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return [str(value)]
    raise ValueError


def check_name(name: str, what: str, nested: bool = False) -> str:
    """Refuse a name that would lead out of the folder it is joined to.

    Parameters
    ----------
    name
        a session id or an experiment name
    what
        what it is, for the message
    nested
        whether subfolders (``a/b``) are allowed

    Returns
    -------
    str
        the name, unchanged

    Raises
    ------
    ConfigError
        if it is empty, absolute, goes up (``..``), or holds a control character or, unless
        `nested`, a path separator
    """
    parts = re.split(r"[/\\]", name)
    bad = (
        not name.strip()
        or any(ord(character) < 32 for character in name)
        or any(part.strip() in ("", ".", "..") for part in parts)
        or re.match(r"[A-Za-z]:", parts[0]) is not None
        or (len(parts) > 1 and not nested)
    )
    if bad:
        raise ConfigError(f"{name!r} cannot be {what}: it must name a file or folder of its own")
    return name


# --------------------------------------------------------------------------------------------
# the table
# --------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Kind:
    """A type of value: how to read one, and what to ask for where one cannot be read."""

    read: Callable[[Any], Any]
    wants: str
    #: whether to take a scalar as it is spelled (``2019_06_26`` is a name, and to YAML a number;
    #: ``0500`` is 500, and to YAML 320)
    spelled: bool = False


BOOL = Kind(_boolean, "true or false")
INT = Kind(_integer, "a whole number", spelled=True)
FLOAT = Kind(_number, "a number", spelled=True)
TEXT = Kind(_text, "text", spelled=True)
PATH = Kind(_text, "a folder", spelled=True)
NAME = Kind(_experiment_name, "a name", spelled=True)
IDS = Kind(_session_ids, "a list of session ids", spelled=True)
SPLITS = Kind(
    _splits,
    "four whole numbers 'train;val;test;gap', the first above 0, such as '9;1;0;0'",
    spelled=True,
)
DEVICE = Kind(_device, "cpu, cuda or cuda:N", spelled=True)
GPUS = Kind(_gpus, "a GPU's number, or several as '0;1'")
PICTURES = Kind(
    _picture_formats, f"{', '.join(PICTURE_FORMATS)}, or several as 'png;pdf'", spelled=True
)
SLURM_PART = Kind(_slurm, f"a mapping with {', '.join(SLURM)}", spelled=True)


@dataclass(frozen=True)
class Key:
    """One key of the configuration."""

    name: str
    #: the file that the shipped configs keep it in: data, model or train (any file may hold it)
    file: str
    kind: Kind
    default: Any
    help: str
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    #: whether `low` itself is too low
    above: bool = False
    #: whether `high` itself is too high
    below: bool = False
    #: whether null is a value
    null: bool = False
    #: whether the file must give it
    required: bool = False
    #: whether two experiments that differ only here are the same experiment
    neutral: bool = False

    @property
    def wants(self) -> str:
        """What values are allowed, in words."""
        text = self.kind.wants
        if self.choices:
            text = "one of " + ", ".join(self.choices)
        limits = []
        if self.low is not None:
            limits.append(f"{'above' if self.above else 'at least'} {_plain(self.low)}")
        if self.high is not None:
            limits.append(f"{'below' if self.below else 'at most'} {_plain(self.high)}")
        return text + (" " + ", ".join(limits) if limits else "") + (", or null" * self.null)

    def check(self, value: Any) -> Any:
        """Return `value` in its proper type.

        Raises
        ------
        ValueError
            saying what is wanted instead, where `wants` does not say it all
        """
        nothing = value is None or value == [] or str(value).lower() in _NOTHING
        if self.null and nothing:
            return None
        value = self.kind.read(value)
        if self.choices:
            folded = {choice.lower(): choice for choice in self.choices}
            if value.lower() not in folded:
                raise ValueError(f"{self.wants}{did_you_mean(value.lower(), self.choices)}")
            return folded[value.lower()]
        if self._out_of_range(value):
            raise ValueError
        return value

    def _out_of_range(self, value: Any) -> bool:
        if self.low is not None and (value < self.low or (self.above and value == self.low)):
            return True
        return self.high is not None and (value > self.high or (self.below and value == self.high))


def _plain(number: float) -> str:
    return str(number) if isinstance(number, int) else f"{number:g}"


def _table(*keys: Key) -> dict[str, Key]:
    return {key.name: key for key in keys}


# fmt: off
#: Every key, by name, in the order in which they are printed.
KEYS: dict[str, Key] = _table(
    # ---- data
    Key("input_type", "data", TEXT, "markers",
        "the folder of data_dir that holds the inputs: markers, features, or any other; "
        f"{KINEMATIC}: features built from markers"),
    Key("kinematic_groups", "data", TEXT, "distances;speeds",
        f"{KINEMATIC}: which, of distances;speeds;accelerations;angles;egocentric;animals;"
        "likelihoods"),
    Key("kinematic_windows", "data", TEXT, None,
        f"{KINEMATIC}: seconds, as '0.5;2'; mean and spread of each feature over windows so long "
        "are features too (needs fps)", null=True),
    Key("kinematic_axis", "data", TEXT, None,
        f"{KINEMATIC}: two body parts, as 'tail_base;nose': where an animal is, and what is ahead "
        "of it (egocentric needs them; animals then has headings)", null=True),
    Key("kinematic_any_order", "data", BOOL, False,
        f"{KINEMATIC}: animals have no order, as where a tracker swaps them: features of one animal"
        " or another become the lowest, ..., the highest of them"),
    Key("expt_ids", "data", IDS, None, "the sessions to train on", required=True),
    Key("expt_ids_to_keep", "data", IDS, None,
        "the sessions whose hand labels are used; null: all of them", null=True),
    Key("expt_ids_val", "data", IDS, None,
        "whole sessions held out for validation, instead of parts of each session", null=True),
    Key("expt_ids_test", "data", IDS, None,
        "whole sessions held out for testing: never trained on, predicted at the end", null=True),
    Key("ignore_class", "data", INT, 0,
        "the class that means 'not scored' (0, the background); -100 when every frame is scored"),
    Key("weight_classes", "data", BOOL, True,
        "weigh each class by the largest class's count over its own count"),
    Key("likelihood_threshold", "data", FLOAT, 0.0,
        "tracked points less certain than this count as missing; above 0, so do those without a "
        "likelihood", low=0, high=1),
    Key("gaps", "data", TEXT, "interpolate",
        "a missing value is interpolated between its neighbours in time, or holds the last value "
        "that was seen, as a model does that runs as frames come in (before the first: the mean)",
        choices=("interpolate", "hold")),
    Key("normalization", "data", TEXT, "session",
        "mean and spread of each channel come from its own session, or from all that train",
        choices=("session", "train")),
    Key("fps", "data", FLOAT, None, "frames a second, where a time is asked for in seconds",
        low=0, above=True, null=True),
    Key("smoothing", "data", TEXT, None,
        "how predicted classes are smoothed (probabilities stay as they are): bouts shorter than "
        "smoothing_seconds go to a neighbour, the median over as long, Viterbi with transitions "
        "(hmm) and durations (semi-markov) of the training labels, or whichever validates best",
        choices=("bouts", "median", "hmm", "semi-markov", "auto"), null=True),
    Key("smoothing_seconds", "data", FLOAT, None,
        "bouts, median: how long (needs fps); null: whichever validates best", low=0, above=True,
        null=True),
    Key("smoothing_frames", "data", INT, None, "the same in frames", low=1, null=True),
    Key("smoothing_strength", "data", FLOAT, None,
        "hmm, semi-markov: the power of each frame's likelihood (neighbouring frames are no "
        "independent evidence); null: whichever validates best", low=0, high=1, above=True,
        null=True),
    Key("data_dir", "data", PATH, None, "the folder that holds the inputs and labels",
        required=True, neutral=True),
    Key("results_dir", "data", PATH, None, "the folder that models are written to",
        required=True, neutral=True),
    Key("cache_dir", "data", PATH, None,
        "where sessions that were read are kept for the next start; null: the user's cache folder; "
        "off: nowhere", null=True, neutral=True),
    # ---- model
    Key("model_class", "model", TEXT, "segmenter", "the kind of model", choices=("segmenter",)),
    Key("backbone", "model", TEXT, "dtcn", "the network that reads the sequence",
        choices=tuple(BACKBONES)),
    Key("n_hid_layers", "model", INT, 2, "hidden layers (dtcn: blocks)", low=0),
    Key("n_hid_units", "model", INT, 32, "units of each hidden layer", low=1),
    Key("n_lags", "model", INT, 4,
        "half-width of the convolutions: each is 2 * n_lags + 1 frames wide", low=0),
    Key("activation", "model", TEXT, "lrelu", "activation between layers",
        choices=tuple(ACTIVATIONS)),
    Key("causal", "model", BOOL, False,
        "read only frames of the past, so that the model can run as frames come in"),
    Key("bidirectional", "model", BOOL, True, "lstm and gru: read the sequence both ways"),
    Key("dropout", "model", FLOAT, 0.1, "dtcn: chance to drop a whole channel in training",
        low=0, high=1, below=True),
    Key("classifier_type", "model", TEXT, "multiclass",
        "one behaviour a frame (multiclass), one or none (binary), several at once (multibinary)",
        choices=("multiclass", "binary", "multibinary")),
    Key("lambda_strong", "model", FLOAT, 1.0, "weight of the loss on hand labels", low=0),
    Key("lambda_weak", "model", FLOAT, 0.0,
        "weight of the loss on heuristic or pseudo labels", low=0),
    Key("lambda_pred", "model", FLOAT, 0.0,
        "weight of the loss that predicts the next frame's inputs", low=0),
    Key("lambda_recon", "model", FLOAT, 0.0,
        "weight of the loss that reconstructs the inputs", low=0),
    Key("lambda_task", "model", FLOAT, 0.0,
        "weight of the loss that predicts the values in tasks/", low=0),
    Key("tt_experiment_name", "model", NAME, "test",
        "the folder that groups models which belong together"),
    Key("rng_seed_model", "model", INT, 0, "seed of the initial weights", low=0, high=MAX_SEED),
    Key("variational", "model", BOOL, False, "encode each frame as a distribution"),
    Key("semi_supervised_algo", "model", TEXT, None, "learn from frames without hand labels",
        choices=("pseudo_labels", "ups"), null=True),
    Key("prob_threshold", "model", FLOAT, 0.9,
        "pseudo_labels, ups: label frames that are at least this probable", low=0, high=1),
    Key("variance_threshold", "model", FLOAT, 0.05,
        "ups: and whose probability varies less than this under dropout", low=0),
    Key("anneal_start", "model", INT, 25,
        "pseudo_labels, ups: the epoch at which the weak loss begins", low=0),
    Key("anneal_end", "model", INT, 50,
        "pseudo_labels, ups: the epoch at which it has its full weight", low=0),
    # ---- train
    Key("learning_rate", "train", FLOAT, 1e-4, "step size of Adam", low=0, above=True),
    Key("sequence_length", "train", INT, 500, "frames of a training sequence", low=1),
    Key("batch_size", "train", INT, 2, "sequences of a batch", low=1),
    Key("l2_reg", "train", FLOAT, 0.0, "weight decay", low=0),
    Key("min_epochs", "train", INT, 10, "train at least so long", low=0),
    Key("max_epochs", "train", INT, 500, "train at most so long", low=1),
    Key("val_check_interval", "train", FLOAT, 1.0,
        "epochs from one validation to the next; may be a fraction", low=0, above=True),
    Key("enable_early_stop", "train", BOOL, True,
        "stop when the validation loss no longer falls"),
    Key("early_stop_history", "train", INT, 5,
        "how many validations without a better loss to wait for", low=1),
    Key("save_last_model", "train", BOOL, False, "save the last weights beside the best"),
    Key("train_frac", "train", FLOAT, 1.0,
        "up to 1: this fraction of the training sequences; above 1: so many of them",
        low=0, above=True),
    Key("trial_splits", "train", SPLITS, "9;1;0;0",
        "sequences for training;validation;testing, and left out after each, in every block"),
    Key("rng_seed_train", "train", INT, 0, "seed of the splits and of the batches' order",
        low=0, high=MAX_SEED),
    Key("plot_train_curves", "train", BOOL, True, "draw the loss curves", neutral=True),
    Key("picture_format", "train", PICTURES, "png",
        "what pictures are written as: png, pdf, svg, or several as 'png;pdf'; an earlier picture "
        "in another format is removed", neutral=True),
    Key("resume", "train", BOOL, True,
        "go on with an interrupted training of the same parameters", neutral=True),
    Key("device", "train", DEVICE, "cpu", "where to train", neutral=True),
    Key("gpus_vis", "train", GPUS, None,
        "cuda: which GPUs, as 0 or '0;1'; null: the one that device names, or 0", null=True,
        neutral=True),
    Key("cuda_graph", "train", BOOL, True,
        "cuda: replay each training step as one CUDA graph, where that gives the same",
        neutral=True),
    Key("tt_n_cpu_trials", "train", INT, None,
        "try at most so many combinations of a search; null: all", low=1, null=True, neutral=True),
    Key("tt_n_cpu_workers", "train", INT, 1, "how many trials to run at once", low=1,
        neutral=True),
    Key("trials_per_gpu", "train", INT, 1, "cuda: how many trials to run at once on each GPU",
        low=1, neutral=True),
    Key("executor", "train", TEXT, "local", "where to run a search's trials: here, or as jobs",
        choices=("local", "slurm"), neutral=True),
    Key("slurm", "train", SLURM_PART, None, "what a trial's job asks Slurm for", null=True,
        neutral=True),
    Key("cv_folds", "train", INT, None,
        "cross-validation: hold out so many groups of sessions in turn", low=2, null=True,
        neutral=True),
    Key("leave_one_session_out", "train", BOOL, False,
        "cross-validation that holds out each session in turn", neutral=True),
    Key("search_pruning", "train", TEXT, None,
        "stop a search's trial whose validation loss is above the median of the others'",
        choices=("median",), null=True),
    Key("search_pruning_epochs", "train", INT, 5, "but not before it has trained so many epochs",
        low=1),
)
# fmt: on

#: What a run derives and stores in hparams.yaml; such keys pass unread, so that a model's
#: hparams.yaml is itself a config file.
# fmt: off
DERIVED = frozenset({
    "best_val_epoch", "class_weights", "data_config", "expt_dir", "hpc_exp_number", "input_mean",
    "input_names", "input_size", "input_std", "kl_weight", "label_names", "model_config",
    "model_dir", "output_size", "pruned_epoch", "search_fold", "search_notes",
    "search_trial", "sequence_pad", "task_names", "task_size", "train_config",
    "training_completed", "tt_expt_dir", "tt_version_dir", "version",
})
# fmt: on

#: Old names, for the message.
RENAMED = {"model_type": "backbone"}


# --------------------------------------------------------------------------------------------
# files
# --------------------------------------------------------------------------------------------
def load_config(*paths: str | os.PathLike[str], overrides: Iterable[str] = ()) -> dict[str, Any]:
    """Read config files into one flat dict: checked, completed with defaults, paths resolved.

    Parameters
    ----------
    paths
        YAML files; each key may stand in any of them, but only once
    overrides
        ``"key=value"`` settings, the value as it would stand in a file, which replace the files';
        ``"--key=value"`` is the same, given as an option of its own

    Returns
    -------
    dict
        every key of ``KEYS``; a list, for any key that is no list of ids, is to be searched over

    Raises
    ------
    ConfigError
        at the first file that cannot be read, unknown key, wrong type or impossible value
    """
    entries = _entries(paths)
    for override in overrides:
        name, equals, text = override.partition("=")
        if not equals:
            raise ConfigError(f"--set {override}: expected key=value")
        where = f"{name} {text}" if name.startswith("--") else f"--set {override}"
        name = name.strip().removeprefix("--")
        entries.update(_parse(f"{name}: {_as_typed(text)}", where))

    hparams = {name: _check(name, entry) for name, entry in entries.items()}
    for name, key in KEYS.items():
        if name not in hparams:
            if key.required and paths:
                raise ConfigError(f"{_file_for(key, paths)}: {name!r} is missing: {key.help}")
            hparams[name] = key.default
    for name in ("data_dir", "results_dir", "cache_dir"):
        base = entries[name].folder if name in entries else Path.cwd()
        value = hparams[name]
        many = isinstance(value, list)
        resolved = [resolve_path(one, base) for one in (value if many else [value])]
        hparams[name] = resolved if many else resolved[0]
    _spell_alike(hparams)
    return hparams


def _spell_alike(hparams: dict[str, Any]) -> None:
    """Spell sessions as ``expt_ids`` does: with what a tracker has added, or without it."""
    spelled: dict[str, set[str]] = {}
    for session in hparams["expt_ids"] or ():
        spelled.setdefault(session_name(session), set()).add(session)
    for name, key in KEYS.items():
        if key.kind is IDS and hparams[name]:
            known = [spelled.get(session_name(session), set()) for session in hparams[name]]
            hparams[name] = [
                next(iter(names)) if len(names) == 1 else session
                for session, names in zip(hparams[name], known, strict=True)
            ]


@dataclass(frozen=True)
class Setting:
    """A key's value, checked, and where it stands (``model.yaml, line 3``)."""

    value: Any
    where: str


def settings_in(*paths: str | os.PathLike[str]) -> dict[str, Setting]:
    """Read what config files themselves say, without defaults; see `load_config`."""
    return {name: Setting(_check(name, e), e.where) for name, e in _entries(paths).items()}


def _entries(paths: Iterable[str | os.PathLike[str]]) -> dict[str, _Entry]:
    """Read what stands in files; a key that stands in two of them is an error."""
    entries: dict[str, _Entry] = {}
    for path in paths:
        for name, entry in _read_yaml(Path(path)).items():
            if name in entries:
                raise ConfigError(
                    f"{entry.where}: {name!r} is given in {entries[name].where} already"
                )
            entries[name] = entry
    return entries


def _as_typed(text: str) -> str:
    """Quote a name with a # in it: where YAML begins a comment, a command line does not."""
    text = text.strip()
    begins = re.search(r"(^|\s)#", text) and text[0] not in "[{\"'"
    return json.dumps(text, ensure_ascii=False) if begins else text


@dataclass(frozen=True)
class _Entry:
    """One ``key: value`` of a file: the value, the value as it is spelled, and where it stands."""

    value: Any
    text: Any
    where: str
    folder: Path


def _read_yaml(path: Path) -> dict[str, _Entry]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        near = [other.name for other in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
        raise ConfigError(f"{path}: no such file{did_you_mean(path.name, near)}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(unreadable(path, error, "a text file in UTF-8")) from None
    return _parse(text, str(path), path.resolve().parent)


def _parse(text: str, source: str, folder: Path | None = None) -> dict[str, _Entry]:
    """Read ``key: value`` lines; YAML alone would drop a repeated key's first value in silence."""
    try:
        loader = yaml.SafeLoader(text)
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        character = repr(text[error.position])
        raise ConfigError(f"{source}, line {line}: not valid YAML: it holds {character}") from None
    entries: dict[str, _Entry] = {}
    try:
        root = loader.get_single_node()
        if root is None:
            return {}
        if not isinstance(root, yaml.MappingNode):
            raise ConfigError(f"{source}: expected lines of 'key: value'")
        for key_node, value_node in root.value:
            name = str(key_node.value)
            where = f"{source}, line {key_node.start_mark.line + 1}" if folder else source
            if name in entries:
                raise ConfigError(f"{where}: {name!r} is given a second time")
            value = loader.construct_object(value_node, deep=True)
            entries[name] = _Entry(value, _spelled(value_node), where, folder or Path.cwd())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "somewhere"
        raise ConfigError(f"{source}, {where}: not valid YAML: {error.problem}") from None
    except ConfigError:
        raise
    except Exception as error:  # PyYAML's own, and whatever a value of the wrong shape raises
        raise ConfigError(f"{source}: not valid YAML: {error}") from None
    finally:
        loader.dispose()
    return entries


def _spelled(node: yaml.Node) -> Any:
    """Return a scalar (or a list or mapping of them) as it is written, null as None."""
    if isinstance(node, yaml.SequenceNode):
        return [_spelled(element) for element in node.value]
    if isinstance(node, yaml.MappingNode):
        return {str(name.value): _spelled(value) for name, value in node.value}
    if isinstance(node, yaml.ScalarNode):
        return None if node.tag == "tag:yaml.org,2002:null" else node.value
    return {}


def _check(name: str, entry: _Entry) -> Any:
    """Return one entry's value in its proper type; a list is checked element by element."""
    if name in DERIVED:
        return entry.value
    key = KEYS.get(name)
    if key is None:
        hint = f" (it is called {RENAMED[name]!r} now)" if name in RENAMED else ""
        hint = hint or did_you_mean(name, KEYS)
        raise ConfigError(f"{entry.where}: there is no key {name!r}{hint}")
    value = entry.text if key.kind.spelled else entry.value
    if key.kind in (IDS, SLURM_PART) or not isinstance(value, list):
        return _check_one(key, value, entry.where)
    if not value:
        raise ConfigError(f"{entry.where}: {name!r} is an empty list: expected {key.wants}")
    values = [_check_one(key, element, entry.where) for element in value]
    distinct = list(dict.fromkeys(values))
    return distinct if len(distinct) > 1 else distinct[0]


def _check_one(key: Key, value: Any, where: str) -> Any:
    try:
        return key.check(value)
    except ValueError as error:
        if isinstance(error, ConfigError):
            raise ConfigError(f"{where}: {key.name!r}: {error}") from None
        wanted = str(error) or key.wants
        spelled = isinstance(value, str) and key.kind in (INT, FLOAT)  # a number needs no quotes
        found = value if spelled else repr(value)
        raise ConfigError(f"{where}: {key.name!r} is {found}: expected {wanted}") from None


def _file_for(key: Key, paths: tuple[str | os.PathLike[str], ...]) -> str:
    """Name the file in which a missing key would be looked for."""
    named = [str(path) for path in paths if key.file in Path(path).name]
    return named[0] if named else ", ".join(str(path) for path in paths)


def resolve_path(value: str | None, folder: Path) -> str | None:
    """Make a path of a config file absolute.

    ``<demo>`` is ``demo/`` under the current folder. Any other relative path is taken from the
    config file's folder; where nothing lies there but something does under the current folder,
    it is that, as daart would have it.
    """
    if value is None:
        return None
    if value.startswith(DEMO):
        return str(Path.cwd() / "demo" / value[len(DEMO) :].lstrip("/\\"))
    try:
        path = Path(value).expanduser()
    except RuntimeError:  # no such user
        path = Path(value)
    if path.is_absolute():
        return str(path)
    here, there = Path.cwd() / path, folder / path
    return os.path.normpath(here if here.exists() and not there.exists() else there)


def with_defaults(hparams: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of hparams in which every key of ``KEYS`` has a value."""
    return {name: key.default for name, key in KEYS.items()} | dict(hparams)


# --------------------------------------------------------------------------------------------
# keys that must fit each other
# --------------------------------------------------------------------------------------------
def check_together(hparams: Mapping[str, Any]) -> None:
    """Refuse combinations of single values (no lists to search over) that cannot be meant.

    Parameters
    ----------
    hparams
        the keys of ``KEYS``; those missing are not looked at

    Raises
    ------
    ConfigError
        naming the keys, and the file of the first where ``hparams`` tells it
    """

    def fail(name: str, message: str) -> None:
        file = hparams.get(f"{KEYS[name].file}_config")
        raise ConfigError(f"{file}: {message}" if file else message)

    get = with_defaults(hparams)
    least = backbone_of(get).least_layers
    if get["n_hid_layers"] < least:
        fail(
            "n_hid_layers",
            f"'n_hid_layers' is {get['n_hid_layers']}: backbone {get['backbone']!r} needs {least} "
            "or more",
        )
    lambdas = [name for name in KEYS if name.startswith("lambda_")]
    if not any(get[name] for name in lambdas):
        fail("lambda_strong", f"nothing to learn: {', '.join(lambdas)} are all 0")
    if get["semi_supervised_algo"] and get["anneal_start"] > get["anneal_end"]:
        start, end = get["anneal_start"], get["anneal_end"]
        fail("anneal_start", f"'anneal_start' ({start}) comes after 'anneal_end' ({end})")
    if get["semi_supervised_algo"] and not get["lambda_strong"]:
        algorithm = get["semi_supervised_algo"]
        fail(
            "lambda_strong",
            f"'lambda_strong' is 0: {algorithm!r} labels what a model that learned from hand "
            "labels is sure of",
        )
    if get["input_type"] == KINEMATIC:
        from daart_fast.features import Kinematics  # it reads files, which this module does not

        try:
            Kinematics.from_hparams(get)
        except ConfigError as error:
            fail("input_type", str(error))
    if get["smoothing_seconds"] and not (get["fps"] or get["smoothing_frames"]):
        fail("fps", "'fps' is missing: 'smoothing_seconds' is in seconds")
    if get["classifier_type"] == "multibinary" and get["smoothing"] in ("hmm", "semi-markov"):
        fail("smoothing", f"'smoothing' is {get['smoothing']!r}: multibinary has bouts and median")
    _check_ids(get, fail)


def _check_ids(get: Mapping[str, Any], fail: Callable[[str, str], None]) -> None:
    ids = {name: split_ids(get[name]) for name, key in KEYS.items() if key.kind is IDS}
    held_out = ids["expt_ids_val"] + ids["expt_ids_test"]
    known = ids["expt_ids"] + held_out
    for session in ids["expt_ids_to_keep"]:
        if session not in known:
            hint = did_you_mean(session, known)
            fail("expt_ids_to_keep", f"'expt_ids_to_keep': {session!r} is not in expt_ids{hint}")
    both = sorted(set(ids["expt_ids_val"]) & set(ids["expt_ids_test"]))
    if both:
        fail("expt_ids_val", f"{', '.join(both)}: both in 'expt_ids_val' and in 'expt_ids_test'")
    if ids["expt_ids"] and set(ids["expt_ids"]) <= set(held_out):
        fail("expt_ids", "every session of 'expt_ids' is held out: none is left to train on")
