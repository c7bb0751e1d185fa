"""How options of several commands are read: types for argparse, which refuse what cannot be meant.

Argparse puts the option's name before what they say.
"""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from daart_fast.config import KEYS

__all__ = ["count", "folder_to_write", "setting", "slurm_settings"]


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


def slurm_settings(text: str) -> dict[str, Any]:
    """Read the ``slurm:`` part of a config, given in one line: ``{partition: gpu, time: 60}``."""
    try:
        # as they are spelled: to YAML, 1:30:00 is 5400
        return dict(KEYS["slurm"].check(yaml.load(text, yaml.BaseLoader)) or {})
    except (ValueError, yaml.YAMLError) as error:
        wanted = str(error) or KEYS["slurm"].wants
        raise ArgumentTypeError(f"expected {wanted}, got {text!r}") from None


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
