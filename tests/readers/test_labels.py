"""Files of labels and tasks."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from daart_fast.errors import DataError
from daart_fast.readers.labels import load_label_csv, load_label_pkl, read_labels, read_tasks
from daart_fast.readers.unpickle import loads_plain

LABELS = ",background,walk,groom\n0,1,0,0\n1,0,1,0\n2,0,0,1\n3,0,1,0\n"


def refused(read, path: Path, *args) -> str:
    """What the reader says of a file that it refuses, after the file's name."""
    with pytest.raises(DataError) as caught:
        read(path, *args)
    assert str(caught.value).startswith(str(path))
    return str(caught.value)[len(str(path)) :]


# --------------------------------------------------------------------- csv


def test_one_hot_rows(write):
    one_hot, names = load_label_csv(write("s.csv", LABELS))
    assert names == ["background", "walk", "groom"]
    assert one_hot.dtype == np.int64
    assert one_hot.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 0]]


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_classes_are_the_columns_of_the_ones(write, suffix):
    values, names = read_labels(write("s" + suffix, LABELS))
    assert values.dtype == np.int64 and values.tolist() == [0, 1, 2, 1]
    assert names == ["background", "walk", "groom"]


@pytest.mark.parametrize(("zero", "one"), [("0.0", "1.0"), ("0.", "1."), ("0.00e+00", "1.00e+00")])
def test_failure_05_float_one_hot_labels_are_read(write, zero, one):
    header, *rows = LABELS.splitlines()
    rows = [row.replace(",0", f",{zero}").replace(",1", f",{one}") for row in rows]
    path = write("s.csv", "\n".join([header, *rows]))
    assert read_labels(path).values.tolist() == [0, 1, 2, 1]


@pytest.mark.parametrize("first", ["", "frame", "Unnamed: 0"])
def test_the_frame_number_may_have_a_name(write, first):
    assert read_labels(write("s.csv", first + LABELS)).names == ["background", "walk", "groom"]


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ([0, 1, 10, 100, 2], "line 4: expected frame 2 in the first column"),
        ([2, 1, 0], "line 3: expected frame 3 in the first column"),
        ([0, 2], "line 3: expected frame 1 in the first column"),
    ],
)
def test_label_frames_out_of_order_are_named(write, numbers, said):
    path = write("s.csv", ",background,walk\n" + "".join(f"{i},1,0\n" for i in numbers))
    assert said in refused(read_labels, path)


def test_a_class_in_place_of_the_frame_number_is_not_lost(write):
    path = write("s.csv", "background,walk\n1,0\n0,1\n0,1\n")
    assert refused(read_labels, path) == (
        ", line 3: expected frame 2 in the first column ('background'), one more than the line "
        "before has, found 0"
    )


@pytest.mark.parametrize("text", ["0,1,0,0\n1,0,1,0\n", "0.0,1.0,0.0\n1.0,0.0,1.0\n"])
def test_labels_without_a_header_row_are_refused(write, text):
    said = refused(read_labels, write("s.csv", text))
    assert said.startswith(": expected a header row of names above the numbers, found 0")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("0,0,0", "exactly one 1 in the row, found 0. Several"),
        ("1,0,1", "exactly one 1 in the row, found 2 (background, groom). Several"),
    ],
)
def test_a_row_with_no_or_several_ones_is_shown_with_its_line(write, row, said):
    path = write("s.csv", LABELS.replace("1,0,1,0\n", f"1,{row}\n"))
    assert refused(read_labels, path).startswith(f", line 3: expected {said}")


def test_lines_are_counted_as_an_editor_counts_them(write):
    path = write("s.csv", "\r\n" + LABELS.replace("\n3,0,1", "\n\n\n3,0,0").replace("\n", "\r\n"))
    assert refused(read_labels, path).startswith(", line 8: expected exactly one 1")


def test_the_number_of_such_rows_is_told(write):
    path = write("s.csv", LABELS.replace(",1", ",0"))
    assert refused(read_labels, path) == (
        ", line 2: expected exactly one 1 in the row, found 0; 4 rows are so. "
        "Several behaviours at once need classifier_type: multibinary"
    )


@pytest.mark.parametrize(
    ("cell", "found"), [("2", "2.0"), ("0.5", "0.5"), ("-1", "-1.0"), ("", "nothing")]
)
def test_a_cell_that_is_neither_0_nor_1_is_shown(write, cell, found):
    path = write("s.csv", LABELS.replace("2,0,0,1", f"2,0,0,{cell}"))
    assert refused(read_labels, path) == (
        f", line 4, column 4 ('groom'): expected 0 or 1, found {found}"
    )


@pytest.mark.parametrize("head", ["scorer,x,x\nbodyparts,a,a\ncoords,x,y\n", "bodyparts,a,a\n"])
def test_tracked_points_in_place_of_labels_are_called_so(write, head):
    said = refused(read_labels, write("s.csv", head + "0,1,2\n1,3,4\n"))
    assert said.startswith(": expected labels, found tracked points (the first row is '")


@pytest.mark.parametrize("name", ["s.csv", "s.pkl"])
def test_a_file_that_may_not_be_read_is_called_so(write, name):
    path = write(name, LABELS)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    assert refused(read_labels, path) == ": cannot be read: permission denied"


def test_a_word_among_labels_is_shown(write):
    path = write("s.csv", LABELS.replace("2,0,0,1", "2,0,0,yes"))
    assert refused(read_labels, path) == (
        ", line 4, column 4 ('groom'): expected a number, found 'yes'"
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", ": the file is empty"),
        (",a,b\n", ": no rows of numbers below the header"),
        (",a,a\n0,1,0\n", ": columns named twice: a"),
        (",a,\n0,1,0\n", ": column 3 has no name"),
        ("frame\n0\n", ": expected columns after the frame number, found none"),
    ],
)
def test_other_files_are_refused(write, content, said):
    assert refused(read_labels, write("s.csv", content)) == said


def test_labels_that_are_not_there_are_called_so(tmp_path):
    for name in ("s.csv", "s.csv.gz", "s.pkl"):
        assert refused(read_labels, tmp_path / name) == ": no such file"


# --------------------------------------------------------------------- binary and multibinary


def test_binary_labels_have_two_columns_or_one(write):
    two = read_labels(write("two.csv", ",other,groom\n0,1,0\n1,0,1\n"), "binary")
    one = read_labels(write("one.csv", ",groom\n0,0\n1,1\n"), "binary")
    assert two.values.tolist() == one.values.tolist() == [0, 1]
    assert two.names == ["other", "groom"] and one.names == ["background", "groom"]


def test_binary_labels_of_three_classes_are_refused(write):
    assert refused(read_labels, write("s.csv", LABELS), "binary") == (
        ": classifier_type binary expects two classes (background and the behaviour) or one, "
        "found background, walk, groom"
    )


def test_multibinary_labels_may_be_empty_where_nobody_looked(write):
    path = write("s.csv", ",walk,groom\n0,1,1\n1,,\n2,0,\n")
    values, _ = read_labels(path, "multibinary")
    np.testing.assert_array_equal(values, [[1, 1], [np.nan, np.nan], [0, np.nan]])
    with pytest.raises(DataError, match="line 3, column 2 .*: expected 0 or 1, found nothing"):
        read_labels(path)


def test_multibinary_labels_may_have_any_number_of_ones(write):
    path = write("s.csv", ",walk,groom\n0,0,0\n1,1,1\n2,0,1\n")
    values, names = read_labels(path, "multibinary")
    assert values.dtype == np.float32 and values.tolist() == [[0, 0], [1, 1], [0, 1]]
    assert names == ["walk", "groom"]


# --------------------------------------------------------------------- pickles


def pickled(**content) -> bytes:
    return pickle.dumps(content)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "states", [[0, 2, 1], np.array([0, 2, 1]), np.array([0, 2, 1], "uint8"), np.array([0.0, 2, 1])]
)
def test_pickled_labels_of_any_protocol(write, states, protocol):
    content = {"states": states, "state_labels": ["background", "walk", "groom"]}
    path = write("s.pkl", pickle.dumps(content, protocol))
    values, names = load_label_pkl(path)
    assert values.dtype == np.int64 and values.tolist() == [0, 2, 1]
    assert names == ["background", "walk", "groom"]


@pytest.mark.parametrize(
    "mapping",
    [
        {0: "background", 1: "walk", 2: "groom"},
        {2: "groom", 0: "background", 1: "walk"},
        {"walk": 1, "background": 0, "groom": 2},
        {np.int64(0): "background", np.int64(1): "walk", np.int64(2): "groom"},
        ["background", "walk", "groom"],
        np.array(["background", "walk", "groom"]),
    ],
)
@pytest.mark.parametrize("key", ["state_mapping", "state_labels"])
def test_names_of_pickled_labels_in_the_order_of_their_numbers(write, key, mapping):
    path = write("s.pkl", pickled(states=[1, 0], **{key: mapping}))
    assert read_labels(path).names == ["background", "walk", "groom"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"state_labels": ["a"]}, ": expected a dict with 'states', found keys state_labels"),
        ({"states": [0]}, ": expected 'state_mapping' or 'state_labels' beside 'states'"),
        (
            {"states": [0, 2, 7], "state_labels": [*"abc"]},
            ", frame 2: expected a class from 0 to 2, ",
        ),
        (
            {"states": [0, -1], "state_labels": [*"abc"]},
            ", frame 1: expected a class from 0 to 2, ",
        ),
        (
            {"states": [0.5], "state_labels": [*"abc"]},
            ": expected 'states' to be whole numbers, one",
        ),
        ({"states": [np.nan], "state_labels": [*"abc"]}, ": expected 'states' to be whole numbers"),
        (
            {"states": ["a"], "state_labels": [*"abc"]},
            ": expected 'states' to be whole numbers, one",
        ),
        (
            {"states": [[0], [1]], "state_labels": [*"abc"]},
            ": expected 'states' to be whole numbers",
        ),
        ({"states": [[0], [1, 2]], "state_labels": [*"abc"]}, ": expected 'states' to be whole "),
        ({"states": [0], "state_mapping": {1: "a"}}, ": expected classes numbered 0 to 0, found 1"),
        (
            {"states": [0], "state_mapping": {0: "a", "b": "c"}},
            ": expected classes numbered 0 to 1",
        ),
        ({"states": [0], "state_labels": ["a", "a"]}, ": classes named twice: a"),
        (
            {"states": [0], "state_labels": 3},
            ": expected 'state_mapping' or 'state_labels' to name",
        ),
    ],
)
def test_pickles_of_other_content_are_refused(write, content, said):
    assert refused(load_label_pkl, write("s.pkl", pickled(**content))).startswith(said)


def test_pickles_of_no_dict_and_no_pickles_are_refused(write):
    path = write("s.pkl", pickle.dumps([1, 2]))
    assert refused(read_labels, path) == ": expected a dict with 'states', found [1, 2]"
    for content in (b"", b"text", pickled(states=[0])[:-5]):
        assert refused(read_labels, write("s.pkl", content)).startswith(": not a pickle of plain")


def test_pickled_labels_are_of_any_classifier_type(write):
    path = write("s.pkl", pickled(states=[1, 0], state_labels=["other", "groom"]))
    assert read_labels(path, "binary").values.tolist() == [1, 0]
    assert read_labels(path, "multibinary").values.tolist() == [[0, 1], [1, 0]]
    path = write("s.pkl", pickled(states=[1, 0], state_labels=["other", "groom", "walk"]))
    assert "classifier_type binary expects two classes" in refused(read_labels, path, "binary")


class _Runs:
    """Something whose pickle calls a function when it is loaded as pickles usually are."""

    def __init__(self, function, *args) -> None:
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("place", ["states", "state_labels", "other", "all"])
def test_a_pickle_that_would_run_code_is_refused_and_nothing_runs(write, tmp_path, place, protocol):
    evil = _Runs(Path.touch, tmp_path / "ran")
    content = {"states": [0], "state_labels": ["a"], place: evil}
    path = write("s.pkl", pickle.dumps(evil if place == "all" else content, protocol))
    assert refused(read_labels, path).startswith(": not a pickle of plain data: it holds ")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "thing", [_Runs(eval, "1"), _Runs(exec, "1"), _Runs(getattr, [], "append"), OrderedDict(a=1)]
)
def test_no_function_is_plain_data_however_harmless(thing):
    with pytest.raises(DataError, match="^there: not a pickle of plain data: it holds "):
        loads_plain(pickle.dumps(thing), "there")


def test_dotted_names_do_not_reach_what_is_refused():
    # protocol 4 looks attributes up: numpy's 'ndarray.__class__' would be the type of types
    data = b"\x80\x04\x8c\x05numpy\x8c\x11ndarray.__class__\x93."
    with pytest.raises(DataError, match="not plain data"):
        loads_plain(data, "there")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_data_are_read_back_as_they_were(protocol):
    shared = [1, 2]
    content = {
        "text": "größe", "bytes": b"\x00\xff", "float": 0.1, "none": None, "true": True,
        "list": [shared, (shared, 2**70)], "empty": [b"", "", [], ()], 3: 4,
    }  # fmt: skip
    assert loads_plain(pickle.dumps(content, protocol), "there") == content


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "array",
    [
        np.arange(6).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(24, dtype="float32").reshape(2, 3, 4).transpose(1, 0, 2),
        np.arange(3, dtype=">i2"),
        np.array([True, False]),
        np.array(["a", "größe"]),
        np.array([b"a", b"bc"]),
        np.array(["a", 1, None], dtype=object),
        np.empty((0, 3)),
        np.array(3),
        np.float32(0.5),
        np.int64(-7),
        np.str_("text"),
    ],
    ids=str,
)
def test_arrays_are_read_back_as_they_were(array, protocol):
    found = loads_plain(pickle.dumps(array, protocol), "there")
    assert type(found) is type(array) and found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize(
    "thing",
    [np.array([_Runs(eval, "1")], dtype=object), np.array(["2020-01-01"], "M8[D]"), np.ndarray],
)
def test_arrays_of_anything_else_are_refused(thing):
    with pytest.raises(DataError, match="not a pickle of plain data: it holds "):
        loads_plain(pickle.dumps(thing), "there")


@pytest.mark.slow
def test_a_pickle_that_is_broken_anywhere_is_refused_and_harms_nothing():
    # NumPy's own unpickling crashes on some of these
    whole = {"states": np.arange(5), "state_labels": np.array(["a", "b"]), "n": np.int64(3)}
    draw = np.random.default_rng(0)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        data = pickle.dumps(whole, protocol)
        for _ in range(1000):
            harmed = bytearray(data)
            for place in draw.integers(len(data), size=draw.integers(1, 4)):
                harmed[place] = draw.integers(256)
            try:
                loads_plain(bytes(harmed), "there")
            except DataError:
                continue
    assert loads_plain(pickle.dumps(whole), "there")["n"] == 3


def test_lists_within_lists_do_not_explode():
    nested: list = []
    for _ in range(60):
        nested = [nested, nested]
    assert loads_plain(pickle.dumps(nested), "there")[0] is not None
    endless: list = []
    endless.append(endless)
    with pytest.raises(DataError, match="not a pickle of plain data"):
        loads_plain(pickle.dumps(endless), "there")


# --------------------------------------------------------------------- tasks


def test_tasks_keep_their_gaps(write):
    values, names = read_tasks(write("s.csv", ",speed,angle\n0,1,\n1,2.5,3\n"))
    assert names == ["speed", "angle"] and values.dtype == np.float32
    np.testing.assert_array_equal(values, [[1, np.nan], [2.5, 3]])
