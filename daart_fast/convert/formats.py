"""Annotation files of other programs -> bouts, in frames.

Each reader takes the rows of a file as text and gives one `Annotation` for each recording in it.
"""

from __future__ import annotations

import csv
import io
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath

from daart_fast.errors import DataError, did_you_mean, some

__all__ = ["FORMATS", "Annotation", "Bout", "read_annotations"]

#: No time in seconds and no frame is as large (11 days at 100 frames a second): it is no number.
MOST = 1e8

#: class, first frame, frame after the last
Bout = tuple[str, int, int]


@dataclass
class Annotation:
    """What was labelled in one recording.

    Attributes
    ----------
    names
        what the recording may be called, the best first
    bouts
        class, first frame, frame after the last
    classes
        all classes of the file, those that never occur too
    n_frames
        how long it is, where the file tells
    a_row_a_frame
        whether the file has a row for each frame, so that `n_frames` is exact
    unlabelled
        bouts that nobody scored, as [first, last)
    source
        the file
    """

    names: list[str]
    bouts: list[Bout]
    classes: list[str] = field(default_factory=list)
    n_frames: int | None = None
    a_row_a_frame: bool = False
    unlabelled: list[tuple[int, int]] = field(default_factory=list)
    source: str = ""


@dataclass(frozen=True)
class _Source:
    """A file's lines, the rows in it, and what the user said about it."""

    path: Path
    lines: list[str]
    rows: list[list[str]]
    fps: float | None
    subject: str | None
    classes: tuple[str, ...]

    def fail(self, row: int, text: str) -> DataError:
        return DataError(f"{self.path}, line {row + 1}: {text}")

    def frame(self, row: int, cell: str, fps: float | None = None) -> int:
        """Return the frame of a time in seconds."""
        return round(self.number(row, cell) * self.rate(fps))

    def rate(self, fps: float | None = None) -> float:
        """Return the frame rate that was given, or else the file's own."""
        rate = self.fps or fps
        if not rate:
            raise DataError(f"{self.path}: times are in seconds: expected the frame rate (--fps)")
        return rate

    def whole(self, row: int, number: float) -> int:
        """Return a number that counts frames."""
        if not number.is_integer():
            raise self.fail(row, f"expected a frame, found {number:g}")
        return int(number)

    def number(self, row: int, cell: str) -> float:
        try:
            number = float(cell)
        except ValueError:
            raise self.fail(row, f"expected a number, found {cell!r}") from None
        if not abs(number) < MOST:
            raise self.fail(row, f"expected a number below {MOST:g}, found {cell!r}")
        return number


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
        frames a second, for files that hold times and don't tell it themselves
    format
        of `FORMATS`; None: as the file looks
    subject
        BORIS: this subject's behaviours alone
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
        naming file and line, where the file is none of the formats, or not as the format wants it
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: expected a text file: {error}") from None
    lines = text.splitlines()
    head = lines[: max(1, min(len(lines), 60))]
    delimiter = "\t" if sum(line.count("\t") for line in head) > sum(
        line.count(",") for line in head
    ) else ","  # fmt: skip
    try:
        table = list(csv.reader(io.StringIO(text), delimiter=delimiter))
    except csv.Error as error:
        raise DataError(f"{path}: expected a table or a text: {error}") from None
    rows = [[cell.strip() for cell in row] for row in table]
    source = _Source(path, lines, rows, fps, subject, tuple(classes))
    if format is None:
        format = next((name for name, (looks, _) in FORMATS.items() if looks(source)), None)
    if format is None:
        raise DataError(
            f"{path}: expected labels of one of these kinds: {', '.join(FORMATS)}; found "
            f"{', '.join(rows[0][:6]) if rows else 'nothing'}"
        )
    if subject is not None and format != "boris":
        raise DataError(f"{path}: --subject is for BORIS' files, but this is {format}")
    found = FORMATS[format][1](source)
    if not found and subject is None:
        logging.warning(f"{path}: there are no bouts in it, so no labels of it")
    for annotation in found:
        annotation.source = str(path)
        _check(annotation)
    return found


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


def _column(header: Sequence[str], *names: str) -> int | None:
    """Return the place of the first of these names, whatever their case."""
    lower = [cell.lower() for cell in header]
    return next((lower.index(name) for name in names if name in lower), None)


# ------------------------------------------------------------------------------ BORIS


def _boris_header(source: _Source) -> int | None:
    """Return the row of column names; exports of older versions have other rows above it."""
    for i, row in enumerate(source.rows[:100]):
        lower = {cell.lower() for cell in row}
        if "behavior" in lower and lower & {"time", "start (s)"} and len(row) > 3:
            return i
    return None


def _boris(source: _Source) -> list[Annotation]:
    """Read BORIS' tabular or aggregated events.

    Tabular: a row an event, which starts or stops a behaviour, or is a point. Aggregated: a row a
    bout. A point event is one frame long.
    """
    top = _boris_header(source)
    if top is None:
        raise DataError(f"{source.path}: expected columns Behavior and Time or Start (s)")
    header = source.rows[top]
    place = {
        "behavior": _column(header, "behavior"),
        "subject": _column(header, "subject"),
        "observation": _column(header, "observation id"),
        "media": _column(header, "media file name", "media file path", "media file"),
        "fps": _column(header, "fps (frame/s)", "fps"),
        "kind": _column(header, "status", "behavior type"),
        "time": _column(header, "time"),
        "start": _column(header, "start (s)"),
        "stop": _column(header, "stop (s)"),
    }
    above = {row[0].lower(): row[1] for row in source.rows[:top] if len(row) > 1}
    found: dict[str, Annotation] = {}
    begun: dict[tuple[str, str, str], tuple[int, int]] = {}
    others: set[str] = set()

    for i, row in enumerate(source.rows[top + 1 :], start=top + 1):
        if not any(row):
            continue

        def cell(name: str) -> str:
            at = place[name]
            return row[at] if at is not None and at < len(row) else ""  # noqa: B023

        if source.subject is not None and cell("subject") != source.subject:
            others.add(cell("subject") or "nobody")
            continue
        observation = cell("observation") or above.get("observation id", "") or source.path.stem
        names = [observation, _stem(cell("media")), source.path.stem]
        own = found.setdefault(observation, Annotation([n for n in names if n], []))
        label = cell("behavior")
        if not label:
            raise source.fail(i, "expected a behaviour, found nothing")
        rate = _rate(cell("fps"))
        if place["start"] is not None:
            start = source.frame(i, cell("start"), rate)
            point = cell("kind").upper() == "POINT" or cell("stop") in ("", "NA")
            stop = start + 1 if point else source.frame(i, cell("stop"), rate)
            own.bouts.append((label, start, max(stop, start + 1)))
            continue
        frame, kind = source.frame(i, cell("time"), rate), cell("kind").upper()
        who = (observation, cell("subject"), label)
        if kind == "POINT":
            own.bouts.append((label, frame, frame + 1))
        elif kind == "START" and who not in begun:
            begun[who] = frame, i
        elif kind == "STOP" and who in begun:
            own.bouts.append((label, begun.pop(who)[0], frame))
        else:
            what = "starts a second time" if kind == "START" else f"is {kind or 'nothing'!r}"
            raise source.fail(i, f"{label} {what} where it should start or stop in turn")
    for (_, _, label), (_, i) in begun.items():
        raise source.fail(i, f"{label} starts and never stops")
    if source.subject is not None and not found:
        logging.warning(
            f"{source.path}: expected events of subject {source.subject!r}, found those of "
            f"{some(sorted(others)) or 'nobody'}{did_you_mean(source.subject, others)}; no labels "
            f"of it"
        )
    return list(found.values())


def _rate(cell: str) -> float | None:
    try:
        return float(cell) or None
    except ValueError:
        return None


def _stem(path: str) -> str:
    """Return the name of a media file without folders (of any system) and ending."""
    return Path(PureWindowsPath(path).name).stem


# ------------------------------------------------------------------------------ frame tables


def _is_binary(cells: Sequence[str], more: frozenset[str] = frozenset()) -> bool:
    return all(cell in {"0", "1", "0.0", "1.0"} | more for cell in cells)


def _from_table(source: _Source, places: Sequence[int]) -> Annotation:
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
        for value, start, stop in _runs([cell.split(".")[0] for cell in column]):
            if value == "1":
                annotation.bouts.append((header[place], start, stop))
            elif value == "-1":
                annotation.unlabelled.append((start, stop))
    return annotation


def _runs(cells: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    start = 0
    for i in range(1, len(cells) + 1):
        if i == len(cells) or cells[i] != cells[start]:
            yield cells[start], start, i
            start = i


def _looks_like_deepethogram(source: _Source) -> bool:
    rows = source.rows
    return (
        len(rows) > 1
        and len(rows[0]) > 1
        and rows[0][0] == ""
        and rows[0][1].lower() == "background"
        and all(_is_binary(row[1:], frozenset(("-1",))) for row in rows[1:20] if any(row))
    )


def _deepethogram(source: _Source) -> list[Annotation]:
    """Read DeepEthogram's csv: a row a frame, a column a behaviour after background; -1 unknown."""
    header = source.rows[0] if source.rows else []
    places = [i for i, name in enumerate(header) if i > 0 and name.lower() != "background"]
    return [_from_table(source, places)]


def _simba_targets(source: _Source) -> list[int]:
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


def _looks_like_simba(source: _Source) -> bool:
    if len(source.rows) < 2 or len(source.rows[0]) < 3:
        return False
    places = _simba_targets(source) if not source.classes else [1]
    return 0 < len(places) < len(source.rows[0]) - 1


def _simba(source: _Source) -> list[Annotation]:
    """Read SimBA's targets_inserted csv: features, then a column of 0 and 1 for each behaviour."""
    return [_from_table(source, _simba_targets(source))]


# ------------------------------------------------------------------------------ Caltech


def _caltech(source: _Source) -> list[Annotation]:
    """Read Caltech Behavior Annotator's txt: streams of bouts, frames from 1, the last included.

    With several streams the first is read: the others annotate the same video in other ways.
    """
    annotation = Annotation([source.path.stem], [])
    inside: str | None = None
    for i, line in enumerate(source.lines):
        words = line.split()
        if not words or set(line.strip()) == {"-"}:
            continue
        if words[0].lower() == "configuration":
            inside = "classes"
        elif len(words[0]) > 1 and words[0][0] == "S" and words[0][1:].rstrip(":").isdigit():
            if inside == "bouts":
                break
            inside = "bouts"
        elif inside == "classes":
            annotation.classes.append(words[0])
        elif inside == "bouts":
            if len(words) < 3:
                raise source.fail(i, f"expected start, end and type, found {line.strip()!r}")
            start, stop = (source.whole(i, source.number(i, word)) for word in words[:2])
            annotation.bouts.append((words[2], start - 1, stop))
    if inside != "bouts":
        raise DataError(f"{source.path}: expected a stream of bouts, headed 'S1:'")
    annotation.n_frames = max((stop for *_, stop in annotation.bouts), default=0)
    return [annotation]


# ------------------------------------------------------------------------------ bout tables

_CLASS = ("class", "behavior", "behaviour", "label", "event")
_START = ("start", "start (s)", "start_time", "onset", "begin", "start_frame", "start frame")
_STOP = ("stop", "end", "stop (s)", "end (s)", "stop_time", "end_time", "offset", "stop_frame",
         "end_frame", "stop frame", "end frame")  # fmt: skip


def _looks_like_bouts(source: _Source) -> bool:
    header = source.rows[0] if source.rows else []
    ends = _column(header, *_STOP) is not None or _column(header, "duration") is not None
    return _column(header, *_CLASS) is not None and _column(header, *_START) is not None and ends


def _bout_table(source: _Source) -> list[Annotation]:
    """Read a table of bouts: class, start, and stop (not included) or duration.

    In seconds where the frame rate is given, the columns are called so or a time is no whole
    number, else, or where the columns are called so, in frames. A column ``session`` parts several
    recordings.
    """
    header = source.rows[0] if source.rows else []
    label_at, start_at = _column(header, *_CLASS), _column(header, *_START)
    stop_at, for_at = _column(header, *_STOP), _column(header, "duration")
    session_at = _column(header, "session", "video", "file")
    if label_at is None or start_at is None or (stop_at is None and for_at is None):
        raise DataError(
            f"{source.path}: expected columns class, start and stop (or duration), found "
            f"{', '.join(header)}"
        )
    end_at = stop_at if stop_at is not None else for_at or 0
    called = f"{header[start_at]} {header[end_at]}".lower()
    in_frames = "frame" in called
    in_seconds = bool(source.fps) or "(s)" in called or "time" in called

    def frame(row: int, time: float) -> int:
        if not in_frames and (in_seconds or not time.is_integer()):
            return round(time * source.rate())
        return source.whole(row, time)

    found: dict[str, Annotation] = {}
    for i, row in enumerate(source.rows[1:], start=1):
        if not any(row):
            continue
        if len(row) != len(header):
            raise source.fail(i, f"expected {len(header)} cells, found {len(row)}")
        session = _stem(row[session_at]) if session_at is not None else source.path.stem
        own = found.setdefault(session, Annotation([session], []))
        begin, end = (source.number(i, row[place]) for place in (start_at, end_at))
        if stop_at is None:  # but how long it lasts
            end += begin
        own.bouts.append((row[label_at], frame(i, begin), frame(i, end)))
    return list(found.values())


#: name -> (whether a file looks like it, its reader), in the order in which they are tried
FORMATS: dict[str, tuple[Callable[[_Source], bool], Callable[[_Source], list[Annotation]]]] = {
    "caltech": (
        lambda source: any("Caltech Behavior Annotator" in line for line in source.lines[:5]),
        _caltech,
    ),
    "boris": (lambda source: _boris_header(source) is not None, _boris),
    "deepethogram": (_looks_like_deepethogram, _deepethogram),
    "bouts": (_looks_like_bouts, _bout_table),
    "simba": (_looks_like_simba, _simba),
}
