"""Tables of numbers in text files: header rows, then a frame number and values in each row."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import itertools
import math
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from daart_fast.errors import DataError, unreadable

__all__ = ["Table", "first_numbers", "first_row", "misnumbered", "read_named_rows", "read_table"]

BOM = b"\xef\xbb\xbf"

#: what stands in a cell without a number, as pandas has it
MISSING = frozenset(
    ["", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
     "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"]
)  # fmt: skip

#: the line that tells Excel what separates cells
SEPARATOR_LINE = re.compile(rb'"?sep=([;,\t])"?[;,\t]*\n', re.IGNORECASE)

#: what is read of a file to find its first row of numbers
HEAD_BYTES = 1 << 22
#: what is read of a file to find its first line, if that is not longer
LINE_BYTES = 1 << 14


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
    header, n_lines, end = _split_header(path, data, {cell for rows in headers for cell in rows})
    found = [cells[0] for cells in header]
    if headers and found not in [list(rows) for rows in headers]:
        wanted = " or ".join(", ".join(f"'{cell}'" for cell in rows) for rows in headers)
        first = data.partition(b"\n")[0].decode("utf-8", "replace")
        shown = ", ".join(f"'{cell}'" for cell in found) or f"none of them but '{first[:40]}'"
        hint = ""
        if [cell.strip() for cell in first.split(",")][1:2] in [list(rows[:1]) for rows in headers]:
            hint = (
                "; the column before 'scorer' is a row number that pandas added: delete the "
                "column, or write the table with index=False"
            )
        raise DataError(f"{path}: expected the header rows {wanted}, found {shown}{hint}")
    n_columns = len(header[0])
    if any(len(cells) != n_columns for cells in header):
        lengths = ", ".join(str(len(cells)) for cells in header)
        raise DataError(f"{path}: expected header rows of the same length, found {lengths} columns")
    return _without_empty_columns(_numbers(path, header, data, end, n_lines))


def _without_empty_columns(table: Table) -> Table:
    """Leave out columns at the end that have neither a header nor a value."""
    n_columns = table.values.shape[1]
    while n_columns > 1 and not any(cells[n_columns - 1] for cells in table.header):
        if not np.isnan(table.values[:, n_columns - 1]).all():
            break
        n_columns -= 1
    if n_columns == table.values.shape[1]:
        return table
    header = [cells[:n_columns] for cells in table.header]
    return replace(table, header=header, values=table.values[:, :n_columns])


def read_named_rows(path: Path) -> tuple[Table, list[str]]:
    """Read a csv with one header row whose first column holds texts and the rest numbers.

    Returns
    -------
    table : Table
        the first column of its values says which of the names a row has
    names : list of str
        in the order in which they come

    Raises
    ------
    DataError
        as `read_table`
    """
    data = _read(path)
    header, n_lines, end = _split_header(path, data, set())
    places: dict[bytes, int] = {}
    rows = data[end:].split(b"\n")
    for i, row in enumerate(rows):
        name, comma, rest = row.partition(b",")
        if comma and (rest.strip(b", \t") or name.strip()):
            place = places.setdefault(name.strip().strip(b'"'), len(places))
            rows[i] = b"%d,%s" % (place, rest)
    table = _numbers(path, header, b"\n".join(rows), 0, n_lines)
    return table, [name.decode("utf-8", "replace") for name in places]


def _numbers(path: Path, header: list[list[str]], data: bytes, end: int, n_lines: int) -> Table:
    """Read the rows of numbers below a header, which ends at this byte, after so many lines."""
    scanned = _scanned(data, end, len(header[0]))
    if scanned is not None:
        values, lines = scanned
        return Table(path, header, values, lines + (n_lines + 1))
    return _checked_table(path, header, data[end:], n_lines)


def first_row(path: Path) -> list[str]:
    """Return the cells of a csv's first line that is not blank; none if there is no such line."""
    with _csv_errors(path):
        data = _plain_text(_bytes(path, LINE_BYTES))
        if b"\n" not in data.strip():
            data = _plain_text(_bytes(path, HEAD_BYTES))
        line = next((line for line in data.split(b"\n") if line.strip()), b"").decode()
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
    data = _read(path, HEAD_BYTES)
    _, _, end = _split_header(path, data, names)
    rows = itertools.islice((row for row in data[end:].split(b"\n") if row.strip()), n_rows)
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
    with _csv_errors(path):
        data = _plain_text(_bytes(path, n_bytes))
    if not data or data.isspace():
        raise DataError(f"{path}: the file is empty")
    return data


def _bytes(path: Path, n_bytes: int) -> bytes:
    with _open(path) as file:
        return file.read(n_bytes)  # an even number, or all: UTF-16 has two bytes a character


def _plain_text(data: bytes) -> bytes:
    """Return a csv's text in UTF-8, with commas between cells and points in numbers.

    UTF-16 is known by its mark. Excel separates cells by semicolons where numbers have commas, and
    "Unicode text" by tabs: it is so if the first line has no comma, or says so (``sep=;``).
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        data = data.decode("utf-16").encode()
    data = data.removeprefix(BOM)
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    said = SEPARATOR_LINE.match(data)
    if said:  # an empty line instead, so that lines keep their numbers
        data = b"\n" + data[said.end() :]
    begin = 0
    while data[begin : begin + 1] == b"\n":
        begin += 1
    end = data.find(b"\n", begin)
    first = data[begin:end] if end >= 0 else data[begin:]  # a partition would copy the rest
    mark = said[1] if said else b";" if b";" in first else b"\t"
    if mark != b"," and (said or b"," not in first) and mark in first:
        data = data.replace(b",", b".").replace(mark, b",")
    return data


def _split_header(path: Path, data: bytes, names: set[str]) -> tuple[list[list[str]], int, int]:
    """Return the header rows, the number of lines they take, and the byte where these end.

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
    return header, n_lines, end


def _scanned(data: bytes, start: int, n_columns: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Return numbers and their lines, as `daart_fast._text.scan` does; None if it cannot.

    It reads plain numbers as fast as memory gives them. For whatever else, and without the native
    module, there is `_checked_table`.
    """
    try:
        from daart_fast import _text
    except ImportError:  # not built
        return None
    return _text.scan(data, start, n_columns)


def _checked_table(path: Path, header: list[list[str]], body: bytes, n_header_lines: int) -> Table:
    """Read rows cell by cell, slowly; a `DataError` says what is wrong, and where."""
    if body.startswith(BOM):
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
    n_columns, lines = len(header[0]), n_header_lines + 1 + np.array(kept)
    table = Table(path, header, np.empty((len(kept), n_columns)), lines)
    for row, i in enumerate(kept):
        cells = _cells(rows[i], path, lines[row])
        if len(cells) != n_columns:
            raise DataError(
                f"{path}, line {lines[row]}: expected {n_columns} cells, as the header has, found "
                f"{len(cells)}"
            )
        if b"_" not in rows[i] and _fill_row(table.values[row], cells):
            continue
        for column, cell in enumerate(cells):
            try:
                table.values[row, column] = _number(cell)
            except ValueError as error:
                raise DataError(f"{table.where(row, column)}: {error}") from None
    return table


def _fill_row(values: np.ndarray, cells: list[str]) -> bool:
    """Convert a row at once, which is faster; return whether all its cells are plain."""
    try:
        values[:] = [float(cell or "nan") for cell in cells]
    except ValueError:
        return False
    return not np.isinf(values).any()


def _holds_nothing(row: bytes) -> bool:
    if row.strip(b', \t"') or row.count(b'"') % 2:
        return False
    return not any(cell.strip() for cell in next(csv.reader([row.decode()]), []))


def _cells(row: bytes, path: Path, line: int) -> list[str]:
    if b'"' not in row:
        return row.decode("utf-8", "replace").split(",")
    if row.count(b'"') % 2:
        raise DataError(f"{path}, line {line}: a quote is not closed")
    with _csv_errors(path):
        return next(csv.reader([row.decode("utf-8", "replace")], skipinitialspace=True))


def _number(cell: str) -> float:
    """Return the number in a cell, NaN for a missing one; a ValueError says what is wrong."""
    cell = cell.strip()
    if cell in MISSING:
        return math.nan
    number = _as_number(cell)
    if math.isinf(number):
        raise ValueError(f"expected a finite number or nothing, found {number}")
    if "_" in cell or (math.isnan(number) and cell.lower() != "nan"):
        hint = ""
        if cell.count(",") == 1 and not math.isnan(_as_number(cell.replace(",", "."))):
            hint = (
                ", with a decimal comma; save the file with decimal points, or with semicolons "
                "between cells"
            )
        raise ValueError(f"expected a number, found '{cell}'{hint}")
    return number
