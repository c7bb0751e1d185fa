"""A small project of real files, and a training on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from daart_fast.config import KEYS
from daart_fast.data import DataGenerator
from daart_fast.data.from_config import build_data_generator
from daart_fast.models import Segmenter
from daart_fast.train import Trainer
from daart_fast.train.callbacks import collect_callbacks

CLASSES = ["background", "rest", "walk", "groom"]

SETTINGS = {
    "input_type": "features",
    "backbone": "dtcn",
    "n_hid_layers": 1,
    "n_hid_units": 8,
    "n_lags": 1,
    "sequence_length": 25,
    "batch_size": 2,
    "trial_splits": "4;1;1;0",
    "learning_rate": 1e-2,
    "min_epochs": 0,
    "max_epochs": 3,
    "enable_early_stop": False,
    "plot_train_curves": False,
}


def write_session(
    folder: Path, name: str, seed: int, labelled: slice | None, n_frames: int = 300
) -> None:
    """Write features that tell the class, with noise, and labels for some frames or none."""
    draw = np.random.default_rng(seed)
    classes = np.repeat(draw.integers(1, len(CLASSES), n_frames // 10), 10)
    features = np.eye(len(CLASSES))[classes] + 0.7 * draw.standard_normal((n_frames, len(CLASSES)))
    shown = np.zeros(n_frames, dtype=int)
    if labelled is not None:
        shown[labelled] = classes[labelled]
    one_hot = np.eye(len(CLASSES), dtype=int)[shown]
    tables = {"features": (["f0", "f1", "f2", "f3"], features)}
    if labelled is not None:
        tables["labels-hand"] = (CLASSES, one_hot)
    for kind, (names, values) in tables.items():
        (folder / kind).mkdir(parents=True, exist_ok=True)
        rows = [",".join(["", *names])]
        rows += [",".join([str(i), *map(repr, row)]) for i, row in enumerate(values.tolist())]
        (folder / kind / f"{name}.csv").write_text("\n".join(rows) + "\n")


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """A function that writes sessions s0, s1, ... and returns the hparams to train on them.

    ``labelled`` says, for each session, which frames have hand labels (None: no file).
    """

    def make(labelled: tuple[slice | None, ...] = (slice(None),) * 2, **settings: Any) -> dict:
        data = tmp_path / "data"
        for i, frames in enumerate(labelled):
            write_session(data, f"s{i}", seed=i, labelled=frames)
        return {
            **{name: key.default for name, key in KEYS.items()},
            **SETTINGS,
            "expt_ids": [f"s{i}" for i in range(len(labelled))],
            "data_dir": str(data),
            "results_dir": str(tmp_path / "results"),
            **settings,
        }

    return make


class Training:
    """What a fit leaves: the parts, and the files."""

    def __init__(
        self, hparams: dict[str, Any], folder: Path | None, *callbacks: Any, **options: Any
    ) -> None:
        torch.set_num_threads(1)
        self.hparams, self.folder = dict(hparams), folder
        self.generator: DataGenerator = build_data_generator(self.hparams)
        self.model = Segmenter(self.hparams)
        self.model.to(self.hparams["device"])
        self.callbacks = [*collect_callbacks(self.hparams), *callbacks]
        self.trainer = Trainer(**{**self.hparams, **options}, callbacks=self.callbacks)

    def fit(self) -> Training:
        self.trainer.fit(self.model, self.generator, self.folder)
        return self

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        return {name: value.clone() for name, value in self.model.state_dict().items()}

    @property
    def metrics(self) -> str:
        return (self.folder / "metrics.csv").read_text()


@pytest.fixture
def training(tmp_path: Path) -> Callable[..., Training]:
    """A function that builds the parts of a training in a folder of tmp_path."""

    def make(hparams: dict[str, Any], *callbacks: Any, name: str = "model", **options: Any) -> Any:
        return Training(hparams, tmp_path / name, *callbacks, **options)

    return make


def _same_weights(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


@pytest.fixture
def same_weights() -> Callable[..., bool]:
    """A function that tells whether two state dicts are the same, bit for bit."""
    return _same_weights
