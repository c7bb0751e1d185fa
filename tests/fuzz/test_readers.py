"""Whatever a file holds, a reader gives right data or the documented error with the file's name.

A few changes of each good file are tried here, and what has broken a reader before; ``guided.py``
tries more.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from targets import CONFIG, TARGETS, Target, check

from daart_fast.errors import ConfigError
from daart_fast.experiment.folders import get_expt_dir
from daart_fast.experiment.stored import load_plain_yaml

CASES = sorted((Path(__file__).parent / "cases").glob("*/*"))

PIECES = [
    b"",
    b",",
    b"\n",
    b'"',
    b"nan",
    b"inf",
    b"1e999",
    b"-1",
    b"\0",
    b"\xff",
    b": ",
    b"[",
    b"&a",
]
#: what to put where, and how many bytes it takes the place of
CHANGES = st.lists(
    st.tuples(
        st.integers(0, 10_000),
        st.integers(0, 8),
        st.one_of(st.binary(max_size=8), st.sampled_from(PIECES)),
    ),
    min_size=1,
    max_size=5,
)


def changed(data: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    """Return data with a few bytes taken out and others put in."""
    for place, n_bytes, piece in changes:
        place %= len(data) + 1
        data = data[:place] + piece + data[place + n_bytes :]
    return data


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file that is read goes: in a folder of its own, as that of an experiment is."""
    folder = tmp_path / "results" / "multi-0"
    folder.mkdir(parents=True)
    return folder


def seeds_of(name: str, folder: Path) -> tuple[Target, list[bytes]]:
    if name == "slp":
        pytest.importorskip("sleap_io")
    (folder / "seeds").mkdir()
    return TARGETS[name], list(TARGETS[name].seeds(folder / "seeds"))


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_the_files_that_are_changed_are_good_ones(name: str, path: Path, tmp_path: Path) -> None:
    target, seeds = seeds_of(name, tmp_path)
    assert all(check(target, path / target.file, seed) for seed in seeds)


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_a_reader_is_right_or_says_which_file_it_cannot_read(
    name: str, path: Path, tmp_path: Path
) -> None:
    target, seeds = seeds_of(name, tmp_path)

    @settings(max_examples=20, deadline=None, database=None, derandomize=True)
    @given(st.sampled_from(seeds), CHANGES)
    def holds(seed: bytes, changes: list[tuple[int, int, bytes]]) -> None:
        check(target, path / target.file, changed(seed, changes))

    holds()


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parent.name}-{case.stem}")
def test_what_once_broke_a_reader(case: Path, path: Path) -> None:
    target = TARGETS[case.parent.name]
    if case.parent.name == "slp":
        pytest.importorskip("sleap_io")
    check(target, path / target.file, case.read_bytes())


@pytest.mark.slow
@settings(max_examples=200, deadline=None, database=None, derandomize=True)
@given(CHANGES)
def test_stored_yaml_is_read_or_refused(changes: list[tuple[int, int, bytes]]) -> None:
    text = changed(CONFIG.encode() + b"x: !!python/tuple [1, 2]\n", changes)
    with contextlib.suppress(ValueError):
        load_plain_yaml(text.decode("latin1"))


ABOVE = st.sampled_from(["..", "../x", "/x", "a/../../x", "\\x", "a\0b", "C:x", ".", "", "a/b"])


@pytest.mark.slow
@settings(
    max_examples=100,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.one_of(ABOVE, st.text(max_size=12)))
def test_no_session_id_leads_out_of_the_results_folder(tmp_path: Path, name: str) -> None:
    try:
        folder = Path(get_expt_dir(tmp_path / "results", [name]))
    except ConfigError:
        return
    assert folder.resolve().parent == (tmp_path / "results").resolve()
