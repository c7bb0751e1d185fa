"""Files are written whole or not at all."""

from __future__ import annotations

import errno
import os
import stat

import numpy as np
import pytest

from daart_fast.errors import OutputError, did_you_mean
from daart_fast.files import replacing


def test_the_folder_is_made_and_the_file_appears_at_the_end(tmp_path):
    path = tmp_path / "a" / "b" / "file.txt"
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert not path.exists() and temporary.parent == path.parent
    assert path.read_text() == "new" and os.listdir(path.parent) == ["file.txt"]


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with replacing(str(path)) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_a_write_that_fails_changes_nothing(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["file.txt"]


def test_a_block_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "file.txt"):
        pass


def test_a_file_that_cannot_be_written_is_named_without_its_hidden_name(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "a" / "report.html", tmp_path / "folder"):
        with pytest.raises(OutputError) as raised, replacing(path) as temporary:
            temporary.write_text("text")
        assert str(raised.value).startswith(f"{path}: cannot be written: ")
        assert temporary_names(str(raised.value)) == []
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_a_folder_that_may_only_be_read_is_named(tmp_path):
    (tmp_path / "ro").mkdir(mode=0o500)
    if os.access(tmp_path / "ro", os.W_OK):
        pytest.skip("this user may write everywhere")
    with pytest.raises(OutputError) as raised, replacing(tmp_path / "ro" / "a.txt") as temporary:
        temporary.write_text("text")
    assert str(raised.value) == f"{tmp_path / 'ro/a.txt'}: cannot be written: permission denied"


def test_what_the_system_refuses_of_a_file_that_is_read_is_no_error_of_the_one_written(tmp_path):
    refused = PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "input.csv"))
    with pytest.raises(PermissionError) as raised, replacing(tmp_path / "file.txt"):
        raise refused
    assert raised.value is refused


def test_a_full_disk_is_an_error_of_the_file_that_is_written(tmp_path):
    path = tmp_path / "file.txt"
    with pytest.raises(OutputError) as raised, replacing(path) as temporary:
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert str(raised.value) == f"{path}: cannot be written: no space left on device"
    assert os.listdir(tmp_path) == []


def temporary_names(text: str) -> list[str]:
    return [part for part in text.replace(":", "/").split("/") if part.startswith(".")]


def test_writers_of_the_same_file_do_not_meet(tmp_path):
    path = tmp_path / "file.txt"
    with replacing(path) as first, replacing(path) as second:
        first.write_text("first")
        second.write_text("second")
        assert first != second
    assert path.read_text() == "first"  # which ended last
    assert os.listdir(tmp_path) == ["file.txt"]


def test_the_ending_is_kept_for_those_who_look_at_it(tmp_path):
    with replacing(tmp_path / "a.npy") as temporary:
        np.save(temporary, np.arange(3))  # which adds .npy where it is missing
    assert np.load(tmp_path / "a.npy").tolist() == [0, 1, 2]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_others_may_read_what_they_may_read_of_any_new_file(tmp_path):
    (tmp_path / "plain").write_text("")
    with replacing(tmp_path / "file") as temporary:
        temporary.write_text("")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "file")}
    assert len(modes) == 1


def test_the_nearest_spelling_is_offered_where_one_is_near():
    assert did_you_mean("dtnc", ["lstm", "dtcn"]) == " (did you mean 'dtcn'?)"
    assert did_you_mean("transformer", ["lstm", "dtcn"]) == ""
    assert did_you_mean("anything", []) == ""
