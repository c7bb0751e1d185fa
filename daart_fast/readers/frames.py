"""Whether two files are about the same frames."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from daart_fast.errors import DataError

__all__ = ["Frames", "compare_frames", "frames_before"]


class Frames(NamedTuple):
    """Which frames a file is about: the first one's number, None if it has none, and how many."""

    path: str | Path
    first: float | None
    n_rows: int


def frames_before(first_frame: int) -> int:
    """Return how many frames of the video come before a file's first one, given its number.

    A file that counts from 1 begins with the video, as one that counts from 0 does.
    """
    return 0 if first_frame == 1 else first_frame


def compare_frames(rows: Frames, inputs: Frames) -> list[str]:
    """Compare the frames of labels or tasks with those of their inputs.

    One frame more or less at the end is how video tools differ about the last frame of a file: it
    is left out, or unlabelled. A greater difference means that the files do not belong together.

    Returns
    -------
    list of str
        warnings: that the last frame is mended so, that one file counts from 0 and the
        other from 1

    Raises
    ------
    DataError
        if the files do not belong together
    """
    messages = (_compare_lengths(rows, inputs), _compare_starts(rows, inputs))
    return [text for text in messages if text is not None]


def _compare_lengths(rows: Frames, inputs: Frames) -> str | None:
    path, _, n_rows = rows
    source, _, n_frames = inputs
    if abs(n_rows - n_frames) > 1:
        raise DataError(
            f"{path}: expected {n_frames} rows, one for each frame of {source}, found {n_rows}"
        )
    if n_rows == n_frames:
        return None
    mended = "row is left out" if n_rows > n_frames else "frame counts as unlabelled"
    return f"{path}: {n_rows} rows for the {n_frames} frames of {source}; the last {mended}"


def _compare_starts(rows: Frames, inputs: Frames) -> str | None:
    """Refuse files that begin at different frames.

    Also if one counts from 0 and the other from 1, but both end with the same number: then it is
    the first frame that one of them lacks.
    """
    if rows.first is None or inputs.first is None or rows.first == inputs.first:
        return None
    same_end = rows.first + rows.n_rows == inputs.first + inputs.n_rows
    if {rows.first, inputs.first} == {0, 1} and not same_end:
        return (
            f"{rows.path}: its frames count from {rows.first:g}, those of {inputs.path} from "
            f"{inputs.first:g}; both are taken for the first of the video"
        )
    raise DataError(
        f"{rows.path}: expected frames from {inputs.first:.15g} on, as in {inputs.path}, "
        f"found frames from {rows.first:.15g} on"
    )
