"""What convert-labels decides about frames between bouts, and what it says and keeps of that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from daart_fast.cli import main
from daart_fast.readers.inputs import first_frame
from daart_fast.readers.label_record import read_label_record
from daart_fast.readers.labels import read_labels

HEADER = (
    "Observation id,Observation duration,FPS,Subject,Behavior,Behavior type,Start (s),Stop (s)\n"
)
NETWORK = "DLC_resnet50_ratshuffle1_1000"


def boris(folder: Path, session: str, *bouts: tuple, fps: float = 10, seconds: float = 3) -> Path:
    """Write BORIS' aggregated events: class, start, stop and perhaps whose, in seconds."""
    rows = [
        f"{session},{seconds},{fps},{whose[0] if whose else 'rat1'},{label},STATE,{start},{stop}\n"
        for label, start, stop, *whose in bouts
    ]
    folder.mkdir(exist_ok=True)
    (folder / f"{session}.csv").write_text(HEADER + "".join(rows))
    return folder / f"{session}.csv"


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A folder with tracks of m1, m2 and m3, 30 frames each, and exports of m1 and m2."""
    (tmp_path / "markers").mkdir()
    for session in ("m1", "m2", "m3"):
        values = np.random.default_rng(0).uniform(0, 9, (30, 2)).round(2).tolist()
        rows = [f"{i},{x},{y},1" for i, (x, y) in enumerate(values)]
        head = ["scorer,s,s,s", "bodyparts,a,a,a", "coords,x,y,likelihood"]
        path = tmp_path / "markers" / f"{session}{NETWORK}.csv"
        path.write_text("\n".join([*head, *rows]))
    boris(tmp_path / "boris", "m1", ("walk", 0.5, 1), ("groom", 1, 2))
    boris(tmp_path / "boris", "m2", ("walk", 0, 3))
    return tmp_path


def convert(lab: Path, *more: str) -> int:
    files = sorted(map(str, (lab / "boris").iterdir()))
    arguments = ["--markers", str(lab / "markers"), "--output_dir", str(lab / "labels-hand")]
    return main(["convert-labels", *files, *arguments, *more])


def classes_of(lab: Path, session: str) -> str:
    """The classes of a session's frames, each by its first letter."""
    values, names = read_labels(lab / "labels-hand" / f"{session}.csv")
    return "".join(names[value][0] for value in values)


def test_frames_between_bouts_of_boris_are_a_class_and_it_says_so(lab, capsys):
    assert convert(lab) == 0
    assert classes_of(lab, "m1") == "ooooo" + "wwwww" + "gggggggggg" + "oooooooooo"
    assert classes_of(lab, "m2") == "w" * 30
    out = capsys.readouterr().out
    assert "in all, 60 frames: 15 other, 10 groom, 35 walk" in out
    assert (
        "frames between bouts are class 'other' (15 of 60 frames, 25%), as somebody looked" in out
    )
    assert "give --unscored if nobody looked there" in out
    assert f"sessions in {lab / 'markers'} without labels: m3" in out
    record = read_label_record(lab / "labels-hand")
    assert record.between_bouts == "other" and record.fps() == 10
    assert record.files["m1.csv"].source == str(lab / "boris" / "m1.csv")


def test_unscored_leaves_frames_between_bouts_to_the_background(lab, capsys):
    assert convert(lab, "--unscored") == 0
    assert classes_of(lab, "m1") == "bbbbb" + "wwwww" + "gggggggggg" + "bbbbbbbbbb"
    out = capsys.readouterr().out
    assert "frames between bouts are 'background' (15 of 60 frames, 25%), as nobody looked" in out
    assert "neither learned nor scored" in out
    assert read_label_record(lab / "labels-hand").between_bouts is None


def tracks_from(lab: Path, session: str, first: int, n_frames: int) -> None:
    """Let a session's tracks be of these frames of the video."""
    path = lab / "markers" / f"{session}{NETWORK}.csv"
    lines = path.read_text().splitlines()
    cells = [line.partition(",")[2] for line in lines[3 : 3 + n_frames]]
    numbered = [f"{first + i},{row}" for i, row in enumerate(cells)]
    path.write_text("\n".join([*lines[:3], *numbered]))


def test_labels_have_the_frames_of_tracks_that_start_late(lab, capsys):
    tracks_from(lab, "m1", first=8, n_frames=22)
    assert convert(lab) == 0
    assert classes_of(lab, "m1") == "ww" + "gggggggggg" + "oooooooooo"
    path = lab / "labels-hand" / "m1.csv"
    assert path.read_text().splitlines()[1].startswith("8,") and first_frame(path) == 8
    assert main(["doctor", str(lab)]) == 0
    assert "20 frames" not in capsys.readouterr().err


def test_a_table_as_long_as_late_tracks_is_of_their_frames(lab):
    tracks_from(lab, "m1", first=8, n_frames=20)
    rows = [f"{i},{int(i >= 5)},{int(i < 5)}" for i in range(20)]  # DeepEthogram's
    (lab / "boris" / "m1.csv").write_text("\n".join([",background,walk", *rows]))
    (lab / "boris" / "m2.csv").unlink()
    assert convert(lab) == 0
    assert classes_of(lab, "m1") == "w" * 5 + "o" * 15


def test_the_class_of_frames_between_bouts_may_be_called_differently(lab):
    assert convert(lab, "--other", "still") == 0
    assert classes_of(lab, "m1") == "sssss" + "wwwww" + "gggggggggg" + "ssssssssss"
    assert read_label_record(lab / "labels-hand").between_bouts == "still"


def test_frames_after_the_observation_are_background(lab):
    boris(lab / "boris", "m1", ("walk", 0.5, 1), seconds=2)
    boris(lab / "boris", "m2", ("groom", 0, 3))
    assert convert(lab) == 0
    assert classes_of(lab, "m1") == "ooooo" + "wwwww" + "oooooooooo" + "bbbbbbbbbb"


def test_where_bouts_leave_no_frame_there_is_no_class_between_them(lab, capsys):
    boris(lab / "boris", "m1", ("walk", 0, 1), ("groom", 1, 3))
    assert convert(lab) == 0
    _, names = read_labels(lab / "labels-hand" / "m1.csv")
    assert names == ["background", "groom", "walk"]
    assert "between bouts" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["other", "Other"])
def test_a_behaviour_of_that_name_asks_for_a_decision(lab, name, capsys):
    boris(lab / "boris", "m2", (name, 0, 1))
    assert convert(lab) == 2
    error = capsys.readouterr().err
    assert f"a class of the files is called {name!r}, as frames between bouts would be" in error
    assert f"--other {name} to make both one class" in error and "--unscored" in error
    assert not (lab / "labels-hand").exists()
    assert convert(lab, "--other", name) == 0


def test_a_table_of_bouts_asks_for_a_decision(lab, capsys):
    for path in (lab / "boris").iterdir():
        path.write_text("class,start,stop\nwalk,5,10\n")
    assert convert(lab) == 2
    error = capsys.readouterr().err
    assert "m1.csv" in error and "does not say what the frames between them are" in error
    assert "--other NAME" in error and "--unscored if nobody looked" in error
    assert convert(lab, "--other", "none") == 0
    assert classes_of(lab, "m1") == "nnnnn" + "wwwww" + "n" * 20
    assert convert(lab, "--unscored", "--overwrite") == 0
    assert classes_of(lab, "m1") == "bbbbb" + "wwwww" + "b" * 20


def test_a_table_of_bouts_that_leaves_no_frame_need_not_ask(lab):
    for path in (lab / "boris").iterdir():
        path.write_text("class,start,stop\nwalk,0,10\nrest,10,30\n")
    assert convert(lab) == 0


def test_several_behaviours_at_once_need_no_decision(lab, capsys):
    assert convert(lab, "--multibinary") == 0
    _, names = read_labels(lab / "labels-hand" / "m1.csv", "multibinary")
    assert names == ["groom", "walk"] and "between bouts" not in capsys.readouterr().out


@pytest.mark.parametrize("rows", ["", "m2,3,10,rat1,walk,STATE,0,3\n"])
def test_a_session_without_the_behaviours_is_labelled(lab, rows, capsys):
    (lab / "boris" / "m2.csv").write_text(HEADER + rows)
    assert convert(lab, "--subject", "rat1", "--classes", "groom") == 0
    assert classes_of(lab, "m2") == "o" * 30
    assert f"{lab / 'labels-hand' / 'm2.csv'}: 30 frames: 30 other" in capsys.readouterr().out


def test_a_session_without_the_subject_is_labelled(lab, capsys):
    boris(lab / "boris", "m2", ("walk", 0, 3, "rat2"))
    assert convert(lab, "--subject", "rat1") == 0
    assert classes_of(lab, "m2") == "o" * 30
    assert f"30 other (no bouts of rat1 in {lab / 'boris' / 'm2.csv'})" in capsys.readouterr().out


def test_a_subject_that_no_file_has_is_an_error(lab, capsys):
    boris(lab / "boris", "m2", ("walk", 0, 3, "rat2"))
    assert convert(lab, "--subject", "Rat1") == 2
    error = capsys.readouterr().err
    assert "--subject: no file has events of 'Rat1' (did you mean 'rat1'?)" in error
    assert "there are those of rat1, rat2" in error


def test_subjects_of_one_recording_are_taken_together_only_if_asked(lab, capsys):
    boris(lab / "boris", "m2", ("walk", 0, 2, "rat1"), ("walk", 1, 3, "rat2"))
    assert convert(lab) == 2
    assert "m2 has events of rat1, rat2; give --subject NAME" in capsys.readouterr().err
    assert convert(lab, "--all_subjects") == 0
    assert classes_of(lab, "m2") == "w" * 30


def test_subjects_of_a_table_of_bouts_are_told_apart(lab, capsys):
    table = "class,start,stop,subject\nwalk,0,20,rat1\ngroom,5,15,rat2\n"
    for session in ("m1", "m2"):
        (lab / "boris" / f"{session}.csv").write_text(table)
    assert convert(lab, "--unscored") == 2
    assert "has events of rat1, rat2" in capsys.readouterr().err
    assert convert(lab, "--unscored", "--subject", "rat2") == 0
    assert classes_of(lab, "m1") == "b" * 5 + "g" * 10 + "b" * 15


@pytest.mark.parametrize("kind", ["boris", "bouts"])
def test_two_observers_of_one_recording_are_not_joined(lab, capsys, kind):
    text = "class,start,stop,observer\nwalk,0,20,Ann\nwalk,1,21,Bob\n"
    if kind == "boris":
        rows = [
            f"m1,3,10,rat1,walk,STATE,{i},{i + 1},{who}\n" for i, who in enumerate(("Ann", "Bob"))
        ]
        text = HEADER.replace("\n", ",Observer\n") + "".join(rows)
    (lab / "boris" / "m1.csv").write_text(text)
    assert convert(lab) == 2
    assert (
        "m1 was scored by Ann and Bob; export, or keep, the rows of one" in capsys.readouterr().err
    )


def test_names_of_two_sessions_in_one_file_are_an_error(lab, capsys):
    path = boris(lab / "boris", "m1", ("walk", 0, 1))
    path.write_text(path.read_text().replace("m1,", "m3,"))
    assert convert(lab) == 2
    assert "it is called m3 and m1, which are different sessions" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("tracks", "labels"),
    [
        ("m1.csv", "m1_labels.csv"),
        ("m1.csv", "m1.annot.csv"),
        ("M\u00e4use.csv", "Ma\u0308use.csv"),
        ("Ma\u0308use.csv", "M\u00e4use.csv"),
    ],
)
def test_labels_find_their_session_however_programs_call_them(tmp_path, tracks, labels):
    (tmp_path / "markers").mkdir()
    rows = [f"{i},1,{i}" for i in range(30)]
    (tmp_path / "markers" / tracks).write_text("\n".join([",a,b", *rows]))
    (tmp_path / "boris").mkdir()
    (tmp_path / "boris" / labels).write_text("class,start,stop\nwalk,0,20\n")
    assert convert(tmp_path, "--unscored") == 0
    assert len(list((tmp_path / "labels-hand").glob("*.csv"))) == 1


def test_a_name_in_other_capitals_gets_the_spelling(lab, capsys):
    (lab / "boris" / "m2.csv").rename(lab / "boris" / "M3.csv")
    text = (lab / "boris" / "M3.csv").read_text().replace("m2,", "M3,")
    (lab / "boris" / "M3.csv").write_text(text)
    assert convert(lab) == 2
    assert "is called M3, or begins so (did you mean 'm3'?)" in capsys.readouterr().err


def test_each_file_has_its_own_frame_rate(lab):
    boris(lab / "boris", "m2", ("walk", 0, 1.5), fps=20, seconds=1.5)
    assert convert(lab) == 0
    record = read_label_record(lab / "labels-hand")
    assert {name: file.fps for name, file in record.files.items()} == {"m1.csv": 10, "m2.csv": 20}


def test_a_contradicted_frame_rate_is_an_error_before_any_writing(lab, capsys):
    assert convert(lab, "--fps", "25") == 2
    error = capsys.readouterr().err
    assert f"{lab / 'boris' / 'm1.csv'}: --fps is 25, but the file says 10 frames a second" in error
    assert not (lab / "labels-hand").exists()


def test_labels_named_after_the_tracks_are_replaced_where_they_are(lab, capsys):
    old = lab / "labels-hand" / f"m1{NETWORK}.csv"
    old.parent.mkdir()
    old.write_text(",background,walk\n0,0,1\n")
    assert convert(lab) == 2
    assert f"{old}: expected no file, or one of the same labels" in capsys.readouterr().err
    assert convert(lab, "--overwrite") == 0
    names = sorted(path.name for path in old.parent.iterdir())
    assert names == ["conversion.json", old.name, "m2.csv"]


def test_deepethograms_background_was_looked_at(lab):
    head = ",background,groom\n"
    for name, cells in {"m1": "1,0 0,1 -1,-1", "m2": "0,1 0,1 1,0"}.items():
        rows = [f"{i},{cells.split()[i // 10]}\n" for i in range(30)]
        (lab / "boris" / f"{name}.csv").write_text(head + "".join(rows))
    assert convert(lab) == 0
    assert classes_of(lab, "m1") == "o" * 10 + "g" * 10 + "b" * 10
