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

from daart_fast.errors import DataError, unreadable
from daart_fast.names import BACKGROUND

__all__ = ["CONTINUOUS", "FORMATS", "Annotation", "Bout", "read_annotations"]

#: No time in seconds and no frame is as large (11 days at 100 frames a second): it is no number.
MOST = 1e8

#: Two frame rates that differ by a smaller share are one, as 29.97 and 30000 / 1001.
SAME_RATE = 1e-4

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
        how long it is, where the file says it
    a_row_a_frame
        whether the file has a row for each frame, so that `n_frames` is exact
    n_observed
        the first frame that nobody looked at, where the file says it
    unlabelled
        bouts that nobody scored, as [first, last)
    subjects
        whose bout each one is, in files that say it
    all_subjects
        everybody whom the file has events of, chosen or not
    fps
        the frame rate that made frames of times; None where the file counts frames
    source
        the file
    format
        of `FORMATS`
    """

    names: list[str]
    bouts: list[Bout]
    classes: list[str] = field(default_factory=list)
    n_frames: int | None = None
    a_row_a_frame: bool = False
    n_observed: int | None = None
    unlabelled: list[tuple[int, int]] = field(default_factory=list)
    subjects: list[str] = field(default_factory=list)
    all_subjects: set[str] = field(default_factory=set)
    fps: float | None = None
    source: str = ""
    format: str = ""


@dataclass(frozen=True)
class _Source:
    """A file's lines, the rows in it, and what the user said about it."""

    path: Path
    lines: list[str]
    rows: list[list[str]]
    fps: float | None
    subject: str | None
    classes: tuple[str, ...]
    #: how numbers are written: Excel, where it separates cells by ;, writes 0,5
    comma: str = "."

    def fail(self, row: int, text: str) -> DataError:
        return DataError(f"{self.path}, line {row + 1}: {text}")

    def rate(self, fps: float | None = None) -> float:
        """Return the frame rate that was given, or the file's; an error where they contradict."""
        if self.fps and fps and abs(self.fps - fps) > SAME_RATE * fps:
            raise DataError(
                f"{self.path}: --fps is {self.fps:g}, but the file says {fps:g} frames a second: "
                f"labels would be shifted; leave --fps out, or correct the rate in the file"
            )
        rate = fps or self.fps
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
            number = float(cell.replace(self.comma, "."))
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
        frames a second, for files that hold times and do not say it themselves
    format
        of `FORMATS`; None: as the file looks
    subject
        BORIS: only this subject's behaviours
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
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(unreadable(path, error, "a text file")) from None
    lines = text.splitlines()
    delimiter = _delimiter(lines)
    try:
        table = list(csv.reader(io.StringIO(text), delimiter=delimiter))
    except csv.Error as error:
        raise DataError(f"{path}: expected a table or a text: {error}") from None
    rows = [[cell.strip() for cell in row] for row in table]
    comma = "," if delimiter == ";" else "."
    source = _Source(path, lines, rows, fps, subject, tuple(classes), comma)
    if format is None:
        format = next((name for name, (looks, _) in FORMATS.items() if looks(source)), None)
    if format is None:
        raise DataError(
            f"{path}: expected labels of one of these kinds: {', '.join(FORMATS)}; found "
            f"{', '.join(rows[0][:6]) if rows else 'nothing'}{_separator_hint(lines)}"
        )
    if subject is not None and format != "boris":
        raise DataError(f"{path}: --subject is for BORIS' files, but this is {format}")
    found = FORMATS[format][1](source)
    for annotation in found:
        annotation.source, annotation.format = str(path), format
        _check(annotation)
    return found


def _delimiter(lines: Sequence[str]) -> str:
    """Return what separates cells; a semicolon, as in Excel in Europe, only where it is clear."""
    first = next(filter(str.strip, lines), "")
    if ";" in first and not {",", "\t"} & set(first):
        return ";"
    head = lines[:60]
    tabs, commas = (sum(line.count(mark) for line in head) for mark in "\t,")
    return "\t" if tabs > commas else ","


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


def _column(header: Sequence[str], *names: str) -> int | None:
    """Return the place of the first of these names, whatever their case."""
    lower = [cell.lower() for cell in header]
    return next((lower.index(name) for name in names if name in lower), None)


# ------------------------------------------------------------------------------ BORIS


#: The subject of events without one.
NOBODY = "No focal subject"
#: What the columns of BORIS' exports are called, in its versions.
BORIS_COLUMNS = {
    "behavior": ("behavior",),
    "subject": ("subject",),
    "observation": ("observation id",),
    "media": ("media file name", "media file path", "media file"),
    "fps": ("fps (frame/s)", "fps"),
    "kind": ("status", "behavior type"),
    "time": ("time",),
    "start": ("start (s)",),
    "stop": ("stop (s)",),
    "duration": ("observation duration",),
    "length": ("total length",),
    "media s": ("media duration (s)",),
    "type": ("observation type",),
    "offset": ("time offset (s)", "time offset"),
}


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
    above = {row[0].lower(): row[1] for row in source.rows[:top] if len(row) > 1}
    observation = above.get("observation id", "") or source.path.stem
    found: dict[str, Annotation] = {}
    begun: dict[tuple[str, str, str], tuple[int, int]] = {}
    for event in _boris_events(source, top):
        name = event["observation"] or observation
        if name not in found:
            found[name] = _boris_annotation(source, event, name)
        found[name].all_subjects.add(event["subject"])
        if source.subject is None or event["subject"] == source.subject:
            _add_boris_event(source, found[name], event, begun)
    for (_, _, label), (_, i) in begun.items():
        raise source.fail(i, f"{label} starts and never stops")
    if found:
        return list(found.values())
    stem = source.path.stem  # to which BORIS adds the subject
    return [Annotation([observation, stem.removesuffix(f"_{source.subject or NOBODY}"), stem], [])]


class _Event(dict[str, str]):
    """The cells of a row of BORIS' by what they mean, empty where the file lacks them."""

    row: int
    a_bout: bool


def _boris_events(source: _Source, top: int) -> Iterator[_Event]:
    places = {
        meaning: _column(source.rows[top], *names) for meaning, names in BORIS_COLUMNS.items()
    }
    for i, row in enumerate(source.rows[top + 1 :], start=top + 1):
        if not any(row):
            continue
        event = _Event(
            (meaning, row[at] if at is not None and at < len(row) else "")
            for meaning, at in places.items()
        )
        event.row, event.a_bout = i, places["start"] is not None
        if not event["behavior"]:
            raise source.fail(i, "expected a behaviour, found nothing")
        yield event


def _boris_annotation(source: _Source, event: _Event, name: str) -> Annotation:
    """Return what a row says about its observation: names, frame rate, how long it was watched."""
    rate = source.rate(_rate(event["fps"], source.comma))
    names = [name, _stem(event["media"]), source.path.stem]
    annotation = Annotation([one for one in names if one], [], fps=rate)
    seconds = [_rate(event[length], source.comma) for length in ("duration", "length", "media s")]
    if known := [length for length in seconds if length]:
        annotation.n_observed = round(min(known) * rate)
    odd = "was watched live" if event["type"].lower().startswith("live") else ""
    if offset := _rate(event["offset"], source.comma):
        odd = f"has a time offset of {offset:g} s"
    if odd:
        logging.warning(
            f"{source.path}: observation {name} {odd}: its times are taken to count from the first "
            f"frame of the video; where they do not, all its labels are shifted"
        )
    return annotation


def _add_boris_event(
    source: _Source,
    annotation: Annotation,
    event: _Event,
    begun: dict[tuple[str, str, str], tuple[int, int]],
) -> None:
    """Add the bout that a row is, or ends; remember the one that it begins."""
    i, label = event.row, event["behavior"]
    who = event["observation"], event["subject"], label
    rate = source.rate(_rate(event["fps"], source.comma))
    if annotation.fps and abs(rate - annotation.fps) > SAME_RATE * rate:
        raise source.fail(
            i, f"the frame rate is {rate:g} here and {annotation.fps:g} above, in one observation"
        )

    def frame(cell: str) -> int:
        return round(source.number(i, event[cell]) * rate)

    def add(start: int, stop: int) -> None:
        annotation.bouts.append((label, start, stop))
        annotation.subjects.append(event["subject"])

    kind = event["kind"].upper()
    if event.a_bout:
        point = kind == "POINT" or event["stop"] in ("", "NA")
        start = frame("start")
        add(start, start + 1 if point else max(frame("stop"), start + 1))
    elif kind == "POINT":
        add(frame("time"), frame("time") + 1)
    elif kind == "START" and who not in begun:
        begun[who] = frame("time"), i
    elif kind == "STOP" and who in begun:
        add(begun.pop(who)[0], frame("time"))
    else:
        what = "starts a second time" if kind == "START" else f"is {kind or 'nothing'!r}"
        raise source.fail(i, f"{label} {what} where it should start or stop in turn")


def _rate(cell: str, comma: str = ".") -> float | None:
    """Return a number that is given and not 0."""
    try:
        return float(cell.replace(comma, ".")) or None
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
        and rows[0][1].lower() == BACKGROUND
        and all(_is_binary(row[1:], frozenset(("-1",))) for row in rows[1:20] if any(row))
    )


def _deepethogram(source: _Source) -> list[Annotation]:
    """Read DeepEthogram's csv: a row a frame, a column a behaviour after background; -1 unknown."""
    header = source.rows[0] if source.rows else []
    places = [i for i, name in enumerate(header) if i > 0 and name.lower() != BACKGROUND]
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

    With several streams the first is read: the rest annotate the same video in different ways.
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
    annotation.n_observed = annotation.n_frames
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
        annotation = found.setdefault(session, Annotation([session], [], fps=source.fps))
        begin, end = (source.number(i, row[place]) for place in (start_at, end_at))
        if stop_at is None:  # but how long it lasts
            end += begin
        annotation.bouts.append((row[label_at], frame(i, begin), frame(i, end)))
    if not found and session_at is None:
        return [Annotation([source.path.stem], [])]
    return list(found.values())


#: Where somebody watches a whole recording: frames between bouts show none of the behaviours.
CONTINUOUS = ("boris", "deepethogram", "simba", "caltech")

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
