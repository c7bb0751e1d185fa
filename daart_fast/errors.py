"""Errors a user can cause, and the wording they share.

Every message says what was expected, what came, and where.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class ConfigError(ValueError):
    """A key, type or value in a config file (or in hparams) that cannot be used."""


class DataError(ValueError):
    """A file or folder of data that is missing, malformed or inconsistent."""


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the nearest choice, or ``""`` where none is near."""
    near = difflib.get_close_matches(
        str(word), [str(choice) for choice in choices], n=1, cutoff=0.6
    )
    return f" (did you mean '{near[0]}'?)" if near else ""


def some(names: Sequence[str], most: int = 8) -> str:
    """Name the first of many, and say how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
