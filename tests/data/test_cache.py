"""What was read once is mapped the next time, and never taken for something else."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daart_fast.data import Session, clear_cache
from daart_fast.data.cache import Cached, cache_folder, cached
from daart_fast.data.sessions import read_session
from daart_fast.errors import DataError
from daart_fast.features import reader_of
from daart_fast.files import replacing

HEADER = ",a,b"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_features(tmp_path / "s.csv", 7)


def write_features(path: Path, n_frames: int, seed: int = 0) -> Path:
    values = np.random.default_rng(seed).standard_normal((n_frames, 2))
    rows = [HEADER, *(f"{i},{x:.6f},{y:.6f}" for i, (x, y) in enumerate(values))]
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def read(source: Path, folder: Path) -> Callable[..., Session]:
    """A function that reads the session through the cache."""

    def start(**settings: Any) -> Session:
        return read_session("s", {"markers": source}, cache=folder, **settings)

    return start


def is_mapped(session: Session) -> bool:
    return isinstance(session.inputs, np.memmap)


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.npy"))


def forbid_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> None:
        raise AssertionError("the file was read again")

    monkeypatch.setattr("daart_fast.readers.feature_tables.load_feature_csv", fail)


# ------------------------------------------------------------------------------ what is kept


def test_the_second_start_maps_what_the_first_has_read(read, monkeypatch):
    first = read()
    forbid_reading(monkeypatch)
    second = read()
    assert is_mapped(second)
    np.testing.assert_array_equal(first.inputs, second.inputs)
    np.testing.assert_array_equal(first.mean, second.mean)
    np.testing.assert_array_equal(first.std, second.std)
    assert first.input_names == second.input_names == ["a", "b"]


def test_what_is_kept_is_what_would_be_read_without_a_cache(read, source):
    read()
    kept, plain = read(), read_session("s", {"markers": source})
    np.testing.assert_array_equal(kept.inputs, plain.inputs)
    np.testing.assert_array_equal(kept.mean, plain.mean)
    np.testing.assert_array_equal(kept.normalised_inputs(), plain.normalised_inputs())
    assert not is_mapped(plain)


def test_labels_are_kept_too(source, folder, tmp_path):
    labels = tmp_path / "labels.csv"
    labels.write_text(",background,rest\n" + "".join(f"{i},0,1\n" for i in range(7)))
    paths = {"markers": source, "labels_strong": labels}
    for _ in range(2):
        session = read_session("s", paths, cache=folder)
        assert session.labels_strong.tolist() == [1] * 7
        assert session.label_names == ["background", "rest"]
    assert isinstance(session.labels_strong, np.memmap)
    multibinary = read_session("s", paths, classifier_type="multibinary", cache=folder)
    assert multibinary.labels_strong.shape == (7, 2)


def test_another_way_of_reading_is_another_entry(read, folder):
    read()
    read(likelihood_threshold=0.5)
    read(read=reader_of({"gaps": "hold"}))
    assert len(entries(folder)) == 3


# ------------------------------------------------------------------------------ what changed


def test_a_source_that_changed_is_read_anew_and_its_old_entry_goes(read, source, folder):
    old = read()
    before = entries(folder)
    write_features(source, 9, seed=1)
    new = read()
    assert len(new) == 9 and is_mapped(read())
    assert len(old.inputs) == 7 and np.isfinite(old.inputs).all()  # who has it mapped keeps it
    assert len(entries(folder)) == 1 and entries(folder) != before


def test_a_source_of_the_same_size_but_another_time_is_read_anew(read, source):
    read()
    text = source.read_text()
    source.write_text(text.replace("0.", "1."))
    os.utime(source, ns=(1, 1))
    assert read().inputs.max() > 1.0


def swap_in(source: Path, other: Path) -> None:
    """Put another file in its place with the same size and time, as mv and unzip do."""
    before = source.stat()
    assert other.stat().st_size == before.st_size
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.replace(other, source)


def test_a_source_that_another_of_its_size_and_time_took_the_place_of_is_read_anew(
    read, source, tmp_path
):
    read()
    other = tmp_path / "other.csv"
    other.write_text(source.read_text().replace("0.", "9."))
    swap_in(source, other)
    assert read().inputs.max() > 9.0


def test_a_source_written_over_and_given_its_old_time_is_read_anew(read, source):
    read()
    before = source.stat()
    time.sleep(0.02)  # a clock of files may tick a hundred times a second
    source.write_text(source.read_text().replace("0.", "9."))
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert read().inputs.max() > 9.0


@pytest.mark.skipif(os.name == "nt", reason="Windows users may not make links")
def test_a_link_that_leads_to_another_file_is_read_anew(source, folder, tmp_path):
    other = tmp_path / "other.csv"
    other.write_text(source.read_text().replace("0.", "9."))
    time_of = source.stat()
    os.utime(other, ns=(time_of.st_atime_ns, time_of.st_mtime_ns))
    link = tmp_path / "link.csv"
    link.symlink_to(source)
    first = read_session("s", {"markers": link}, cache=folder)
    link.unlink()
    link.symlink_to(other)
    second = read_session("s", {"markers": link}, cache=folder)
    assert first.inputs.max() < 9.0 < second.inputs.max()


def test_a_source_that_nobody_touched_is_the_same_however_often_it_is_asked_for(read, folder):
    read()
    before = entries(folder)
    read()
    assert entries(folder) == before


def test_a_source_that_changes_while_it_is_read_is_not_kept(source, folder):
    def make() -> Cached:
        os.utime(source, ns=(1, 1))
        return Cached(np.arange(3), {})

    cached(source, {}, make, folder)
    assert entries(folder) == [] if folder.exists() else True


def test_a_file_that_cannot_be_read_leaves_no_entry(read, source, folder):
    source.write_text(HEADER + "\n0,1,x\n")
    for _ in range(2):
        with pytest.raises(DataError, match="expected a number, found 'x'"):
            read()
    assert not folder.exists() or entries(folder) == []


# ------------------------------------------------------------------------------ damage


@pytest.mark.parametrize("suffix", [".npy", ".json"])
@pytest.mark.parametrize("damage", [b"", b"nonsense", None])
def test_a_damaged_entry_is_made_anew_with_a_warning(read, folder, caplog, suffix, damage):
    expected = np.array(read().inputs)
    (path,) = folder.glob(f"*{suffix}")
    path.write_bytes(path.read_bytes()[:-20] if damage is None else damage)
    again = read()
    np.testing.assert_array_equal(again.inputs, expected)
    assert "a damaged file of the cache is made again" in caplog.text
    caplog.clear()
    assert is_mapped(read()) and not caplog.records


def test_half_an_entry_is_no_entry(read, folder):
    expected = np.array(read().inputs)
    next(folder.glob("*.npy")).unlink()  # as when the cache is cleared at this moment
    np.testing.assert_array_equal(read().inputs, expected)
    assert is_mapped(read())


def test_a_cache_that_cannot_be_written_is_told_of_and_does_no_harm(source, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    session = read_session("s", {"markers": source}, cache=tmp_path / "file" / "cache")
    assert len(session) == 7
    assert "cannot be kept for the next start" in caplog.text


# ------------------------------------------------------------------------------ several processes

WRITER = """
import sys, numpy as np
from pathlib import Path
from daart_fast.data.sessions import read_session
print("ready", flush=True)
sys.stdin.readline()
for _ in range(30):
    session = read_session("s", {"markers": Path(sys.argv[1])}, cache=Path(sys.argv[2]))
    assert session.inputs.shape == (7, 2) and np.isfinite(session.inputs).all()
    for path in Path(sys.argv[2]).glob("*.npy"):
        path.unlink(missing_ok=True)  # so that there is always something to write
print("done", flush=True)
"""


@pytest.mark.slow
def test_processes_that_write_at_once_do_not_disturb_each_other(source, folder, tmp_path):
    command = [sys.executable, "-c", WRITER, str(source), str(folder)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    runs = [subprocess.Popen(command, text=True, cwd=tmp_path, **pipes) for _ in range(3)]
    for run in runs:
        assert run.stdout.readline() == "ready\n"
    for run in runs:
        run.stdin.write("\n")
        run.stdin.flush()
    for run in runs:
        out, err = run.communicate(timeout=60)
        assert out == "done\n", err


def test_who_is_done_first_leaves_the_half_written_file_of_another(
    source, folder, monkeypatch, caplog
):
    """Workers of a search start on one data set together: each is to map it, not to hold it."""
    save = np.save

    def another_is_done_first(path: Path, values: np.ndarray) -> None:
        save(path, values)
        monkeypatch.setattr(np, "save", save)
        assert isinstance(read().values, np.memmap)

    def read() -> Cached:
        return cached(source, {}, lambda: Cached(np.arange(3), {}), folder)

    monkeypatch.setattr(np, "save", another_is_done_first)
    assert isinstance(read().values, np.memmap)
    assert not caplog.records
    assert len(list(folder.iterdir())) == 2


# ------------------------------------------------------------------------------ the folder


def test_clearing_removes_entries_and_nothing_else(read, folder):
    session = read()
    mine = {"notes-of-mine.npy", ".my-own-notes.json", ".a-b-c.123.json", "a-b-c.json"}
    for name in mine:
        (folder / name).write_text("")
    assert clear_cache(folder) > session.inputs.nbytes
    assert {path.name for path in folder.iterdir()} == mine
    assert np.isfinite(session.inputs).all()  # what is mapped stays
    assert clear_cache(folder) == 0


def test_clearing_removes_what_a_killed_process_left_half_written(read, source, folder):
    read()
    for path in list(folder.iterdir()):
        with replacing(path) as temporary:
            left = temporary
            temporary.write_text("half")
            kept = temporary.read_text()
        left.write_text(kept)  # as if it had been killed before the name was changed
    assert len(list(folder.iterdir())) == 4
    clear_cache(folder)
    assert list(folder.iterdir()) == []


def test_clearing_does_not_mind_files_that_go_meanwhile(read, folder, monkeypatch):
    read()
    stat = Path.stat

    def gone(path: Path, **arguments: Any) -> os.stat_result:
        if path.parent == folder:
            path.unlink(missing_ok=True)
        return stat(path, **arguments)

    monkeypatch.setattr(Path, "stat", gone)
    assert clear_cache(folder) == 0


def test_the_folder_is_the_configs_or_the_environments_or_the_users(monkeypatch, tmp_path):
    assert cache_folder(tmp_path) == tmp_path
    assert cache_folder("off") is None
    monkeypatch.setenv("DAART_FAST_CACHE_DIR", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    monkeypatch.delenv("DAART_FAST_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder().name == "daart_fast"


def test_reading_says_nothing_when_all_is_well(read, caplog):
    with caplog.at_level(logging.INFO):
        read()
        read()
    assert not caplog.records
