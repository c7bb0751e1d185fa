"""Tables of a row a time: binary tables with a time column, Solomon Coder, EthoVision -> bouts."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

from daart_fast.convert.annotation import (
    Annotation,
    Source,
    column_of,
    names_above,
    number_or_none,
    runs_of,
)
from daart_fast.errors import DataError
from daart_fast.names import BACKGROUND

__all__ = [
    "looks_like_ethovision",
    "looks_like_frame_table",
    "looks_like_solomon",
    "looks_like_time_table",
    "read_ethovision",
    "read_frame_table",
    "read_solomon",
    "read_time_table",
]

_TIME = re.compile(
    r"(trial |recording )?(times?|timestamps?|seconds|t)([ _]?[\(\[]?s(ec\w*)?[\)\]]?)?",
    re.IGNORECASE,
)
_FRAME = re.compile(r"|frames?|(frame[ _]?|f)(number|num|id|idx|index)|index", re.IGNORECASE)
#: what EthoVision computes, and nobody scores
_COMPUTED = re.compile(
    r".*\(.*|(in zone|result|movement|mobility|activity|zone|trial control|hardware).*",
    re.IGNORECASE,
)
_NOTHING = frozenset(("", "-", "nan", "na"))
_BINARY = frozenset(("0", "1", "0.0", "1.0"))


def _frames(
    source: Source, rows: Sequence[tuple[int, list[str]]], at: int, rate: float
) -> list[int]:
    """Return the first frame of each row, and the frame after the last row.

    A row holds from its time on up to the next one's; the last lasts as long as the one before it.
    """
    times = [source.seconds(i, row[at]) for i, row in rows]
    for (i, _), before, time in zip(rows[1:], times, times[1:], strict=False):
        if time <= before:
            what = source.rows[0][at] or "a number"
            raise source.fail(i, f"expected {what} after {before:g}, found {time:g}")
    if len(times) < 2:
        raise DataError(f"{source.path}: expected at least two rows, found {len(times)}")
    step = (times[-1] - times[0]) / (len(times) - 1)
    return [round(time * rate) for time in [*times, times[-1] + step]]


def _annotation(
    source: Source, classes: list[str], frames: Sequence[int], fps: float | None
) -> Annotation:
    annotation = Annotation([source.path.stem], [], classes, fps=fps)
    annotation.n_observed = frames[-1]
    if frames[0] > 0:
        annotation.unlabelled.append((0, frames[0]))
    return annotation


def _add_column(
    annotation: Annotation, cells: Sequence[str], frames: Sequence[int], called: str | None = None
) -> None:
    """Add the bouts of a column: of 1 where the behaviour is ``called`` so, else of its cells."""
    for cell, first, last in runs_of(cells):
        label = cell if called is None else called
        present = cell.lower() not in _NOTHING if called is None else cell.split(".")[0] == "1"
        if present and frames[last] > frames[first]:
            annotation.bouts.append((label, frames[first], frames[last]))


# ------------------------------------------------------------------------------ 0 and 1


def _is_binary(source: Source, first: re.Pattern[str]) -> bool:
    """Whether the first column is called so and all the others are 0 or 1."""
    rows = source.rows
    return (
        len(rows) > 2
        and len(rows[0]) > 1
        and first.fullmatch(rows[0][0]) is not None
        and all(set(row[1:]) <= _BINARY for row in rows[1:20] if any(row))
    )


def looks_like_time_table(source: Source) -> bool:
    """Whether the first column is a time and all the others are 0 or 1."""
    return _is_binary(source, _TIME)


def looks_like_frame_table(source: Source) -> bool:
    """Whether the first column numbers frames and all the others are 0 or 1."""
    return _is_binary(source, _FRAME)


def read_time_table(source: Source) -> list[Annotation]:
    """Read a behavioural binary table, as BORIS exports it: a time, then 0 or 1 a behaviour."""
    return [_binary_table(source, source.rate(), source.rate())]


def read_frame_table(source: Source) -> list[Annotation]:
    """Read a frame number, then 0 or 1 a behaviour; rows may stand for several frames."""
    return [_binary_table(source, 1.0, None)]


def _binary_table(source: Source, rate: float, fps: float | None) -> Annotation:
    header = source.header()
    rows = source.body(header)
    _check_cells(source, header, rows, range(1, len(header)))
    frames = _frames(source, rows, 0, rate)
    scored = [(i, name) for i, name in enumerate(header) if i and name.lower() != BACKGROUND]
    annotation = _annotation(source, [name for _, name in scored], frames, fps)
    for index, name in scored:
        _add_column(annotation, [row[index] for _, row in rows], frames, name)
    return annotation


def _check_cells(
    source: Source,
    header: Sequence[str],
    rows: Sequence[tuple[int, list[str]]],
    indices: Sequence[int],
) -> None:
    for i, row in rows:
        for index in indices:
            if row[index] not in _BINARY:
                raise source.fail(i, f"expected 0 or 1 for {header[index]}, found {row[index]!r}")


# ------------------------------------------------------------------------------ Solomon Coder


def looks_like_solomon(source: Source) -> bool:
    """Whether the first column is a time in even steps and the others are names or empty."""
    rows = [row for row in source.rows if any(row)]
    if len(rows) < 3 or len(rows[0]) < 2 or _TIME.fullmatch(rows[0][0]) is None:
        return False
    times = [number_or_none(row[0], source.comma) for row in rows[2:20]]
    cells = [cell for row in rows[1:200] for cell in row[1:] if cell.lower() not in _NOTHING]
    numbers = [cell for cell in cells if number_or_none(cell, source.comma) is not None]
    return None not in times and bool(cells) and not numbers


def read_solomon(source: Source) -> list[Annotation]:
    """Read a time a row, and in each further column the behaviour's name or nothing."""
    header = source.header()
    rows = source.body(header)
    frames = _frames(source, rows, 0, source.rate())
    annotation = _annotation(source, [], frames, source.rate())
    for index in range(1, len(header)):
        cells = [row[index] for _, row in rows]
        _add_column(annotation, cells, frames)
    annotation.classes = list(dict.fromkeys(label for label, *_ in annotation.bouts))
    return [annotation]


# ------------------------------------------------------------------------------ EthoVision


def _ethovision_header(source: Source) -> int | None:
    """Return the row of column names, as the first lines of a raw data export count it."""
    for row in source.rows[:3]:
        if len(row) > 1 and row[0].lower().startswith("number of header lines"):
            lines = number_or_none(row[1])
            return int(lines) - 2 if lines and lines <= len(source.rows) else None
    return None


def looks_like_ethovision(source: Source) -> bool:
    """Whether the file is a raw data export of EthoVision."""
    return _ethovision_header(source) is not None


def read_ethovision(source: Source) -> list[Annotation]:
    """Read a raw data export: the columns of 0 and 1 (or of --classes) are behaviours.

    A cell '-' is a sample for which EthoVision has no value.
    """
    top = _ethovision_header(source)
    if top is None:
        raise DataError(f"{source.path}: expected a first line 'Number of header lines:'")
    header = source.rows[top]
    rows = source.body(header, top + 1)  # the units are below the names
    indices = _behaviours(source, header, rows)
    time = column_of(header, "recording time", "trial time")
    if time is None:
        raise source.fail(top, "expected a column Recording time or Trial time, found none")
    frames = _frames(source, rows, time, source.rate())
    annotation = _annotation(source, [header[i] for i in indices], frames, source.rate())
    annotation.names += names_above(source, top)
    for index in indices:
        cells = [row[index] for _, row in rows]
        _add_column(annotation, cells, frames, header[index])
        for cell, first, last in runs_of(cells):
            if cell in _NOTHING:
                annotation.unlabelled.append((frames[first], frames[last]))
    return [annotation]


def _behaviours(
    source: Source, header: Sequence[str], rows: Sequence[tuple[int, list[str]]]
) -> list[int]:
    missing = [name for name in source.classes if name not in header]
    if missing:
        raise DataError(f"{source.path}: there is no column {missing[0]!r}")
    if source.classes:
        return [header.index(name) for name in source.classes]
    found = []
    for index in range(len(header)):
        cells = {row[index] for _, row in rows}
        if header[index] and cells <= _BINARY | _NOTHING and cells & _BINARY:
            found.append(index)
    computed = [header[index] for index in found if _COMPUTED.fullmatch(header[index])]
    if computed:
        logging.warning(
            f"{source.path}: EthoVision computes these columns of 0 and 1, so they are left out: "
            f"{', '.join(computed)}; --classes names the columns that are behaviours"
        )
    found = [index for index in found if header[index] not in computed]
    if not found:
        raise DataError(
            f"{source.path}: expected columns of 0 and 1, the behaviours; found "
            f"{', '.join(header[:8])}"
        )
    return found
