"""Whatever a file holds, a reader gives right data or the documented error with the file's name."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daart_fast.config import load_config
from daart_fast.data.labels import read_labels
from daart_fast.data.readers import read_inputs
from daart_fast.errors import ConfigError, DataError
from daart_fast.io import get_expt_dir, load_plain_yaml

MARKERS = "scorer,m,m,m\nbodyparts,nose,nose,nose\ncoords,x,y,likelihood\n0,1,2,1\n1,3,4,0.5\n"
FEATURES = ",speed,angle\n0,1.5,2\n1,,4\n2,5,6\n"
LABELS = ",background,walk\n0,1,0\n1,0,1\n2,1,0\n"
CONFIG = "expt_ids: [a, b]\ndata_dir: data\nresults_dir: results\nlearning_rate: 1e-4\n"


def _sleap(path: Path) -> bytes:
    with h5py.File(path, "w") as file:
        file["tracks"] = np.arange(12.0).reshape(1, 2, 2, 3)
        file["node_names"] = [b"nose", b"tail"]
        file["track_names"] = [b"mouse"]
    return path.read_bytes()


def _npy(path: Path) -> bytes:
    np.save(path, np.arange(6.0).reshape(3, 2))
    return path.read_bytes()


def _pickle(path: Path) -> bytes:
    return pickle.dumps({"states": np.array([0, 1, 1]), "state_labels": ["rest", "walk"]})


def _text(text: str) -> Callable[[Path], bytes]:
    return lambda path: text.encode()


SEEDS: dict[str, tuple[str, Callable[[Path], bytes], Callable[[Path], Any]]] = {
    "markers": (".csv", _text(MARKERS), read_inputs),
    "features": (".csv", _text(FEATURES), read_inputs),
    "sleap": (".h5", _sleap, read_inputs),
    "npy": (".npy", _npy, read_inputs),
    "labels": (".csv", _text(LABELS), read_labels),
    "pickle": (".pkl", _pickle, read_labels),
    "config": (".yaml", _text(CONFIG), load_config),
}

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


@pytest.mark.parametrize("kind", SEEDS)
def test_a_reader_gives_finite_data_or_an_error_that_names_the_file(
    kind: str, tmp_path: Path
) -> None:
    suffix, make, read = SEEDS[kind]
    path = tmp_path / f"file{suffix}"
    seed = make(path)

    @settings(max_examples=60, deadline=None, database=None, derandomize=True)
    @given(CHANGES)
    def holds(changes: list[tuple[int, int, bytes]]) -> None:
        path.write_bytes(changed(seed, changes))
        try:
            found = read(path)
        except (DataError, ConfigError) as error:
            assert path.name in str(error)
        else:
            if isinstance(found, tuple):
                assert np.isfinite(found[0]).all()

    holds()


@pytest.mark.parametrize("kind", SEEDS)
def test_the_files_that_are_changed_are_good_ones(kind: str, tmp_path: Path) -> None:
    suffix, make, read = SEEDS[kind]
    path = tmp_path / f"file{suffix}"
    path.write_bytes(make(path))
    assert read(path)


@settings(max_examples=200, deadline=None, database=None, derandomize=True)
@given(CHANGES)
def test_stored_yaml_is_read_or_refused(changes: list[tuple[int, int, bytes]]) -> None:
    text = changed(CONFIG.encode() + b"x: !!python/tuple [1, 2]\n", changes)
    with contextlib.suppress(ValueError):
        load_plain_yaml(text.decode("latin1"))


ABOVE = st.sampled_from(["..", "../x", "/x", "a/../../x", "\\x", "a\0b", "C:x", ".", "", "a/b"])


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
