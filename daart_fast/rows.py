"""Rows of a csv in bulk: a column of cells is an array of bytes, with zeros where a cell has none.

Cell by cell, a recording of hours takes longer to write than to predict.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from functools import cache

import numpy as np

__all__ = ["ROWS", "csv_line", "joined_rows", "number_cells", "share_cells", "text_cells"]

#: rows that are best made at a time: their bytes fit into a processor's cache
ROWS = 4096
#: decimals of a share: two machines' networks agree on as many
SHARE_DECIMALS = 5


def csv_line(cells: Sequence[str]) -> str:
    """Return a row of texts, with quotes where a cell needs them."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def text_cells(texts: Sequence[str]) -> np.ndarray:
    """Spell texts, with quotes where a cell needs them: (n, width) uint8."""
    # an empty cell by itself would be quoted
    spelled = np.array([csv_line(["", text])[1:-1].encode() for text in texts], dtype=np.bytes_)
    return spelled.view(np.uint8).reshape(len(texts), -1)


def number_cells(numbers: np.ndarray, decimals: int = 0) -> np.ndarray:
    """Spell numbers (n,), rounded to so many decimals: (n, width) uint8.

    Zeros at the end are left out: 0.5, 2. NaN is an empty cell.
    """
    missing = np.isnan(numbers)
    rounded = np.rint(np.where(missing, 0, numbers) * 10**decimals).astype(np.int64)
    rest = np.abs(rounded)
    whole = max(len(str(rest.max(initial=0))) - decimals, 1)  # digits before the point
    digits = np.empty((whole + decimals, len(rest)), dtype=np.uint8)
    for place in range(len(digits) - 1, -1, -1):
        digits[place] = (before := rest // 10) * -10 + rest
        rest = before
    spelled = digits + np.uint8(ord("0"))
    leading = np.logical_and.accumulate(digits[: whole - 1] == 0, 0)
    spelled[: whole - 1][leading] = 0
    trailing = np.logical_and.accumulate(digits[whole:][::-1] == 0, 0)[::-1]
    spelled[whole:][trailing] = 0
    sign = np.where(rounded < 0, ord("-"), 0)[None].astype(np.uint8)
    point = np.where(trailing[:1], 0, ord(".")).astype(np.uint8)
    cells = np.concatenate([sign, spelled[:whole], point, spelled[whole:]])
    cells[:, missing] = 0
    return cells.T


def share_cells(shares: np.ndarray) -> np.ndarray:
    """Spell several columns of numbers from 0 to 1, or NaN, (n, k), as `joined_rows` takes one."""
    parts = np.float32(10**SHARE_DECIMALS)
    with np.errstate(invalid="ignore"):
        rounded = np.rint(shares * parts)
    rounded = np.where(np.isnan(rounded), parts + 1, rounded).astype(np.int64)
    cells = _spelled_shares()[rounded].view(np.uint8)
    cells[:, 0] = 0  # no comma before the first
    return cells


@cache
def _spelled_shares() -> np.ndarray:
    """All shares there are, and at last NaN, each 8 bytes with a comma before it."""
    parts = 10**SHARE_DECIMALS
    cells = np.zeros((parts + 2, 8), dtype=np.uint8)
    cells[:, 0] = ord(",")
    numbers = number_cells(np.arange(parts + 1) / parts, SHARE_DECIMALS)[:, 1:]  # without sign
    cells[:-1, 1:] = numbers
    cells[-1, 1:4] = list(b"nan")
    return cells.view(np.uint64)[:, 0]


def joined_rows(columns: Sequence[np.ndarray]) -> bytes:
    """Join cells, (n, width) uint8 each column, to rows with commas between them."""
    parts = []
    for column in columns:
        parts += [column, np.full((len(column), 1), ord(","), np.uint8)]
    parts[-1] = np.full((len(columns[0]), 1), ord("\n"), np.uint8)
    return np.concatenate(parts, 1).tobytes().translate(None, b"\0")
