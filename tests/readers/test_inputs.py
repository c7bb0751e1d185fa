"""Files of inputs: what is read, and what is refused with which words."""

from __future__ import annotations

import gzip
import json
import pickle
import re
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from daart_fast.errors import DataError
from daart_fast.readers.feature_tables import load_feature_csv
from daart_fast.readers.h5 import open_checked
from daart_fast.readers.inputs import fill_gaps, first_frame, hold_inputs, read_inputs, read_markers
from daart_fast.readers.marker_h5 import load_marker_h5
from daart_fast.readers.markers import load_marker_csv

NAN = np.nan

ONE_ANIMAL = """\
scorer,net,net,net,net,net,net
bodyparts,nose,nose,nose,tail,tail,tail
coords,x,y,likelihood,x,y,likelihood
0,1,2,0.9,3,4,0.8
1,,,0.0,5,6,1
2,7.5,8.5,1,-9,1e1,0.5
"""
FEATURES = ",speed,angle\n0,1,2\n1,,4\n2,5,6\n"


def refused(read, path: Path, *args) -> str:
    """What the reader says of a file that it refuses; it names the file, in one line."""
    with pytest.raises(DataError) as caught:
        read(path, *args)
    message = str(caught.value)
    assert message.startswith(str(path)) and "\n" not in message
    return message[len(str(path)) :]


def assert_same_points(markers, table: pd.DataFrame) -> None:
    for values, coordinate in zip(markers[:3], ("x", "y", "likelihood"), strict=True):
        expected = table.xs(coordinate, axis=1, level="coords").to_numpy(float)
        np.testing.assert_allclose(values, expected, rtol=1e-12)


# --------------------------------------------------------------------- tracked points: csv


def test_points_of_one_animal(write):
    xs, ys, likelihoods, names = load_marker_csv(write("s.csv", ONE_ANIMAL))
    assert names == ["nose", "tail"]
    np.testing.assert_array_equal(xs, [[1, 3], [NAN, 5], [7.5, -9]])
    np.testing.assert_array_equal(ys, [[2, 4], [NAN, 6], [8.5, 10]])
    np.testing.assert_array_equal(likelihoods, [[0.9, 0.8], [0, 1], [1, 0.5]])


def test_failure_08_several_animals(write, tracks):
    table = tracks(animals=["rat1", "rat2"])
    path = write("s.csv", table.to_csv())
    assert path.read_text().splitlines()[1].startswith("individuals,")
    markers = load_marker_csv(path)
    assert markers.names == ["rat1-nose", "rat1-tail", "rat2-nose", "rat2-tail"]
    assert_same_points(markers, table)
    assert read_inputs(path).names == [f"{name}_{axis}" for axis in "xy" for name in markers.names]


def test_points_without_likelihoods_are_certain(write):
    path = write("s.csv", "scorer,a,a\nbodyparts,nose,nose\ncoords,x,y\n0,1,2\n")
    assert load_marker_csv(path).likelihoods.tolist() == [[1]]


def test_columns_besides_x_y_and_likelihood_are_left_out(write):
    # an ensemble of Lightning Pose writes its spread beside each point
    path = write(
        "s.csv",
        "scorer,a,a,a,a\nbodyparts,p,p,p,p\ncoords,x,y,likelihood,x_ens_var\n0,1,2,0.5,9\n",
    )
    assert [part.tolist() for part in load_marker_csv(path)[:3]] == [[[1]], [[2]], [[0.5]]]


def test_columns_of_a_part_may_come_in_any_order(write):
    path = write(
        "s.csv",
        "scorer,a,a,a,a,a,a\nbodyparts,p,q,p,q,p,q\ncoords,likelihood,y,y,x,x,likelihood\n"
        "0,1,2,3,4,5,6\n",
    )
    markers = load_marker_csv(path)
    assert markers.names == ["p", "q"]
    assert [part.tolist() for part in markers[:3]] == [[[5, 4]], [[3, 2]], [[1, 6]]]


@pytest.mark.parametrize("lost", [0, 1, 2])
@pytest.mark.parametrize("read", [load_marker_csv, read_inputs])
def test_a_lost_header_row_is_missed(write, read, lost):
    lines = ONE_ANIMAL.splitlines()
    path = write("s.csv", "\n".join(lines[:lost] + lines[lost + 1 :]))
    kept = [word for word in ("scorer", "bodyparts", "coords") if not lines[lost].startswith(word)]
    found = ", ".join(f"'{word}'" for word in kept)
    assert refused(read, path).startswith(": expected the header rows 'scorer', 'bodyparts', ")
    assert refused(read, path).endswith(f"found {found}")


@pytest.mark.parametrize("start", [3, 0])
def test_a_file_of_something_else_holds_no_points(write, start):
    path = write("s.csv", "\n".join((ONE_ANIMAL if start else FEATURES).splitlines()[start:]))
    assert ": expected the header rows 'scorer'" in refused(load_marker_csv, path)


def test_a_part_with_half_its_coordinates_is_named(write):
    path = write("s.csv", "scorer,a,a,a\nbodyparts,p,p,q\ncoords,x,y,x\n0,1,2,3\n")
    assert refused(load_marker_csv, path) == ": 'q' has no column 'y', only x"


def test_a_part_that_comes_twice_is_named(write):
    path = write("s.csv", "scorer,a,a,a\nbodyparts,p,p,p\ncoords,x,y,x\n0,1,2,3\n")
    assert refused(load_marker_csv, path) == ": 'p' has two columns 'x'"


def test_a_table_without_points_is_refused(write):
    path = write("s.csv", "scorer,a\nbodyparts,p\ncoords,likelihood\n0,1\n")
    assert "expected columns x and y for each body part" in refused(load_marker_csv, path)


# --------------------------------------------------------------------- text of every kind


DRESSES = {
    "byte-order-mark": lambda text: "\ufeff" + text,  # as a spreadsheet saves UTF-8
    "crlf": lambda text: text.replace("\n", "\r\n"),
    "crcrlf": lambda text: text.replace("\n", "\r\r\n"),  # a script on Windows wrote it
    "blank-end": lambda text: text + "\n\n\r\n",
    "commas-end": lambda text: text + ",,,,,,\n,,,,,,\n",  # cleared rows of a spreadsheet
    "no-newline": lambda text: text.rstrip("\n"),
    "blank-start": lambda text: "\n" + text,
    "quoted": lambda text: re.sub(r"[^,\n]+", r'"\g<0>"', text),
    "spaced": lambda text: text.replace(",", ", "),
}


@pytest.mark.parametrize("dress", DRESSES.values(), ids=DRESSES)
@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_the_same_table_however_it_is_written(write, dress, suffix):
    expected = read_inputs(write("plain.csv", ONE_ANIMAL))
    found = read_inputs(write("s" + suffix, dress(ONE_ANIMAL)))
    assert found.names == expected.names
    np.testing.assert_array_equal(found.values, expected.values)


def test_names_may_hold_commas_and_any_letters(write):
    path = write("s.csv", ',"a, b",größe\n0,1,2\n'.encode())
    assert load_feature_csv(path)[1] == ["a, b", "größe"]


def test_words_for_nothing_are_missing_values(write):
    path = write("s.csv", ",a\n0,1\n1,NaN\n2,nan\n3,NA\n4,\n")
    assert np.isnan(load_feature_csv(path)[0][:, 0]).tolist() == [False, True, True, True, True]


def test_whole_numbers_of_any_length_are_read(write):
    path = write("s.csv", f",a,b\n0,{2**70},3\n1,-{2**70},4\n")
    np.testing.assert_allclose(load_feature_csv(path)[0], [[2.0**70, 3], [-(2.0**70), 4]])


@pytest.mark.parametrize("content", ["", "\n\n", b"\xef\xbb\xbf", " \n"])
@pytest.mark.parametrize("read", [load_marker_csv, load_feature_csv, read_inputs])
@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_an_empty_file_is_called_so(write, read, content, suffix):
    assert refused(read, write("s" + suffix, content)) == ": the file is empty"


@pytest.mark.parametrize("text", [",a,b\n", ",a,b\n\n", ",a,b\n,,\n", ONE_ANIMAL[:103]])
def test_a_header_alone_is_not_enough(write, text):
    path = write("s.csv", text)
    assert refused(read_inputs, path) == ": no rows of numbers below the header"


@pytest.mark.parametrize(
    ("cell", "shown"), [("oops", "oops"), ("True", "True"), ("1;5", "1;5"), ("1_0", "1_0")]
)
def test_text_where_a_number_belongs_is_shown_with_its_place(write, cell, shown):
    path = write("s.csv", f",speed,angle\n0,1,2\n\n1,3,{cell}\n2,{cell},5\n")
    assert refused(load_feature_csv, path) == (
        f", line 4, column 3 ('angle'): expected a number, found '{shown}'"
    )


def test_text_among_points_is_shown_with_its_part(write):
    path = write("s.csv", ONE_ANIMAL.replace("-9", "left"))
    assert refused(load_marker_csv, path) == (
        ", line 6, column 5 ('tail x'): expected a number, found 'left'"
    )


def test_text_for_a_frame_number_is_shown(write):
    # as DeepLabCut's files of hand-labelled frames have it
    path = write("s.csv", ONE_ANIMAL.replace("\n0,", "\nlabeled-data/img0.png,"))
    assert refused(load_marker_csv, path) == (
        ", line 4, column 1: expected a number, found 'labeled-data/img0.png'"
    )


@pytest.mark.parametrize("cell", ["inf", "-inf", "1e999"])
def test_an_infinite_number_is_refused(write, cell):
    path = write("s.csv", f",a\n0,1\n1,{cell}\n")
    assert refused(load_feature_csv, path).startswith(
        ", line 3, column 2 ('a'): expected a finite number or nothing, found"
    )


@pytest.mark.parametrize(
    ("row", "n_cells"), [("1,2", 2), ("1,2,3,4", 4), ("1,2,text,4", 4), ('1,"2,3"', 2), ("1", 1)]
)
def test_a_row_of_another_length_is_shown_with_its_line(write, row, n_cells):
    # a file cut short ends in such a row: it must not pass for missing values
    path = write("s.csv", f",a,b\n0,1,2\n{row}\n2,3,4\n")
    expected = f", line 3: expected 3 cells, as the header has, found {n_cells}"
    assert refused(load_feature_csv, path) == expected


def test_a_quote_that_is_not_closed_is_shown_with_its_line(write):
    path = write("s.csv", ',a,b\n0,1,2\n1,"2,3\n2,3,4\n3,4,"5"\n')
    assert refused(load_feature_csv, path) == ", line 3: a quote is not closed"


def test_header_rows_of_different_lengths_are_refused(write):
    path = write("s.csv", ONE_ANIMAL.replace("bodyparts,nose", "bodyparts"))
    assert refused(load_marker_csv, path) == (
        ": expected header rows of the same length, found 7, 6, 7 columns"
    )


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfe\x00\xd8", ",gr\xf6\xdfe\n0,1\n".encode("latin-1"), b"\x89PNG\r\n\x1a\n\x00\xff"],
)
@pytest.mark.parametrize("read", [load_marker_csv, load_feature_csv, read_inputs])
def test_what_is_no_text_is_refused(write, read, content):
    assert refused(read, write("s.csv", content)).startswith(": expected a csv file in UTF-8")


@pytest.mark.parametrize("harm", [lambda z: z[:30], lambda z: ONE_ANIMAL.encode(), lambda z: z[5:]])
@pytest.mark.parametrize("read", [load_marker_csv, load_feature_csv, read_inputs])
def test_a_broken_gz_is_refused(tmp_path, read, harm):
    (tmp_path / "s.csv.gz").write_bytes(harm(gzip.compress(ONE_ANIMAL.encode())))
    assert refused(read, tmp_path / "s.csv.gz").startswith(": expected a csv file in UTF-8: ")


@pytest.mark.parametrize("name", ["none.csv", "none.csv.gz", "none.npy", "none.h5", "none.slp"])
def test_a_file_that_is_not_there_is_called_so(tmp_path, name):
    assert refused(read_inputs, tmp_path / name) == ": no such file"
    (tmp_path / name).mkdir()
    assert refused(read_inputs, tmp_path / name) == ": no such file"


@pytest.mark.parametrize("read", [load_marker_csv, load_feature_csv])
def test_a_csv_reader_says_itself_that_there_is_no_file(tmp_path, read):
    assert refused(read, tmp_path / "none.csv") == ": no such file"


# --------------------------------------------------------------------- frame numbers


def numbered(numbers: list, kind: str) -> str:
    """A table of points or features whose rows have these numbers."""
    header = {"points": "scorer,m,m\nbodyparts,p,p\ncoords,x,y\n", "features": ",a,b\n"}[kind]
    return header + "".join(f"{number},1,2\n" for number in numbers)


BROKEN = {
    "sorted as text": ([0, 1, 10, 11, 2], 2, "2", "10"),
    "reversed": ([3, 2, 1, 0], 1, "4", "2"),
    "twice": ([0, 1, 1, 2], 2, "2", "1"),
    "a gap": ([700, 701, 1202], 2, "702", "1202"),
    "one is missing": ([0, 1, 3], 2, "2", "3"),
    "one has no number": ([0, 1, "", 3], 2, "2", "nothing"),
    "the first has no number": (["", 1, 2], 0, "a number", "nothing"),
    "times": ([0, 0.5, 1], 1, "1", "0.5"),
}


@pytest.mark.parametrize("case", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize(("kind", "n_above"), [("points", 3), ("features", 1)])
def test_frames_that_do_not_count_up_are_named_with_their_line(write, case, kind, n_above):
    numbers, row, expected, found = case
    path = write("s.csv", numbered(numbers, kind))
    wanted = f"frame {expected} in the first column, one more than the line before has"
    if row == 0:
        wanted = "a frame number in the first column, as other lines have"
    assert refused(read_inputs, path) == (
        f", line {row + n_above + 1}: expected {wanted}, found {found}"
    )


@pytest.mark.parametrize("kind", ["points", "features"])
@pytest.mark.parametrize("start", [0, 1, 5, 700])
def test_frames_may_count_from_any_number(write, kind, start):
    path = write("s.csv", numbered(list(range(start, start + 4)), kind))
    assert len(read_inputs(path).values) == 4
    assert first_frame(path) == start


@pytest.mark.parametrize("kind", ["points", "features"])
def test_frames_without_numbers_are_taken_as_they_come(write, kind):
    path = write("s.csv", numbered([""] * 3, kind))
    assert len(read_inputs(path).values) == 3
    assert first_frame(path) is None


def test_a_blank_line_does_not_shift_the_line_that_is_named(write):
    path = write("s.csv", ",a\n\n0,1\n\n2,1\n")
    assert refused(read_inputs, path).startswith(", line 5: expected frame 1 ")


@pytest.mark.parametrize("dress", DRESSES.values(), ids=DRESSES)
@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_the_first_frame_is_found_however_the_table_is_written(write, dress, suffix):
    text = ONE_ANIMAL.replace("\n0,", "\n6,").replace("\n1,", "\n7,").replace("\n2,", "\n8,")
    assert first_frame(write("s" + suffix, dress(text))) == 6


def test_files_that_number_no_frames_have_no_first(tmp_path):
    np.save(tmp_path / "s.npy", np.eye(3))
    write_analysis(tmp_path / "s.h5")
    assert first_frame(tmp_path / "s.npy") is first_frame(tmp_path / "s.h5") is None


@pytest.mark.parametrize("form", ["fixed", "table"])
def test_frames_of_an_h5_file_count_up_too(tmp_path, tracks, form):
    pytest.importorskip("tables")
    path, table = tmp_path / "s.h5", tracks(4)
    table.index += 5
    table.to_hdf(path, key="df", format=form, mode="w")
    assert len(load_marker_h5(path).xs) == 4 and first_frame(path) == 5
    table.iloc[[0, 2, 1, 3]].to_hdf(path, key="df", format=form, mode="w")
    assert refused(load_marker_h5, path) == (
        ", row 1 of the index: expected frame 6, one more than the row before has, found 7"
    )


@pytest.mark.parametrize("form", ["fixed", "table"])
@pytest.mark.parametrize("index", [list("dcba"), pd.date_range("2020-01-01", periods=4)[::-1]])
def test_an_index_of_an_h5_file_that_is_no_number_stays_unread(tmp_path, tracks, form, index):
    pytest.importorskip("tables")
    tracks(4).set_index(pd.Index(index)).to_hdf(tmp_path / "s.h5", key="df", format=form, mode="w")
    assert len(load_marker_h5(tmp_path / "s.h5").xs) == 4
    assert first_frame(tmp_path / "s.h5") is None


# --------------------------------------------------------------------- tracked points: h5


@pytest.mark.parametrize("animals", [(), ("rat1", "rat2")])
@pytest.mark.parametrize("kind", ["float64", "float32", "int64", "mixed"])
@pytest.mark.parametrize("form", ["fixed", "table"])
def test_h5_files_of_pandas_hold_the_same_points(tmp_path, tracks, form, kind, animals):
    pytest.importorskip("tables")
    table = tracks(animals=animals)
    if kind == "mixed":
        table = table.astype({column: "float32" for column in table.columns[::2]})
    else:
        table = table.fillna(0).astype(kind)
    path = tmp_path / "s.h5"
    table.to_hdf(path, key="df_with_missing", format=form, mode="w")
    markers = read_markers(path)
    place = [f"{a}-{p}" if a else p for a in animals or [""] for p in ("nose", "tail")]
    assert sorted(markers.names) == sorted(place)
    order = [markers.names.index(name) for name in place]  # blocks of a type come together
    assert_same_points([values[:, order] for values in markers[:3]], table)


def test_code_in_the_column_names_of_an_h5_file_is_not_run(tmp_path, tracks):
    pytest.importorskip("tables")
    tracks().to_hdf(tmp_path / "s.h5", key="df", format="table", mode="w")
    with h5py.File(tmp_path / "s.h5", "r+") as file:
        file["df/table"].attrs["values_block_0_kind"] = np.bytes_(
            pickle.dumps(_Writes(tmp_path / "ran"), protocol=0)
        )
    assert "not a pickle of plain data" in refused(load_marker_h5, tmp_path / "s.h5")
    assert not (tmp_path / "ran").exists()


class _Writes:
    """Something whose pickle makes a file when it is loaded as pickles usually are."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_an_h5_table_of_plain_columns_is_refused(tmp_path):
    pytest.importorskip("tables")
    frame = pd.DataFrame(np.eye(3), columns=["a", "b", "c"])
    frame.to_hdf(tmp_path / "table.h5", key="df", format="table", mode="w")
    assert refused(load_marker_h5, tmp_path / "table.h5").startswith(
        ": expected columns named (scorer, bodypart, coordinate) or (scorer, individual, "
    )
    frame.to_hdf(tmp_path / "fixed.h5", key="df", format="fixed", mode="w")
    assert refused(load_marker_h5, tmp_path / "fixed.h5").endswith("(analysis), found df")


def test_columns_without_a_scorer_are_shown(tmp_path, tracks):
    pytest.importorskip("tables")
    table = tracks().droplevel("scorer", axis=1)
    for form in ("fixed", "table"):
        table.to_hdf(tmp_path / "s.h5", key="df", format=form, mode="w")
        assert refused(load_marker_h5, tmp_path / "s.h5").endswith("found ('nose', 'x')")


def test_an_h5_file_with_a_compression_that_is_not_known_is_refused(tmp_path, tracks):
    pytest.importorskip("tables")
    path = tmp_path / "s.h5"
    tracks().to_hdf(path, key="df", format="table", mode="w", complib="blosc", complevel=5)
    assert "that h5py can read: " in refused(load_marker_h5, path)


def test_a_file_that_is_no_h5_is_refused(write):
    assert refused(read_inputs, write("s.h5", "text")).startswith(": expected an h5 file: ")


# --------------------------------------------------------------------- tracked points: SLEAP


def write_analysis(path: Path, order: str | None = None, **changes) -> np.ndarray:
    """Write 5 frames of 2 animals with 3 nodes; return the points (frame, track, node, xy)."""
    points = np.random.default_rng(0).uniform(0, 100, (5, 2, 3, 2))
    points[1, 0, 2] = NAN
    names = ("frame", "track", "node", "xy")
    axes = order.split() if order else ["track", "xy", "node", "frame"]
    with h5py.File(path, "w") as file:
        file["tracks"] = points.transpose([names.index(axis) for axis in axes])
        flat = [axis for axis in axes if axis != "xy"]
        scores = points[..., 0] / 100
        file["point_scores"] = scores.transpose([names.index(axis) for axis in flat])
        if order:
            file["tracks"].attrs["dims"] = json.dumps(axes)
            file["point_scores"].attrs["dims"] = json.dumps(flat)
        file["node_names"] = [b"head", b"body", b"tail"]
        file["track_names"] = [b"fly1", b"fly2"]
        for name, value in changes.items():
            if name in file:
                del file[name]
            if value is not None:
                file[name] = value
    return points


@pytest.mark.parametrize("order", [None, "track xy node frame", "frame track node xy"])
@pytest.mark.parametrize("name", ["s.h5", "s.analysis.h5"])
def test_an_analysis_file_of_sleap(tmp_path, name, order):
    points = write_analysis(tmp_path / name, order)
    markers = read_markers(tmp_path / name)
    assert markers.names == [f"fly{i}-{node}" for i in "12" for node in ("head", "body", "tail")]
    np.testing.assert_array_equal(markers.xs, points[..., 0].reshape(5, 6))
    np.testing.assert_array_equal(markers.ys, points[..., 1].reshape(5, 6))
    np.testing.assert_array_equal(markers.likelihoods, points[..., 0].reshape(5, 6) / 100)


def test_a_point_that_was_placed_by_hand_in_sleap_is_sure(tmp_path):
    scores = np.full((2, 3, 5), 0.9)
    scores[0, 1, 2] = np.nan
    points = write_analysis(tmp_path / "s.h5", point_scores=scores)
    assert load_marker_h5(tmp_path / "s.h5").likelihoods[2].tolist() == [0.9, 1, 0.9, 0.9, 0.9, 0.9]
    np.testing.assert_array_equal(
        read_inputs(tmp_path / "s.h5", 0.5).values[:, 1], points[:, 0, 1, 0].astype("f4")
    )


def test_a_lone_animal_of_sleap_is_not_named(tmp_path):
    points = np.ones((1, 2, 3, 5))
    write_analysis(tmp_path / "s.h5", tracks=points, point_scores=None, track_names=[b"track_0"])
    assert load_marker_h5(tmp_path / "s.h5").names == ["head", "body", "tail"]
    assert load_marker_h5(tmp_path / "s.h5").likelihoods.tolist() == np.ones((5, 3)).tolist()


def test_animals_without_names_are_numbered(tmp_path):
    write_analysis(tmp_path / "s.h5", track_names=np.empty(0, "S1"))
    assert load_marker_h5(tmp_path / "s.h5").names[3] == "animal2-head"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tracks": np.ones((2, 3, 2))}, "expected 'tracks' of axes (track xy node frame), found"),
        ({"tracks": np.ones((2, 2, 4, 5))}, "expected 'tracks' of shape (animals, 2, 3, frames)"),
        ({"track_names": [b"a"]}, "expected 2 track names, found 1"),
        ({"track_names": [b"a", b"a"]}, "have the same name: a-body, a-head, a-tail"),
        ({"tracks": np.ones((0, 2, 3, 5)), "point_scores": None}, "found 5 frames, 0 tracks"),
    ],
)
def test_an_analysis_file_that_contradicts_itself_is_refused(tmp_path, changes, said):
    write_analysis(tmp_path / "s.h5", **changes)
    assert said in refused(load_marker_h5, tmp_path / "s.h5")


@pytest.mark.parametrize("name", ["s.h5", "s.slp"])
def test_a_file_that_says_to_hold_more_than_it_can_takes_no_memory(tmp_path, name):
    if name == "s.slp":
        pytest.importorskip("sleap_io")
    with h5py.File(tmp_path / name, "w") as file:
        file.create_dataset("tracks", (1, 2, 1, 10**12), "f8", chunks=(1, 2, 1, 1000))
        file["node_names"] = [b"nose"]
    said = refused(read_inputs, tmp_path / name)
    assert said.endswith(": 'tracks' says to hold 16000000000000 bytes: it is damaged")


TOO_LONG = (2**32 - 1).to_bytes(4, "little")


@pytest.mark.parametrize("leads_nowhere", [False, True])
@pytest.mark.parametrize("chunks", [None, (2,)])
def test_a_text_that_says_to_be_longer_than_the_file_takes_no_memory(
    tmp_path, chunks, leads_nowhere
):
    path = tmp_path / "s.h5"
    write_analysis(path, node_names=None, tracks=np.ones((1, 2, 2, 5)), track_names=[b"a"])
    with h5py.File(path, "a") as file:
        texts = h5py.special_dtype(vlen=bytes)
        names = [b"nose", b"tail"]
        stored = file.create_dataset("node_names", data=names, dtype=texts, chunks=chunks).id
        place = stored.get_offset() if chunks is None else stored.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    assert content[place : place + 4] == (4).to_bytes(4, "little")  # the length of "nose"
    content[place : place + 4] = TOO_LONG
    if leads_nowhere:
        content[place + 4 : place + 12] = bytes(8)
    path.write_bytes(content)
    where = "in 'node_names'" if leads_nowhere else f"at byte {place}"
    said = refused(read_inputs, path)
    assert said.endswith(f": a text {where} says to be 4294967295 long: it is damaged")


def test_an_attribute_that_says_to_be_longer_than_the_file_takes_no_memory(tmp_path):
    path = tmp_path / "s.h5"
    write_analysis(path, order="frame track node xy")
    content = bytearray(path.read_bytes())
    dims = json.dumps(["frame", "track", "node", "xy"])
    place = content.index(len(dims).to_bytes(4, "little"), content.index(b"dims\0"))
    content[place : place + 4] = TOO_LONG
    path.write_bytes(content)
    said = refused(read_inputs, path)
    assert said.endswith(f": a text at byte {place} says to be 4294967295 long: it is damaged")


def test_bytes_that_read_as_the_address_of_texts_are_not_taken_for_one(tmp_path):
    # the collection is at 2048, and within the group's table of names 0, 8, 0, ... stand
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file.create_group("names").attrs["text"] = "nose"
    with open_checked(tmp_path / "s.h5") as file:
        assert file["names"].attrs["text"] == "nose"


def write_anything(file: h5py.File, draw: np.random.Generator) -> None:
    """Groups, attributes, numbers and texts of any length, as other programs may keep them."""
    groups: list[h5py.Group] = [file]
    for i in range(draw.integers(1, 13)):
        group, texts = (
            groups[draw.integers(len(groups))],
            ["x" * n for n in draw.integers(0, 40, 9)],
        )
        kind = draw.integers(6)
        if kind == 0:
            groups.append(group.create_group(f"n{i}"))
        elif kind == 1:
            chunks = (None, (1,), (7,))[draw.integers(3)]
            group.create_dataset(f"n{i}", data=texts, dtype=h5py.string_dtype(), chunks=chunks)
        elif kind == 2:
            group.create_dataset(f"n{i}", data=texts, compression="gzip", chunks=(4,))
        elif kind == 3:
            group.create_dataset(f"n{i}", data=draw.integers(0, 3000, (60, 3)))
        elif kind == 4:
            row = np.dtype([("text", h5py.string_dtype()), ("x", "f8")])
            group.create_dataset(f"n{i}", (3,), dtype=row, maxshape=(None,), chunks=(1024,))
        else:
            group.attrs[f"n{i}"] = (texts[0], texts[:2], 5)[draw.integers(3)]


@pytest.mark.parametrize("seed", range(60))
def test_no_good_h5_file_is_taken_for_a_damaged_one(tmp_path, seed):
    draw = np.random.default_rng(seed)
    version = ("earliest", "v108", "latest")[seed % 3]
    with h5py.File(tmp_path / "s.h5", "w", libver=version) as file:
        write_anything(file, draw)
    with open_checked(tmp_path / "s.h5"):
        pass


#: how the type of texts of any length is written; the second byte tells that they are texts
TEXTS = re.compile(rb"\x19(\x01)..\x10\x00\x00\x00", re.DOTALL)


@pytest.mark.parametrize("where", ["dataset", "attribute", "row"])
def test_a_type_of_any_length_that_is_neither_sequence_nor_text_is_refused(tmp_path, where):
    # libhdf5 calls functions that this type has not, and the process dies
    path = tmp_path / "s.h5"
    texts = h5py.string_dtype()
    with h5py.File(path, "w") as file:
        if where == "dataset":
            file["names"] = ["nose"]
        elif where == "attribute":
            file.create_group("names").attrs.create("names", "nose", dtype=texts)
        else:
            file.create_dataset("names", (1,), np.dtype([("a", "i4"), ("b", texts)]))
    content = bytearray(path.read_bytes())
    content[TEXTS.search(content).start(1)] |= 14
    path.write_bytes(content)
    whose = "'names' of 'names'" if where == "attribute" else "'names'"
    assert refused(read_inputs, path).endswith(f": the type of {whose} is damaged")


def test_a_table_of_more_chunks_than_the_file_can_hold_takes_no_memory(tmp_path):
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file.create_dataset("tracks", (2**20,), "f8", chunks=(1,))
    said = refused(read_inputs, tmp_path / "s.h5")
    assert said.endswith(": 'tracks' says to hold 1048576 chunks: it is damaged")


def sleap_labels(animals: tuple[str, ...], n_videos: int = 1):
    """A project of 4 frames, (frame, track, node, xy and score) as it should be read."""
    sio = pytest.importorskip("sleap_io")
    skeleton = sio.Skeleton(["head", "tail"])
    owners = [sio.Track(name) for name in animals]
    videos = [sio.Video(f"video{i}.mp4") for i in range(n_videos)]
    points = np.random.default_rng(0).uniform(1, 99, (4, len(owners), 2, 3)).astype(np.float32)
    points[..., 2] /= 100
    frames = [
        sio.LabeledFrame(
            video=videos[0],
            frame_idx=frame,
            instances=[
                sio.PredictedInstance.from_numpy(
                    own[:, :2], skeleton=skeleton, point_scores=own[:, 2], track=owner
                )
                for own, owner in zip(points[frame], owners, strict=True)
            ],
        )
        for frame in range(4)
    ]
    return sio.Labels(frames, videos=videos, skeletons=[skeleton], tracks=owners), points


@pytest.mark.parametrize("animals", [("fly",), ("fly1", "fly2")])
@pytest.mark.parametrize("name", ["s.slp", "s.analysis.h5"])
def test_files_that_sleap_io_writes(tmp_path, animals, name):
    sio = pytest.importorskip("sleap_io")
    labels, points = sleap_labels(animals)
    save = sio.save_slp if name.endswith(".slp") else sio.save_analysis_h5
    save(labels, str(tmp_path / name))
    markers = read_markers(tmp_path / name)
    owners = [f"{animal}-" for animal in animals] if len(animals) > 1 else [""]
    assert markers.names == [f"{owner}{node}" for owner in owners for node in ("head", "tail")]
    for i, values in enumerate(markers[:3]):
        np.testing.assert_allclose(values, points[..., i].reshape(4, -1), rtol=1e-6)


def test_a_sleap_project_of_several_videos_is_refused(tmp_path):
    sio = pytest.importorskip("sleap_io")
    sio.save_slp(sleap_labels(("fly",), n_videos=2)[0], str(tmp_path / "s.slp"))
    assert refused(read_inputs, tmp_path / "s.slp") == ": expected one video, found 2"


def test_a_file_that_is_no_sleap_project_is_refused(write):
    pytest.importorskip("sleap_io")
    said = refused(read_inputs, write("s.slp", "text")).splitlines()[0]
    assert said.startswith(": expected a SLEAP project: ")


def test_without_sleap_io_a_project_says_what_to_install(write, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sleap_io", None)
    path = write("s.slp", "text")
    assert refused(read_inputs, path) == (
        ": reading .slp needs sleap-io: pip install 'daart_fast[sleap]'"
    )


# --------------------------------------------------------------------- features


def test_features(write):
    values, names = load_feature_csv(write("s.csv", FEATURES))
    assert names == ["speed", "angle"]
    np.testing.assert_array_equal(values, [[1, 2], [NAN, 4], [5, 6]])


@pytest.mark.parametrize("first", ["", "frame", "Unnamed: 0"])
def test_the_frame_number_may_have_a_name_if_it_counts_up(write, first):
    values, names = load_feature_csv(write("s.csv", first + FEATURES))
    assert names == ["speed", "angle"] and values.shape == (3, 2)


@pytest.mark.parametrize("first", [(0.5, 0.25), (100.78, 101.78), (2, 4), (3, 3), ("", 7)])
def test_a_first_column_of_values_is_a_channel_as_in_daart(write, first):
    path = write("s.csv", "speed,angle\n{},1\n{},1\n".format(*first))
    values, names = load_feature_csv(path)
    assert names == ["speed", "angle"] and values.shape == (2, 2)
    assert first_frame(path) is None


def test_a_channel_that_counts_up_is_not_dropped_silently(write, caplog):
    path = write("s.csv", "count,angle\n5,1\n6,1\n7,1\n")
    _, names = load_feature_csv(path)
    assert names == ["angle"] and first_frame(path) == 5
    assert "the first column 'count' counts up by one, so it is taken for" in caplog.text


def test_a_first_channel_that_grows_is_named(write, caplog):
    _, names = load_feature_csv(write("s.csv", "time,angle\n0,1\n0.04,1\n0.08,1\n"))
    assert names == ["time", "angle"]
    assert "the first column 'time' grows from row to row, and is a channel" in caplog.text


@pytest.mark.parametrize("name", ["", "frame"])
def test_frame_numbers_that_skip_are_an_error(write, name):
    path = write("s.csv", f"{name},angle\n0,1\n2,1\n4,1\n")
    assert "line 3: expected frame 1 in the first column" in refused(load_feature_csv, path)


def test_features_that_pandas_numbered_are_read(write):
    path = write("s.csv", pd.DataFrame(np.eye(3)).to_csv())
    values, names = load_feature_csv(path)
    assert names == ["0", "1", "2"]
    np.testing.assert_array_equal(values, np.eye(3))


@pytest.mark.parametrize("text", ["0,1,2\n1,3,4\n2,5,6\n", ",1.5,2\n,3,4\n"])
def test_features_without_a_header_row_are_refused(write, text):
    said = refused(load_feature_csv, write("s.csv", text))
    assert said.startswith(": expected a header row of names above the numbers, found ")


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (",a,b,a", ": columns named twice: a"),
        (",a,,b", ": column 3 has no name"),
        (",,,", ": column 2 has no name"),
    ],
)
def test_names_must_be_there_and_differ(write, header, said):
    assert refused(load_feature_csv, write("s.csv", header + "\n0,1,2,3\n")) == said


def test_a_frame_number_alone_is_not_enough(write):
    path = write("s.csv", "frame\n0\n1\n")
    assert refused(load_feature_csv, path) == (
        ": expected columns after the frame number, found none"
    )


# --------------------------------------------------------------------- npy


@pytest.mark.parametrize("kind", ["float64", "float32", "float16", "int64", "uint8", "bool"])
def test_npy_of_any_numbers(tmp_path, kind):
    values = np.arange(6).reshape(3, 2).astype(kind)
    np.save(tmp_path / "s.npy", values)
    inputs = read_inputs(tmp_path / "s.npy")
    assert inputs.names == ["channel_0", "channel_1"]
    assert inputs.values.dtype == np.float32 and inputs.values.flags.c_contiguous
    np.testing.assert_array_equal(inputs.values, values)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.ones(5), "found float64 of shape (5,)"),
        (np.ones((0, 5)), "found float64 of shape (0, 5)"),
        (np.ones((5, 2), complex), "found complex128 of shape (5, 2)"),
        (np.full((5, 2), "a"), "found <U1 of shape (5, 2)"),
        (np.array([[1.0, np.inf]]), "expected a finite number, found inf"),
    ],
)
def test_npy_of_anything_else_is_refused(tmp_path, values, said):
    np.save(tmp_path / "s.npy", values)
    assert said in refused(read_inputs, tmp_path / "s.npy")


@pytest.mark.parametrize("harm", [lambda b: b[:60], lambda b: b.replace(b"'shape'", b"'shape ")])
def test_a_broken_npy_is_refused(tmp_path, harm):
    np.save(tmp_path / "s.npy", np.eye(3))
    (tmp_path / "s.npy").write_bytes(harm((tmp_path / "s.npy").read_bytes()))
    assert "expected a .npy file of numbers: " in refused(read_inputs, tmp_path / "s.npy")


def test_npy_is_not_unpickled(tmp_path):
    np.save(tmp_path / "s.npy", np.array([[{}]]), allow_pickle=True)
    assert "expected a .npy file of numbers" in refused(read_inputs, tmp_path / "s.npy")


# --------------------------------------------------------------------- any of them


def test_points_come_as_all_x_then_all_y(write):
    inputs = read_inputs(write("s.csv", ONE_ANIMAL))
    assert inputs.names == ["nose_x", "tail_x", "nose_y", "tail_y"]
    np.testing.assert_array_equal(inputs.values[0], [1, 3, 2, 4])


def test_the_content_of_a_csv_says_what_it_is(write):
    assert read_inputs(write("markers/s.csv", FEATURES)).names == ["speed", "angle"]


def test_an_unknown_ending_is_shown(write):
    assert refused(read_inputs, write("s.mat", "text")) == (
        ": expected a file of inputs (.csv, .csv.gz, .h5, .analysis.h5, .npy, .slp), found '.mat'"
    )


def test_points_less_likely_than_the_threshold_are_missing(write):
    path = write("s.csv", ONE_ANIMAL)
    assert read_inputs(path, 0.6).values[:, 1].tolist() == [3, 5, 5]  # held at the end
    assert read_inputs(path, 0.5).values[:, 1].tolist() == [3, 5, -9]  # 0.5 itself will do
    assert read_inputs(path, 0.85).values[:, 1].tolist() == [5, 5, 5]


def test_a_point_without_a_likelihood_is_unsure_where_there_is_a_threshold(write):
    path = write("s.csv", ONE_ANIMAL.replace(",0.5\n", ",\n"))
    assert read_inputs(path, 0.1).values[:, 1].tolist() == [3, 5, 5]  # held at the end
    assert read_inputs(path).values[:, 1].tolist() == [3, 5, -9]


def test_a_threshold_that_leaves_nothing_names_the_channel(write):
    path = write("s.csv", ONE_ANIMAL.replace(",1\n", ",0.9\n"))
    assert refused(read_inputs, path, 0.95) == (
        ": channel 'tail_x' has no value at all (likelihood_threshold is 0.95)"
    )


# --------------------------------------------------------------------- gaps


def test_failure_07_a_missing_value_costs_that_value_alone(write):
    inputs = read_inputs(write("s.csv", FEATURES))
    np.testing.assert_array_equal(inputs.values, [[1, 2], [3, 4], [5, 6]])


def test_failure_07_whole_numbers_are_read_as_floats(write):
    path = write("s.csv", ",a\n0,1\n1,2\n2,3\n")
    assert read_inputs(path).values.dtype == np.float32


def test_gaps_are_bridged_by_a_straight_line_and_held_at_the_ends():
    values = np.array([[NAN, 1], [NAN, NAN], [2, NAN], [NAN, 4], [4, NAN], [NAN, NAN]])
    filled = fill_gaps(values, ["a", "b"], "file")
    np.testing.assert_array_equal(filled.T, [[2, 2, 2, 3, 4, 4], [1, 2, 3, 4, 4, 4]])
    assert filled.dtype == np.float32 and filled.flags.c_contiguous
    assert np.isnan(values[0, 0])  # what was given stays as it was


def test_gaps_may_hold_the_last_value():
    values = np.array([[NAN, 1], [NAN, NAN], [2, 1e18], [NAN, 4], [4, NAN], [NAN, NAN]])
    filled = fill_gaps(values, ["a", "b"], "file", "hold")
    np.testing.assert_array_equal(filled.T, [[NAN, NAN, 2, 2, 4, 4], [1, 1, 1, 4, 4, 4]])
    assert filled.dtype == np.float32 and filled.flags.c_contiguous


@pytest.mark.parametrize("gaps", ["interpolate", "hold"])
def test_values_without_a_gap_stay_as_they_are(gaps):
    values = np.random.default_rng(0).normal(size=(20, 3))
    np.testing.assert_array_equal(fill_gaps(values, list("abc"), "file", gaps), values.astype("f4"))


def test_a_channel_with_no_value_at_all_is_named(write):
    path = write("s.csv", ",speed,angle\n0,1,\n1,2,\n")
    for read in (read_inputs, hold_inputs):
        assert refused(read, path) == ": channel 'angle' has no value at all"


def test_a_number_that_float32_cannot_hold_is_shown(write):
    path = write("s.csv", ",speed,angle\n0,1,2\n1,3,-1e39\n")
    assert refused(read_inputs, path) == (
        ", frame 1, channel 'angle': -1e+39 is too large a number"
    )


def test_an_npy_header_that_says_to_be_longer_than_its_file_takes_no_memory(write):
    said = refused(read_inputs, write("s.npy", b"\x93NUMPY\x02\x00" + b"\xff" * 4 + b"{}"))
    assert said.endswith("numbers: its header says to be 4294967295 bytes long")
