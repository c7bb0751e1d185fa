"""Tables of features (csv, npy) -> arrays with channel names, and the check of frame numbers."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np

from daart_fast.errors import DataError
from daart_fast.readers.checks import (
    FRAME_NAMES,
    PathLike,
    check_frame_column,
    check_header,
    check_names,
    counters_left_out,
    numbers_frames,
)
from daart_fast.readers.tables import read_table

__all__ = [
    "load_feature_csv",
]


def load_feature_csv(path: PathLike) -> tuple[np.ndarray, list[str]]:
    """Read a csv of features: one header row, and perhaps a first column of frame numbers.

    The first column is a channel like the others unless `numbers_frames`. Further columns that
    only number the rows are left out: see `counters_left_out`. A first column that is left
    out although its name is not that of a frame number is named in a warning.

    Returns
    -------
    values : np.ndarray
        (T, N) float64, NaN where a cell is empty
    names : list of str
        the N names in the header

    Raises
    ------
    DataError
        if the file is anything else
    """
    table = counters_left_out(read_table(Path(path)))
    (names,) = table.header
    if not numbers_frames(names[0], table.values[:2, 0].tolist()):
        check_header(table)
        check_names(names, path)
        if len(table.values) > 2 and (np.diff(table.values[:, 0]) > 0).all():
            logging.warning(
                f"{path}: the first column '{names[0]}' grows from row to row, and is a channel "
                "like the others. If it is a time, remove it: a model should not learn from it"
            )
        return table.values, names
    check_frame_column(table)
    check_names(names[1:], path)
    if names[0] and names[0].lower() not in FRAME_NAMES:
        logging.warning(
            f"{path}: the first column '{names[0]}' counts up by one, so it is taken for the frame "
            "number and is no channel. If it is a channel, put a column of frame numbers before it"
        )
    return table.values[:, 1:], names[1:]


def load_npy(path: PathLike) -> tuple[np.ndarray, list[str]]:
    try:
        _check_npy_header(path)
        values = np.load(path, allow_pickle=False)
    except Exception as error:  # its header is Python text, and may be wrong in any way
        raise DataError(f"{path}: expected a .npy file of numbers: {error}") from None
    if values.ndim != 2 or 0 in values.shape or values.dtype.kind not in "fiub":
        raise DataError(
            f"{path}: expected numbers of shape (frames, channels), "
            f"found {values.dtype} of shape {values.shape}"
        )
    infinite = np.argwhere(np.isinf(values))
    if len(infinite):
        row, column = infinite[0]
        raise DataError(f"{path}, row {row}, column {column}: expected a finite number, found inf")
    return values.astype(np.float64, copy=False), channel_names(values.shape[1])


def _check_npy_header(path: PathLike) -> None:
    """Refuse a header that says to be longer than its file: NumPy asks for memory of that size."""
    with open(path, "rb") as file:
        start = file.read(12)
        size = file.seek(0, os.SEEK_END)
    length = int.from_bytes(start[8:], "little") if start[6:7] in (b"\2", b"\3") else 0
    if length > size:
        raise ValueError(f"its header says to be {length} bytes long")


def channel_names(n_channels: int) -> list[str]:
    """Name the channels of a file that has no names."""
    return [f"channel_{i}" for i in range(n_channels)]
