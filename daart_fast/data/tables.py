"""Tables of numbers in text files: header rows, then a frame number and values in each row."""

from __future__ import annotations

import csv
import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from daart_fast.errors import DataError


@dataclass(frozen=True)
class Table:
    """What a csv holds: its header rows, and its numbers, empty cells NaN.

    ``values`` is (T, C) float64, the first column (the frame numbers) included.
    """

    path: Path
    header: list[list[str]]
    values: np.ndarray

    def where(self, row: int, column: int) -> str:
        """Name a cell of ``values``: the file, the line, the column and its header."""
        name = " ".join(cells[column] for cells in self.header[-1:] if cells[column])
        return f"{self.path}, line {len(self.header) + row + 1}, column {column + 1} ('{name}')"


def read_table(path: Path, header_names: tuple[str, ...] = ()) -> Table:
    """Read a csv (or .csv.gz) of numbers.

    Parameters
    ----------
    path
        the file
    header_names
        what the first cell of a header row may be; none: the file has one header row

    Raises
    ------
    DataError
        naming file, line and column, if it is empty, has no rows of numbers, rows of different
        lengths, text where a number belongs, or an infinite number
    """
    header = _read_header(path, header_names)
    values = _read_values(path, header)
    table = Table(path, header, values)
    infinite = np.argwhere(np.isinf(values))
    if len(infinite):
        row, column = infinite[0]
        raise DataError(
            f"{table.where(row, column)}: expected a finite number or nothing, "
            f"found {values[row, column]}"
        )
    return table


def _open(path: Path) -> object:
    return gzip.open(path, "rt", newline="") if path.suffix == ".gz" else open(path, newline="")


def _read_header(path: Path, header_names: tuple[str, ...]) -> list[list[str]]:
    header: list[list[str]] = []
    try:
        with _open(path) as lines:  # type: ignore[attr-defined]
            for cells in csv.reader(lines):
                if header_names and (not cells or cells[0].strip() not in header_names):
                    break
                header.append([cell.strip() for cell in cells])
                if not header_names:
                    break
                if len(header) > len(header_names):
                    break
    except (UnicodeDecodeError, csv.Error, gzip.BadGzipFile, EOFError) as error:
        raise DataError(f"{path}: expected a csv file: {error}") from None
    if not header and path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty")
    return header


def _read_values(path: Path, header: list[list[str]]) -> np.ndarray:
    import pandas as pd

    n_columns = len(header[0]) if header else None
    if any(len(cells) != n_columns for cells in header):
        lengths = ", ".join(str(len(cells)) for cells in header)
        raise DataError(f"{path}: expected header rows of the same length, found {lengths} columns")
    try:
        frame = pd.read_csv(path, header=None, skiprows=len(header), dtype=np.float64)
    except pd.errors.EmptyDataError:
        raise DataError(f"{path}: no rows of numbers below the header") from None
    except pd.errors.ParserError as error:
        raise DataError(f"{path}: rows of different lengths: {error}") from None
    except ValueError:
        raise DataError(_find_text(path, header)) from None
    except (UnicodeDecodeError, OSError, EOFError) as error:
        raise DataError(f"{path}: expected a csv file: {error}") from None
    if n_columns is not None and frame.shape[1] != n_columns:
        raise DataError(
            f"{path}: the header names {n_columns} columns, the rows have {frame.shape[1]}"
        )
    return frame.to_numpy()


def _find_text(path: Path, header: list[list[str]]) -> str:
    """Describe the first cell that is no number."""
    import pandas as pd

    frame = pd.read_csv(path, header=None, skiprows=len(header), dtype=str)
    for column in range(frame.shape[1]):
        cells = frame.iloc[:, column]
        bad = pd.to_numeric(cells, errors="coerce").isna() & cells.notna()
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            where = Table(path, header, np.empty((0, 0))).where(row, column) if header else path
            return f"{where}: expected a number, found '{cells.iloc[row]}'"
    return f"{path}: expected numbers below the header"
