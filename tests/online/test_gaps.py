"""With ``gaps: hold`` the answers frame by frame are those of `predict`, in gaps too."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from daart_fast.api import Model
from daart_fast.cli import main
from daart_fast.features import reader_of
from daart_fast.online import OnlineSegmenter

from .conftest import make_model, write_poses

PARTS = ["nose", "ear", "tail"]
CHANNELS = [f"{part}_{axis}" for axis in "xy" for part in PARTS]
KINEMATIC = {
    "input_type": "features-kinematic",
    "kinematic_groups": "distances;speeds;accelerations;angles;egocentric;likelihoods",
    "kinematic_windows": "0.2;0.5",
    "kinematic_axis": "tail;nose",
    "fps": 20,
}
THRESHOLD = 0.3


def poses_with_gaps(n_frames: int = 150) -> np.ndarray:
    """(T, 3, 3): two values in five are missing, in runs and alone, some points from the start on.

    Empty cells, single coordinates, unsure points and points of unknown likelihood are among them.
    """
    draw = np.random.default_rng(0)
    poses = draw.normal(0, 5, (n_frames, len(PARTS), 3)).cumsum(0)
    poses[..., 2] = draw.uniform(THRESHOLD, 1, poses.shape[:2])
    poses[draw.random(poses.shape) < 0.05] = np.nan
    unsure = draw.random(poses.shape[:2]) < 0.1
    poses[unsure, 2] = draw.uniform(0, THRESHOLD, unsure.sum())
    for part in range(len(PARTS)):
        for start in draw.integers(0, n_frames, 4):
            poses[start : start + 12, part] = np.nan
    poses[:3, 0, :2] = poses[:7, 1] = np.nan
    poses[0, 2, 2], poses[1:4, 2, 2] = 0.1, np.float32(THRESHOLD)
    missing = np.isnan(poses[..., :2]).any(2) | ~(poses[..., 2] >= THRESHOLD)
    assert 0.35 < missing.mean() < 0.5
    return poses


@pytest.fixture
def session(tmp_path: Path) -> Path:
    return write_poses(tmp_path / "mouse.csv", poses_with_gaps(), PARTS)


def model_of(session: Path, folder: Path, **settings: Any) -> Model:
    """Save a model of held inputs with the statistics that they have in this session."""
    settings |= {"gaps": "hold", "causal": True, "likelihood_threshold": THRESHOLD}
    values, names = reader_of(settings)(session, THRESHOLD)
    model = make_model(
        **settings,
        input_size=len(names),
        input_names=names,
        input_mean=np.nanmean(values, 0, dtype=float).tolist(),
        input_std=(np.nanstd(values, 0, dtype=float) + 1).tolist(),
    )
    folder.mkdir()
    model.model.save(folder / "best_val_model.pt")
    (folder / "hparams.yaml").write_text(yaml.safe_dump(model.config))
    return Model.from_dir(folder)


def assert_same(online: np.ndarray, whole: np.ndarray) -> None:
    """The same class in every frame, and the same probabilities to the rounding of float32."""
    np.testing.assert_array_equal(online.argmax(1), whole.argmax(1))
    np.testing.assert_allclose(online, whole, rtol=0, atol=2e-5)
    assert np.ptp(whole, axis=0).max() > 0.05  # they depend on the frame


@pytest.mark.parametrize("backbone", ["dtcn", "temporal-mlp", "gru"])
def test_poses_with_gaps(engine, session, tmp_path, backbone):
    model = model_of(session, tmp_path / "model", backbone=backbone, bidirectional=False)
    online = OnlineSegmenter(model, layout="pose")
    answers = np.stack([online.step(pose) for pose in poses_with_gaps()])
    assert_same(answers, model.predict(session))


def test_channels_with_gaps(engine, session, tmp_path):
    model = model_of(session, tmp_path / "model")
    poses = poses_with_gaps()
    poses[~(poses[..., 2] >= THRESHOLD)] = np.nan
    frames = np.concatenate([poses[..., 0], poses[..., 1]], axis=1)
    assert_same(OnlineSegmenter(model).run(frames), model.predict(session))


@pytest.mark.parametrize(
    "changes", [{}, {"kinematic_windows": None}, {"kinematic_groups": "speeds"}]
)
def test_features_of_poses_with_gaps(session, tmp_path, changes):
    model = model_of(session, tmp_path / "model", **{**KINEMATIC, **changes})
    online = OnlineSegmenter(model)
    answers = np.stack([online.step(pose) for pose in poses_with_gaps()])
    assert_same(answers, model.predict(session))


def test_a_centred_model_of_poses_with_gaps(session, tmp_path):
    model = model_of(session, tmp_path / "model")
    centred = make_model(**{**model.config, "causal": False})
    online = OnlineSegmenter(centred, layout="pose")
    answers = [online.run(poses_with_gaps()), online.flush()]
    assert_same(np.concatenate(answers), centred.predict(session))


@pytest.mark.parametrize("settings", [{}, KINEMATIC])
def test_a_file_with_gaps_on_the_command_line(session, tmp_path, capsys, settings):
    model = model_of(session, tmp_path / "model", **settings)
    assert main(["online", str(tmp_path / "model"), "--input", str(session)]) == 0
    rows = list(csv.reader(capsys.readouterr().out.splitlines()))[1:]
    assert_same(np.array([row[2:] for row in rows], dtype=float), model.predict(session))


def test_gaps_that_are_interpolated_are_answered_in_another_way(session, tmp_path):
    held = model_of(session, tmp_path / "model")
    model = make_model(**{**held.config, "gaps": "interpolate"})
    online = OnlineSegmenter(model, layout="pose")
    assert np.abs(online.run(poses_with_gaps()) - model.predict(session)).max() > 0.05
