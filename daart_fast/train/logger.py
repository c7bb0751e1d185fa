"""metrics.csv, written row by row."""

from __future__ import annotations

import csv
import io
import logging
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

__all__ = ["Logger"]

Number = int | float


class Logger:
    """Appends rows to a csv whose columns are known from the start.

    Each row reaches the operating system whole before `write` returns, so a process that is
    killed leaves complete rows.

    Parameters
    ----------
    file
        The csv; its folder is made if missing. None: write nowhere.
    columns
        The header.
    keep
        Bytes of an existing file to keep, as `size` gave them: what came later is cut off. 0
        starts a new file.
    """

    def __init__(
        self, file: str | os.PathLike[str] | None, columns: Iterable[str], keep: int = 0
    ) -> None:
        self.columns = tuple(columns)
        self._stream: io.FileIO | None = None
        if file is None:
            return
        path = Path(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = io.FileIO(path, "a")
        if self.size < keep:
            logging.warning(f"{path}: rows are missing that the checkpoint has seen")
        self._stream.truncate(min(keep, self.size))
        self._stream.seek(0, os.SEEK_END)
        if self.size == 0:
            self._append(self.columns)

    @property
    def size(self) -> int:
        """Length of the file in bytes; 0 without a file."""
        return os.fstat(self._stream.fileno()).st_size if self._stream is not None else 0

    def write(self, row: Mapping[str, Number | None]) -> None:
        """Append a row; cells that are missing, None or NaN stay empty.

        Raises
        ------
        KeyError
            The row has a cell for which there is no column.
        """
        unknown = row.keys() - set(self.columns)
        if unknown:
            raise KeyError(f"metrics.csv has no column {', '.join(sorted(unknown))}")
        self._append([_cell(row.get(column)) for column in self.columns])

    def sync(self) -> None:
        """Wait until what was written is on the disk."""
        if self._stream is not None:
            os.fsync(self._stream.fileno())

    def close(self) -> None:
        """Close the file; rows written afterwards go nowhere."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _append(self, cells: Iterable[str]) -> None:
        if self._stream is None:
            return
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(cells)
        self._stream.write(line.getvalue().encode())


def _cell(value: Number | None) -> str:
    """Spell a number so that reading it gives the same number."""
    return "" if value is None or math.isnan(value) else repr(value)
