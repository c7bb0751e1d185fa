"""The command ``daart-fast online``."""

from __future__ import annotations

import csv
import io
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from daart_fast.api import Model
from daart_fast.cli import main
from daart_fast.eval import Smoother

from .conftest import draw_frames, make_model, offline

NAMES = [f"{part}_{axis}" for axis in "xy" for part in ("nose", "tail")]
CLASSES = ["rest", "groom", "rear"]


@pytest.fixture
def model(tmp_path: Path) -> Model:
    made = make_model(input_names=NAMES, label_names=CLASSES, likelihood_threshold=0.5)
    made.model.save(tmp_path / "best_val_model.pt")
    (tmp_path / "hparams.yaml").write_text(yaml.safe_dump(made.config))
    return Model(made.model, made.config, tmp_path)


def answers(text: str) -> np.ndarray:
    """Check the table's form; return the probabilities."""
    header, *rows = text.splitlines()
    assert header == "frame,class,rest,groom,rear"
    cells = [row.split(",") for row in rows]
    assert [int(row[0]) for row in cells] == list(range(len(rows)))
    states = np.array([[float(p) for p in row[2:]] for row in cells])
    assert [row[1] for row in cells] == [CLASSES[i] for i in states.argmax(1)]
    return states


def run(model: Model, data: bytes, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))
    return main(["online", str(model.model_dir), *arguments])


def csv_of(frames: np.ndarray, header: str = "", numbered: bool = False) -> str:
    rows = [",".join([str(i)] * numbered + [f"{v:.9g}" for v in f]) for i, f in enumerate(frames)]
    return header + "\n".join(rows) + "\n"


def test_rows_of_numbers(model, monkeypatch, capsys):
    frames = draw_frames(model, 50)
    assert run(model, csv_of(frames).encode(), monkeypatch) == 0
    out, err = capsys.readouterr()
    np.testing.assert_allclose(answers(out), offline(model, frames), atol=2e-5)
    assert err.startswith("50 frames; latency p50 ") and "p99" in err and "worst" in err


def test_columns_are_found_by_their_names(model, monkeypatch, capsys):
    frames = draw_frames(model, 20)
    header = "," + ",".join(NAMES[::-1]) + "\n"
    run(model, csv_of(frames[:, ::-1], header, numbered=True).encode(), monkeypatch)
    np.testing.assert_allclose(answers(capsys.readouterr().out), offline(model, frames), atol=2e-5)
    run(model, b",a,b,c,d\n0,1,2,3,4\n", monkeypatch)
    assert "the model's channel 'nose_x' is not in the header" in capsys.readouterr().err


def test_a_file_of_deeplabcut(model, tmp_path, capsys):
    poses = np.random.default_rng(0).normal(size=(40, 2, 3))
    poses[..., 2] = 0.2 + 0.8 * np.random.default_rng(1).random((40, 2))
    poses[0, :, 2] = 1
    path = tmp_path / "mouse.csv"
    header = (
        "scorer,s,s,s,s,s,s\nbodyparts,tail,tail,tail,nose,nose,nose\n"
        "coords,x,y,likelihood,x,y,likelihood\n"
    )
    path.write_text(csv_of(poses[:, ::-1].reshape(40, 6), header, numbered=True))
    start = time.perf_counter()
    assert main(["online", str(tmp_path), "--input", str(path), "--fps", "200"]) == 0
    assert time.perf_counter() - start > 39 / 200
    import pandas as pd

    unsure = poses[..., 2] < 0.5
    xs, ys = (np.where(unsure, np.nan, poses[..., i]) for i in (0, 1))
    frames = pd.DataFrame(np.concatenate([xs, ys], 1)).ffill().to_numpy(dtype=np.float32)
    np.testing.assert_allclose(answers(capsys.readouterr().out), offline(model, frames), atol=2e-5)


def test_binary_frames(model, monkeypatch, capsys):
    frames = draw_frames(model, 30)
    run(model, frames.tobytes() + b"cut", monkeypatch, "--binary")
    out, err = capsys.readouterr()
    np.testing.assert_allclose(answers(out), offline(model, frames), atol=2e-5)
    assert "ends amid a frame, after 3 of 16 bytes" in err


def test_rows_that_cannot_be_read_are_told_and_held(model, monkeypatch, capsys):
    frames = draw_frames(model, 6)
    rows = csv_of(frames).splitlines()
    rows[2], rows[3], rows[4] = "1,2", "1,2,x,4", ",".join(rows[4].split(",")[:3]) + ","
    run(model, "\n".join(rows).encode(), monkeypatch)
    out, err = capsys.readouterr()
    frames[2] = frames[3] = frames[1]
    frames[4, 3] = frames[1, 3]
    np.testing.assert_allclose(answers(out), offline(model, frames), atol=2e-5)
    assert "line 3: expected 4 cells, found 2; held" in err
    assert "line 4: could not convert string to float: 'x'; held" in err


def test_a_centred_model_answers_late_and_to_the_last_frame(tmp_path, monkeypatch, capsys):
    made = make_model(label_names=CLASSES, causal=False)
    made.model.save(tmp_path / "best_val_model.pt")
    (tmp_path / "hparams.yaml").write_text(yaml.safe_dump(made.config))
    late = Model(made.model, made.config, tmp_path)
    frames = draw_frames(late, 30)
    run(late, csv_of(frames).encode(), monkeypatch)
    out, err = capsys.readouterr()
    np.testing.assert_allclose(answers(out), offline(late, frames), atol=2e-5)
    assert "answers come 12 frames late" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--input", "nowhere.csv"], "nowhere.csv: no such file"),
        (["--fps", "0"], "--fps: expected a number above 0, or null, got '0'"),
        (["--binary", "--layout", "pose", "--keypoints", "a;b"], "'nose_x' is not in the pose"),
    ],
)
def test_what_the_user_can_mend(model, monkeypatch, capsys, arguments, words):
    assert run(model, b"", monkeypatch, *arguments) == 2
    assert words in capsys.readouterr().err


def test_behaviours_that_occur_at_once_are_named_as_predict_names_them(
    tmp_path, monkeypatch, capsys
):
    made = make_model(classifier_type="multibinary", input_names=NAMES, label_names=CLASSES)
    made.model.save(tmp_path / "best_val_model.pt")
    (tmp_path / "hparams.yaml").write_text(yaml.safe_dump(made.config))
    Smoother(multibinary=True).save(tmp_path / "smoothing.json")  # as training leaves it
    several = Model(made.model, made.config, tmp_path)
    frames = 5 * draw_frames(several, 200)
    session = csv_of(frames, "," + ",".join(NAMES) + "\n", numbered=True)
    (tmp_path / "s.csv").write_text(session)
    main(["predict", str(tmp_path), str(tmp_path / "s.csv"), "--output_dir", str(tmp_path / "o")])
    with open(tmp_path / "o" / "s_predictions.csv") as file:
        expected = [row["class"] for row in csv.DictReader(file)]
    capsys.readouterr()
    run(several, session.encode(), monkeypatch)
    found = [row["class"] for row in csv.DictReader(io.StringIO(capsys.readouterr().out))]
    assert found == expected
    assert "" in found and "rest" in found and any("+" in name for name in found)


def test_names_of_classes_and_channels_may_be_any(tmp_path, monkeypatch, capsys):
    made = make_model(input_names=["1", "2", "3", "4"], label_names=["rest", "rear, high", '"x"'])
    made.model.save(tmp_path / "best_val_model.pt")
    (tmp_path / "hparams.yaml").write_text(yaml.safe_dump(made.config))
    odd = Model(made.model, made.config, tmp_path)
    frames = draw_frames(odd, 5)
    run(odd, csv_of(frames, ",1,2,3,4\n", numbered=True).encode(), monkeypatch)
    header, *rows = csv.reader(io.StringIO(capsys.readouterr().out))
    assert header == ["frame", "class", "rest", "rear, high", '"x"']
    states = np.array([row[2:] for row in rows], dtype=float)
    np.testing.assert_allclose(states, offline(odd, frames), atol=2e-5)


def test_a_body_part_that_comes_twice_is_refused(model, monkeypatch, capsys):
    header = b"bodyparts,nose,nose,nose,nose\ncoords,x,y,x,y\n"
    assert run(model, header + b"0,1,2,3,4\n", monkeypatch) == 2
    assert "'nose' has two columns 'x'" in capsys.readouterr().err
