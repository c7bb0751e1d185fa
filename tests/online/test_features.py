"""Features built as frames come are those of the whole recording."""

from __future__ import annotations

import numpy as np
import pytest

from daart_fast.features import Kinematics
from daart_fast.features.choice import Choice
from daart_fast.online.features import OnlineKinematics
from daart_fast.readers.markers import Markers

from .conftest import write_poses

PARTS = [f"{animal}-{part}" for animal in ("one", "two") for part in ("nose", "ear", "tail")]
ALL = "distances;speeds;accelerations;angles;egocentric;animals;likelihoods"


def poses_of(n_frames: int, seed: int = 0) -> np.ndarray:
    """(T, 6, 3): points that wander, all of them seen."""
    draw = np.random.default_rng(seed)
    poses = draw.normal(0, 3, (n_frames, 6, 3)).cumsum(0)
    poses[..., 2] = draw.uniform(0.5, 1, (n_frames, 6))
    return poses


@pytest.mark.parametrize("windows", [None, "0.1", "0.3;1"])
@pytest.mark.parametrize("any_order", [False, True])
def test_every_feature_of_every_frame(windows, any_order):
    settings = {
        "input_type": "features-kinematic",
        "kinematic_groups": ALL,
        "kinematic_windows": windows,
        "kinematic_axis": "tail;nose",
        "kinematic_any_order": any_order,
        "fps": 20,
        "causal": True,
    }
    kinematics = Kinematics.from_hparams(settings)
    assert kinematics is not None
    poses = poses_of(70)
    values, names = kinematics(Markers(*np.moveaxis(poses, 2, 0), PARTS))
    online = OnlineKinematics(kinematics, PARTS)
    assert online.names == names
    built = [online.step(pose) for pose in poses]
    assert all(missing == 0 for _, missing in built)
    got = np.stack([features for features, _ in built])
    # spreads are differences of sums of squares, which begin at another frame
    wide = np.array([":std" in name for name in names])
    error = np.abs(got - values) / (np.abs(values).max(0) + 1)
    assert error[:, ~wide].max() < 1e-5
    assert not wide.any() or error[:, wide].max() < 1e-4


def test_a_missing_point_stays_and_one_never_seen_gives_no_features():
    kinematics = Kinematics(("distances", "likelihoods"), causal=True)
    online = OnlineKinematics(kinematics, PARTS, threshold=0.5)
    poses = poses_of(4)
    poses[0, 2, 2] = 0.1
    poses[2, 1, :2] = np.nan
    assert online.step(poses[0]) == (None, 1)
    before, n_missing = online.step(poses[1])
    assert before is not None and n_missing == 0
    held, n_missing = online.step(poses[2])
    assert n_missing == 1
    poses[2, 1] = [*poses[1, 1, :2], 0.0]
    values, _ = kinematics(Markers(*np.moveaxis(poses[2:3], 2, 0), PARTS))
    np.testing.assert_allclose(held, values[0], rtol=1e-6)
    again, n_missing = online.step(None)
    assert n_missing == 6
    np.testing.assert_allclose(again[:15], held[:15])
    assert (again[15:] == 0).all()


@pytest.mark.parametrize("threshold", [0.0, 0.5])
def test_a_point_without_a_likelihood_is_as_in_a_file(tmp_path, threshold):
    kinematics = Kinematics(("distances", "speeds", "likelihoods"), causal=True)
    poses = poses_of(12)
    poses[8:, 1, 2] = np.nan  # at the end, where both hold a gap
    values, _ = kinematics.read(write_poses(tmp_path / "s.csv", poses, PARTS), threshold)
    online = OnlineKinematics(kinematics, PARTS, threshold)
    built = [online.step(pose) for pose in poses]
    assert [missing for _, missing in built[7:9]] == [0, 1 if threshold else 0]
    np.testing.assert_allclose(np.stack([own for own, _ in built])[1:], values[1:], rtol=1e-5)


def test_points_that_the_model_does_not_read_are_passed_over():
    """An animal that never comes must not keep a model from answering."""
    chosen = Kinematics(("distances", "speeds"), causal=True, choice=Choice(animals=("b",)))
    names = [f"{animal}-{part}" for animal in ("a", "b") for part in ("nose", "tail")]
    online = OnlineKinematics(chosen, names)
    poses = np.random.default_rng(0).uniform(1, 50, (12, 4, 3))
    poses[:, :2] = np.nan
    found = [online.step(pose) for pose in poses]
    assert online.names == ["distance:b-nose:b-tail", "speed:b-nose", "speed:b-tail"]
    assert [missing for _, missing in found] == [0] * 12
    alone = OnlineKinematics(Kinematics(("distances", "speeds"), causal=True), names[2:])
    for (values, _), pose in zip(found, poses, strict=True):
        np.testing.assert_array_equal(values, alone.step(pose[2:])[0])
