"""``daart-fast train --online`` makes a model whose answers online are those of ``predict``."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from daart_fast.cli import main

PARTS = ["nose", "ear", "tail"]
CLASSES = ["background", "rest", "run"]
SHORT = ["--max_epochs", "3", "--min_epochs", "1", "--sequence_length", "20", "--n_hid_units", "8"]
KINEMATIC = ["--input_type", "features-kinematic", "--fps", "20", "--kinematic_windows", "0.3;1"]
THRESHOLD = 0.2


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """Five sessions of which two points in five are missing, and one new session like them."""
    folder = tmp_path / "data"
    for name in ("markers", "labels-hand"):
        (folder / name).mkdir(parents=True)
    for number in range(5):
        poses, runs = session(number)
        write_poses(folder / "markers" / f"mouse{number}.csv", poses)
        onehot = np.eye(3, dtype=int)[runs + 1]
        pd.DataFrame(onehot, columns=CLASSES).to_csv(folder / "labels-hand" / f"mouse{number}.csv")
    write_poses(tmp_path / "new.csv", session(9)[0])
    return tmp_path


def session(seed: int, n_frames: int = 240) -> tuple[np.ndarray, np.ndarray]:
    """Poses (T, 3, 3) with gaps, and in which frames the animal runs."""
    draw = np.random.default_rng(seed)
    runs = (np.arange(n_frames) // 30 + seed) % 2
    steps = draw.normal(0, 1, (n_frames, 1, 3)) * (0.2 + 5 * runs[:, None, None])
    poses = steps.cumsum(0) + draw.normal(0, 3, (n_frames, len(PARTS), 3))
    poses[..., 2] = draw.uniform(THRESHOLD, 1, poses.shape[:2])
    for part in range(len(PARTS)):
        for start in [0, *draw.integers(0, n_frames, 7)]:
            gap = slice(start, start + draw.integers(4, 20))
            poses[gap, part, draw.integers(3) :] = np.nan
    poses[draw.random(poses.shape[:2]) < 0.1, 2] = 0.1
    missing = np.isnan(poses[..., :2]).any(2) | ~(poses[..., 2] >= THRESHOLD)
    assert 0.3 < missing.mean() < 0.6
    return poses, runs


def write_poses(path: Path, poses: np.ndarray) -> None:
    columns = pd.MultiIndex.from_product(
        [["net"], PARTS, ["x", "y", "likelihood"]], names=["scorer", "bodyparts", "coords"]
    )
    pd.DataFrame(poses.reshape(len(poses), -1), columns=columns).to_csv(path)


@pytest.mark.slow
@pytest.mark.parametrize("features", [[], KINEMATIC])
def test_the_model_answers_online_as_predict_does(lab, capsys, features):
    data, new = lab / "data", lab / "new.csv"
    threshold = ["--likelihood_threshold", str(THRESHOLD)]
    assert main(["train", str(data), "--online", *SHORT, *threshold, *features]) == 0
    model = data / "results" / "multi-0" / "dtcn" / "test" / "version_0"
    assert "daart-fast online " in capsys.readouterr().out
    assert main(["predict", str(model), str(new), "--output_dir", str(lab / "predicted")]) == 0
    capsys.readouterr()
    assert main(["online", str(model), "--input", str(new)]) == 0
    out, err = capsys.readouterr()
    rows = list(csv.reader(out.splitlines()))[1:]
    online = np.array([row[2:] for row in rows], dtype=float)
    whole = np.load(lab / "predicted" / "new_states.npy")
    np.testing.assert_array_equal(online.argmax(1), whole.argmax(1))
    np.testing.assert_allclose(online, whole, rtol=0, atol=2e-5)
    assert "values were missing in" in err and "interpolate" not in err


@pytest.mark.slow
def test_its_settings_are_written_into_the_config_files(lab):
    data = lab / "data"
    assert main(["train", str(data), "--online", *SHORT]) == 0
    files = {
        name: yaml.safe_load((data / f"{name}.yaml").read_text()) for name in ("data", "model")
    }
    assert files["data"]["normalization"] == "train" and files["data"]["gaps"] == "hold"
    assert files["model"]["causal"] is True and files["model"]["bidirectional"] is False


def test_a_setting_that_it_makes_is_not_given_beside_it(lab, capsys):
    assert main(["train", str(lab / "data"), "--online", "--gaps=interpolate"]) == 2
    assert "--gaps: leave it out, since --online sets gaps: hold" in capsys.readouterr().err
