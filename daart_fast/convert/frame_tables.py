"""Tables of a row a frame: DeepEthogram's and SimBA's csv -> bouts."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

from daart_fast.convert.annotation import (
    Annotation,
    Source,
    runs_of,
)
from daart_fast.errors import DataError
from daart_fast.names import BACKGROUND

__all__ = ["looks_like_deepethogram", "looks_like_simba", "read_deepethogram", "read_simba"]


def _is_binary(cells: Sequence[str], more: frozenset[str] = frozenset()) -> bool:
    return all(cell in {"0", "1", "0.0", "1.0"} | more for cell in cells)


def _from_table(source: Source, places: Sequence[int]) -> Annotation:
    """Turn columns of 0, 1 and -1 (not labelled) into bouts."""
    header, rows = source.rows[0], [row for row in source.rows[1:] if any(row)]
    names = [header[i] for i in places]
    annotation = Annotation([source.path.stem], [], names, len(rows), a_row_a_frame=True)
    for i, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise source.fail(i, f"expected {len(header)} cells, found {len(row)}")
    for place in places:
        column = [row[place] for row in rows]
        if not _is_binary(column, frozenset(("-1", "-1.0"))):
            odd = next(i for i, c in enumerate(column) if not _is_binary([c], frozenset(("-1",))))
            raise source.fail(odd + 1, f"expected 0 or 1 for {header[place]}, found {column[odd]}")
        for value, start, stop in runs_of([cell.split(".")[0] for cell in column]):
            if value == "1":
                annotation.bouts.append((header[place], start, stop))
            elif value == "-1":
                annotation.unlabelled.append((start, stop))
    return annotation


def looks_like_deepethogram(source: Source) -> bool:
    """Say whether a file has a header of classes after an empty cell, and numbers of frames."""
    rows = source.rows
    return (
        len(rows) > 1
        and len(rows[0]) > 1
        and rows[0][0] == ""
        and rows[0][1].lower() == BACKGROUND
        and all(_is_binary(row[1:], frozenset(("-1",))) for row in rows[1:20] if any(row))
    )


def read_deepethogram(source: Source) -> list[Annotation]:
    """Read DeepEthogram's csv: a row a frame, a column a behaviour after background; -1 unknown."""
    header = source.rows[0] if source.rows else []
    places = [i for i, name in enumerate(header) if i > 0 and name.lower() != BACKGROUND]
    return [_from_table(source, places)]


def _simba_targets(source: Source) -> list[int]:
    """Return the columns of 0 and 1 at the end of a table, or those that were named."""
    header, rows = source.rows[0], [row for row in source.rows[1:] if any(row)]
    if source.classes:
        missing = [name for name in source.classes if name not in header]
        if missing:
            raise DataError(f"{source.path}: there is no column {missing[0]!r}")
        return [header.index(name) for name in source.classes]
    places: list[int] = []
    for i in range(len(header) - 1, 0, -1):
        if not rows or not all(len(row) > i and _is_binary([row[i]]) for row in rows):
            break
        places.insert(0, i)
    return places


def _features_of_0_and_1(source: Source) -> list[str]:
    """Return columns whose names SimBA gives to features; a feature may be 0 or 1 in every frame.

    Those of regions of interest come just before the behaviours. The time in a region is 0 in all
    frames of a video whose animal never enters it.
    """
    if source.classes:
        return []
    kinds = re.compile(
        r".* (in zone(_cumulative_\w+)?|facing)|low_prob_detections_.*", re.IGNORECASE
    )
    header = source.rows[0]
    return [header[i] for i in _simba_targets(source) if kinds.fullmatch(header[i])]


def looks_like_simba(source: Source) -> bool:
    """Say whether a file has columns of 0 and 1 behind numbers."""
    if len(source.rows) < 2 or len(source.rows[0]) < 3:
        return False
    places = _simba_targets(source) if not source.classes else [1]
    return 0 < len(places) < len(source.rows[0]) - 1


def read_simba(source: Source) -> list[Annotation]:
    """Read SimBA's targets_inserted csv: features, then a column of 0 and 1 for each behaviour."""
    features = _features_of_0_and_1(source)
    if features:
        logging.warning(
            f"{source.path}: these columns of 0 and 1 are features, not behaviours: "
            f"{', '.join(features)}; --classes names the columns that are behaviours"
        )
    places = [i for i in _simba_targets(source) if source.rows[0][i] not in features]
    return [_from_table(source, places)]
