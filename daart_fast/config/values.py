"""Values of config keys: each reader returns the proper type, or raises ValueError."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from daart_fast.errors import ConfigError, did_you_mean

__all__ = [
    "PICTURE_FORMATS",
    "SLURM",
    "check_name",
    "split_ids",
]


#: What pictures may be written as.
PICTURE_FORMATS = ("png", "pdf", "svg")


def read_boolean(value: Any) -> bool:
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if value not in (0, 1):  # True == 1
        raise ValueError
    return bool(value)


def read_number(value: Any) -> float:
    """Read a number; YAML takes ``1e-4`` (no point) for text, so text that is a number will do."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise ValueError from None
    if not math.isfinite(number):
        raise ValueError
    return number


def read_integer(value: Any) -> int:
    number = read_number(value)
    if isinstance(value, int) or re.fullmatch(r"[+-]?\d+", str(value)):
        return int(value)  # where a float has too few digits for it
    if number != int(number):
        raise ValueError
    return int(number)


def read_text(value: Any) -> str:
    if isinstance(value, (str, int, float)) and not isinstance(value, bool) and str(value).strip():
        return str(value)
    raise ValueError


def read_splits(value: Any) -> str:
    parts = str(value).replace(" ", "").split(";")
    if len(parts) != 4 or not all(part.isdigit() for part in parts) or int(parts[0]) == 0:
        raise ValueError
    return ";".join(parts)


def read_device(value: Any) -> str:
    if not re.fullmatch(r"cpu|cuda(:\d+)?", str(value)):
        raise ValueError
    return str(value)


def _picture_formats(value: Any) -> str:
    parts = [part.strip().lower() for part in str(value).split(";")]
    if len(set(parts)) < len(parts) or not set(parts) <= set(PICTURE_FORMATS):
        raise ValueError
    return ";".join(parts)


def read_gpus(value: Any) -> int | str:
    if isinstance(value, bool) or not re.fullmatch(r"\d+(;\d+)*", str(value)):
        raise ValueError
    return value if isinstance(value, int) else str(value)


def _minutes(text: str) -> int:
    """Read a time as Slurm does: minutes, M:S, H:M:S, D-H, D-H:M, D-H:M:S; rounded up."""
    days, dash, rest = str(text).rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    if len(parts) > 3 or min(parts) < 0:
        raise ValueError
    if dash:
        hours, minutes, seconds = [*parts, 0, 0][:3]
    else:
        hours, minutes, seconds = {1: [0, *parts, 0], 2: [0, *parts], 3: parts}[len(parts)]
    return _one_or_more(math.ceil(int(days or 0) * 1440 + hours * 60 + minutes + seconds / 60))


def _gigabytes(text: str) -> float:
    match = re.fullmatch(r"([\d.]+)\s*(MB?|GB?|)", str(text).strip(), re.IGNORECASE)
    if match is None or float(match[1]) <= 0:
        raise ValueError
    return float(match[1]) / (1024 if match[2].upper().startswith("M") else 1)


def _none_or_more(value: Any) -> int:
    if (number := read_integer(value)) < 0:
        raise ValueError
    return number


def _one_or_more(value: Any) -> int:
    if (number := read_integer(value)) < 1:
        raise ValueError
    return number


def _lines(value: Any) -> list[str]:
    return [str(line) for line in value] if isinstance(value, list) else str(value).splitlines()


#: What the ``slurm:`` part may hold: how it is read, and what to ask for where it cannot be.
SLURM: dict[str, tuple[Callable[[Any], Any], str]] = {
    "partition": (read_text, "a partition's name"),
    "time": (_minutes, "minutes, or a time as 2:30:00 or 1-12:00:00"),
    "memory": (_gigabytes, "GB, or a size as 500MB"),
    "gpus": (_none_or_more, "a whole number, GPUs of each trial"),
    "cpus": (_one_or_more, "a whole number at least 1, cores of each trial"),
    "constraint": (read_text, "features that a node must have"),
    "account": (read_text, "an account's name"),
    "qos": (read_text, "the name of a quality of service"),
    "at_once": (_one_or_more, "a whole number at least 1, how many trials to run at once"),
    "setup": (_lines, "shell lines to run before each trial"),
}


def read_slurm(value: Any) -> dict[str, Any]:
    """Read the ``slurm:`` part, its values as they are spelled (YAML takes 1:30:00 for 5400)."""
    if not isinstance(value, Mapping):
        raise ValueError
    settings = {}
    for name, given in value.items():
        if name not in SLURM:
            raise ConfigError(f"there is no {name!r} in it{did_you_mean(name, SLURM)}")
        read, wanted = SLURM[name]
        try:
            settings[name] = read(given)
        except (ValueError, TypeError):
            raise ConfigError(f"{name!r} is {given!r}: expected {wanted}") from None
    return settings


def read_experiment_name(value: Any) -> str:
    return check_name(read_text(value), "an experiment name", nested=True)


def read_session_ids(value: Any) -> list[str]:
    ids = split_ids(value)
    if not ids:
        raise ValueError
    for session in ids:
        check_name(session, "a session id")
    twice = sorted({session for session in ids if ids.count(session) > 1})
    if twice:
        raise ConfigError(f"{', '.join(twice)}: listed more than once")
    return ids


def split_ids(value: Any) -> list[str]:
    """Session ids from a list, from daart's ``"id1;id2"``, or from nothing.

    Parameters
    ----------
    value
        a list or tuple of ids, one string with ids joined by ``;``, or None

    Returns
    -------
    list of str

    Raises
    ------
    ValueError
        if it is something else
    """
    if value is None:
        return []
    if isinstance(value, str):
        return [part.strip() for part in value.split(";") if part.strip()]
    if isinstance(value, (list, tuple)):
        return [read_text(element).strip() for element in value]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return [str(value)]
    raise ValueError


def check_name(name: str, what: str, nested: bool = False) -> str:
    """Refuse a name that would lead out of the folder it is joined to.

    Parameters
    ----------
    name
        a session id or an experiment name
    what
        what it is, for the message
    nested
        whether subfolders (``a/b``) are allowed

    Returns
    -------
    str
        the name, unchanged

    Raises
    ------
    ConfigError
        if it is empty, absolute, goes up (``..``), or holds a control character or, unless
        `nested`, a path separator
    """
    parts = re.split(r"[/\\]", name)
    bad = (
        not name.strip()
        or any(ord(character) < 32 for character in name)
        or any(part.strip() in ("", ".", "..") for part in parts)
        or re.match(r"[A-Za-z]:", parts[0]) is not None
        or (len(parts) > 1 and not nested)
    )
    if bad:
        raise ConfigError(f"{name!r} cannot be {what}: it must name a file or folder of its own")
    return name
