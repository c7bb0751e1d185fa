"""Annotation files of Bento and MARS (.annot) -> bouts."""

from __future__ import annotations

from collections.abc import Iterator

from daart_fast.convert.annotation import Annotation, Source, number_or_none, stem_of
from daart_fast.errors import DataError

__all__ = ["looks_like_bento", "read_bento"]

_FIRST, _LAST, _RATE = (f"annotation {name}" for name in ("start frame", "stop frame", "framerate"))


def looks_like_bento(source: Source) -> bool:
    """Whether the file begins as Bento and MARS begin theirs."""
    first = next(filter(str.strip, source.lines), "").strip().lower()
    return first.startswith("bento annotation file") or (
        source.path.suffix.lower() == ".annot"
        and any("List of channels" in x for x in source.lines)
    )


def read_bento(source: Source) -> list[Annotation]:
    """Read the bouts of one channel, or of all if several behaviours may occur at once.

    Times are seconds of frames that count from 1, the last one included. A file without a frame
    rate holds frames.
    """
    said = _settings(source)
    channels = _section(source, "list of channels")
    if source.subject is not None and source.subject not in channels:
        raise DataError(
            f"{source.path}: expected one of the channels {', '.join(channels)}, "
            f"found {source.subject!r} (--subject)"
        )
    bouts = list(_bouts(source, channels))
    movie = said.get("movie file(s)", "").partition(";")[0].strip()
    names = [source.path.stem, stem_of(movie)] if movie else [source.path.stem]
    annotation = Annotation(names, [], _section(source, "list of annotations"))
    rate = source.rate(number_or_none(said[_RATE])) if said.get(_RATE) else None
    annotation.fps = rate
    for channel, label, row, start, stop in bouts:
        if source.subject not in (None, channel):
            continue
        first, last = (
            round(time * rate) if rate else source.whole(row, time) for time in (start, stop)
        )
        if first < 1:
            raise source.fail(row, f"{label} starts at frame {first}, but frames count from 1")
        annotation.bouts.append((label, first - 1, last))
        annotation.subjects.append(channel)
    used = list(dict.fromkeys(annotation.subjects))
    annotation.channels = used if source.subject is None else []
    annotation.all_subjects = set(used if source.subject is None else channels)
    _note_the_span(annotation, said)
    return [annotation]


def _note_the_span(annotation: Annotation, said: dict[str, str]) -> None:
    """Frames before the first and after the last one of the file were not looked at."""
    first, last = (number_or_none(said.get(name, "")) for name in (_FIRST, _LAST))
    stop = number_or_none(said.get("annotation stop time", ""))
    if last:
        annotation.n_observed = int(last)
    elif stop and annotation.fps:
        annotation.n_observed = round(stop * annotation.fps)
    if first and first > 1:
        annotation.unlabelled.append((0, int(first) - 1))


def _settings(source: Source) -> dict[str, str]:
    """Return the lines ``name: value``, the names in lower case."""
    pairs = (line.partition(":") for line in source.lines if ":" in line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _section(source: Source, title: str) -> list[str]:
    """Return the lines below a title, up to an empty one."""
    found: list[str] = []
    inside = False
    for line in source.lines:
        text = line.strip()
        if inside and not text:
            break
        if inside:
            found.append(text)
        inside = inside or text.lower().startswith(title)
    return found


def _bouts(source: Source, channels: list[str]) -> Iterator[tuple[str, str, int, float, float]]:
    """Yield channel, class, row, start and stop of each bout."""
    channel = label = ""
    for i, line in enumerate(source.lines):
        text = line.strip()
        if text.endswith("---") and text.rstrip("-").strip() in channels:
            channel, label = text.rstrip("-").strip(), ""
        elif text.startswith(">") and channel:
            label = text[1:].strip()
        elif label and text and not text.lower().startswith("start"):
            cells = text.split()
            if len(cells) < 2:
                raise source.fail(i, f"expected start and stop of a bout, found {text!r}")
            start, stop = (source.number(i, cell) for cell in cells[:2])
            yield channel, label, i, start, stop
