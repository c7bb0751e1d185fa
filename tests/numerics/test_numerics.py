"""What a user sees where numbers go wrong: the place named, the last good weights kept."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from daart_fast.backbones import BACKBONES
from daart_fast.config import KEYS
from daart_fast.data.from_config import build_data_generator
from daart_fast.errors import DataError
from daart_fast.models import Segmenter
from daart_fast.train import DivergedError, Trainer

N_FRAMES = 300
CLASSES = ["background", "rest", "walk", "groom"]


class Project:
    """A session of real files, and a training on it."""

    def __init__(self, folder: Path) -> None:
        draw = np.random.default_rng(0)
        self.folder = folder
        self.classes = np.repeat(draw.integers(1, len(CLASSES), N_FRAMES // 10), 10)
        self.features = np.eye(len(CLASSES))[self.classes]
        self.features += 0.5 * draw.standard_normal(self.features.shape)

    def hparams(self, **changes: Any) -> dict[str, Any]:
        """Write the session's files, and return the settings to train on them."""
        one_hot = np.eye(len(CLASSES), dtype=int)[self.classes]
        write(self.folder / "data/features/mouse.csv", ["f0", "f1", "f2", "f3"], self.features)
        write(self.folder / "data/labels-hand/mouse.csv", CLASSES, one_hot)
        return {
            **{name: key.default for name, key in KEYS.items()},
            "input_type": "features",
            "backbone": "dtcn",
            "n_hid_layers": 1,
            "n_hid_units": 8,
            "n_lags": 1,
            "sequence_length": 25,
            "trial_splits": "4;1;1;0",
            "learning_rate": 1e-2,
            "min_epochs": 0,
            "max_epochs": 3,
            "plot_train_curves": False,
            "expt_ids": ["mouse"],
            "data_dir": str(self.folder / "data"),
            "results_dir": str(self.folder / "results"),
            **changes,
        }

    def fit(self, **changes: Any) -> Segmenter:
        """Train, and return the model with the weights that it ends with."""
        hparams = self.hparams(**changes)
        generator = build_data_generator(hparams)
        model = Segmenter(hparams)
        Trainer(**hparams).fit(model, generator, self.folder / "model")
        return model


def write(path: Path, names: list[str], values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [",".join([str(i), *map(str, row)]) for i, row in enumerate(values.tolist())]
    path.write_text("\n".join([",".join(["", *names]), *rows]) + "\n")


def all_finite(model: Segmenter) -> bool:
    return all(bool(torch.isfinite(weights).all()) for weights in model.state_dict().values())


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_an_infinite_input_is_named_by_file_line_and_channel(project: Project) -> None:
    project.features[7, 2] = math.inf
    with pytest.raises(DataError, match=r"mouse\.csv, line 9, column 4 \('f2'\).*found inf"):
        build_data_generator(project.hparams())


def test_a_number_beyond_float32_is_named_by_file_frame_and_channel(project: Project) -> None:
    project.features[7, 2] = 1e200
    with pytest.raises(DataError, match=r"mouse\.csv, frame 7, channel 'f2': 1e\+200 is too large"):
        build_data_generator(project.hparams())


def test_a_channel_without_any_value_is_named(project: Project) -> None:
    project.features[:, 1] = math.nan
    with pytest.raises(DataError, match=r"mouse\.csv: channel 'f1' has no value at all"):
        build_data_generator(project.hparams())


def test_missing_inputs_are_filled(project: Project) -> None:
    project.features[50:60, 1] = math.nan
    assert all_finite(project.fit())


@pytest.mark.parametrize("value", [0.0, 1e-30, 0.1, 1e30])
def test_a_constant_channel_reads_as_zero_and_trains(project: Project, value: float) -> None:
    project.features[:, 3] = value
    model = project.fit(max_epochs=1)
    assert all_finite(model)
    inputs = build_data_generator(project.hparams()).datasets[0].normalised_inputs()
    np.testing.assert_array_equal(inputs[:, 3], 0)


def test_an_empty_class_weighs_nothing_and_the_others_stay_finite(project: Project) -> None:
    project.classes[project.classes == 3] = 1
    model = project.fit(weight_classes=True)
    weights = model.hparams["class_weights"]
    assert weights[3] == 0
    assert all(math.isfinite(weight) and weight > 0 for weight in weights[1:3])
    assert all_finite(model)


@pytest.mark.parametrize("only", [0, 2])
def test_where_a_single_class_or_none_is_scored_there_is_nothing_to_learn(
    project: Project, only: int
) -> None:
    project.classes[:] = only
    with pytest.raises(DataError, match="the labels of the training frames cannot be learned"):
        project.fit()


def test_where_no_frame_validates_the_log_says_so(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    one_hot = np.eye(len(CLASSES), dtype=int)[np.zeros_like(project.classes)]
    write(project.folder / "data/features/val.csv", ["f0", "f1", "f2", "f3"], project.features)
    write(project.folder / "data/labels-hand/val.csv", CLASSES, one_hot)
    assert all_finite(project.fit(weight_classes=True, expt_ids_val=["val"]))
    assert "has the validation split any scored frame?" in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_learning_rate_of_1e3_leaves_good_weights_or_says_that_the_loss_diverged(
    project: Project, backbone: str
) -> None:
    try:
        model = project.fit(backbone=backbone, learning_rate=1e3, max_epochs=5)
    except DivergedError as error:
        assert "a lower learning_rate (now 1000) may help" in str(error)
        assert not (project.folder / "model/best_val_model.pt").exists()
    else:
        assert all_finite(model)
        kept = torch.load(project.folder / "model/best_val_model.pt", weights_only=True)
        assert all(bool(torch.isfinite(weights).all()) for weights in kept.values())
