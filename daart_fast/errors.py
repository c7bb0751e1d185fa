"""Errors a user can cause, and the wording they share.

Every message says what was expected, what came, and where.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path


class ConfigError(ValueError):
    """A key, type or value in a config file (or in hparams) that cannot be used."""


class DataError(ValueError):
    """A file or folder of data that is missing, malformed or inconsistent."""


class OutputError(OSError):
    """A file or folder that cannot be written; its text is the whole message."""


#: What the user can mend; the command's exit code is then 2.
MENDABLE = (ConfigError, DataError, OutputError)


def print_error(error: object) -> None:
    """Print an error in the form that all commands share."""
    print(f"daart-fast: error: {error}", file=sys.stderr, flush=True)


def reason(error: OSError) -> str:
    """Return in words why the system refused: ``permission denied``."""
    words = os.strerror(error.errno) if error.errno else str(error)
    return words[:1].lower() + words[1:]


def unreadable(path: str | os.PathLike[str], error: Exception, expected: str) -> str:
    """Say why a file cannot be read: the system refuses, or it is not what was expected."""
    if isinstance(error, OSError) and error.errno:
        return f"{os.fspath(path)}: cannot be read: {reason(error)}"
    if isinstance(error, UnicodeDecodeError):
        if b"\0" in error.object:
            return f"{os.fspath(path)}: expected {expected}, found a binary file"
        byte = error.object[error.start]
        return (
            f"{os.fspath(path)}: expected {expected}, found the byte 0x{byte:02x} at position "
            f"{error.start}, as older encodings (Windows, Latin-1) have it; save the file as UTF-8 "
            f"(in Excel: Save As, CSV UTF-8)"
        )
    return f"{os.fspath(path)}: expected {expected}: {error}"


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the nearest choice, or ``""`` where none is near."""
    word, names = str(word), [str(choice) for choice in choices]
    near = [name for name in names if name.casefold() == word.casefold()]
    near = near or difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    return f" (did you mean '{near[0]}'?)" if near else ""


def near(path: Path) -> str:
    """Return ``" (did you mean 'x'?)"`` for a path that is missing, from what lies beside it."""
    folder = path.absolute().parent
    return did_you_mean(path.name, os.listdir(folder)) if folder.is_dir() else ""


def some(names: Sequence[str], most: int = 8) -> str:
    """Name the first of many, and say how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
