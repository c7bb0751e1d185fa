"""Bouts -> one row a frame, one column a class, in files named as the sessions are."""

from __future__ import annotations

import csv
import io
import logging
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from daart_fast.convert.formats import Annotation
from daart_fast.errors import DataError
from daart_fast.files import replacing
from daart_fast.names import session_name

__all__ = ["BACKGROUND", "match_sessions", "one_hot", "one_hot_text", "write_one_hot"]

#: What class 0 is called: frames that nobody scored.
BACKGROUND = "background"
#: What may be done about frames of two behaviours.
OVERLAPS = ("error", "first", "last")


def match_sessions(
    annotations: Sequence[Annotation], sessions: Mapping[str, object]
) -> dict[str, Annotation]:
    """Find the session that each annotation is about.

    Its name is that of the annotation, whatever a tracker has added to either, or else begins with
    whole parts that are, as mouse1_day1 with mouse1. Of the names that an annotation may have the
    longest decides then.

    Raises
    ------
    DataError
        an annotation fits no session or several, or two fit one
    """
    found: dict[str, Annotation] = {}
    for annotation in annotations:
        name, fitting = _fitting(annotation.names, list(sessions))
        if not fitting:
            raise DataError(
                f"{annotation.source}: none of the sessions is called {name} or begins so; there "
                f"are {', '.join(list(sessions)[:8]) or 'none'}"
            )
        if len(fitting) > 1:
            raise DataError(
                f"{annotation.source}: expected {name} to fit one session, but it fits "
                f"{', '.join(fitting)}"
            )
        (session,) = fitting
        if session in found:
            raise DataError(
                f"{annotation.source}: {found[session].source} is about {session} already"
            )
        found[session] = annotation
    return found


def _fitting(names: Sequence[str], sessions: Sequence[str]) -> tuple[str, list[str]]:
    """Return the name that fits sessions best, and these; without any the first name."""
    videos = [session_name(name) for name in names]
    longest = sorted(videos, key=len, reverse=True)
    called = {session: session_name(session) for session in sessions}
    for ends, tried in (("", names), ("", videos), (r"[\W_].*", longest)):
        for name in tried:
            pattern = re.compile(rf"{re.escape(name)}({ends})", re.DOTALL)
            if fitting := [session for session in sessions if pattern.fullmatch(called[session])]:
                return name, fitting
    return names[0], []


def one_hot(
    annotation: Annotation,
    classes: Sequence[str],
    n_frames: int,
    overlaps: str = "error",
    other: str | None = None,
    multibinary: bool = False,
) -> np.ndarray:
    """Write the bouts into a table.

    Parameters
    ----------
    annotation
        bouts of other classes than `classes` are left out
    classes
        the columns after background (multibinary: all columns)
    n_frames
        rows; a bout may run over by one frame, and a table of a row a frame be one longer or
        shorter, with a warning
    overlaps
        what a frame of two behaviours is: ``error``, or the one that started ``first`` or ``last``
    other
        the class of frames without a behaviour, one of `classes`; None: background
    multibinary
        several behaviours may occur at once

    Returns
    -------
    (n_frames, 1 + n_classes) int64 with one 1 in each row; multibinary (n_frames, n_classes)

    Raises
    ------
    DataError
        a bout lies beyond the end, a table has another length, two bouts overlap, or (multibinary,
        where 0 says that a behaviour does not occur) frames were not scored
    """
    _check_length(annotation, n_frames)
    if multibinary and annotation.unlabelled:
        raise DataError(
            f"{annotation.source}: expected every frame scored, as labels of several behaviours at "
            f"once cannot say that one is not; found frame {annotation.unlabelled[0][0]} left out"
        )
    place = {name: i for i, name in enumerate(classes, start=1)}
    there = np.zeros((n_frames, 1 + len(classes)), dtype=np.int64)
    label = np.zeros(n_frames, dtype=np.int64)
    for name, start, stop in sorted(annotation.bouts, key=lambda bout: bout[1]):
        if name not in place:
            continue
        if stop > n_frames + 1:
            raise DataError(
                f"{annotation.source}: a bout of {name} ends at frame {stop}, but there are "
                f"{n_frames} frames; is the frame rate right?"
            )
        there[start:stop, place[name]] = 1
        free = label[start:stop] == 0
        label[start:stop] = np.where(free | (overlaps != "first"), place[name], label[start:stop])
    if multibinary:
        return there[:, 1:]
    several = np.flatnonzero(there.sum(1) > 1)
    if overlaps == "error" and len(several):
        names = [classes[i] for i in np.flatnonzero(there[several[0], 1:]).tolist()]
        raise DataError(
            f"{annotation.source}, frame {several[0]}: {' and '.join(names)} at once, as in "
            f"{len(several)} frames in all; choose --overlaps first or last, or --multibinary"
        )
    if other is not None:
        label[label == 0] = place[other]
    for start, stop in annotation.unlabelled:
        label[start:stop] = 0
    if annotation.a_row_a_frame:
        label[annotation.n_frames :] = 0
    return np.eye(1 + len(classes), dtype=np.int64)[label]


def _check_length(annotation: Annotation, n_frames: int) -> None:
    """Compare a table of a row a frame with the session, as `read_session` does label files."""
    n_rows = annotation.n_frames
    if not annotation.a_row_a_frame or n_rows is None or n_rows == n_frames:
        return
    if abs(n_rows - n_frames) > 1:
        raise DataError(
            f"{annotation.source}: expected {n_frames} rows, one for each frame, found {n_rows}"
        )
    logging.warning(
        f"{annotation.source}: {n_rows} rows for {n_frames} frames; the last "
        + ("row is left out" if n_rows > n_frames else "frame counts as unlabelled")
    )


def one_hot_text(table: np.ndarray, names: Sequence[str]) -> str:
    """Return a table (T, C) of 0 and 1 as csv: a header row of class names, frames numbered."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["", *names])
    writer.writerows([i, *row] for i, row in enumerate(table.tolist()))
    return text.getvalue()


def write_one_hot(path: str | os.PathLike[str], table: np.ndarray, names: Sequence[str]) -> Path:
    """Write a table as `one_hot_text` has it."""
    with replacing(path) as temporary:
        temporary.write_bytes(one_hot_text(table, names).encode())
    return Path(path)
