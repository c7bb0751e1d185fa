"""Annotation files of other programs -> bouts, in frames.

Each reader takes the rows of a file as text and gives one `Annotation` for each recording in it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from daart_fast.convert.annotation import (
    Annotation,
    Source,
)
from daart_fast.convert.bento import looks_like_bento, read_bento
from daart_fast.convert.boris import looks_like_boris, read_boris
from daart_fast.convert.boris_project import PREDICTED, read_project
from daart_fast.convert.bouts import looks_like_bouts, read_bouts
from daart_fast.convert.caltech import looks_like_caltech, read_caltech
from daart_fast.convert.events import looks_like_observer, read_observer
from daart_fast.convert.frame_tables import (
    looks_like_deepethogram,
    looks_like_simba,
    read_deepethogram,
    read_simba,
)
from daart_fast.convert.names import looks_like_names, read_names
from daart_fast.convert.samples import (
    looks_like_ethovision,
    looks_like_frame_table,
    looks_like_solomon,
    looks_like_time_table,
    read_ethovision,
    read_frame_table,
    read_solomon,
    read_time_table,
)
from daart_fast.convert.sheets import read_sheets
from daart_fast.convert.tiers import (
    looks_like_eaf,
    looks_like_elan,
    looks_like_via,
    read_eaf,
    read_elan,
    read_via,
)
from daart_fast.errors import DataError

__all__ = ["FORMATS", "Format", "read_annotations"]


def read_annotations(
    path: str | os.PathLike[str],
    fps: float | None = None,
    format: str | None = None,
    subject: str | None = None,
    classes: Sequence[str] = (),
) -> list[Annotation]:
    """Read an annotation file.

    Parameters
    ----------
    path
        the file
    fps
        frames a second, for files that hold times and do not say it themselves
    format
        of `FORMATS`; None: as the file looks
    subject
        only this subject's behaviours (or this channel's), where a file has several
    classes
        SimBA: the columns that are targets, where those of 0 and 1 at the end are not all or too
        many

    Returns
    -------
    list of Annotation
        one for each recording that the file is about

    Raises
    ------
    DataError
        naming file and line, where the file is none of the formats, or not as the format wants it,
        or its frame rate contradicts `fps`
    """
    path = Path(path)
    sources = {
        sheet: Source(path, lines, rows, fps, subject, tuple(classes), comma)
        for sheet, lines, rows, comma in read_sheets(path)
    }
    format, source = _recognised(path, sources, format)
    if subject is not None and not FORMATS[format].subjects:
        kinds = ", ".join(name for name, kind in FORMATS.items() if kind.subjects)
        raise DataError(f"{path}: --subject is for files of {kinds}, but this is {format}")
    found = FORMATS[format].read(source)
    for annotation in found:
        annotation.source, annotation.format = str(path), format
        annotation.predicted |= any(PREDICTED in row for row in source.rows)
        _check(annotation)
    return found


def _recognised(
    path: Path, sources: Mapping[str, Source], format: str | None
) -> tuple[str, Source]:
    """Return the format of a file and the sheet that holds it."""
    if format is not None and len(sources) == 1:
        return format, next(iter(sources.values()))
    for name in FORMATS if format is None else [format]:
        found = [sheet for sheet, source in sources.items() if FORMATS[name].looks(source)]
        if len(found) > 1:
            raise DataError(
                f"{path}: expected labels of format {name} in one sheet, found them in "
                f"{', '.join(found)}; save each as a csv file"
            )
        if found:
            return name, sources[found[0]]
    source = next(iter(sources.values()))
    rows = source.rows
    raise DataError(
        f"{path}: expected labels of one of these kinds: {', '.join(FORMATS)}; found "
        f"{', '.join(rows[0][:6]) if rows else 'nothing'}{_separator_hint(source.lines)}"
    )


def _separator_hint(lines: Sequence[str]) -> str:
    first = next(filter(str.strip, lines), "")
    if first.count(";") < 2:
        return ""
    return (
        "; its cells seem to be separated by ';': save it again as 'CSV UTF-8 (Comma delimited)', "
        "or export it again with commas"
    )


def _check(annotation: Annotation) -> None:
    """Refuse classes that no header row could hold, and bouts that end before they start."""
    for name in annotation.classes + [label for label, *_ in annotation.bouts]:
        if not name or any(ord(character) < 32 for character in name):
            raise DataError(f"{annotation.source}: {name!r} cannot be the name of a class")
    for label, start, stop in annotation.bouts:
        if start < 0 or stop < start:
            raise DataError(
                f"{annotation.source}: a bout of {label} runs from frame {start} to {stop}"
            )


@dataclass(frozen=True)
class Format:
    """What is known of a program's files."""

    #: whether a file looks like one
    looks: Callable[[Source], bool]
    read: Callable[[Source], list[Annotation]]
    #: whether somebody watches a whole recording: frames between bouts show no behaviour
    continuous: bool = False
    #: whether a file may hold the behaviours of several subjects (or channels)
    subjects: bool = False


#: The formats by name, in the order in which they are tried.
FORMATS = {
    "boris-project": Format(
        lambda source: source.path.suffix.lower() == ".boris",
        lambda source: read_project(source.path, source.subject),
        continuous=True,
        subjects=True,
    ),
    "caltech": Format(looks_like_caltech, read_caltech, continuous=True),
    "bento": Format(looks_like_bento, read_bento, continuous=True, subjects=True),
    "observer": Format(looks_like_observer, read_observer, continuous=True, subjects=True),
    "ethovision": Format(looks_like_ethovision, read_ethovision, continuous=True),
    "eaf": Format(looks_like_eaf, read_eaf, continuous=True, subjects=True),
    "elan": Format(looks_like_elan, read_elan, continuous=True, subjects=True),
    "via": Format(looks_like_via, read_via, continuous=True),
    "boris": Format(looks_like_boris, read_boris, continuous=True, subjects=True),
    "deepethogram": Format(looks_like_deepethogram, read_deepethogram, continuous=True),
    "frame-table": Format(looks_like_frame_table, read_frame_table, continuous=True),
    "time-table": Format(looks_like_time_table, read_time_table, continuous=True),
    "solomon": Format(looks_like_solomon, read_solomon, continuous=True),
    "names": Format(looks_like_names, read_names, continuous=True),
    "bouts": Format(looks_like_bouts, read_bouts, subjects=True),
    "simba": Format(looks_like_simba, read_simba, continuous=True),
}
