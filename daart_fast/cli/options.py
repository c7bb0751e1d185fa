"""How options of several commands are read: types for argparse, which refuse what cannot be meant.

Argparse puts the option's name before what they say.
"""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path
from typing import Any

from daart_fast.config import KEYS

__all__ = ["count", "folder_to_write", "setting"]


def setting(name: str) -> Callable[[str], Any]:
    """Return the type of an option that is a key of the config files, with the key's own check."""
    key = KEYS[name]

    def read(text: str) -> Any:
        try:
            return key.check(text)
        except ValueError as error:
            wanted = str(error) or key.wants
            raise ArgumentTypeError(f"expected {wanted}, got {text!r}") from None

    return read


def count(text: str) -> int:
    """Read how many there are of something: a whole number from 1 up."""
    if not text.isdecimal() or int(text) == 0:
        raise ArgumentTypeError(f"expected a whole number from 1 up, got {text!r}")
    return int(text)


def folder_to_write(text: str) -> Path:
    """Read a folder that is there or can be made."""
    folder = Path(text)
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise ArgumentTypeError(f"expected a folder, found a file: {nearest}")
    return folder
