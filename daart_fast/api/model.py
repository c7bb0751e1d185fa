"""A finished model as one object: load a model directory, predict new sessions."""

from __future__ import annotations

import logging
import math
import os
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from multiprocessing import parent_process
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from daart_fast.backbones import backbone_of
from daart_fast.config import KEYS, with_defaults
from daart_fast.data.sessions import Session, statistics
from daart_fast.errors import ConfigError, DataError, did_you_mean, some, unreadable
from daart_fast.experiment.stored import WEIGHTS, best_weights, load_plain_yaml
from daart_fast.features import reader_of
from daart_fast.files import refuse_overwriting_inputs, replacing
from daart_fast.machine import device_problem
from daart_fast.models.base import read_state_dict
from daart_fast.models.predict import predict_session
from daart_fast.models.segmenter import HEAD_OF_LOSS, Segmenter
from daart_fast.readers.feature_tables import channel_names
from daart_fast.readers.inputs import suffix_of

__all__ = ["Model"]

HPARAMS = "hparams.yaml"
#: keys whose values decide what a model is and does
CHECKED_KEYS = {
    "backbone", "n_hid_layers", "n_hid_units", "n_lags", "activation", "dropout", "causal",
    "bidirectional", "variational", "classifier_type", "lambda_strong", "lambda_weak",
    "lambda_pred", "lambda_recon", "lambda_task", "sequence_length", "normalization",
    "likelihood_threshold", "gaps", "fps", "rng_seed_model",
}  # fmt: skip
NEEDED = ("backbone", "input_size", "output_size", "n_hid_layers", "n_hid_units", "activation")


class Model:
    """A segmenter with its configuration.

    Parameters
    ----------
    model
        The segmenter.
    config
        Its hparams.
    model_dir
        Where it was loaded from.
    """

    def __init__(
        self,
        model: Segmenter,
        config: dict[str, Any],
        model_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        self.model = model
        self.config = with_defaults(config)
        self.model_dir = Path(model_dir) if model_dir is not None else None

    @classmethod
    def from_dir(cls, model_dir: str | os.PathLike[str]) -> Model:
        """Load a model directory that daart_fast or daart has written.

        ``hparams.yaml`` is read as plain values and ``best_val_model.pt`` as plain tensors: no
        code in either is run. The paths in hparams need not exist. The model comes on the
        ``device`` of its hparams, or on the CPU where this machine has no such device.

        Raises
        ------
        DataError
            The folder or one of the two files is missing or cannot be read, or they do not
            belong together.
        """
        folder = Path(model_dir)
        config = read_hparams(folder / HPARAMS)
        weights = find_weights(folder)
        state = read_state_dict(weights)
        # what the weights themselves say stands above hparams, in which daart's annealing may have
        # left a zero for a head that exists
        config["class_weights"] = _plain(state.get("class_loss.weight"))
        model = _built_for(state, config, folder / HPARAMS, source=str(weights))
        model.load_parameters(state, source=str(weights))
        model.to(_device(config))
        model.eval()
        return cls(model, config, folder)

    @classmethod
    def from_config(cls, config_path: str | os.PathLike[str] | dict[str, Any]) -> Model:
        """Make an untrained model from hparams, given as a dict or as a YAML file."""
        if isinstance(config_path, dict):
            config, source = _completed(config_path, "config"), "config"
        else:
            config, source = read_hparams(Path(config_path)), str(config_path)
        return cls(_segmenter(config, source), config)

    def predict(
        self,
        expt_file: str | os.PathLike[str],
        output_file: str | os.PathLike[str] | None = None,
        sess_id: str | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> np.ndarray:
        """Predict every frame of a new session.

        Parameters
        ----------
        expt_file
            The session's inputs, in any format that training reads, from 1 frame up. Channels are
            put into the order of training by their names, and those that the model does not know
            are left out. A model that has no record of names (daart's have none, nor has one
            trained on npy), and a file that has none (npy), take the channels as they come.
        output_file
            Where to write the probabilities: .npy, float32, (frames, classes). The suffix is
            added if missing, as ``np.save`` does.
        sess_id
            What to call the session in error messages; the file's name if None.
        progress
            Is called with the number of frames that are done, and of all, as they grow.

        Returns
        -------
        np.ndarray
            The probabilities.

        Raises
        ------
        DataError
            The file cannot be read, or lacks channels that the model needs, or ``output_file`` is
            that very file.
        """

        output = None if output_file is None else _with_npy(Path(output_file))
        if output is not None:
            refuse_overwriting_inputs([output], [expt_file])
        threshold = float(self.config["likelihood_threshold"])
        values, names = reader_of(self.config)(Path(expt_file), threshold)
        source = str(expt_file) if sess_id is None else f"session {sess_id}, {expt_file}"
        values = self._select(values, names, source, named=suffix_of(expt_file) != ".npy")
        name = sess_id or Path(expt_file).stem
        session = Session(name, values, list(names)).normalised_by(**statistics(values))
        if self.config["normalization"] == "train":
            session = session.normalised_by(*self.training_statistics())
        probabilities = predict_session(self.model, session, progress=progress)
        if output is not None:
            with replacing(output) as temporary:
                np.save(temporary, probabilities)
        return probabilities

    def training_statistics(self) -> list[np.ndarray]:
        """Return the mean and the spread (N,) that the training sessions have in common."""
        values = [self.config.get(name) for name in ("input_mean", "input_std")]
        if not all(_are_numbers(value, self.config["input_size"]) for value in values):
            source = self.model_dir / HPARAMS if self.model_dir else "config"
            raise DataError(
                f"{source}: 'normalization' is 'train', which needs 'input_mean' and 'input_std' "
                f"of {self.config['input_size']} channels"
            )
        return [np.asarray(value, dtype=np.float64) for value in values]

    def _select(
        self, values: np.ndarray, names: Sequence[str], source: str, named: bool
    ) -> np.ndarray:
        """Return the channels (T, N) that the model was trained on, in their order."""

        wanted = self.config.get("input_names")
        if wanted and named and list(wanted) != channel_names(len(wanted)):
            if list(names) == list(wanted):
                return values
            column = {name: i for i, name in enumerate(names)}
            missing = [name for name in wanted if name not in column]
            if missing:
                raise DataError(
                    f"{source}: {len(missing)} of the {len(wanted)} channels that the model was "
                    f"trained on are missing: {some(missing, 12)}; the file has {some(names, 12)}"
                    + did_you_mean(missing[0], names)
                )
            return values[:, [column[name] for name in wanted]]
        if values.shape[1] != self.config["input_size"]:
            raise DataError(
                f"{source}: the model was trained on {self.config['input_size']} channels, "
                f"the file has {values.shape[1]}: {some(names, 12)}"
            )
        return values


def _with_npy(path: Path) -> Path:
    return path if path.suffix == ".npy" else path.with_name(path.name + ".npy")


def _segmenter(
    config: dict[str, Any], source: str | Path, heads: Collection[str] | None = None
) -> Segmenter:
    """Make the segmenter that config asks for; an error names the source of config."""
    try:
        return Segmenter(config, heads=heads)
    except ConfigError as error:  # of values that are good ones by themselves
        raise DataError(f"{source}: {error}") from error


def _built_for(
    state: Mapping[str, Tensor], config: dict[str, Any], hparams: Path, source: str
) -> Segmenter:
    """Make the segmenter that config asks for, with the heads of these weights.

    It is made without memory first: sizes that don't fit the weights may be any.
    """
    heads = {head for head in HEAD_OF_LOSS.values() if _holds(state, head)}
    sizes = ["input_size", "output_size", "n_hid_layers", "n_hid_units", "n_lags"]
    if "task_predictor" in heads:
        sizes.append("task_size")
        _check_sizes(config, ["task_size"], source)
    n_weights = sum(tensor.numel() for tensor in state.values())
    for name in sizes:
        if (config.get(name) or 0) > n_weights:
            raise DataError(f"{source}: the weights are too few for {name!r} {config[name]}")
    with torch.device("meta"):
        model = _segmenter(config, hparams, heads)
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    if shapes != {name: tensor.shape for name, tensor in state.items()}:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, that nothing is copied
            model.load_parameters(state, source)  # says what does not fit
    return _segmenter(config, hparams, heads)


def _are_numbers(values: Any, n: int) -> bool:
    return (
        isinstance(values, list)
        and len(values) == n
        and all(isinstance(value, (int, float)) and math.isfinite(value) for value in values)
    )


def _holds(state: Mapping[str, Tensor], module: str) -> bool:
    return any(name.startswith(f"model.{module}.") for name in state)


def _plain(values: Tensor | None) -> list[float] | None:
    return None if values is None else values.tolist()


def _device(config: dict[str, Any]) -> torch.device:
    wanted = str(config["device"])
    why = device_problem(wanted)
    if why:
        _say_cpu(wanted, why)
    return torch.device("cpu" if why else wanted)


@cache  # once, of however many models
def _say_cpu(wanted: str, why: str) -> None:
    if parent_process() is None:  # which speaks for its workers
        logging.warning(f"the model was trained on {wanted}, but {why}: it runs on the CPU")


def find_weights(folder: Path) -> Path:
    """Return the best weights of a model directory; a DataError where there are none."""
    path = best_weights(folder)
    if path is None:
        raise DataError(f"{folder}: there is no {WEIGHTS} in this folder")
    return path


# -------------------------------------------------------------------------------- hparams.yaml


def read_hparams(path: Path) -> dict[str, Any]:
    """Read hparams; daart's old name of ``backbone``, model_type, is understood."""
    if not path.is_file():
        raise DataError(f"{path}: there is no such file; expected a model's folder (version_N)")
    try:
        hparams = load_plain_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(unreadable(path, error, "a YAML file of keys and values")) from error
    if not isinstance(hparams, dict):
        raise DataError(f"{path}: expected keys and values, got a {type(hparams).__name__}")
    if "backbone" not in hparams and "model_type" in hparams:
        hparams["backbone"] = hparams["model_type"]
    return _completed(hparams, str(path))


def _completed(hparams: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Check every value that a model is made of; return them with those that are left out."""
    given = {name: v for name, v in hparams.items() if v is not None or name not in CHECKED_KEYS}
    missing = [name for name in NEEDED if given.get(name) is None]
    if missing:
        raise DataError(f"{source}: expected a value for {', '.join(missing)}")
    for name in given.keys() & CHECKED_KEYS:
        try:
            given[name] = KEYS[name].check(given[name])
        except ValueError as error:
            wanted = str(error) or KEYS[name].wants
            raise DataError(f"{source}: {name!r} is {given[name]!r}: expected {wanted}") from None
    if "n_lags" in backbone_of(given).keys and "n_lags" not in given:
        raise DataError(f"{source}: expected a value for n_lags")
    config = with_defaults(given)
    _check_sizes(config, ("input_size", "output_size"), source)
    for name in ("input_names", "label_names"):
        names = config.get(name) or []
        if not isinstance(names, list) or not all(isinstance(one, str) for one in names):
            raise DataError(f"{source}: {name!r} is {names!r}: expected a list of names")
    return config


def _check_sizes(config: dict[str, Any], names: Sequence[str], source: str) -> None:
    for name in names:
        size = config.get(name)
        if not isinstance(size, int) or size < 1:
            raise DataError(f"{source}: {name!r} is {size!r}: expected a number from 1 up")
