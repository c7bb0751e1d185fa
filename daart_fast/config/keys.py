"""The table of config keys: type, default, limits and meaning of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from daart_fast.activations import ACTIVATIONS
from daart_fast.backbones import BACKBONES
from daart_fast.config.values import (
    PICTURE_FORMATS,
    SLURM,
    _picture_formats,
    read_boolean,
    read_device,
    read_experiment_name,
    read_gpus,
    read_integer,
    read_number,
    read_session_ids,
    read_slurm,
    read_splits,
    read_text,
)
from daart_fast.errors import did_you_mean

__all__ = [
    "DAART_DEFAULTS",
    "DERIVED",
    "FLOAT",
    "IDS",
    "INT",
    "KEYS",
    "KINEMATIC",
    "RENAMED",
    "SLURM_PART",
    "Key",
    "no_such_key",
    "with_defaults",
]


#: The ``input_type`` whose inputs are features built from the tracked points in ``markers/``.
KINEMATIC = "features-kinematic"


#: What the random generators of NumPy take.
MAX_SEED = 2**32 - 1


#: How config files may spell "nothing" besides null.
NOTHING = {"none", "null", ""}


@dataclass(frozen=True)
class Kind:
    """A type of value: how to read one, and what to ask for where one cannot be read."""

    read: Callable[[Any], Any]
    wants: str
    #: whether to take a scalar as it is spelled (``2019_06_26`` is a name, and to YAML a number;
    #: ``0500`` is 500, and to YAML 320)
    spelled: bool = False


BOOL = Kind(read_boolean, "true or false")


INT = Kind(read_integer, "a whole number", spelled=True)


FLOAT = Kind(read_number, "a number", spelled=True)


TEXT = Kind(read_text, "text", spelled=True)


PATH = Kind(read_text, "a folder", spelled=True)


NAME = Kind(read_experiment_name, "a name", spelled=True)


IDS = Kind(read_session_ids, "a list of session ids", spelled=True)


SPLITS = Kind(
    read_splits,
    "four whole numbers 'train;val;test;gap', the first above 0, such as '9;1;0;0'",
    spelled=True,
)


DEVICE = Kind(read_device, "cpu, cuda or cuda:N", spelled=True)


GPUS = Kind(read_gpus, "a GPU's number, or several as '0;1'")


PICTURES = Kind(
    _picture_formats, f"{', '.join(PICTURE_FORMATS)}, or several as 'png;pdf'", spelled=True
)


SLURM_PART = Kind(read_slurm, f"a mapping with {', '.join(SLURM)}", spelled=True)


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
            limits.append(f"{'above' if self.above else 'at least'} {plain_number(self.low)}")
        if self.high is not None:
            limits.append(f"{'below' if self.below else 'at most'} {plain_number(self.high)}")
        return text + (" " + ", ".join(limits) if limits else "") + (", or null" * self.null)

    def check(self, value: Any) -> Any:
        """Return `value` in its proper type.

        Raises
        ------
        ValueError
            saying what is wanted instead, where `wants` does not say it all
        """
        nothing = value is None or value == [] or str(value).lower() in NOTHING
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


def plain_number(number: float) -> str:
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
        "of it (egocentric needs them, in 3D a third one; animals then has headings)", null=True),
    Key("kinematic_any_order", "data", BOOL, False,
        f"{KINEMATIC}: animals have no order, as where a tracker swaps them: features of one animal"
        " or another become the lowest, ..., the highest of them"),
    Key("keypoints", "data", TEXT, None,
        "only these tracked points, as 'nose;tail_base'; of several animals those of each, or "
        "'rat1-nose'", null=True),
    Key("animals", "data", TEXT, None,
        "only these animals of a file with several, as 'rat1;rat2'", null=True),
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
    # daart's configs and its scripts' folders have it; here there is one class
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
#: hparams.yaml is itself a config file. Only daart stores hpc_exp_number and kl_weight.
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


def no_such_key(name: str, more: Iterable[str] = ()) -> str:
    """Say that there is no such key, and which of ``KEYS`` or of `others` was probably meant."""
    hint = f" (it is called {RENAMED[name]!r} now)" if name in RENAMED else ""
    return f"there is no key {name!r}{hint or did_you_mean(name, [*KEYS, *more])}"


#: What daart takes where hparams lack a key, if that is not the default of a config file here:
#: models that it trained, and scripts that make hparams by hand, rely on it.
DAART_DEFAULTS = {
    "bidirectional": False,
    "dropout": 0.2,
    "early_stop_history": 10,
    "enable_early_stop": False,
    "max_epochs": 200,
}


def with_defaults(hparams: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of hparams in which every key of ``KEYS`` has a value.

    A config that `load_config` read has them all. Hparams of daart's, or made by hand, may lack
    some, which are as in ``DAART_DEFAULTS``, or else as in ``KEYS``.
    """
    return {name: key.default for name, key in KEYS.items()} | DAART_DEFAULTS | dict(hparams)
