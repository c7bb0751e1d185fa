"""Tables of events that start and stop: exports of The Observer and EthoVision -> bouts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from daart_fast.convert.annotation import Annotation, Source, column_of, names_above, stem_of
from daart_fast.errors import DataError

__all__ = ["looks_like_observer", "read_observer"]

_BEHAVIOR = ("behavior", "behaviour")
_EVENT = ("event_type", "event type", "event")
_TIME = ("time_relative_sf", "time_relative_s", "relative time (seconds)", "recording time",
         "time_relative_f", "time_relative_hmsf", "time_relative_hms", "trial time")  # fmt: skip
_OBSERVATION = ("observation", "trial name", "video file")
#: what EthoVision writes among the behaviours where its trial starts and ends
_TRIAL = ("start", "stop", "end")
_SUBJECT = ("subject", "subjects")


@dataclass
class _Columns:
    """Where the columns of the table are; None where it lacks one."""

    row: int
    behavior: int
    event: int
    time: int
    observation: int | None
    subject: int | None
    in_frames: bool


def _columns(source: Source) -> _Columns | None:
    """Find the header row; EthoVision has lines about the trial above it."""
    for i, header in enumerate(source.rows[:100]):
        behavior, event, time = (column_of(header, *n) for n in (_BEHAVIOR, _EVENT, _TIME))
        if behavior is None or event is None or time is None:
            continue
        observation, subject = (column_of(header, *n) for n in (_OBSERVATION, _SUBJECT))
        in_frames = header[time].lower() == "time_relative_f"
        return _Columns(i, behavior, event, time, observation, subject, in_frames)
    return None


def looks_like_observer(source: Source) -> bool:
    """Whether the table has behaviours that start and stop at times."""
    return _columns(source) is not None


def read_observer(source: Source) -> list[Annotation]:
    """Read an event a row: a state starts or stops, a point event is one frame long."""
    columns = _columns(source)
    if columns is None:
        raise DataError(f"{source.path}: expected columns Behavior, Event_Type and a time")
    found: dict[str, Annotation] = {}
    begun: dict[tuple[str, str, str], tuple[int, int]] = {}
    for i, row in _rows(source, columns):
        name, subject = (
            row[at] if at is not None else "" for at in (columns.observation, columns.subject)
        )
        annotation = found.setdefault(name, _annotation(source, name, columns))
        annotation.all_subjects.add(subject)
        if source.subject is None or subject == source.subject:
            _add(source, columns, annotation, begun, (name, subject, row[columns.behavior]), i)
    for (_, _, label), (_, i) in begun.items():
        raise source.fail(i, f"{label} starts and never stops")
    return list(found.values()) or [_annotation(source, "", columns)]


def _rows(source: Source, columns: _Columns) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of events: not the units that EthoVision writes below the header."""
    for i, row in source.body(source.rows[columns.row], columns.row):
        marks_the_trial = columns.row > 0 and row[columns.behavior].lower() in _TRIAL
        if row[columns.behavior] and row[columns.event] and not marks_the_trial:
            yield i, row


def _annotation(source: Source, name: str, columns: _Columns) -> Annotation:
    above = names_above(source, columns.row)
    names = [*above, *([stem_of(name), name] if name else []), source.path.stem]
    return Annotation(names, [], fps=None if columns.in_frames else source.rate())


def _add(
    source: Source,
    columns: _Columns,
    annotation: Annotation,
    begun: dict[tuple[str, str, str], tuple[int, int]],
    who: tuple[str, str, str],
    i: int,
) -> None:
    """Remember the bout that a row begins, or add the one that it ends."""
    row, (_, subject, label) = source.rows[i], who
    frame = _frame(source, columns, i, row[columns.time])
    kind = row[columns.event].lower()
    if "point" in kind:
        annotation.bouts.append((label, frame, frame + 1))
        annotation.subjects.append(subject)
    elif "start" in kind and who not in begun:
        begun[who] = frame, i
    elif ("stop" in kind or "end" in kind) and who in begun:
        annotation.bouts.append((label, begun.pop(who)[0], frame))
        annotation.subjects.append(subject)
    else:
        raise source.fail(
            i, f"{label}: {row[columns.event]!r} where it should start or stop in turn"
        )


def _frame(source: Source, columns: _Columns, i: int, cell: str) -> int:
    """Return the frame of a time in seconds, in h:m:s, or of a frame number."""
    if columns.in_frames:
        return source.whole(i, source.number(i, cell))
    return round(source.seconds(i, cell) * source.rate())
