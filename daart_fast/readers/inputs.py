"""A session's inputs: whatever the file is, channels without gaps."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from daart_fast.errors import DataError, some
from daart_fast.readers.anipose import anipose_frames, load_anipose_csv
from daart_fast.readers.checks import PathLike, numbers_frames
from daart_fast.readers.feature_tables import load_feature_csv, load_npy
from daart_fast.readers.h5 import open_checked
from daart_fast.readers.marker_h5 import fixed_index, groups_of, load_marker_h5, table_index
from daart_fast.readers.markers import (
    HEADER_CELLS,
    MARKER_STARTS,
    TOO_LARGE,
    Markers,
    load_marker_csv,
)
from daart_fast.readers.sleap import load_marker_slp, load_sleap_csv
from daart_fast.readers.tables import first_numbers, first_row, read_table

__all__ = [
    "Inputs",
    "fill_gaps",
    "first_frame",
    "hold_inputs",
    "holds_markers",
    "inputs_of",
    "no_inputs",
    "read_inputs",
    "read_markers",
    "without_unseen",
]


#: endings of files that hold inputs, in the order in which they are looked for
INPUT_SUFFIXES = (".csv", ".csv.gz", ".h5", ".analysis.h5", ".npy", ".slp")


#: endings of workbooks, which hold labels that can be converted, but are not read as inputs
WORKBOOKS = (".xlsx", ".xlsm", ".xls", ".ods")

SAVE_AS_CSV = "Save As, CSV UTF-8"


class Inputs(NamedTuple):
    """A session's channels: values (T, N) float32 and their N names.

    The values have no gaps. With ``gaps: hold`` a channel is NaN before its first value.
    """

    values: np.ndarray
    names: list[str]


def no_inputs(folder: Path) -> str:
    """Say that a folder has no files of inputs; where it has workbooks, how to save them."""
    books = [path.name for path in sorted(folder.glob("*")) if path.suffix.lower() in WORKBOOKS]
    hint = ""
    if books:
        hint = f"; found workbooks ({some(books, 3)}): save each as csv (in Excel: {SAVE_AS_CSV})"
    return f"{folder}: expected files of inputs ({', '.join(INPUT_SUFFIXES)}){hint}"


def suffix_of(path: PathLike) -> str:
    """Return the ending of a file name, ``.csv.gz`` as one."""
    name = Path(path).name.lower()
    long = [suffix for suffix in INPUT_SUFFIXES if name.endswith(suffix)]
    return max(long, key=len) if long else Path(name).suffix


def _marker_csv_reader(cells: Sequence[str]) -> Callable[[PathLike], Markers] | None:
    """Return what reads a csv of tracked points with this first row; None for other tables."""
    doubled = cells[:1] in ([""], ["Unnamed: 0"])  # by pandas: `read_table` says what to do
    if list(cells[doubled:][:1]) in MARKER_STARTS:
        return load_marker_csv
    if "frame_idx" in cells[1:3] and "track" in cells[:2]:
        return load_sleap_csv
    if any(cell.endswith("_ncams") and f"{cell[:-6]}_x" in cells for cell in cells):
        return load_anipose_csv
    return None


def read_markers(path: PathLike) -> Markers:
    """Read tracked points from whatever format the file's name and content say."""
    suffix = suffix_of(path)
    if suffix in (".h5", ".analysis.h5"):
        return load_marker_h5(path)
    if suffix == ".slp":
        return load_marker_slp(path)
    if suffix in (".csv", ".csv.gz"):
        return (_marker_csv_reader(first_row(Path(path))) or load_marker_csv)(path)
    hint = f"; save it as csv (in Excel: {SAVE_AS_CSV})" if suffix in WORKBOOKS else ""
    raise DataError(
        f"{path}: expected a file of inputs ({', '.join(INPUT_SUFFIXES)}), found '{suffix}'{hint}"
    )


def first_frame(path: PathLike) -> float | None:
    """Return the number of the first frame in a file of inputs, labels or tasks.

    The others follow from it, as readers refuse files that do not count up by one.

    Returns
    -------
    float or None
        None for files that do not number their frames

    Raises
    ------
    DataError
        if the file can't be read
    """
    path = Path(path)
    suffix = suffix_of(path)
    if suffix in (".csv", ".csv.gz"):
        cells = first_row(path)
        name, reader = cells[:1], _marker_csv_reader(cells)
        if reader is load_sleap_csv:
            return None
        if reader is load_anipose_csv:
            numbers = anipose_frames(cells, read_table(path).values)
            return None if numbers is None or np.isnan(numbers[0]) else float(numbers[0])
        is_markers = reader is not None
        first = first_numbers(path, HEADER_CELLS if is_markers else set())
        counts = is_markers or numbers_frames("".join(name), first)
        return first[0] if counts and first and not math.isnan(first[0]) else None
    if suffix not in (".h5", ".analysis.h5"):
        return None
    with open_checked(path) as file:
        if "tracks" in file and "node_names" in file:
            return None
        for group in groups_of(file):
            numbers = None
            if "table" in group:
                numbers = table_index(group["table"])
            elif "axis0_level0" in group:
                numbers = fixed_index(group)
            if numbers is not None and len(numbers):
                return None if np.isnan(numbers[0]) else float(numbers[0])
    return None


def read_inputs(
    path: PathLike, likelihood_threshold: float = 0.0, gaps: str = "interpolate"
) -> Inputs:
    """Read any file of inputs: tracked points (all x, then all y) or features; gaps are filled.

    Parameters
    ----------
    path
        csv, csv.gz, h5, npy or slp
    likelihood_threshold
        tracked points below it count as missing, and so do, if it is above 0, those without a
        likelihood
    gaps
        how: see `fill_gaps`

    Returns
    -------
    Inputs
        (T, N) float32 and N names; those of tracked points are ``part_x``, ``part_y`` and, in 3D,
        ``part_z``

    Raises
    ------
    DataError
        if the file can't be read, or a channel has no value at all
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    if holds_markers(path):
        return inputs_of(read_markers(path), path, likelihood_threshold, gaps)
    values, names = load_npy(path) if suffix_of(path) == ".npy" else load_feature_csv(path)
    return Inputs(fill_gaps(values, names, path, gaps), names)


def holds_markers(path: Path) -> bool:
    """Return whether a file holds tracked points, by its name and its first row; else features."""
    suffix = suffix_of(path)
    if suffix in (".csv", ".csv.gz"):
        return _marker_csv_reader(first_row(path)) is not None
    return suffix != ".npy"


def inputs_of(
    markers: Markers, path: Path, likelihood_threshold: float = 0.0, gaps: str = "interpolate"
) -> Inputs:
    """Make inputs of the tracked points in a file, as `read_inputs` does.

    Points that were never detected are left out, with a warning.
    """
    markers = without_unseen(markers, path)
    names = [f"{name}_{axis}" for axis in markers.coordinates for name in markers.names]
    unsure = markers.unsure(likelihood_threshold)
    # the threshold may be the reason why a channel has no value
    hint = f" (likelihood_threshold is {likelihood_threshold:g})" if likelihood_threshold else ""
    parts = list(markers.coordinates.values())
    return Inputs(_filled(parts, names, path, gaps, unsure, hint), names)


def without_unseen(
    markers: Markers, path: Path, tell: Callable[[str], None] = logging.warning
) -> Markers:
    """Return the points that were detected in a frame at least.

    Parameters
    ----------
    markers
        NaN where a point was not detected
    path
        the file that they are from, for messages
    tell
        is called with a text that names the other points

    Raises
    ------
    DataError
        no point was detected
    """
    seen = ~np.any([_never(values) for values in markers.coordinates.values()], axis=0)
    if seen.all():
        return markers
    if not seen.any():
        raise DataError(f"{path}: no point is ever detected")
    unseen = [name for name, there in zip(markers.names, seen, strict=True) if not there]
    tell(f"{path}: never detected, and so left out: {some(unseen, 12)}")
    return markers.of(np.flatnonzero(seen).tolist())


def _never(values: np.ndarray) -> np.ndarray:
    """(K,) bool: which columns of (T, K) are NaN throughout; most are not in the first row."""
    never = np.isnan(values[0])
    if never.any():
        never[never] = np.isnan(values[:, never]).all(0)
    return never


def hold_inputs(path: PathLike, likelihood_threshold: float = 0.0) -> Inputs:
    """Read any file of inputs, as `read_inputs`; missing values hold the last one."""
    return read_inputs(path, likelihood_threshold, "hold")


def fill_gaps(
    values: np.ndarray, names: Sequence[str], source: PathLike, gaps: str = "interpolate"
) -> np.ndarray:
    """Fill missing values along time.

    Parameters
    ----------
    values
        (T, N), NaN where missing
    names
        N channel names, for the error
    source
        where the values come from, for the error
    gaps
        ``interpolate``: a line between the neighbours in time, the nearest value at the ends.
        ``hold``: the last value, as `daart_fast.online` has it. A channel stays NaN before its
        first value, and a value from `TOO_LARGE` up counts as missing.

    Returns
    -------
    np.ndarray
        (T, N) float32, C-contiguous

    Raises
    ------
    DataError
        if a channel has no value at all, or one that float32 cannot hold
    """
    return _filled([np.asarray(values)], names, source, gaps)


def _filled(
    parts: Sequence[np.ndarray],
    names: Sequence[str],
    source: PathLike,
    gaps: str,
    unsure: np.ndarray | None = None,
    hint: str = "",
) -> np.ndarray:
    """Fill gaps, as `fill_gaps` does, in channels that lie side by side in parts (T, n).

    Where unsure, (T, n) bool, values count as missing in every part. They are rounded to float32
    first: a copy of all frames in float64 takes as long as to read them.
    """
    with np.errstate(over="ignore"):
        filled = np.concatenate(parts, 1, dtype=np.float32, casting="same_kind")
    if unsure is not None:
        filled[np.concatenate([unsure] * len(parts), 1)] = np.nan
    columns = [column for part in parts for column in part.T]
    if np.isinf(filled).any():
        row, channel = np.argwhere(np.isinf(filled))[0].tolist()
        raise DataError(
            f"{source}, frame {row}, channel '{names[channel]}': {columns[channel][row]:g} is too "
            "large a number"
        )
    all_missing = np.isnan(filled) if gaps == "interpolate" else ~(np.abs(filled) < TOO_LARGE)
    for channel in np.flatnonzero(all_missing.any(0)).tolist():
        missing = np.ascontiguousarray(all_missing[:, channel])
        frames = np.flatnonzero(missing)
        if len(frames) == len(filled):
            raise DataError(f"{source}: channel '{names[channel]}' has no value at all{hint}")
        known = _beside(missing)
        seen = columns[channel][known]
        if gaps == "interpolate":
            filled[frames, channel] = np.interp(frames, known, seen)
        else:
            last = np.searchsorted(known, frames) - 1
            filled[frames, channel] = np.where(last < 0, np.nan, seen[last])
    return filled


def _beside(missing: np.ndarray) -> np.ndarray:
    """Return the frames with a value that have one without beside them, in order."""
    before = np.flatnonzero(missing[1:] != missing[:-1])
    known = before + missing[before]
    return known[np.diff(known, prepend=-1) > 0]
