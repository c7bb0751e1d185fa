"""Tables of a bout a row -> bouts, in frames."""

from __future__ import annotations

from daart_fast.convert.annotation import (
    OBSERVER,
    Annotation,
    Source,
    check_one_observer,
    column_of,
    stem_of,
)
from daart_fast.errors import DataError

__all__ = ["looks_like_bouts", "read_bouts"]

_CLASS = ("class", "behavior", "behaviour", "label", "event", "action", "state", "type")
_START = ("start", "start (s)", "start_time", "onset", "begin", "start_frame", "start frame",
          "from", "from_frame", "from (s)", "start time")  # fmt: skip
_STOP = ("stop", "end", "stop (s)", "end (s)", "stop_time", "end_time", "offset", "stop_frame",
         "end_frame", "stop frame", "end frame", "to", "to_frame", "to (s)", "stop time",
         "end time")  # fmt: skip


def looks_like_bouts(source: Source) -> bool:
    """Say whether a file has columns of classes, starts, and stops or durations."""
    header = source.rows[0] if source.rows else []
    ends = column_of(header, *_STOP) is not None or column_of(header, "duration") is not None
    return (
        column_of(header, *_CLASS) is not None and column_of(header, *_START) is not None and ends
    )


def read_bouts(source: Source) -> list[Annotation]:
    """Read a table of bouts: class, start, and stop (not included) or duration.

    In seconds where the frame rate is given, the columns are called so or a time is no whole
    number, else, or where the columns are called so, in frames. A column ``session`` parts several
    recordings, and a column ``subject`` says whose bout each is.
    """
    header = source.rows[0] if source.rows else []
    label_at, start_at = column_of(header, *_CLASS), column_of(header, *_START)
    stop_at, for_at = column_of(header, *_STOP), column_of(header, "duration")
    session_at = column_of(header, "session", "video", "file")
    whose_at, who_at = column_of(header, "subject", "animal"), column_of(header, *OBSERVER)
    if source.subject is not None and whose_at is None:
        raise DataError(f"{source.path}: --subject needs a column subject, found none")
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
    observers: dict[str, set[str]] = {}
    for i, row in enumerate(source.rows[1:], start=1):
        if not any(row):
            continue
        if len(row) != len(header):
            raise source.fail(i, f"expected {len(header)} cells, found {len(row)}")
        session = stem_of(row[session_at]) if session_at is not None else source.path.stem
        annotation = found.setdefault(session, Annotation([session], [], fps=source.fps))
        if who_at is not None:
            observers.setdefault(session, set()).add(row[who_at])
        whose = "" if whose_at is None else row[whose_at]
        annotation.all_subjects.add(whose)
        begin, end = (source.number(i, row[place]) for place in (start_at, end_at))
        if stop_at is None:  # but how long it lasts
            end += begin
        if source.subject in (None, whose):
            annotation.bouts.append((row[label_at], frame(i, begin), frame(i, end)))
            annotation.subjects.append(whose)
    for session, names in observers.items():
        check_one_observer(source, session, names)
    if not found and session_at is None:
        return [Annotation([source.path.stem], [])]
    return list(found.values())
