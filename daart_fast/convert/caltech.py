"""Caltech Behavior Annotator's txt -> bouts."""

from __future__ import annotations

from daart_fast.convert.annotation import (
    Annotation,
    Source,
)
from daart_fast.errors import DataError

__all__ = ["looks_like_caltech", "read_caltech"]


def looks_like_caltech(source: Source) -> bool:
    """Say whether a file begins as the Caltech Behavior Annotator begins its files."""
    return any("Caltech Behavior Annotator" in line for line in source.lines[:5])


def read_caltech(source: Source) -> list[Annotation]:
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
