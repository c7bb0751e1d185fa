"""BORIS' tabular and aggregated events -> bouts."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from daart_fast.convert.annotation import (
    OBSERVER,
    SAME_RATE,
    Annotation,
    Source,
    check_one_observer,
    column_of,
    number_or_none,
    stem_of,
)
from daart_fast.errors import DataError

__all__ = ["looks_like_boris", "read_boris"]

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
    "observer": OBSERVER,
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


def looks_like_boris(source: Source) -> bool:
    """Say whether a file has the columns of BORIS' tabular or aggregated events."""
    return _boris_header(source) is not None


def read_boris(source: Source) -> list[Annotation]:
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


#: whose behaviour, which, with which modifiers
_Who = tuple[str, str, tuple[str, ...]]


class _Event(dict[str, str]):
    """The cells of a row of BORIS' by what they mean, empty where the file lacks them."""

    row: int
    a_bout: bool
    #: what tells this behaviour apart from the same one that another key started
    modifiers: tuple[str, ...]


def _boris_events(source: Source, top: int) -> Iterator[_Event]:
    places = {
        meaning: column_of(source.rows[top], *names) for meaning, names in BORIS_COLUMNS.items()
    }
    header = source.rows[top]
    modifiers = [at for at, cell in enumerate(header) if cell.lower().startswith("modifier")]
    for i, row in enumerate(source.rows[top + 1 :], start=top + 1):
        if not any(row):
            continue
        event = _Event(
            (meaning, row[at] if at is not None and at < len(row) else "")
            for meaning, at in places.items()
        )
        event.row, event.a_bout = i, places["start"] is not None
        event.modifiers = tuple(row[at] for at in modifiers if at < len(row))
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
    check_one_observer(source, name, (event["observer"] for event in events))
    videos = _videos(source, name, events)
    begun: dict[_Who, tuple[float, int]] = {}
    for event in events:
        for video in videos:
            video.annotation.all_subjects.add(event["subject"])
        _check_event(source, event, videos)
        if source.subject is None or event["subject"] == source.subject:
            _add_boris_event(source, videos, event, begun)
    for (_, label, _), (_, i) in begun.items():
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
    """Return the names of one player's videos; BORIS has words for those that it does not know."""
    return [stem_of(part) for part in _parts(cell) if part not in ("NA", "Not found")]


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
    begun: dict[_Who, tuple[float, int]],
) -> None:
    """Add the bout that a row is, or ends; remember the one that it begins."""
    i, label = event.row, event["behavior"]
    who = event["subject"], label, event.modifiers
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
    elif kind == "STOP" and (started := _started(begun, who)) is not None:
        _add_bout(videos, event, begun.pop(started)[0], time)
    else:
        what = "starts a second time" if kind == "START" else f"is {kind or 'nothing'!r}"
        raise source.fail(i, f"{label} {what} where it should start or stop in turn")


def _started(begun: Collection[_Who], who: _Who) -> _Who | None:
    """Return what a stop ends: the behaviour with its modifiers, else the only one without them."""
    if who in begun:
        return who
    alike = [one for one in begun if one[:2] == who[:2]]
    return alike[0] if len(alike) == 1 else None


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
