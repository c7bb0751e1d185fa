"""No command writes over a file of the user's own unless it is told to."""

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


def test_features_may_be_written_twice(markers, tmp_path):
    arguments = ["features", str(markers), "--output_dir", str(tmp_path / "out")]
    assert main(arguments) == 0
    assert main(arguments) == 0
