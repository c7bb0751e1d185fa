"""Tables with the name of one class in each row, a row a frame -> bouts."""

from __future__ import annotations

from daart_fast.convert.annotation import Annotation, Source, number_or_none, runs_of
from daart_fast.errors import DataError
from daart_fast.names import BACKGROUND

__all__ = ["looks_like_names", "read_names"]

_FRAME = ("", "frame", "frames", "frame_number", "frame number", "frame_id", "index", "image")
_CLASS = ("label", "labels", "behavior", "behaviour", "class", "state", "annotation", "action")
_UNSCORED = frozenset(("", "nan", "na", "none", "unlabelled", "unlabeled", BACKGROUND))


def looks_like_names(source: Source) -> bool:
    """Whether the table has one column of names, beside frame numbers or not."""
    rows = [row for row in source.rows if any(row)]
    if _has_no_header(rows):
        return True
    if len(rows) < 3 or not 1 <= len(rows[0]) <= 2 or rows[0][-1].lower() not in _CLASS:
        return False
    if len(rows[0]) == 2 and rows[0][0].lower() not in _FRAME:
        return False
    return all(number_or_none(row[-1]) is None and row[-1] != "0" for row in rows[1:50])


def _has_no_header(rows: list[list[str]]) -> bool:
    """Whether the rows are names from the first on: one that comes again is no header."""
    if len(rows) < 3 or any(len(row) != 1 or number_or_none(row[0]) is not None for row in rows):
        return False
    names = [row[0] for row in rows]
    return names[0] in names[1:] and len(set(names)) <= len(names) / 2


def read_names(source: Source) -> list[Annotation]:
    """Read a class name a row. Frames without a name, or called background, are not scored."""
    header = source.header()
    top = -1 if _has_no_header([row for row in source.rows if any(row)]) else 0
    rows = [(i, row or [""]) for i, row in enumerate(source.rows) if i > top]
    while rows and not any(rows[-1][1]):
        rows.pop()
    names: list[str] = []
    for i, row in rows:
        if len(row) != len(header):
            raise source.fail(i, f"expected {len(header)} cells, found {len(row)}")
        if len(row) == 2:
            _check_number(source, i, row[0], rows)
        names.append(row[-1])
    annotation = Annotation([source.path.stem], [], [], len(names), a_row_a_frame=True)
    for name, start, stop in runs_of(names):
        if name.lower() in _UNSCORED:
            annotation.unlabelled.append((start, stop))
        else:
            annotation.bouts.append((name, start, stop))
    annotation.classes = list(dict.fromkeys(label for label, *_ in annotation.bouts))
    if not annotation.classes:
        raise DataError(f"{source.path}: expected the names of classes, found none")
    return [annotation]


def _check_number(source: Source, i: int, cell: str, rows: list[tuple[int, list[str]]]) -> None:
    """Frame numbers count up by one from any number on."""
    first_row, first = rows[0]
    wanted = source.whole(first_row, source.number(first_row, first[0])) + i - first_row
    if source.number(i, cell) != wanted:
        raise source.fail(
            i, f"expected frame {wanted}, one more than the line before, found {cell}"
        )
