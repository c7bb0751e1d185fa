"""Predictions to other programs and back, as somebody does it who corrects them there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from daart_fast.cli import main
from daart_fast.eval import write_predictions

NAMES = ["background", "other", "walk", "groom"]
FPS = 29.97
#: what is predicted of each of 300 frames: other, walk, other, groom
CLASSES = np.repeat([1, 2, 1, 3], [100, 50, 100, 50])


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with inputs and predictions of two sessions."""
    for session in ("m1", "m2"):
        points = pd.DataFrame(np.random.default_rng(0).random((300, 2)), columns=["a", "b"])
        for folder in ("markers", "features"):
            (tmp_path / folder).mkdir(exist_ok=True)
            points.to_csv(tmp_path / folder / f"{session}.csv")
        (tmp_path / "predictions").mkdir(exist_ok=True)
        file = tmp_path / "predictions" / f"{session}_predictions.csv"
        write_predictions(file, np.eye(4, dtype=np.float32)[CLASSES], CLASSES, NAMES, FPS)
    return tmp_path


def export(project: Path, to: str, *more: str) -> int:
    predictions, output = str(project / "predictions"), str(project / "out")
    return main(["export", predictions, "--to", to, "--output_dir", output, *more])


def convert(project: Path, *files: str, corrected: bool = True, more: tuple[str, ...] = ()) -> int:
    given = [str(project / "out" / file) for file in files]
    back = ["--corrections", str(project / "predictions")] if corrected else []
    where = ["--markers", str(project / "markers"), "--output_dir", str(project / "labels-hand")]
    return main(["convert-labels", *given, *where, *back, *more])


def labels(project: Path, session: str) -> np.ndarray:
    table = pd.read_csv(project / "labels-hand" / f"{session}.csv", index_col=0)
    return np.array(table.columns)[table.to_numpy().argmax(1)]


def correct(project: Path, session: str = "m1") -> None:
    """Let walk begin 20 frames earlier in BORIS' project, and other end there."""
    path = project / "out" / "predictions.boris"
    content = json.loads(path.read_text())
    for event in content["observations"][session]["events"]:
        if event[5] == 100:
            event[0] = 80 / FPS
    path.write_text(json.dumps(content))


def test_a_project_of_boris_comes_back_with_what_was_corrected(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(project, "boris") == 0
    correct(project)
    capsys.readouterr()
    assert convert(project, "predictions.boris") == 0
    printed = capsys.readouterr().out
    assert "m1: 20 of 300 frames changed: other +0 -20, walk +20 -0" in printed
    columns = pd.read_csv(project / "labels-hand" / "m1.csv", index_col=0).columns
    assert list(columns) == NAMES  # in the model's order, as its other labels are
    expected = np.array(NAMES)[CLASSES]
    expected[80:100] = "walk"
    assert (labels(project, "m1") == expected).all()
    assert "left out: m2: just as predicted" in printed
    assert not (project / "labels-hand" / "m2.csv").exists()


def test_unchanged_predictions_are_labels_only_if_somebody_says_so(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(project, "boris") == 0
    assert convert(project, "predictions.boris") == 2
    assert "nothing says that somebody looked" in capsys.readouterr().err
    assert convert(project, "predictions.boris", more=("--accept_unchanged",)) == 0
    assert (labels(project, "m2") == np.array(NAMES)[CLASSES]).all()


@pytest.mark.parametrize(
    ("to", "file", "more"),
    [
        ("boris", "predictions.boris", ()),
        ("bouts", "bouts.csv", ("--other", "rest")),
        ("simba", "m1.csv", ()),
    ],
)
def test_no_export_becomes_a_hand_label_by_accident(
    project: Path, capsys: pytest.CaptureFixture[str], to: str, file: str, more: tuple[str, ...]
) -> None:
    features = ("--features", str(project / "features")) if to == "simba" else ()
    assert export(project, to, *features) == 0
    (project / "out" / "written_files.json").unlink()  # as if copied to another folder
    assert convert(project, file, corrected=False, more=more) == 2
    assert "expected labels that a person made, found what daart-fast" in capsys.readouterr().err
    assert not (project / "labels-hand").exists()
    assert convert(project, file, more=(*more, "--accept_unchanged")) == 0
    assert (labels(project, "m1") == np.array(NAMES)[CLASSES]).all()


def test_boris_own_export_of_a_predicted_project_is_refused_too(
    project: Path, write: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "Observation id,Media file name,FPS,Subject,Behavior,Behavior type,Time,Comment\n"
    rows += "m1,m1.mp4,29.97,,walk,START,1,predicted by daart-fast\nm1,m1.mp4,29.97,,walk,STOP,2,\n"
    write("out/events.csv", rows)
    assert convert(project, "events.csv", corrected=False) == 2
    assert "found what daart-fast predicted" in capsys.readouterr().err


def test_earlier_labels_are_kept(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export(project, "boris") == 0
    (project / "labels-hand").mkdir()
    (project / "labels-hand" / "m1.csv").write_text("mine")
    for shift in (1, 2):
        correct(project)
        path = project / "out" / "predictions.boris"
        path.write_text(path.read_text().replace(str(80 / FPS), str((80 + shift) / FPS)))
        assert convert(project, "predictions.boris") == 0
        kept = project / "labels-hand" / "earlier" / f"m1-{shift}.csv"
        assert f"kept in {kept}" in capsys.readouterr().out
    assert (project / "labels-hand" / "earlier" / "m1-1.csv").read_text() == "mine"


def test_the_project_holds_what_boris_needs(project: Path) -> None:
    videos = project / "videos"
    videos.mkdir()
    for session in ("m1", "m2"):
        (videos / f"{session}.mp4").touch()
    assert export(project, "boris", "--videos", str(videos)) == 0
    content = json.loads((project / "out" / "predictions.boris").read_text())
    assert [one["code"] for one in content["behaviors_conf"].values()] == NAMES[1:]
    observation = content["observations"]["m2"]
    video = str(videos / "m2.mp4")
    assert observation["file"]["1"] == [video]
    assert observation["media_info"]["fps"] == {video: FPS}
    assert observation["media_info"]["length"][video] == pytest.approx(300 / FPS)
    events = observation["events"]
    assert len(events) == 8 and [event[0] for event in events] == sorted(e[0] for e in events)
    assert all(event[4] == "predicted by daart-fast" for event in events)


def test_events_that_boris_imports_into_an_observation(project: Path) -> None:
    pytest.importorskip("openpyxl", reason="workbooks need the extra 'excel'")
    assert export(project, "table") == 0
    table = pd.read_excel(project / "out" / "m1.xlsx")
    assert list(table.columns) == ["time", "subject", "code", "modifier", "comment"]
    assert table["code"].tolist()[:3] == ["other", "other", "walk"]
    assert table["time"].iloc[2] == pytest.approx(100 / FPS, abs=1e-6)


def test_simba_gets_features_and_behaviours(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(project, "simba") == 2
    assert "--features names SimBA's folder" in capsys.readouterr().err
    assert export(project, "simba", "--features", str(project / "features")) == 0
    table = pd.read_csv(project / "out" / "m1.csv", index_col=0)
    features = pd.read_csv(project / "features" / "m1.csv", index_col=0)
    assert list(table.columns) == ["a", "b", "other", "walk", "groom"]
    assert (table[["a", "b"]].to_numpy() == features.to_numpy()).all()
    assert (table["walk"].to_numpy() == (CLASSES == 2)).all()
    (project / "features" / "m2.csv").write_text("x,a\n0,1\n")
    assert export(project, "simba", "--features", str(project / "features")) == 2
    assert "m2.csv: expected 300 rows" in capsys.readouterr().err


def test_without_a_frame_rate_there_are_frames_but_no_project(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = project / "predictions" / "m2_predictions.csv"
    write_predictions(file, np.eye(4, dtype=np.float32)[CLASSES], CLASSES, NAMES)
    assert export(project, "boris") == 2
    assert "m2: BORIS needs times, but the frame rate is not known" in capsys.readouterr().err
    assert export(project, "bouts") == 0
    table = pd.read_csv(project / "out" / "bouts.csv")
    assert table[table["session"] == "m2"]["start_frame"].tolist() == [0, 100, 150, 250]


def test_what_was_corrected_is_not_replaced(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(project, "boris") == 0
    correct(project)  # and saves it in fewer bytes, as BORIS does
    assert export(project, "boris") == 2
    assert "predictions.boris" in capsys.readouterr().err
