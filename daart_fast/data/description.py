"""What a training's data were, in a few numbers, to tell later whether they still are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from daart_fast.data.sessions import Session
from daart_fast.errors import some

__all__ = ["checksum", "describe", "differences"]

#: Places of a session's inputs that are looked at, and rows at each: inputs may be larger than
#: memory, and each place is a read of the disk.
PLACES, ROWS = 8, 8
#: Names, and sessions, that a message lists.
LISTED = 8
NAMES = ("class names", "channel names", "task names")
LABELS = {"labels_strong": "hand labels", "labels_weak": "weak labels", "tasks": "tasks"}


def describe(
    sessions: Sequence[Session],
    scales: Sequence[tuple[np.ndarray, np.ndarray]],
    names: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """Describe sessions, whatever their folder and the times of their files.

    Parameters
    ----------
    sessions
        what was read
    scales
        each session's own mean and one over its spread, (N,) float32 both
    names
        ``class names``, ``channel names`` and ``task names``

    Returns
    -------
    dict
        the names, and by session the number of frames and checksums: of labels and tasks whole, of
        inputs their scale and 8 rows at each of 8 places. JSON can hold it.
    """
    return {
        **{what: list(names[what]) for what in NAMES},
        "sessions": {
            session.id: _of_session(session, scale)
            for session, scale in zip(sessions, scales, strict=True)
        },
    }


def _of_session(session: Session, scale: tuple[np.ndarray, np.ndarray]) -> dict[str, Any]:
    starts = np.linspace(0, max(len(session) - ROWS, 0), PLACES).astype(np.int64)
    facts: dict[str, Any] = {
        "frames": len(session),
        "markers": _checksum(*(session.inputs[start : start + ROWS] for start in starts), *scale),
    }
    for name, what in LABELS.items():
        values = getattr(session, name)
        facts[what] = None if values is None else _checksum(values)
    return facts


def _checksum(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for values in arrays:
        digest.update(f"{values.dtype.str} {values.shape}".encode())
        digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()[:24]


def checksum(description: Mapping[str, Any]) -> str:
    """Return the checksum of a description: another one means other data."""
    return hashlib.sha256(json.dumps(description).encode()).hexdigest()[:24]


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Say in words what two descriptions differ in; an empty list if in nothing."""
    sentences = [
        f"the {what} were {some(then[what], LISTED) or 'none'} "
        f"and are {some(now[what], LISTED) or 'none'}"
        for what in NAMES
        if then[what] != now[what]
    ]
    before, after = then["sessions"], now["sessions"]
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    sentences += [_of_one(name, before.get(name), after.get(name)) for name in changed[:LISTED]]
    if len(changed) > LISTED:
        sentences.append(f"{len(changed) - LISTED} more sessions differ")
    return sentences


def _of_one(name: str, then: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> str:
    if then is None or now is None:
        return f"session {name} is {'new' if then is None else 'gone'}"
    if then["frames"] != now["frames"]:
        return f"session {name} had {then['frames']} frames and has {now['frames']}"
    other = [what for what in now if then.get(what) != now[what]]
    return f"session {name} has other {' and '.join(other)}"
