"""What convert-labels decided is kept beside the labels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from daart_fast.errors import DataError
from daart_fast.readers.label_record import (
    LABEL_RECORD,
    LabelFile,
    LabelRecord,
    read_label_record,
    write_label_record,
)


def label_file(fps: float | None = 30.0, between_bouts: str | None = "other") -> LabelFile:
    return LabelFile("boris/m1.csv", "boris", fps, 900, between_bouts)


def write(folder: Path, **files: LabelFile) -> None:
    """Write files of labels, whatever they hold, and the record of them."""
    for name in files:
        (folder / f"{name}.csv").write_text("")
    write_label_record(folder, {f"{name}.csv": file for name, file in files.items()})


def test_what_is_written_is_read(tmp_path):
    write(tmp_path, m1=label_file())
    assert read_label_record(tmp_path) == LabelRecord(tmp_path, {"m1.csv": label_file()})
    content = json.loads((tmp_path / LABEL_RECORD).read_text())
    assert content["written_by"] == "daart-fast convert-labels"
    assert content["between_bouts"] == "other" and content["files"]["m1.csv"]["fps"] == 30


def test_a_second_conversion_adds_to_the_first(tmp_path):
    write(tmp_path, m1=label_file(), m2=label_file())
    (tmp_path / "m2.csv").unlink()
    write(tmp_path, m1=label_file(25), m3=label_file(25, None))
    record = read_label_record(tmp_path)
    assert {name: file.fps for name, file in record.files.items()} == {"m1.csv": 25, "m3.csv": 25}
    assert record.between_bouts is None  # as they differ


def test_a_folder_without_a_record_has_none(tmp_path):
    assert read_label_record(tmp_path) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"files": {"m1.csv": {"fps": 30}}}', "\0"])
def test_what_is_no_record_is_named(tmp_path, text):
    (tmp_path / LABEL_RECORD).write_text(text)
    with pytest.raises(DataError, match="conversion.json: expected the record that convert-labels"):
        read_label_record(tmp_path)


def test_the_frame_rate_is_that_of_all_files_that_held_times(tmp_path):
    files = {"m1.csv": label_file(30), "m2.csv": label_file(None)}
    assert LabelRecord(tmp_path, files).fps() == 30
    assert LabelRecord(tmp_path, {"m2.csv": label_file(None)}).fps() is None


def test_two_frame_rates_are_an_error_that_names_both(tmp_path):
    record = LabelRecord(tmp_path, {"m1.csv": label_file(30), "m2.csv": label_file(25)})
    with pytest.raises(
        DataError, match="found 30 for m1.csv and 25 for m2.csv; train the sessions"
    ):
        record.fps()
