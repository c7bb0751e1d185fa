"""No command writes over a file of the user's own unless --overwrite is given."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from daart_fast.cli import main

MARKERS = "\n".join(
    [
        "scorer,s,s,s,s,s,s",
        "bodyparts,nose,nose,nose,tail,tail,tail",
        "coords,x,y,likelihood,x,y,likelihood",
        *(f"{i},{i % 7},{i % 5},0.9,{i % 3},{i % 4},0.9" for i in range(20)),
    ]
)


@pytest.fixture
def markers(tmp_path: Path) -> Path:
    """A folder of two tracked sessions."""
    folder = tmp_path / "markers"
    folder.mkdir()
    for session in ("m1", "m2"):
        (folder / f"{session}.csv").write_text(MARKERS)
    return folder


# ------------------------------------------------------------------------------ features


def test_features_do_not_replace_their_inputs(markers, capsys):
    assert main(["features", str(markers), "--output_dir", str(markers)]) == 2
    error = capsys.readouterr().err
    assert f"{markers / 'm1.csv'}: expected an output that is no input" in error
    assert error.count("\n") == 1
    assert [path.read_text() for path in sorted(markers.iterdir())] == [MARKERS, MARKERS]


def test_no_features_are_written_where_one_input_would_be_lost(markers, tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    (own / "m0.csv").write_text(MARKERS)
    arguments = ["features", str(own / "m0.csv"), str(markers), "--output_dir", str(markers)]
    assert main(arguments) == 2
    assert not (markers / "m0.csv").exists()  # nothing is written before all is looked at


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_features_do_not_replace_their_inputs_through_a_link(markers, tmp_path):
    (tmp_path / "link").symlink_to(markers)
    assert main(["features", str(markers), "--output_dir", str(tmp_path / "link")]) == 2
    assert (markers / "m1.csv").read_text() == MARKERS


def test_features_that_are_the_same_are_left(markers, tmp_path):
    arguments = ["features", str(markers), "--output_dir", str(tmp_path / "out")]
    assert main(arguments) == 0
    before = (tmp_path / "out" / "m1.csv").stat()
    assert main(arguments) == 0
    assert (tmp_path / "out" / "m1.csv").stat().st_ino == before.st_ino


@pytest.mark.parametrize("there", [False, True])
def test_features_of_other_sessions_are_written_where_one_cannot_be_read(
    markers, tmp_path, capsys, there
):
    (markers / "m1.csv").write_text("nonsense\n")
    arguments = ["features", str(markers), "--output_dir", str(tmp_path / "out")]
    if there:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "m1.csv").write_text("precious")
    assert main(arguments) == 2
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith(f"daart-fast: error: {markers / 'm1.csv'}")
    assert last == "daart-fast: error: 1 of 2 sessions failed: m1"
    assert (tmp_path / "out" / "m2.csv").is_file()
    assert (tmp_path / "out" / "m1.csv").exists() == there


def test_features_do_not_replace_other_files(markers, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "m2.csv").write_text("precious")
    arguments = ["features", str(markers), "--output_dir", str(out)]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert f"{out / 'm2.csv'}: expected no file, or one of the same features" in error
    assert "--overwrite" in error and error.count("\n") == 1
    assert [path.name for path in out.iterdir()] == ["m2.csv"]
    assert (out / "m2.csv").read_text() == "precious"
    assert main([*arguments, "--overwrite"]) == 0
    assert (out / "m2.csv").read_text() != "precious"


# ------------------------------------------------------------------------------ convert-labels

BOUTS = "class,start_frame,stop_frame\nwalk,1,3\n"
HAND = ",background,walk\n0,0,1\n"  # somebody's work


@pytest.fixture
def bouts(tmp_path: Path) -> list[str]:
    """Two tables of bouts."""
    (tmp_path / "bouts").mkdir()
    for session in ("m1", "m2"):
        (tmp_path / "bouts" / f"{session}.csv").write_text(BOUTS)
    return [str(tmp_path / "bouts" / f"{session}.csv") for session in ("m1", "m2")]


def convert(files: list[str], folder: Path, *more: str) -> int:
    arguments = ["convert-labels", *files, "--n_frames", "5", "--unscored"]
    arguments += ["--output_dir", str(folder)]
    return main([*arguments, *more])


def test_converted_labels_do_not_replace_others(bouts, tmp_path, capsys):
    labels = tmp_path / "labels-hand"
    labels.mkdir()
    (labels / "m2.csv").write_text(HAND)
    assert convert(bouts, labels) == 2
    error = capsys.readouterr().err
    assert f"{labels / 'm2.csv'}" in error and "--overwrite" in error and error.count("\n") == 1
    assert (labels / "m2.csv").read_text() == HAND
    assert not (labels / "m1.csv").exists()  # all are looked at before any is written


def test_converted_labels_replace_others_when_told_to(bouts, tmp_path):
    labels = tmp_path / "labels-hand"
    labels.mkdir()
    (labels / "m2.csv").write_text(HAND)
    assert convert(bouts, labels, "--overwrite") == 0
    assert (labels / "m2.csv").read_text() == (labels / "m1.csv").read_text() != HAND


def test_labels_converted_to_the_same_are_left(bouts, tmp_path):
    labels = tmp_path / "labels-hand"
    assert convert(bouts[:1], labels) == 0
    before = (labels / "m1.csv").stat()
    assert convert(bouts, labels) == 0
    assert (labels / "m1.csv").stat().st_ino == before.st_ino
    assert (labels / "m2.csv").is_file()


@pytest.mark.parametrize("more", [(), ("--overwrite",)])
def test_converted_labels_do_not_replace_what_they_come_from(bouts, more):
    assert convert(bouts, Path(bouts[0]).parent, *more) == 2
    assert [Path(file).read_text() for file in bouts] == [BOUTS, BOUTS]


def test_converted_labels_do_not_replace_markers(bouts, markers):
    before = (markers / "m1.csv").read_text()
    assert convert(bouts, markers, "--markers", str(markers), "--overwrite") == 2
    assert (markers / "m1.csv").read_text() == before


def test_labels_are_converted_all_or_none(bouts, tmp_path):
    Path(bouts[1]).write_text(BOUTS + "walk,7,99\n")
    assert convert(bouts, tmp_path / "labels-hand") == 2
    assert not (tmp_path / "labels-hand").exists()


@pytest.mark.parametrize("name", ["../precious", "a/b", "..", "C:precious"])
def test_an_observation_that_leads_out_of_the_folder_is_refused(tmp_path, name, capsys):
    (tmp_path / "precious.csv").write_text("precious")
    (tmp_path / "boris.csv").write_text(
        "Observation id,Subject,Behavior,Behavior type,Start (s),Stop (s)\n"
        f"{name},mouse,walk,STATE,0.1,0.3\n"
    )
    assert convert([str(tmp_path / "boris.csv")], tmp_path / "out", "--fps", "10") == 2
    error = capsys.readouterr().err
    assert f"{tmp_path / 'boris.csv'}: {name!r} cannot be a session id" in error
    assert "--markers" in error
    assert (tmp_path / "precious.csv").read_text() == "precious"
    assert not (tmp_path / "out").exists()


# ------------------------------------------------------------------------------ report


def test_a_report_does_not_replace_labels(tmp_path, capsys):
    (tmp_path / "version_0").mkdir()
    (tmp_path / "version_0" / "hparams.yaml").write_text("")
    (tmp_path / "m1.csv").write_text(HAND)
    arguments = ["report", str(tmp_path / "version_0"), "--output", str(tmp_path / "m1.csv")]
    assert main(arguments) == 2
    expected = f"{tmp_path / 'm1.csv'}: expected a name that ends in .html or .htm, found '.csv'"
    assert expected in capsys.readouterr().err  # before the model is evaluated
    assert (tmp_path / "m1.csv").read_text() == HAND
