"""Tables of numbers in text files: header rows, then a frame number and values in each row."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import math
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from daart_fast.errors import DataError, unreadable

__all__ = ["Table", "first_numbers", "first_row", "misnumbered", "read_table"]

BOM = b"\xef\xbb\xbf"

#: what is read of a file to find its first row of numbers
HEAD_BYTES = 1 << 22


@dataclass(frozen=True)
class Table:
    """What a csv holds: its header rows, and its numbers, empty cells NaN.

    ``values`` is (T, C) float64, the first column (the frame numbers) included; ``lines`` (T,) are
    the lines of the file that they stand in, from 1.
    """

    path: Path
    header: list[list[str]]
    values: np.ndarray
    lines: np.ndarray

    def where(self, row: int, column: int) -> str:
        """Name a cell of ``values``: the file, the line, the column and its header."""
        cells = [cells[column] for cells in self.header]
        if len(cells) > 1:  # of a tracked point: not its scorer, nor what the rows are called
            cells = cells[1:] if column else []
        name = " ".join(cell for cell in cells if cell)
        return f"{self.path}, line {self.lines[row]}, column {column + 1}" + (
            f" ('{name}')" if name else ""
        )


def read_table(path: Path, headers: Sequence[Sequence[str]] = ()) -> Table:
    """Read a csv (or .csv.gz) of numbers.

    Parameters
    ----------
    path
        the file
    headers
        the header rows it may have, each set of them by the rows' first cells; none: it has one
        header row, whatever stands in it

    Raises
    ------
    DataError
        naming file, line and column, if it is empty, has other header rows, no rows of numbers,
        rows of different lengths, text where a number belongs, or an infinite number
    """
    data = _read(path)
    header, n_lines, body = _split_header(path, data, {cell for rows in headers for cell in rows})
    found = [cells[0] for cells in header]
    if headers and found not in [list(rows) for rows in headers]:
        wanted = " or ".join(", ".join(f"'{cell}'" for cell in rows) for rows in headers)
        first = data.partition(b"\n")[0].decode("utf-8", "replace")
        shown = ", ".join(f"'{cell}'" for cell in found) or f"none of them but '{first[:40]}'"
        raise DataError(f"{path}: expected the header rows {wanted}, found {shown}")
    n_columns = len(header[0])
    if any(len(cells) != n_columns for cells in header):
        lengths = ", ".join(str(len(cells)) for cells in header)
        raise DataError(f"{path}: expected header rows of the same length, found {lengths} columns")
    lines, body = _checked_rows(path, body, n_columns, n_lines)
    table = Table(path, header, _numbers(path, body, header, lines), lines)
    infinite = np.argwhere(np.isinf(table.values))
    if len(infinite):
        row, column = infinite[0]
        raise DataError(
            f"{table.where(row, column)}: expected a finite number or nothing, "
            f"found {table.values[row, column]}"
        )
    return table


def first_row(path: Path) -> list[str]:
    """Return the cells of a csv's first line that is not blank; none if there is no such line."""
    with _csv_errors(path), _open(path) as file:
        lines = (line.removeprefix(BOM).decode() for line in file)
        line = next((line for line in lines if line.strip()), "")
        return [cell.strip() for cell in next(csv.reader([line]), [])]


def first_numbers(path: Path, names: set[str], n_rows: int = 2) -> list[float]:
    """Return the first cells of the first rows below the header rows; NaN for what is no number.

    Parameters
    ----------
    path
        a csv that `read_table` reads
    names
        first cells of header rows; none: there is one
    n_rows
        how many rows, at most
    """
    _, _, body = _split_header(path, _read(path, HEAD_BYTES), names)
    rows = itertools.islice((row for row in body.split(b"\n") if row.strip()), n_rows)
    return [_as_number(row.partition(b",")[0].decode("utf-8", "replace")) for row in rows]


def _as_number(cell: str) -> float:
    try:
        return float(cell.strip().strip('"').strip())
    except ValueError:
        return math.nan


def misnumbered(numbers: np.ndarray) -> int | None:
    """Return the first row whose number is not one more than the one before; None if all are.

    Rows of which none has a number (all are NaN) are in order too.
    """
    wrong = np.flatnonzero(np.diff(numbers) != 1)
    if len(wrong) == 0 or np.isnan(numbers).all():
        return None
    return 0 if np.isnan(numbers[0]) else int(wrong[0]) + 1


@contextmanager
def _csv_errors(path: Path) -> Iterator[None]:
    """Turn whatever reading a file that is no csv raises into a `DataError`."""
    try:
        yield
    except (FileNotFoundError, IsADirectoryError):
        raise DataError(f"{path}: no such file") from None
    except (UnicodeDecodeError, csv.Error, OSError, EOFError, zlib.error) as error:
        raise DataError(unreadable(path, error, "a csv file in UTF-8")) from None


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path) if path.suffix.lower() == ".gz" else open(path, "rb"))


def _read(path: Path, n_bytes: int = -1) -> bytes:
    """Return a file's text (or its beginning), lines ended by a newline alone, without a mark."""
    with _csv_errors(path), _open(path) as file:
        data = file.read(n_bytes)
    data = data.removeprefix(BOM)
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if not data.strip():
        raise DataError(f"{path}: the file is empty")
    return data


def _split_header(path: Path, data: bytes, names: set[str]) -> tuple[list[list[str]], int, bytes]:
    """Return the header rows, the number of lines they take, and what follows them.

    Header rows are those at the top whose first cell is one of names; without names it is one.
    """
    stream = io.BytesIO(data)
    reader = csv.reader(line.decode() for line in stream)
    header: list[list[str]] = []
    n_lines = end = 0
    with _csv_errors(path):
        for cells in reader:
            if not cells:
                continue
            if names and cells[0].strip() not in names:
                break
            header.append([cell.strip() for cell in cells])
            n_lines, end = reader.line_num, stream.tell()
            if len(header) > len(names) or not names:
                break
    return header, n_lines, data[end:]


def _checked_rows(
    path: Path, body: bytes, n_columns: int, n_header_lines: int
) -> tuple[np.ndarray, bytes]:
    """Check that each row has n_columns cells; leave blank lines out.

    Returns
    -------
    lines : np.ndarray
        (T,) the rows' lines in the file, from 1
    body : bytes
        the rows
    """
    if body.startswith(BOM):  # which pandas would take for that of the file
        raise DataError(
            f"{path}, line {n_header_lines + 1}: expected numbers, found a byte order mark: are "
            f"these two files in one?"
        )
    rows = body.split(b"\n")
    kept = [i for i, row in enumerate(rows) if row.strip()]
    with _csv_errors(path):
        while kept and _holds_nothing(rows[kept[-1]]):  # what a spreadsheet leaves at the end
            kept.pop()
    if not kept:
        raise DataError(f"{path}: no rows of numbers below the header")
    for i in kept:
        n_cells = rows[i].count(b",") + 1
        if b'"' in rows[i]:
            if rows[i].count(b'"') % 2:
                raise DataError(f"{path}, line {n_header_lines + i + 1}: a quote is not closed")
            with _csv_errors(path):
                n_cells = len(next(csv.reader([rows[i].decode("utf-8", "replace")])))
        if n_cells != n_columns:
            raise DataError(
                f"{path}, line {n_header_lines + i + 1}: expected {n_columns} cells, as the header "
                f"has, found {n_cells}"
            )
    if len(kept) < len(rows):
        body = b"\n".join([rows[i] for i in kept])
    return n_header_lines + 1 + np.array(kept), body


def _holds_nothing(row: bytes) -> bool:
    if row.strip(b', \t"') or row.count(b'"') % 2:
        return False
    return not any(cell.strip() for cell in next(csv.reader([row.decode()]), []))


def _numbers(path: Path, body: bytes, header: list[list[str]], lines: np.ndarray) -> np.ndarray:
    try:
        return _parsed(body, np.float64).to_numpy()
    except (ValueError, OverflowError):  # text, or a number that this pandas does not take
        pass
    try:
        cells = _parsed(body, str).to_numpy()
    except ValueError as error:  # of quotes amid a cell, which others read in another way
        raise DataError(f"{path}: expected rows of cells: {error}") from None
    values = np.empty(cells.shape)
    table = Table(path, header, values, lines)
    for (row, column), cell in np.ndenumerate(cells):
        try:
            values[row, column] = float(cell)  # a missing one is NaN
            if "_" in str(cell):
                raise ValueError
        except ValueError:
            raise DataError(
                f"{table.where(row, column)}: expected a number, found '{cell}'"
            ) from None
    return values


def _parsed(body: bytes, dtype: type) -> Any:
    import pandas as pd

    return pd.read_csv(
        io.BytesIO(body),
        header=None,
        dtype=dtype,
        skipinitialspace=True,
        low_memory=False,
        encoding_errors="replace",
    )
