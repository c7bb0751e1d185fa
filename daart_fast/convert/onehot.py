"""Bouts -> one row a frame, one column a class, in files named as the sessions are."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from daart_fast.convert.annotation import Annotation
from daart_fast.errors import DataError, did_you_mean, some
from daart_fast.names import BACKGROUND, session_name
from daart_fast.readers.frames import frames_before
from daart_fast.rows import csv_line, joined_rows, number_cells

__all__ = [
    "BACKGROUND",
    "OTHER",
    "Tracked",
    "frames_between_bouts",
    "match_sessions",
    "one_hot",
    "one_hot_text",
    "warn_of_length",
]

#: What frames between bouts are called, where somebody looked at them.
OTHER = "other"
#: what programs put behind a video's name to call its labels
ADDED_TO_LABELS = re.compile(r"(?:_labels|_annotations?|\.annot)$")
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
        _check_names_agree(annotation, list(sessions))
        name, fitting = _fitting(annotation.names, list(sessions))
        if not fitting:
            near = next(filter(None, (did_you_mean(n, sessions) for n in annotation.names)), "")
            raise DataError(
                f"{annotation.source}: none of the sessions is called "
                f"{' or '.join(dict.fromkeys(annotation.names))}, or begins so{near}; there are "
                f"{some(list(sessions)) or 'none'}. Labels go to the session of their name: rename "
                f"one of the two"
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


def _check_names_agree(annotation: Annotation, sessions: Sequence[str]) -> None:
    """Refuse a file whose names (observation, video, file) are those of different sessions."""
    called = {session_name(session): session for session in sessions}
    ours = {name: called.get(session_name(name)) for name in annotation.names}
    exact = {session: name for name, session in ours.items() if session is not None}
    if len(exact) > 1:
        raise DataError(
            f"{annotation.source}: it is called {' and '.join(exact.values())}, which are "
            f"different sessions; correct the name of the file, of the observation or of the video"
        )


def _fitting(names: Sequence[str], sessions: Sequence[str]) -> tuple[str, list[str]]:
    """Return the name that fits sessions best, and these; without any the first name."""
    names = [one for name in names for one in (name, ADDED_TO_LABELS.sub("", name))]
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
        the class of frames between bouts, one of `classes`; None: background, as of frames that
        nobody looked at. Frames beyond those observed are background in any case
    multibinary
        several behaviours may occur at once

    Returns
    -------
    (n_frames, 1 + n_classes) int64 with one 1 in each row; multibinary (n_frames, n_classes),
    float64 with NaN in rows that nobody looked at, if there are any

    Raises
    ------
    DataError
        a bout lies beyond the end, a table has another length, or two bouts overlap
    """
    _check_length(annotation, n_frames)
    if len(annotation.channels) > 1 and not multibinary:
        raise DataError(
            f"{annotation.source}: behaviours are annotated in the channels "
            f"{', '.join(annotation.channels)}; choose one by --subject, or all of them by "
            "--multibinary"
        )
    unobserved = _unobserved(annotation, n_frames)
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
        return _without(there[:, 1:], unobserved)
    several = np.flatnonzero(there.sum(1) > 1)
    if overlaps == "error" and len(several):
        names = [classes[i] for i in np.flatnonzero(there[several[0], 1:]).tolist()]
        raise DataError(_overlap(annotation, names, int(several[0]), len(several)))
    if other is not None:
        label[label == 0] = place[other]
    for start, stop in unobserved:
        label[start:stop] = 0
    return np.eye(1 + len(classes), dtype=np.int64)[label]


def _without(there: np.ndarray, unobserved: Sequence[tuple[int, int]]) -> np.ndarray:
    """Mark the frames that nobody looked at by NaN."""
    if sum(stop - start for start, stop in unobserved) == 0:
        return there
    table = there.astype(np.float64)
    for start, stop in unobserved:
        table[start:stop] = np.nan
    return table


def _overlap(annotation: Annotation, names: Sequence[str], frame: int, n_frames: int) -> str:
    """Say which behaviours occur at once, and whose they are."""
    whose = {
        subject
        for (_, start, stop), subject in zip(annotation.bouts, annotation.subjects, strict=False)
        if start <= frame < stop
    }
    what = (
        f"{annotation.source}, frame {frame}: {' and '.join(names)} at once, as in {n_frames} "
        f"frames in all; choose "
    )
    rest = "--overlaps first or last, or --multibinary"
    if len(whose) < 2:
        return what + rest
    subjects = sorted(subject or "nobody" for subject in annotation.all_subjects)
    return f"{what}one subject ({', '.join(subjects)}) by --subject; for all together, {rest}"


class Tracked(NamedTuple):
    """Which frames of the video a session has: the number of the first one, and how many."""

    first_frame: int
    n_frames: int

    def before(self, annotation: Annotation) -> int:
        """Return how many frames of what was labelled come before the session's first one.

        None do if the labels are a table of as many rows as the session has frames.
        """
        n_rows = annotation.n_frames if annotation.a_row_a_frame else None
        if n_rows is not None and abs(n_rows - self.n_frames) <= 1:
            return 0
        return frames_before(self.first_frame)


def warn_of_length(annotation: Annotation, session: str, tracked: Tracked) -> None:
    """Warn if more or less of the video was observed than tracked, and if bouts are left out."""
    before = tracked.before(annotation)
    n_frames, observed = before + tracked.n_frames, annotation.n_observed
    if observed and annotation.fps and abs(observed - n_frames) > 0.01 * n_frames:
        logging.warning(
            f"{annotation.source}: {observed / annotation.fps:g} s were observed, which are "
            f"{observed} frames at {annotation.fps:g} frames a second, but the tracks of {session} "
            f"end at frame {n_frames}. If the frame rate is right, check that labels and tracks "
            f"begin at the same frame of the video"
        )
    if early := [bout for bout in annotation.bouts if bout[2] <= before]:
        names = ", ".join(sorted({name for name, *_ in early}))
        one = len(early) == 1
        logging.warning(
            f"{annotation.source}: {len(early)} bout{'' if one else 's'} ({names}) "
            f"end{'s' if one else ''} before frame {tracked.first_frame}, where the tracks of "
            f"{session} begin; {'it is' if one else 'they are'} left out"
        )


def frames_between_bouts(annotation: Annotation, table: np.ndarray, first: int = 0) -> int:
    """Count the frames without a bout that somebody looked at.

    Parameters
    ----------
    annotation
        of a recording
    table
        what `one_hot` made of it without a class for these frames
    first
        frames before this one are not counted
    """
    without = table[:, 0] == 1
    for start, stop in _unobserved(annotation, len(table)):
        without[start:stop] = False
    return int(without[first:].sum())


def _unobserved(annotation: Annotation, n_frames: int) -> list[tuple[int, int]]:
    """Return the frames that nobody looked at, as [first, last)."""
    end, spare = annotation.n_observed, 1  # seconds that are rounded are a frame more or less
    if annotation.a_row_a_frame:
        end, spare = annotation.n_frames, 0
    if end is None:
        return annotation.unlabelled
    end = max([end, *(stop for *_, stop in annotation.bouts)])
    return annotation.unlabelled + [(end, n_frames)] * (end + spare < n_frames)


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


def one_hot_text(table: np.ndarray, names: Sequence[str], first_frame: int = 0) -> str:
    """Return a table (T, C) of 0 and 1 as csv: a header row of class names, frames numbered.

    Cells that are NaN stay empty.
    """
    columns = [number_cells(first_frame + np.arange(len(table))), *map(number_cells, table.T)]
    return csv_line(["", *names]) + joined_rows(columns).decode()
