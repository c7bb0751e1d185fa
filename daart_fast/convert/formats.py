"""Annotation files of other programs -> bouts, in frames.

Each reader takes the rows of a file as text and gives one `Annotation` for each recording in it.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from daart_fast.convert.annotation import (
    SAME_RATE,
    Annotation,
    Source,
    column_of,
    number_or_none,
    runs_of,
    stem_of,
)
from daart_fast.convert.bento import looks_like_bento, read_bento
from daart_fast.convert.events import looks_like_observer, read_observer
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
from daart_fast.names import BACKGROUND

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
    "source": ("source",),
    "image": ("image index", "image index start"),
}
#: Times and image indices of one event may differ by so many frames, as players round.
IMAGE_SLACK = 2


def _boris_header(source: Source) -> int | None:
    """Return the row of column names; exports of older versions have other rows above it."""
    for i, row in enumerate(source.rows[:100]):
        lower = {cell.lower() for cell in row}
        if "behavior" in lower and lower & {"time", "start (s)"} and len(row) > 3:
            return i
    return None


def _looks_like_boris(source: Source) -> bool:
    return _boris_header(source) is not None


def _boris(source: Source) -> list[Annotation]:
    """Read BORIS' tabular or aggregated events.

    Tabular: a row an event, which starts or stops a behaviour, or is a point. Aggregated: a row a
    bout. A point event is one frame long.
    """
    top = _boris_header(source)
    if top is None:
        raise DataError(f"{source.path}: expected columns Behavior and Time or Start (s)")
    above = {row[0].lower(): row[1] for row in source.rows[:top] if len(row) > 1}
    observation = above.get("observation id", "") or source.path.stem
    observations: dict[str, list[_Event]] = {}
    for event in _boris_events(source, top):
        observations.setdefault(event["observation"] or observation, []).append(event)
    found = [
        annotation
        for name, events in observations.items()
        for annotation in _boris_observation(source, name, events)
    ]
    if found:
        return found
    stem = source.path.stem  # to which BORIS adds the subject
    return [Annotation([observation, stem.removesuffix(f"_{source.subject or NOBODY}"), stem], [])]


class _Event(dict[str, str]):
    """The cells of a row of BORIS' by what they mean, empty where the file lacks them."""

    row: int
    a_bout: bool


def _boris_events(source: Source, top: int) -> Iterator[_Event]:
    places = {
        meaning: column_of(source.rows[top], *names) for meaning, names in BORIS_COLUMNS.items()
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


@dataclass
class _Video:
    """One video of an observation, whose time runs on over the videos that follow each other."""

    name: str
    #: seconds of the observation before it, and its length
    begin: float
    seconds: float | None
    annotation: Annotation

    def frame(self, seconds: float) -> int:
        """Return the video's frame at a time of the observation."""
        assert self.annotation.fps
        return round((seconds - self.begin) * self.annotation.fps)


def _boris_observation(source: Source, name: str, events: list[_Event]) -> list[Annotation]:
    """Return what was labelled in each video of an observation."""
    videos = _videos(source, name, events)
    begun: dict[tuple[str, str], tuple[float, int]] = {}
    for event in events:
        for video in videos:
            video.annotation.all_subjects.add(event["subject"])
        _check_event(source, event, videos)
        if source.subject is None or event["subject"] == source.subject:
            _add_boris_event(source, videos, event, begun)
    for (_, label), (_, i) in begun.items():
        raise source.fail(i, f"{label} starts and never stops")
    return [video.annotation for video in videos]


def _videos(source: Source, name: str, events: list[_Event]) -> list[_Video]:
    """Return the videos of an observation; an error where the file does not say when each begins.

    Of videos side by side the first player's count: the times are its.
    """
    event = events[0]
    if event["type"].lower().startswith("live"):
        logging.warning(
            f"{source.path}: observation {name} was watched live: its times are taken to count "
            f"from the first frame of the video; where they do not, all its labels are shifted"
        )
    media = _queue(event["source"], events)
    rates = [number_or_none(cell, source.comma) for cell in _parts(event["fps"])]
    if len(media) > 1:
        return _queued_videos(source, name, event, media, rates)
    rate = source.rate(rates[0] if rates else None)
    names = [name, *media, source.path.stem]
    annotation = Annotation([one for one in names if one], [], fps=rate)
    cells = (_parts(event[length])[:1] for length in ("duration", "length", "media s"))
    seconds = [number_or_none(cell, source.comma) for (cell,) in filter(None, cells)]
    if known := [length for length in seconds if length]:
        annotation.n_observed = round(min(known) * rate)
    return [_Video("".join(media), 0.0, None, annotation)]


def _queue(cell: str, events: list[_Event]) -> list[str]:
    """Return the first player's videos: those of the column Source, then any that events name."""
    players = [_media(player) for player in re.split(r"\|?player #\d+:", cell)]
    beside = {media for player in players[2:] for media in player}
    seen = [media for event in events for media in _media(event["media"]) if media not in beside]
    return list(dict.fromkeys([*(players[1] if len(players) > 1 else []), *seen]))


def _queued_videos(
    source: Source, name: str, event: _Event, media: list[str], rates: list[float | None]
) -> list[_Video]:
    """Return videos that follow each other; an error where their lengths are not known."""
    lengths = [number_or_none(cell, source.comma) or 0.0 for cell in _parts(event["media s"])]
    if len(lengths) != len(media) or not all(lengths):
        raise source.fail(
            event.row,
            f"observation {name} is about the videos {' and '.join(media)}, but the file does not "
            f"say how long each is, so their frames are not known; export the observation as "
            f"tabular events of BORIS 8 or newer, which do",
        )
    rates = rates * len(media) if len(rates) == 1 else rates or [None] * len(media)
    if len(rates) != len(media):
        raise source.fail(
            event.row, f"expected a frame rate for each of {len(media)} videos, found {len(rates)}"
        )
    videos, begin = [], 0.0
    for stem, length, fps in zip(media, lengths, rates, strict=True):
        rate = source.rate(fps)
        annotation = Annotation([stem], [], fps=rate, n_observed=round(length * rate))
        videos.append(_Video(stem, begin, length, annotation))
        begin += length
    return videos


def _parts(cell: str) -> list[str]:
    """Split what BORIS says of each video of an observation: those of the first player."""
    return [part.strip() for part in cell.partition("|")[0].split(";") if part.strip()]


def _media(cell: str) -> list[str]:
    """Return the names of one player's videos."""
    return [stem_of(part) for part in _parts(cell)]


def _seconds(source: Source, event: _Event, cell: str) -> float:
    """Return a time from the first frame of the observation's first video on."""
    offset = number_or_none(event["offset"], source.comma) or 0.0
    time = source.number(event.row, event[cell])
    if offset > 0 and time < offset:
        raise source.fail(
            event.row,
            f"the time {time:g} s is before the observation's time offset of {offset:g} s; correct "
            f"the time offset in BORIS and export again",
        )
    return time - offset


def _check_event(source: Source, event: _Event, videos: list[_Video]) -> None:
    """Refuse an event whose frame rate, video or image index contradicts its time."""
    i, label = event.row, event["behavior"]
    named = _media(event["media"])[:1]
    video = next((one for one in videos if [one.name] == named), videos[0])
    fps = video.annotation.fps or 0.0
    rates = [number_or_none(cell, source.comma) for cell in _parts(event["fps"])] or [None]
    rate = source.rate(rates[min(videos.index(video), len(rates) - 1)])
    if abs(rate - fps) > SAME_RATE * rate:
        raise source.fail(
            i, f"the frame rate is {rate:g} here and {fps:g} above, in one observation"
        )
    frame = video.frame(_seconds(source, event, "start" if event.a_bout else "time"))
    if video.seconds is not None and named == [video.name]:
        n_frames = round(video.seconds * fps)
        if not -IMAGE_SLACK <= frame <= n_frames + IMAGE_SLACK:
            raise source.fail(
                i,
                f"{label} is at frame {frame} of {video.name} by its time, but that video has "
                f"{n_frames} frames",
            )
    image = number_or_none(event["image"], source.comma)
    of_a_video = not event["type"] or event["type"].lower().startswith("media")
    if image is not None and of_a_video and abs(frame - image) > IMAGE_SLACK:
        raise source.fail(
            i,
            f"{label} is at frame {frame} by its time, but at frame {image:g} by its image index; "
            f"correct the time offset or the frame rate in BORIS and export again",
        )


def _add_boris_event(
    source: Source,
    videos: list[_Video],
    event: _Event,
    begun: dict[tuple[str, str], tuple[float, int]],
) -> None:
    """Add the bout that a row is, or ends; remember the one that it begins."""
    i, label = event.row, event["behavior"]
    who = event["subject"], label
    kind = event["kind"].upper()
    if event.a_bout:
        point = kind == "POINT" or event["stop"] in ("", "NA")
        start = _seconds(source, event, "start")
        stop = start if point else _seconds(source, event, "stop")
        _add_bout(videos, event, start, stop, at_least=1)
        return
    time = _seconds(source, event, "time")
    if kind == "POINT":
        _add_bout(videos, event, time, time, at_least=1)
    elif kind == "START" and who not in begun:
        begun[who] = time, i
    elif kind == "STOP" and who in begun:
        _add_bout(videos, event, begun.pop(who)[0], time)
    else:
        what = "starts a second time" if kind == "START" else f"is {kind or 'nothing'!r}"
        raise source.fail(i, f"{label} {what} where it should start or stop in turn")


def _add_bout(
    videos: list[_Video], event: _Event, start: float, stop: float, at_least: int = 0
) -> None:
    """Add a bout to the videos that it lies in; one may run on into the next video."""
    for number, video in enumerate(videos, start=1):
        first = video.frame(start)
        last = max(video.frame(stop), first + at_least)
        if len(videos) > 1:
            n_frames = round((video.seconds or 0.0) * (video.annotation.fps or 0.0))
            first = max(first, 0) if number > 1 else first
            last = min(last, n_frames) if number < len(videos) else last
            if last <= first:
                continue
        video.annotation.bouts.append((event["behavior"], first, last))
        video.annotation.subjects.append(event["subject"])


# ------------------------------------------------------------------------------ frame tables


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


def _looks_like_deepethogram(source: Source) -> bool:
    rows = source.rows
    return (
        len(rows) > 1
        and len(rows[0]) > 1
        and rows[0][0] == ""
        and rows[0][1].lower() == BACKGROUND
        and all(_is_binary(row[1:], frozenset(("-1",))) for row in rows[1:20] if any(row))
    )


def _deepethogram(source: Source) -> list[Annotation]:
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

    Those of regions of interest come just before the behaviours.
    """
    if source.classes:
        return []
    kinds = re.compile(r".* (in zone|facing)|low_prob_detections_.*", re.IGNORECASE)
    header = source.rows[0]
    return [header[i] for i in _simba_targets(source) if kinds.fullmatch(header[i])]


def _looks_like_simba(source: Source) -> bool:
    if len(source.rows) < 2 or len(source.rows[0]) < 3:
        return False
    places = _simba_targets(source) if not source.classes else [1]
    return 0 < len(places) < len(source.rows[0]) - 1


def _simba(source: Source) -> list[Annotation]:
    """Read SimBA's targets_inserted csv: features, then a column of 0 and 1 for each behaviour."""
    features = _features_of_0_and_1(source)
    if features:
        logging.warning(
            f"{source.path}: these columns of 0 and 1 are features, not behaviours: "
            f"{', '.join(features)}; --classes names the columns that are behaviours"
        )
    places = [i for i in _simba_targets(source) if source.rows[0][i] not in features]
    return [_from_table(source, places)]


# ------------------------------------------------------------------------------ Caltech


def _looks_like_caltech(source: Source) -> bool:
    return any("Caltech Behavior Annotator" in line for line in source.lines[:5])


def _caltech(source: Source) -> list[Annotation]:
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

_CLASS = ("class", "behavior", "behaviour", "label", "event", "action", "state", "type")
_START = ("start", "start (s)", "start_time", "onset", "begin", "start_frame", "start frame",
          "from", "from_frame", "from (s)", "start time")  # fmt: skip
_STOP = ("stop", "end", "stop (s)", "end (s)", "stop_time", "end_time", "offset", "stop_frame",
         "end_frame", "stop frame", "end frame", "to", "to_frame", "to (s)", "stop time",
         "end time")  # fmt: skip


def _looks_like_bouts(source: Source) -> bool:
    header = source.rows[0] if source.rows else []
    ends = column_of(header, *_STOP) is not None or column_of(header, "duration") is not None
    return (
        column_of(header, *_CLASS) is not None and column_of(header, *_START) is not None and ends
    )


def _bout_table(source: Source) -> list[Annotation]:
    """Read a table of bouts: class, start, and stop (not included) or duration.

    In seconds where the frame rate is given, the columns are called so or a time is no whole
    number, else, or where the columns are called so, in frames. A column ``session`` parts several
    recordings.
    """
    header = source.rows[0] if source.rows else []
    label_at, start_at = column_of(header, *_CLASS), column_of(header, *_START)
    stop_at, for_at = column_of(header, *_STOP), column_of(header, "duration")
    session_at = column_of(header, "session", "video", "file")
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
        session = stem_of(row[session_at]) if session_at is not None else source.path.stem
        annotation = found.setdefault(session, Annotation([session], [], fps=source.fps))
        begin, end = (source.number(i, row[place]) for place in (start_at, end_at))
        if stop_at is None:  # but how long it lasts
            end += begin
        annotation.bouts.append((row[label_at], frame(i, begin), frame(i, end)))
    if not found and session_at is None:
        return [Annotation([source.path.stem], [])]
    return list(found.values())


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
    "caltech": Format(_looks_like_caltech, _caltech, continuous=True),
    "bento": Format(looks_like_bento, read_bento, continuous=True, subjects=True),
    "observer": Format(looks_like_observer, read_observer, continuous=True, subjects=True),
    "ethovision": Format(looks_like_ethovision, read_ethovision, continuous=True),
    "eaf": Format(looks_like_eaf, read_eaf, continuous=True, subjects=True),
    "elan": Format(looks_like_elan, read_elan, continuous=True, subjects=True),
    "via": Format(looks_like_via, read_via, continuous=True),
    "boris": Format(_looks_like_boris, _boris, continuous=True, subjects=True),
    "deepethogram": Format(_looks_like_deepethogram, _deepethogram, continuous=True),
    "frame-table": Format(looks_like_frame_table, read_frame_table, continuous=True),
    "time-table": Format(looks_like_time_table, read_time_table, continuous=True),
    "solomon": Format(looks_like_solomon, read_solomon, continuous=True),
    "names": Format(looks_like_names, read_names, continuous=True),
    "bouts": Format(_looks_like_bouts, _bout_table),
    "simba": Format(_looks_like_simba, _simba, continuous=True),
}
