"""Checks that all readers of tables have in common: frame numbers and names of columns."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from daart_fast.errors import DataError
from daart_fast.readers.tables import Table, misnumbered

__all__ = [
    "FRAME_NAMES",
    "PathLike",
    "check_frame_column",
    "check_frame_numbers",
    "check_header",
    "check_names",
    "counters_left_out",
    "numbers_frames",
    "shown_frame",
]


#: what a first column that numbers frames is called, in lower case
FRAME_NAMES = frozenset(
    ("frame", "frames", "frame_number", "frame number", "frame_id", "frame_idx", "frame_index",
     "framenumber", "fnum", "index", "idx", "image", "unnamed: 0")
)  # fmt: skip

#: what pandas calls a column without a name
UNNAMED = re.compile(r"unnamed: \d+(_level_\d+)?", re.IGNORECASE)

PathLike = str | os.PathLike[str]


def check_frame_column(table: Table) -> None:
    """The first column must be the frame number: without a name, or counting up by one."""
    check_header(table)
    name = table.header[0][0]
    if name and len(table.values) > 1 and np.isnan(table.values[:, 0]).all():
        raise DataError(
            f"{table.path}: expected the first column to be the frame number "
            f"(without a name, or counting up by one), found '{name}'"
        )
    check_frame_numbers(table)


def numbers_frames(name: str, numbers: Sequence[float]) -> bool:
    """Whether a table's first column numbers its frames, and is no channel.

    It does if it has no name, if its name says so, or if its first two numbers are whole and one
    apart. (A column without any number is no channel.)

    Parameters
    ----------
    name
        the column's header
    numbers
        its first cells, two at least if the table has two rows
    """
    if not name or name.lower() in FRAME_NAMES or np.isnan(numbers).all():
        return True
    first, second = (*numbers[:2], numbers[0] + 1)[:2]
    return bool(first % 1 == 0 and second == first + 1)


def check_header(table: Table) -> None:
    """The header row must hold names, no numbers."""
    name, *rest = table.header[0]
    numbered = rest == [str(i) for i in range(len(rest))]  # as pandas names what has no names
    if _is_number(name) or (not name and not numbered and all(map(_is_number, rest))):
        raise DataError(
            f"{table.path}: expected a header row of names above the numbers, "
            f"found {', '.join(table.header[0][:4])}"
        )


def check_frame_numbers(table: Table) -> None:
    """Each number in the first column must be one more than the one before, if it has any.

    Rows that were sorted, doubled or lost would put all that follows at other frames.
    """
    numbers = table.values[:, 0]
    row = misnumbered(numbers)
    if row is None:
        return
    name = table.header[0][0] if len(table.header) == 1 else ""
    column = "the first column" + (f" ('{name}')" if name else "")
    wanted = f"a frame number in {column}, as other lines have"
    if row > 0:
        wanted = f"frame {numbers[row - 1] + 1:.15g} in {column}, one more than the line before has"
    raise DataError(
        f"{table.path}, line {table.lines[row]}: expected {wanted}, "
        f"found {shown_frame(numbers[row])}"
    )


def shown_frame(number: float) -> str:
    """Return a frame number as an error shows it."""
    return "nothing" if np.isnan(number) else f"{number:.15g}"


def counters_left_out(table: Table) -> Table:
    """Leave out, with a warning, columns after the first that only number the rows.

    pandas writes one (``Unnamed: 0``) each time that a table is saved with its index. It counts up
    by one and its name says so; a model would learn from it when things happened.
    """
    (names,) = table.header
    counters = [
        place
        for place, name in enumerate(names)
        if place and (name.lower() in FRAME_NAMES or UNNAMED.fullmatch(name))
        if (np.diff(table.values[:, place]) == 1).all()
    ]
    if not counters:
        return table
    found = ", ".join(f"'{names[place]}'" for place in counters)
    logging.warning(f"{table.path}: number the rows, and so are left out: {found}")
    kept = [place for place in range(len(names)) if place not in counters]
    header = [[names[place] for place in kept]]
    return replace(table, header=header, values=table.values[:, kept])


def check_names(names: Sequence[str], path: PathLike) -> None:
    """Raise an error if there are no names, an empty one, or one twice."""
    if not names:
        raise DataError(f"{path}: expected columns after the frame number, found none")
    if "" in names:
        raise DataError(f"{path}: column {list(names).index('') + 2} has no name")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{path}: columns named twice: {', '.join(twice)}")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
