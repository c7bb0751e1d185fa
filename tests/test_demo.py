"""The demo set: the same files everywhere, read like anybody's, and worth learning from."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from daart_fast.data import load_marker_csv, load_session
from daart_fast.demo import BEHAVIOURS, BODY_PARTS, FPS, HELD_OUT, SESSIONS, write_demo
from daart_fast.readers.label_record import read_label_record

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo(tmp_path_factory.mktemp("demo") / "new" / "data")


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def sessions(demo: Path) -> list:
    return [load_session({"data_dir": demo}, name) for name in SESSIONS]


@pytest.mark.slow
def test_every_session_has_its_files(demo):
    folders = ("labels-hand", "labels-heuristic", "markers")
    expected = [f"{folder}/{name}.csv" for folder in folders for name in SESSIONS]
    record = read_label_record(demo / "labels-hand")
    assert sorted(contents(demo)) == sorted([*expected, "labels-hand/conversion.json"])
    assert record.fps() == FPS and record.between_bouts is None
    assert len(SESSIONS) == 4 and len(BODY_PARTS) == 8 and len(BEHAVIOURS) == 5


@pytest.mark.slow
def test_processes_that_write_together_write_the_same_once(demo, tmp_path):
    command = "import sys; from daart_fast.demo import write_demo; write_demo(sys.argv[1])"
    folder = tmp_path / "data"
    runs = [
        subprocess.Popen([sys.executable, "-c", command, str(folder)], cwd=REPOSITORY)
        for _ in range(3)
    ]
    assert [run.wait(timeout=300) for run in runs] == [0, 0, 0]
    assert os.listdir(tmp_path) == ["data"]
    assert contents(folder) == contents(demo)


def test_a_folder_that_is_there_is_left_as_it_is(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.csv").write_text("mine")
    assert write_demo(str(tmp_path / "data")) == tmp_path / "data"
    assert contents(tmp_path / "data") == {"mine.csv": b"mine"}


@pytest.mark.slow
def test_where_it_cannot_be_written_nothing_is_left(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        write_demo(tmp_path / "file" / "data")
    (tmp_path / "data").write_text("no folder")
    with pytest.raises(OSError):
        write_demo(tmp_path / "data")
    assert sorted(os.listdir(tmp_path)) == ["data", "file"]


@pytest.mark.slow
def test_markers_are_as_a_tracker_leaves_them(demo):
    for name in SESSIONS:
        markers = load_marker_csv(demo / "markers" / f"{name}.csv")
        assert markers.names == list(BODY_PARTS)
        lost = np.isnan(markers.xs)
        assert np.array_equal(lost, np.isnan(markers.ys))
        assert 0.002 < lost.mean() < 0.1 and (markers.likelihoods[lost] < 0.05).all()
        assert markers.likelihoods.min() >= 0 and markers.likelihoods.max() <= 1
        unsure = (markers.likelihoods < 0.5) & ~lost  # misplaced
        assert 0.001 < unsure.mean() < 0.01
        sure = markers.xs[markers.likelihoods > 0.5]
        assert sure.min() > -50 and sure.max() < 700


@pytest.mark.slow
def test_hand_labels_are_on_part_of_the_frames_and_whole_where_held_out(demo):
    for session in sessions(demo):
        assert session.label_names == ["background", *BEHAVIOURS]
        labelled = np.mean(session.labels_strong > 0)
        assert labelled == 1 if session.id == HELD_OUT else 0.4 < labelled < 0.6
        assert set(session.labels_strong[session.labels_strong > 0]) == {1, 2, 3, 4, 5}


def test_heuristic_labels_are_on_all_frames_and_mostly_right(demo):
    for session in sessions(demo):
        assert (session.labels_weak > 0).all()
        scored = session.labels_strong > 0
        right = np.mean(session.labels_weak[scored] == session.labels_strong[scored])
        assert 0.6 < right < 0.95


def test_bouts_are_as_long_as_an_animals(demo):
    labels = load_session({"data_dir": demo}, HELD_OUT).labels_strong
    ends = np.flatnonzero(np.diff(labels)) + 1
    bouts = np.diff(ends)
    assert 0.5 < np.median(bouts) / FPS < 5
    assert bouts.max() / FPS < 30 and np.mean(bouts < 5) < 0.05


def test_sessions_differ(demo):
    first, *others = sessions(demo)
    assert len(first) == 5400
    assert all(not np.array_equal(first.inputs, other.inputs) for other in others)
    assert all(other.input_names == first.input_names for other in others)
