"""Tracked points in h5: DeepLabCut's and Lightning Pose's tables of pandas, and SLEAP's files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from daart_fast.errors import DataError
from daart_fast.readers.checks import PathLike, shown_frame
from daart_fast.readers.h5 import open_checked
from daart_fast.readers.markers import Markers, markers_of, text_of
from daart_fast.readers.sleap import sleap_analysis
from daart_fast.readers.tables import misnumbered
from daart_fast.readers.unpickle import loads_plain

__all__ = ["fixed_index", "groups_of", "load_marker_h5", "table_index"]


def load_marker_h5(path: PathLike) -> Markers:
    """Read tracked points from h5: DeepLabCut's, Lightning Pose's, or a SLEAP analysis file.

    Nothing in the file is unpickled but plain lists of names. Returns and raises as
    `load_marker_csv`.
    """
    with open_checked(path) as file:
        try:
            return _read(file, str(path))
        except DataError:
            raise
        except Exception as error:  # an unknown compression, a file cut short, another layout
            raise DataError(
                f"{path}: expected a table of DeepLabCut, Lightning Pose or SLEAP (analysis) that "
                f"h5py can read: {error}"
            ) from None


def _read(file: Any, path: str) -> Markers:
    if "tracks" in file and "node_names" in file:
        return sleap_analysis(file, path)
    for group in groups_of(file):
        if "table" in group:
            return _pandas_table(group["table"], path)
        if "axis0_level0" in group:
            return _pandas_fixed(group, path)
    raise DataError(
        f"{path}: expected a table of DeepLabCut, Lightning Pose or SLEAP (analysis), "
        f"found {', '.join(file) or 'nothing'}"
    )


def _pandas_table(table: Any, path: str) -> Markers:
    """Read a pandas DataFrame stored in PyTables' table format."""
    blocks = sorted(name for name in table.dtype.names if name.startswith("values_block_"))
    rows = table[:]
    values, columns = [], []
    for block in blocks:
        names = table.attrs.get(f"{block}_kind")
        if names is None:
            raise DataError(f"{path}: the table does not name the columns of {block}")
        data = names if isinstance(names, bytes) else bytes(np.asarray(names).tobytes())
        columns += list(loads_plain(data, f"{path}: the names of its columns"))
        values.append(np.asarray(rows[block], dtype=np.float64).reshape(len(rows), -1))
    if not blocks:
        raise DataError(f"{path}: the table holds no numbers")
    _check_index(table_index(table), path)
    return markers_of(np.concatenate(values, 1), _without_scorer(columns, path), path)


def _pandas_fixed(group: Any, path: str) -> Markers:
    """Read a pandas DataFrame stored in PyTables' fixed format."""

    def named(axis: str) -> list[tuple[str, ...]]:
        levels: list[list[str]] = []
        while f"{axis}_level{len(levels)}" in group:
            level = [text_of(name) for name in group[f"{axis}_level{len(levels)}"][:]]
            levels.append([level[code] for code in group[f"{axis}_label{len(levels)}"][:]])
        return list(zip(*levels, strict=True))

    values: list[np.ndarray] = []
    columns: list[tuple[str, ...]] = []
    while f"block{len(values)}_values" in group:
        block = f"block{len(values)}"
        columns += named(f"{block}_items")
        values.append(np.asarray(group[f"{block}_values"][:], dtype=np.float64))
    if not values:
        raise DataError(f"{path}: the table holds no numbers")
    _check_index(fixed_index(group), path)
    return markers_of(np.concatenate(values, 1), _without_scorer(columns, path), path)


def groups_of(file: Any) -> list[Any]:
    """Return the places in an h5 file where pandas may have put a table."""
    import h5py

    return [file, *(item for item in file.values() if isinstance(item, h5py.Group))]


def table_index(table: Any) -> np.ndarray | None:
    """Return the numbers of the rows in PyTables' table format; None if they are no numbers."""
    if "index" not in table.dtype.names:
        return None
    return _as_numbers(table["index"], table.attrs.get("index_kind"))


def fixed_index(group: Any) -> np.ndarray | None:
    """Return the numbers of the rows in PyTables' fixed format; None if they are no numbers."""
    if "axis1" not in group:
        return None
    return _as_numbers(group["axis1"][:], group["axis1"].attrs.get("kind"))


def _as_numbers(index: np.ndarray, kind: Any) -> np.ndarray | None:
    """Return an index as float64; None for texts, and for dates, which are stored as integers."""
    if (
        index.ndim != 1
        or index.dtype.kind not in "iuf"
        or text_of(kind) not in ("integer", "float")
    ):
        return None
    return index.astype(np.float64)


def _check_index(numbers: np.ndarray | None, path: str) -> None:
    """The rows of an h5 table must be numbered as those of a csv."""
    row = None if numbers is None else misnumbered(numbers)
    if numbers is not None and row is not None:
        wanted = "a frame number, as other rows have"
        if row > 0:
            wanted = f"frame {numbers[row - 1] + 1:.15g}, one more than the row before has"
        raise DataError(
            f"{path}, row {row} of the index: expected {wanted}, found {shown_frame(numbers[row])}"
        )


def _without_scorer(columns: Sequence[Any], path: str) -> list[tuple[str, ...]]:
    """Return ([animal,] part, coordinate) of columns that have the scorer before them."""
    for column in columns:
        if not isinstance(column, tuple) or len(column) not in (3, 4):
            raise DataError(
                f"{path}: expected columns named (scorer, bodypart, coordinate) or (scorer, "
                f"individual, bodypart, coordinate), found {column}"
            )
    return [tuple(map(str, column[1:])) for column in columns]
