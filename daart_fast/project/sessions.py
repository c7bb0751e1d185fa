"""Which sessions of a folder have hand labels, and which of them the settings name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from daart_fast.config import split_ids, with_defaults
from daart_fast.errors import DataError, some
from daart_fast.names import session_name

__all__ = ["gone", "labelled_sessions", "left_out"]

#: keys that name sessions
NAMING = ("expt_ids", "expt_ids_val", "expt_ids_test")


def labelled_sessions(folder: Path, settings: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return the sessions that have inputs and hand labels, and those without labels.

    Parameters
    ----------
    folder
        the data folder
    settings
        ``input_type``, if it is not markers; of a list the first

    Raises
    ------
    DataError
        there are no sessions, or none has hand labels
    """
    from daart_fast.data.sessions import labels_elsewhere, session_ids, signal_paths

    input_type = with_defaults(settings)["input_type"]
    project = {
        "data_dir": str(folder),
        "input_type": input_type[0] if isinstance(input_type, list) else input_type,
    }
    ids = session_ids(project)
    labelled = [one for one in ids if signal_paths(project, one)["labels_strong"] is not None]
    if not labelled:
        raise DataError(
            f"{folder / 'labels-hand'}: expected labels of the sessions in {project['input_type']}/"
            f" ({some(ids)}), found none{labels_elsewhere(folder)}"
        )
    return labelled, [one for one in ids if one not in labelled]


def left_out(sessions: Sequence[str], settings: Mapping[str, Any]) -> list[str]:
    """Return the sessions that settings do not name; none if they name no sessions at all."""
    named = _named(settings)
    return [one for one in sessions if session_name(one) not in named] if named else []


def gone(sessions: Sequence[str], settings: Mapping[str, Any]) -> list[str]:
    """Return the sessions that settings name, and that are not among these."""
    there = {session_name(one) for one in sessions}
    return [own for name, own in _named(settings).items() if name not in there]


def _named(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the sessions that settings name, by their names without a tracker's suffix."""
    every = [session for key in NAMING for session in split_ids(settings.get(key))]
    return {session_name(session): session for session in every}
