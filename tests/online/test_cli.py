"""The command ``daart-fast online``."""

from __future__ import annotations

import csv
import io
import re
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from daart_fast.api import Model
from daart_fast.cli import main
from daart_fast.cli.online import FLAGS
from daart_fast.eval import Smoother
from daart_fast.online.segmenter import ARGUMENTS

from .conftest import draw_frames, make_model, offline

NAMES = [f"{part}_{axis}" for axis in "xy" for part in ("nose", "tail")]
CLASSES = ["rest", "groom", "rear"]


@pytest.fixture
def model(tmp_path: Path) -> Model:
    made = make_model(input_names=NAMES, label_names=CLASSES, likelihood_threshold=0.5)
    made.model.save(tmp_path / "best_val_model.pt")
    (tmp_path / "hparams.yaml").write_text(yaml.safe_dump(made.config))
    return Model(made.model, made.config, tmp_path)


def answers(text: str, first: int = 0) -> np.ndarray:
    """Check the table's form, from the first frame's number on; return the probabilities."""
    header, *rows = text.splitlines()
    assert header == "frame,class,rest,groom,rear"
    cells = [row.split(",") for row in rows]
    assert [int(row[0]) for row in cells] == list(range(first, first + len(rows)))
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


HEADER = "," + ",".join(NAMES) + "\n"


def rows_of(frames: np.ndarray, first: int = 0) -> list[str]:
    """The lines of numbered frames."""
    return [f"{first + i}," + ",".join(f"{v:.9g}" for v in f) for i, f in enumerate(frames)]


def held(frames: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Frames of which some are missing, and are as the last one that is not."""
    came = np.where(missing, 0, np.arange(len(frames)))
    return frames[np.maximum.accumulate(came)]


@pytest.fixture
def late(tmp_path: Path) -> Model:
    """A centred model, that answers late."""
    made = make_model(input_names=NAMES, label_names=CLASSES, causal=False)
    made.model.save(tmp_path / "best_val_model.pt")
    (tmp_path / "hparams.yaml").write_text(yaml.safe_dump(made.config))
    return Model(made.model, made.config, tmp_path)


@pytest.mark.parametrize("kind", ["model", "late"])
@pytest.mark.parametrize("first", [0, 1, -3, 10**6])
def test_frames_that_the_numbers_skip_are_told_and_held(kind, first, request, monkeypatch, capsys):
    chosen = request.getfixturevalue(kind)
    frames = draw_frames(chosen, 200)
    draw = np.random.default_rng(abs(first))
    missing = (draw.random(200) < 0.05) | (np.abs(np.arange(200) - 100) < 30)
    missing[[0, 150, -1]] = False, True, False
    rows = [row for row, gone in zip(rows_of(frames, first), missing, strict=True) if not gone]
    assert run(chosen, (HEADER + "\n".join(rows)).encode(), monkeypatch) == 0
    out, err = capsys.readouterr()
    expected = offline(chosen, held(frames, missing))
    np.testing.assert_allclose(answers(out, first), expected, atol=2e-5)
    gaps_text = re.findall(r"frames? (-?\d+)(?: to (-?\d+))? (?:is|are) missing; held", err)
    runs = [range(int(a), int(b or a) + 1) for a, b in gaps_text]
    assert [n for own in runs for n in own] == (first + np.flatnonzero(missing)).tolist()


def test_a_long_gap_is_answered_at_its_beginning_alone(model, monkeypatch, capsys):
    frames = draw_frames(model, 3)
    rows = [row for n, f in zip((7, 8, 10**7), frames, strict=True) for row in rows_of([f], n)]
    assert run(model, (HEADER + "\n".join(rows)).encode(), monkeypatch) == 0
    out, err = capsys.readouterr()
    assert "line 4: frames 9 to 9999999 are missing; held" in err
    numbers = [int(row.split(",")[0]) for row in out.splitlines()[1:]]
    assert numbers == [7, 8, *range(9, 109), 10**7]
    session = np.concatenate([frames[:2], np.repeat(frames[1:2], 50, 0), frames[2:]])
    last = np.array(out.splitlines()[-1].split(",")[2:], dtype=float)
    np.testing.assert_allclose(last, offline(model, session)[-1], atol=2e-5)


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        (["0", "1", "1"], "line 4: expected a frame number after 1 in the first column, found 1"),
        (["5", "4"], "line 3: expected a frame number after 5 in the first column, found 4"),
        (["0", "0.5"], "line 3: expected a frame number after 0 in the first column, found 0.5"),
        (["1e300"], "line 2: expected a frame number in the first column, found 1e+300"),
        (["inf"], "line 2: expected a frame number in the first column, found inf"),
        (["", "1"], "line 3: expected no frame number, as the lines before have none, in the"),
    ],
)
def test_numbers_that_do_not_rise_are_refused(model, monkeypatch, capsys, numbers, words):
    rows = "".join(f"{number},1,2,3,4\n" for number in numbers)
    assert run(model, (HEADER + rows).encode(), monkeypatch) == 2
    out, err = capsys.readouterr()
    assert f"standard input, {words}" in err
    assert len(out.splitlines()) == len(numbers)  # those before were answered


def test_a_column_of_numbers_may_be_empty(model, monkeypatch, capsys):
    frames = draw_frames(model, 20)
    text = HEADER + csv_of(frames).replace("\n", "\n,").removesuffix(",")
    assert run(model, text.replace(HEADER, HEADER + ",").encode(), monkeypatch) == 0
    np.testing.assert_allclose(answers(capsys.readouterr().out), offline(model, frames), atol=2e-5)


def test_the_frame_of_a_row_that_cannot_be_read_is_known_by_its_number(model, monkeypatch, capsys):
    """Or by those of the rows after it; a line that is none of the tracker's makes no frame."""
    frames = draw_frames(model, 10)
    rows = rows_of(frames)
    rows[3], rows[5], rows[7] = "3,x,1,2,3", "5,1", "," + rows[7].split(",", 1)[1]
    rows.insert(0, "warming up")
    rows.insert(10, "a frame was late")
    assert run(model, (HEADER + "\n".join(rows)).encode(), monkeypatch) == 0
    out, err = capsys.readouterr()
    expected = held(frames, np.isin(np.arange(10), (3, 5, 7)))
    np.testing.assert_allclose(answers(out), offline(model, expected), atol=2e-5)
    assert "line 6: could not convert string to float: 'x'; held" in err
    assert "line 8: expected 5 cells, found 2; held" in err
    assert "line 9: frame 5 is missing; held" in err
    assert "line 10: expected a frame number first, found ''; passed over" in err


def test_poses_without_a_header(model, monkeypatch, capsys):
    poses = np.random.default_rng(0).normal(size=(30, 2, 3))
    poses[..., 2] = 1
    rows = csv_of(poses[:, ::-1].reshape(30, 6)).encode()
    run(model, rows, monkeypatch, "--layout", "pose", "--keypoints", "tail;nose")
    frames = np.concatenate([poses[..., 0], poses[..., 1]], axis=1).astype(np.float32)
    np.testing.assert_allclose(answers(capsys.readouterr().out), offline(model, frames), atol=2e-5)


@pytest.mark.parametrize("option", [["--layout", "pose"], ["--keypoints", "nose;tail"]])
@pytest.mark.parametrize("header", [HEADER, "bodyparts,nose,nose,tail,tail\ncoords,x,y,x,y\n"])
def test_what_a_header_tells_is_not_told_by_an_option(model, monkeypatch, capsys, option, header):
    assert run(model, (header + "0,1,2,3,4\n").encode(), monkeypatch, *option) == 2
    assert f"{option[0]}: standard input has a header" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("scorer,s,s\n", "expected header rows that end in bodyparts, coords, found scorer"),
        ("bodyparts,nose,nose\ncoords,x,x\n", "'nose' has two columns 'x'"),
        ("bodyparts,nose,nose\ncoords,x,likelihood\n", "'nose' has no column 'y'"),
    ],
)
def test_header_rows_without_points_are_refused(model, monkeypatch, capsys, header, words):
    assert run(model, (header + "0,1,2\n").encode(), monkeypatch) == 2
    assert f"standard input: {words}" in capsys.readouterr().err


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


def test_a_file_of_deeplabcut_in_space(tmp_path, capsys):
    names = [f"{part}_{axis}" for axis in "xyz" for part in ("nose", "tail")]
    made = make_model(input_names=names, input_size=6, label_names=CLASSES)
    made.model.save(tmp_path / "best_val_model.pt")
    (tmp_path / "hparams.yaml").write_text(yaml.safe_dump(made.config))
    model = Model(made.model, made.config, tmp_path)
    frames = draw_frames(model, 20)
    head = ["scorer,s,s,s,s,s,s", "bodyparts,nose,nose,nose,tail,tail,tail", "coords,x,y,z,x,y,z"]
    rows = rows_of(frames[:, [0, 2, 4, 1, 3, 5]], 7)
    path = tmp_path / "tracks.csv"
    path.write_text("\n".join([*head, *rows]) + "\n")
    assert main(["online", str(tmp_path), "--input", str(path)]) == 0
    np.testing.assert_allclose(
        answers(capsys.readouterr().out, 7), offline(model, frames), atol=2e-5
    )


def test_binary_frames(model, monkeypatch, capsys):
    frames = draw_frames(model, 30)
    run(model, frames.tobytes() + b"cut", monkeypatch, "--binary")
    out, err = capsys.readouterr()
    np.testing.assert_allclose(answers(out), offline(model, frames), atol=2e-5)
    assert "ends within a frame, after 3 of 16 bytes" in err


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


def test_a_centred_model_answers_late_and_to_the_last_frame(late, monkeypatch, capsys):
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


@pytest.mark.parametrize(
    ("changes", "arguments", "flags"),
    [
        ({"normalization": "session"}, [], ["--stats FILE"]),
        ({"causal": False}, ["--mode", "causal"], ["--mode delayed, 12 frames late, "]),
        ({"backbone": "gru", "bidirectional": True, "causal": False}, [], ["bidirectional: false"]),
        ({"input_type": "features-kinematic"}, ["--layout", "channels"], ["--layout pose"]),
        ({"input_names": None}, ["--layout", "pose"], ["--keypoints, their names"]),
        ({"input_type": "features-kinematic", "causal": False}, [], ["causal: true"]),
    ],
)
def test_a_model_that_was_not_made_for_it(tmp_path, monkeypatch, capsys, changes, arguments, flags):
    made = make_model(**{"input_names": NAMES, **changes})
    made.model.save(tmp_path / "best_val_model.pt")
    (tmp_path / "hparams.yaml").write_text(yaml.safe_dump(made.config))
    assert run(Model(made.model, made.config, tmp_path), b"1,2,3,4\n", monkeypatch, *arguments) == 2
    said = capsys.readouterr().err
    assert all(flag in said for flag in flags)
    assert not re.search(r"\w=", said)  # which is how Python spells an argument
    remedied = "--layout" not in arguments
    assert ("'daart-fast train --online' makes it" in said) == remedied


def test_every_argument_has_a_flag():
    assert FLAGS.keys() == ARGUMENTS.keys()


@pytest.mark.parametrize(("gaps", "agree"), [("hold", True), ("interpolate", False)])
def test_missing_values_are_counted_and_what_they_mean_is_printed(
    model, monkeypatch, capsys, gaps, agree
):
    model.config["gaps"] = gaps
    (model.model_dir / "hparams.yaml").write_text(yaml.safe_dump(model.config))
    frames = draw_frames(model, 6)
    run(model, csv_of(frames).encode(), monkeypatch)
    assert "missing" not in capsys.readouterr().err
    frames[2:4, 1] = np.nan
    run(model, csv_of(frames).encode(), monkeypatch)
    said = capsys.readouterr().err
    assert "values were missing in 2 of 6 frames, and held the last value" in said
    assert ("gaps: interpolate" not in said) == agree


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
