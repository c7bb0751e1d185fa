"""The files of a session: found by name, and fitting each other."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daart_fast.data.sessions import (
    Session,
    load_session,
    read_session,
    session_ids,
    signal_paths,
    statistics,
    window_of,
)
from daart_fast.errors import DataError
from daart_fast.readers.inputs import read_markers

REPOSITORY = Path(__file__).resolve().parents[2]
REAL_DATA = REPOSITORY.parent / "shared" / "data"

FEATURES = ",a,b\n0,1,10\n1,2,10\n2,3,10\n3,6,10\n"
HAND = ",background,walk\n0,1,0\n1,0,1\n2,0,1\n3,1,0\n"
HEURISTIC = ",background,walk\n0,0,1\n1,0,1\n2,0,1\n3,0,1\n"
TASKS = ",speed\n0,0.5\n1,\n2,1.5\n3,2\n"


@pytest.fixture
def hparams(tmp_path: Path, write: Any) -> dict[str, Any]:
    """A data folder with one session that has everything, s1, and one with inputs alone, s2."""
    for name, text in {
        "features/s1.csv": FEATURES,
        "features/s2.csv": FEATURES,
        "labels-hand/s1.csv": HAND,
        "labels-heuristic/s1.csv": HEURISTIC,
        "tasks/s1.csv": TASKS,
    }.items():
        write(name, text)
    return {"data_dir": str(tmp_path), "input_type": "features"}


def refused(hparams: dict[str, Any], session_id: str = "s1") -> str:
    with pytest.raises(DataError) as caught:
        load_session(hparams, session_id)
    return str(caught.value)


# --------------------------------------------------------------------- what a session holds


def test_a_session_holds_what_its_files_hold(hparams):
    session = load_session(hparams, "s1")
    assert session.id == "s1" and len(session) == 4
    assert session.inputs.dtype == np.float32 and session.inputs.flags.c_contiguous
    assert session.inputs.tolist() == [[1, 10], [2, 10], [3, 10], [6, 10]]
    assert session.input_names == ["a", "b"]
    assert session.labels_strong.tolist() == [0, 1, 1, 0]
    assert session.labels_weak.tolist() == [1, 1, 1, 1]
    assert session.label_names == ["background", "walk"]
    np.testing.assert_array_equal(session.tasks, [[0.5], [np.nan], [1.5], [2]])
    assert session.task_names == ["speed"]


def test_a_session_may_hold_inputs_alone(hparams):
    session = load_session(hparams, "s2")
    assert session.labels_strong is session.labels_weak is session.tasks is None
    assert session.label_names == session.task_names == []


def test_failure_04_an_unlabelled_session_may_have_any_length(hparams, write):
    write("features/s2.csv", FEATURES + "4,5,10\n5,5,10\n6,5,10\n")
    assert len(load_session(hparams, "s2")) == 7


def test_a_session_of_one_frame_is_one(hparams, write):
    write("features/s3.csv", ",a\n0,5\n")
    session = load_session(hparams, "s3")
    assert session.normalised_inputs().tolist() == [[0]]


# --------------------------------------------------------------------- normalisation


def test_normalised_inputs_have_mean_0_and_spread_1():
    inputs = np.random.default_rng(0).normal([5, -300, 1e4], [0.1, 50, 3], (5000, 3))
    session = Session("s", inputs.astype(np.float32), list("abc"), **statistics(inputs))
    normalised = session.normalised_inputs()
    assert normalised.dtype == np.float32
    np.testing.assert_allclose(normalised.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(normalised.std(0), 1, rtol=1e-3)


@pytest.mark.parametrize("value", [0, 1, 0.1, -1e-7, 3e-20, 1e-25, 1e-38, 123456.7, 1e30, 3e38])
def test_a_constant_channel_becomes_0(value):
    inputs = np.full((1001, 2), value, dtype=np.float32)
    inputs[:, 1] = np.arange(1001)
    session = Session("s", inputs, list("ab"), **statistics(inputs))
    assert np.all(session.normalised_inputs()[:, 0] == 0)
    assert session.scale[0] == 0 and session.scale[1] > 0


def test_a_channel_that_has_no_value_yet_is_0_and_counts_in_no_statistics():
    inputs = np.array([[np.nan, 1], [np.nan, 2], [3, 3], [5, 6]], dtype=np.float32)
    session = Session("s", inputs, list("ab"), **statistics(inputs))
    assert session.mean.tolist() == [4, 3] and session.std[0] == 1
    assert session.normalised_inputs()[:, 0].tolist() == [0, 0, -1, 1]
    assert session.normalised_by(np.ones(2), np.ones(2)).normalised_inputs()[:, 0].tolist() == [
        0, 0, 2, 4,
    ]  # fmt: skip


def test_a_channel_that_hardly_varies_is_still_normalised():
    inputs = np.full((100_000, 1), 1000, dtype=np.float32)
    inputs[50_000] = np.nextafter(np.float32(1000), np.float32(2000))
    session = Session("s", inputs, ["a"], **statistics(inputs))
    assert session.scale[0] > 0


@pytest.mark.filterwarnings("error")
def test_a_spread_that_float32_cannot_invert_is_taken_for_0():
    session = Session("s", np.zeros((2, 2), np.float32), list("ab"), [], None).normalised_by(
        np.zeros(2), np.array([1e-45, 0.0])
    )
    assert session.scale.tolist() == [0, 0]


# --------------------------------------------------------------------- files that fit


def with_rows(path: Path, n_rows: int) -> Path:
    """Leave n_rows rows in a file of 4, or repeat the last."""
    header, *rows = path.read_text().splitlines()
    rows += [f"{i}{rows[-1][1:]}" for i in range(4, n_rows)]
    path.write_text("\n".join([header, *rows[:n_rows]]))
    return path


@pytest.mark.parametrize("folder", ["labels-hand", "labels-heuristic", "tasks"])
@pytest.mark.parametrize("n_rows", [1, 2, 6])
def test_lengths_that_differ_are_told_with_both_files(hparams, tmp_path, folder, n_rows):
    path = with_rows(tmp_path / folder / "s1.csv", n_rows)
    assert refused(hparams) == (
        f"{path}: expected 4 rows, one for each frame of {tmp_path / 'features' / 's1.csv'}, "
        f"found {n_rows}"
    )


@pytest.mark.parametrize("n_rows", [3, 5])
def test_one_row_more_or_less_is_mended_and_told(hparams, tmp_path, caplog, n_rows):
    # tools do not agree on whether a video's last frame counts
    whole = load_session(hparams, "s1")
    assert caplog.text == ""
    paths = [with_rows(tmp_path / name / "s1.csv", n_rows) for name in ("labels-hand", "tasks")]
    session = load_session(hparams, "s1")
    missing = n_rows < 4
    assert session.labels_strong.tolist() == [0, 1, 1, -100 if missing else 0]
    np.testing.assert_array_equal(session.tasks[:3], whole.tasks[:3])
    np.testing.assert_array_equal(session.tasks[3], np.nan if missing else whole.tasks[3])
    for path in paths:
        assert f"{path}: {n_rows} rows for the 4 frames of " in caplog.text


def numbered_from(text: str, start: int) -> str:
    """The same table, its frames counted from another number."""
    header, *rows = text.splitlines()
    rows = [f"{start + i},{row.partition(',')[2]}" for i, row in enumerate(rows)]
    return "\n".join([header, *rows]) + "\n"


@pytest.mark.parametrize(
    ("folder", "text"), [("labels-hand", HAND), ("labels-heuristic", HEURISTIC), ("tasks", TASKS)]
)
@pytest.mark.parametrize("use_cache", [False, True])
def test_frames_that_begin_elsewhere_are_told_with_both_files(
    hparams, tmp_path, write, folder, text, use_cache
):
    hparams["cache_dir"] = tmp_path / "cache" if use_cache else "off"
    load_session(hparams, "s1")
    path = write(f"{folder}/s1.csv", numbered_from(text, 700))
    for _ in range(2):
        assert refused(hparams) == (
            f"{path}: expected frames from 0 on, as in {tmp_path / 'features' / 's1.csv'}, "
            "found frames from 700 on"
        )


def test_labels_of_a_cut_out_fit_inputs_of_the_same_cut_out(hparams, write, caplog):
    write("features/s2.csv", numbered_from(FEATURES, 700))
    write("labels-hand/s2.csv", numbered_from(HAND, 700))
    assert load_session(hparams, "s2").labels_strong.tolist() == [0, 1, 1, 0]
    assert caplog.text == ""


@pytest.mark.parametrize(("inputs_from", "labels_from"), [(0, 1), (1, 0)])
def test_frames_counted_from_0_and_from_1_are_told(
    hparams, write, caplog, inputs_from, labels_from
):
    write("features/s2.csv", numbered_from(FEATURES, inputs_from))
    path = write("labels-hand/s2.csv", numbered_from(HAND, labels_from))
    assert load_session(hparams, "s2").labels_strong.tolist() == [0, 1, 1, 0]
    assert f"{path}: its frames count from {labels_from}, those of " in caplog.text


@pytest.mark.parametrize(
    ("inputs_from", "labels_from", "n_labels"), [(0, 1, 3), (1, 0, 5)], ids=["lost", "surplus"]
)
def test_a_row_that_differs_must_be_the_last(
    hparams, tmp_path, write, inputs_from, labels_from, n_labels
):
    # both end with the same frame: it is the first row that one of them lacks
    write("features/s1.csv", numbered_from(FEATURES, inputs_from))
    path = with_rows(tmp_path / "labels-hand" / "s1.csv", n_labels)
    path.write_text(numbered_from(path.read_text(), labels_from))
    source = tmp_path / "features" / "s1.csv"
    assert refused(hparams) == (
        f"{path}: expected frames from {inputs_from} on, as in {source}, "
        f"found frames from {labels_from} on"
    )


def test_labels_without_frame_numbers_fit_inputs_of_any(hparams, write):
    write("features/s2.csv", numbered_from(FEATURES, 700))
    write("labels-hand/s2.csv", ",background,walk\n,1,0\n,0,1\n,0,1\n,1,0\n")
    assert load_session(hparams, "s2").labels_strong.tolist() == [0, 1, 1, 0]


def test_a_label_row_that_is_missing_in_the_middle_is_not_taken_for_the_last(hparams, tmp_path):
    path = tmp_path / "labels-hand" / "s1.csv"
    path.write_text(HAND.replace("1,0,1\n", ""))
    assert refused(hparams).startswith(f"{path}, line 3: expected frame 1 ")


def test_class_names_that_differ_are_told_with_both_files(hparams, tmp_path, write):
    path = write("labels-heuristic/s1.csv", HEURISTIC.replace("walk", "run"))
    assert refused(hparams) == (
        f"{path}: expected the classes of {tmp_path / 'labels-hand' / 's1.csv'} "
        "(background, walk), found background, run"
    )


def test_a_session_without_a_file_of_inputs_is_refused():
    for paths in ({}, {"markers": None}):
        with pytest.raises(DataError, match="session s1: expected a file of inputs, found none"):
            read_session("s1", paths)


def test_thresholds_and_label_kinds_reach_the_readers(hparams, write, tmp_path):
    write(
        "markers/s1.csv",
        "scorer,n,n,n\nbodyparts,p,p,p\ncoords,x,y,likelihood\n"
        "0,1,1,1\n1,9,9,0.1\n2,3,3,1\n3,4,4,1\n",
    )
    hparams |= {"input_type": "markers", "likelihood_threshold": 0.5}
    session = load_session({**hparams, "classifier_type": "multibinary"}, "s1")
    assert session.inputs[:, 0].tolist() == [1, 2, 3, 4]
    assert session.labels_strong.dtype == np.float32
    assert session.labels_strong.tolist() == [[1, 0], [0, 1], [0, 1], [1, 0]]


# --------------------------------------------------------------------- files that are found


@pytest.mark.parametrize("middle", ["", "_labeled"])
@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".h5", ".analysis.h5", ".npy", ".slp"])
def test_inputs_are_found_by_the_names_that_tools_give(write, tmp_path, suffix, middle):
    path = write(f"pose/s1{middle}{suffix}", b"")
    hparams = {"data_dir": tmp_path, "input_type": "pose"}
    assert signal_paths(hparams, "s1")["markers"] == path


def test_the_suffix_of_inputs_may_be_in_capitals(write, tmp_path):
    path = write("markers/s1.CSV", FEATURES)
    assert signal_paths({"data_dir": tmp_path}, "s1")["markers"] == path
    assert session_ids({"data_dir": tmp_path}) == ["s1"]


def test_a_file_that_came_after_a_look_at_its_folder_is_found(hparams, write, tmp_path):
    write("labels-hand/other.csv", HAND)
    os.utime(tmp_path / "labels-hand", ns=(0, 0))
    assert signal_paths(hparams, "s2")["labels_strong"] is None
    path = write("labels-hand/s2.CSV", HAND)
    assert signal_paths(hparams, "s2")["labels_strong"] == path


@pytest.mark.parametrize(
    "ending", [".csv", "_labels.csv", ".csv.gz", "_labels.csv.gz", ".CSV", "_labels.CSV"]
)
@pytest.mark.parametrize(
    ("signal", "folder"), [("labels_strong", "labels-hand"), ("labels_weak", "labels-heuristic")]
)
def test_labels_are_found_by_daarts_names(hparams, write, signal, folder, ending):
    path = write(f"{folder}/s2{ending}", HAND)
    assert signal_paths(hparams, "s2")[signal] == path
    assert getattr(load_session(hparams, "s2"), signal).tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize(
    ("signal", "taken", "others"),
    [
        ("markers", "features/s1.csv", ["s1.csv.gz", "s1.npy"]),
        ("markers", "features/s1.csv", ["s1_labeled.csv"]),
        ("labels_strong", "labels-hand/s1.csv", ["s1_labels.csv", "s1.csv.gz"]),
        ("labels_weak", "labels-heuristic/s1.csv", ["s1.pkl"]),
        ("tasks", "tasks/s1.csv", ["s1.csv.gz"]),
    ],
)
def test_of_several_files_for_one_input_it_is_told_which_is_read(
    hparams, write, tmp_path, caplog, signal, taken, others
):
    for name in others:
        write(f"{Path(taken).parent}/{name}", b"")
    assert signal_paths(hparams, "s1")[signal] == tmp_path / taken
    assert caplog.messages == [
        f"{tmp_path / taken}: this file is read, and not {', '.join(others)} of the same session"
    ]


def test_deeplabcuts_pair_of_csv_and_h5_is_not_told(hparams, write, tmp_path, caplog):
    write("features/s1.h5", b"")
    assert signal_paths(hparams, "s1")["markers"] == tmp_path / "features" / "s1.csv"
    assert caplog.messages == []


NETWORK = "DLC_resnet50_mouseshuffle1_1000"


@pytest.mark.parametrize("asked", ["m1", f"m1{NETWORK}"])
@pytest.mark.parametrize("labels", ["m1", f"m1{NETWORK}", "m1_labels", f"m1{NETWORK}_labels"])
def test_a_session_is_found_with_or_without_what_a_tracker_adds(hparams, write, asked, labels):
    inputs = write(f"features/m1{NETWORK}.csv", FEATURES)
    by_hand = write(f"labels-hand/{labels}.csv", HAND)
    tasks = write(f"tasks/m1{NETWORK}.csv", TASKS)
    found = signal_paths(hparams, asked)
    assert (found["markers"], found["labels_strong"], found["tasks"]) == (inputs, by_hand, tasks)
    assert session_ids(hparams) == ["m1", "s1", "s2"]


def test_labels_named_after_the_tracks_fit_inputs_named_after_the_video(hparams, write):
    path = write(f"labels-hand/s2{NETWORK}.csv", HAND)
    assert signal_paths(hparams, "s2")["labels_strong"] == path


def test_a_filtered_file_is_read_before_the_raw_one_and_it_is_said(hparams, write, caplog):
    for ending in (".csv", ".h5", "_filtered.csv", "_filtered.h5", "_skeleton.csv"):
        path = write(f"features/m1{NETWORK}{ending}", FEATURES)
    filtered = path.with_name(f"m1{NETWORK}_filtered.csv")
    assert signal_paths(hparams, "m1")["markers"] == filtered
    raw = [f"m1{NETWORK}.csv", f"m1{NETWORK}.h5"]
    assert caplog.messages == [
        f"{filtered}: this file is read, and not {', '.join(raw)} of the same session"
    ]
    caplog.clear()  # who names the raw file means it
    path = filtered.with_name(raw[0])
    assert signal_paths(hparams, path.stem)["markers"] == path and not caplog.messages


def test_bones_are_no_inputs(hparams, write):
    write(f"features/m1{NETWORK}_skeleton.csv", FEATURES)
    assert session_ids(hparams) == ["s1", "s2"]
    assert "no inputs of session 'm1'" in refused(hparams, "m1")


def test_tracks_of_two_networks_are_an_error_that_names_both(hparams, write):
    first = write("features/m1DLC_mobnet_a.csv", FEATURES)
    second = write("features/m1DLC_resnet50_b.csv", FEATURES)
    assert refused(hparams, "m1") == (
        f"{first}, {second}: expected files of one network for session 'm1', found those of "
        "DLC_mobnet_a and DLC_resnet50_b; keep one of them there, and move the other to another "
        "folder"
    )
    assert signal_paths(hparams, second.stem)["markers"] == second  # the full name is clear
    assert "no inputs of session 'm1DLC_other'" in refused(hparams, "m1DLC_other")


def test_a_file_that_is_called_as_the_session_goes_first(hparams, write, tmp_path, caplog):
    write(f"features/s1{NETWORK}.csv", FEATURES)
    assert signal_paths(hparams, "s1")["markers"] == tmp_path / "features" / "s1.csv"
    assert f"and not s1{NETWORK}.csv of the same session" in caplog.text


def test_heuristic_labels_may_be_pickled(hparams, write):
    content = {"states": [1, 1, 0, 0], "state_mapping": {0: "background", 1: "walk"}}
    write("labels-heuristic/s2.pkl", pickle.dumps(content))
    assert load_session(hparams, "s2").labels_weak.tolist() == [1, 1, 0, 0]


def test_inputs_are_markers_unless_told_otherwise(hparams, write, tmp_path):
    path = write("markers/s9.csv", FEATURES)
    assert signal_paths({"data_dir": tmp_path}, "s9")["markers"] == path


def test_a_folder_that_is_not_there_tells_what_is(hparams, tmp_path):
    hparams["input_type"] = "feature"
    assert refused(hparams) == (
        f"{tmp_path / 'feature'}: expected a folder of inputs; {tmp_path} holds features, "
        "labels-hand, labels-heuristic, tasks (did you mean 'features'?)"
    )


def test_a_data_folder_that_is_not_there_tells_what_is_above_it(hparams, tmp_path):
    there = tmp_path / "tasks"
    folder = there / "deep" / "down"
    assert refused({**hparams, "data_dir": folder}) == (
        f"{folder / 'features'}: expected a folder of inputs; {there} holds s1.csv"
    )


def test_a_data_folder_that_is_not_there_may_be_relative(hparams, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path / "tasks")
    assert refused({**hparams, "data_dir": "data"}) == (
        f"data{os.sep}features: expected a folder of inputs; {tmp_path / 'tasks'} holds s1.csv"
    )


def test_a_session_that_is_not_there_tells_which_are(hparams, write, tmp_path):
    write("features/mouse_01_labeled.csv.gz", FEATURES)
    assert refused(hparams, "mouse_1") == (
        f"{tmp_path / 'features'}: no inputs of session 'mouse_1' (did you mean 'mouse_01'?); "
        "expected mouse_1{.csv,.csv.gz,.h5,.analysis.h5,.npy,.slp}; "
        f"{tmp_path / 'features'} holds mouse_01_labeled.csv.gz, s1.csv, s2.csv"
    )


def test_a_long_list_of_files_is_cut(hparams, write):
    for i in range(30):
        write(f"features/t{i:02}.csv", FEATURES)
    assert refused(hparams, "none").endswith("t16.csv, t17.csv and 12 more")


def test_a_session_whose_name_begins_like_anothers_is_not_it(hparams):
    assert "no inputs of session 's'" in refused(hparams, "s")


# --------------------------------------------------------------------- windows of labels


@pytest.mark.parametrize("first", [-9, -5, -4, -2, 0, 1, 3, 5, 6, 9])
def test_a_window_of_labels_is_unlabelled_beyond_the_ends(first):
    labels = np.arange(6)
    expected = [i if 0 <= i < 6 else -100 for i in range(first, first + 4)]
    out = np.empty(4, dtype=np.int64)
    window_of(labels, first, out)
    assert out.tolist() == expected
    rows = np.empty((4, 2), dtype=np.float32)
    window_of(np.stack([labels, labels], 1).astype(np.float32), first, rows)
    np.testing.assert_array_equal(rows[:, 0], [np.nan if i < 0 else i for i in expected])
    real = np.empty(4, dtype=bool)
    window_of(np.ones(6, dtype=bool), first, real)
    assert real.tolist() == [i >= 0 for i in expected]


def test_a_window_longer_than_the_session_holds_it_whole():
    out = np.empty(7, dtype=np.int64)
    window_of(np.arange(3), -2, out)
    assert out.tolist() == [-100, -100, 0, 1, 2, -100, -100]


def test_a_window_of_nothing_is_unlabelled():
    out = np.zeros(3, dtype=np.int64)
    window_of(None, 0, out)
    assert out.tolist() == [-100] * 3


# --------------------------------------------------------------------- real data


@pytest.fixture(scope="module")
def real_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two public data sets, unpacked."""
    archives = sorted(REAL_DATA.glob("*.tar.gz"))
    if not archives:
        pytest.skip("no shared/data beside the repository")
    folder = tmp_path_factory.mktemp("real")
    for archive in archives:
        shutil.unpack_archive(archive, folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "input_type", "n_sessions", "n_channels", "n_classes"),
    [("rat_social", "markers", 12, 20, 4), ("hapt", "features", 12, 6, 8)],
)
def test_real_data_are_read(real_data, data, input_type, n_sessions, n_channels, n_classes):
    hparams = {"data_dir": real_data / data, "input_type": input_type}
    ids = sorted(path.stem for path in (real_data / data / input_type).iterdir())
    assert len(ids) == n_sessions
    for session in (load_session(hparams, session_id) for session_id in ids):
        assert session.inputs.shape == (len(session.labels_strong), n_channels)
        assert np.isfinite(session.inputs).all()
        assert len(session.label_names) == n_classes and session.label_names[0] == "background"
        np.testing.assert_allclose(session.normalised_inputs().std(0), 1, rtol=1e-3)


@pytest.mark.slow
def test_gaps_of_real_tracks_are_bridged_between_what_was_seen(real_data):
    path = real_data / "rat_social" / "markers" / "rat_01.csv"
    markers = read_markers(path)
    assert len(markers.names) == 10 and markers.names[0].endswith("-top")
    seen = ~np.isnan(markers.xs)
    assert 0.5 < seen.mean() < 0.9
    inputs = read_session("rat_01", {"markers": path}).inputs[:, :10]
    np.testing.assert_array_equal(inputs[seen], markers.xs[seen].astype(np.float32))
