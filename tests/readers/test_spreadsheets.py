"""Tables as spreadsheets and other programs leave them are read, or the error says what to do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from daart_fast.data.sessions import session_ids
from daart_fast.errors import DataError
from daart_fast.project.checkup import examine
from daart_fast.readers.inputs import first_frame, read_inputs
from daart_fast.readers.labels import read_labels

TRACKS = """scorer,s,s,s
bodyparts,nose,nose,nose
coords,x,y,likelihood
5,1.5,2.25,0.9
6,3.5,4.25,0.8
"""
LABELS = ",background,walk\n0,1,0\n1,0,1\n"


def european(text: str) -> str:
    """The same table as Excel writes it where numbers have decimal commas."""
    return text.replace(",", ";").replace(".", ",")


def tabbed(text: str) -> str:
    return text.replace(",", "\t")


DRESSES = {
    "semicolons": lambda text: european(text).encode(),
    "semicolons and a mark": lambda text: european(text).encode("utf-8-sig"),
    "tabs": lambda text: tabbed(text).encode(),
    "Unicode text of Excel": lambda text: tabbed(text).replace("\n", "\r\n").encode("utf-16"),
    "Unicode text, big-endian": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "empty columns at the end": lambda text: text.replace("\n", ",,\n").encode(),
    "empty rows at the end": lambda text: (text + ",,,\n,,,\n").encode(),
}


@pytest.mark.parametrize("dress", DRESSES)
def test_tracks_are_read_as_they_were_saved(tmp_path, dress):
    path = tmp_path / "s.csv"
    path.write_bytes(DRESSES[dress](TRACKS))
    values, names = read_inputs(path)
    assert names == ["nose_x", "nose_y"] and first_frame(path) == 5
    np.testing.assert_array_equal(values, [[1.5, 2.25], [3.5, 4.25]])


@pytest.mark.parametrize("dress", DRESSES)
def test_features_and_labels_are_read_as_they_were_saved(tmp_path, dress):
    (tmp_path / "f.csv").write_bytes(DRESSES[dress]("frame,a,b,c\n0,1.5,2,3\n1,2.5,3,4\n"))
    values, names = read_inputs(tmp_path / "f.csv")
    assert names == ["a", "b", "c"] and values[:, 0].tolist() == [1.5, 2.5]
    if dress != "empty rows at the end":  # whose cells are as many as the tracks have
        (tmp_path / "l.csv").write_bytes(DRESSES[dress](LABELS))
        labels, classes = read_labels(tmp_path / "l.csv")
        assert classes == ["background", "walk"] and labels.tolist() == [0, 1]


def test_another_encoding_is_named_with_the_remedy(tmp_path):
    path = tmp_path / "s.csv"
    path.write_bytes(TRACKS.replace("nose", "Nase \u00f6").encode("latin-1"))
    with pytest.raises(DataError, match="found the byte 0xf6 at position .*save the file as UTF-8"):
        read_inputs(path)


def test_a_file_that_is_cut_within_a_character_is_refused(tmp_path):
    path = tmp_path / "s.csv"
    path.write_bytes(TRACKS.encode("utf-16")[:-1])
    with pytest.raises(DataError, match="expected a csv file in UTF-8"):
        read_inputs(path)


def test_a_column_with_numbers_and_no_name_is_an_error(tmp_path: Path):
    path = tmp_path / "f.csv"
    path.write_text("frame,a,\n0,1,7\n1,2,8\n")
    with pytest.raises(DataError, match="column 3 has no name"):
        read_inputs(path)


@pytest.mark.parametrize("line", ["sep=;", '"sep=;"', "SEP=;;;;"])
def test_the_line_that_names_the_separator_is_no_header(tmp_path, line):
    path = tmp_path / "s.csv"
    path.write_text(f"{line}\n{european(TRACKS)}")
    values, names = read_inputs(path)
    assert names == ["nose_x", "nose_y"] and first_frame(path) == 5
    np.testing.assert_array_equal(values, [[1.5, 2.25], [3.5, 4.25]])
    path.write_text(path.read_text() + "7;1;x;1\n")
    with pytest.raises(DataError, match="line 7, column 3"):
        read_inputs(path)


def test_a_line_may_name_the_comma_too(tmp_path):
    (tmp_path / "f.csv").write_text("sep=,\nframe,a,b\n0,1.5,2\n1,2.5,3\n")
    assert read_inputs(tmp_path / "f.csv").values.tolist() == [[1.5, 2], [2.5, 3]]


def test_decimal_commas_among_commas_are_named_with_the_remedy(tmp_path):
    path = tmp_path / "s.csv"
    path.write_text(TRACKS.replace("3.5", '"3,5"'))
    with pytest.raises(DataError, match="found '3,5', with a decimal comma; save the file with"):
        read_inputs(path)


@pytest.mark.parametrize("header", [[0, 1, 2], 0])
def test_tracks_with_two_indices_name_pandas_and_the_remedy(tmp_path, header):
    path = tmp_path / "s.csv"
    path.write_text(TRACKS)
    pd.read_csv(path, header=header).to_csv(path)  # as a row number, beside that of the frame
    with pytest.raises(DataError, match="before 'scorer' is a row number that pandas added"):
        read_inputs(path)


def test_counters_of_pandas_are_neither_channels_nor_classes(tmp_path, caplog):
    path = tmp_path / "f.csv"
    path.write_text("frame,speed,index\n5,1.5,3\n6,2.5,1\n")  # this index does not count
    pd.read_csv(path).to_csv(path)
    pd.read_csv(path).to_csv(path)
    assert path.read_text().startswith(",Unnamed: 0,frame,speed,index")
    values, names = read_inputs(path)
    assert names == ["speed", "index"] and values.tolist() == [[1.5, 3], [2.5, 1]]
    assert "number the rows, and so are left out: 'Unnamed: 0', 'frame'" in caplog.text
    path.write_text(LABELS)
    pd.read_csv(path).to_csv(path)
    labels, classes = read_labels(path)
    assert classes == ["background", "walk"] and labels.tolist() == [0, 1]


def test_workbooks_of_tracks_are_refused_with_the_remedy(tmp_path):
    (tmp_path / "markers").mkdir()
    path = tmp_path / "markers" / "s.xlsx"
    pd.DataFrame({"x": [1.5]}).to_excel(path)
    with pytest.raises(DataError, match=r"found '.xlsx'; save it as csv \(in Excel: Save As"):
        read_inputs(path)
    for look in (examine, lambda folder: session_ids({"data_dir": str(folder)})):
        with pytest.raises(DataError, match=r"workbooks \(s.xlsx\): save each as csv"):
            look(tmp_path)
