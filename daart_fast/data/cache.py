"""Files that were read once, kept as arrays that later starts only map into memory.

An entry is two files, ``<name>-<key>-<fingerprint>.npy`` and ``.json``: the key tells the source
and how it is read, the fingerprint which file it is and when it was changed. Both are written under
other names and renamed, the .json last, so that readers and writers in any number of processes need
no lock.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from daart_fast.files import fingerprint, replacing

__all__ = ["Cached", "cache_folder", "cached", "clear_cache"]

_ENTRY = r"[A-Za-z0-9_]+-[0-9a-f]{24}-[0-9a-f]{24}"
#: The names of an entry's files, and those that `replacing` gives them before they are whole.
OWN = re.compile(rf"({_ENTRY}|\.{_ENTRY}\.[0-9a-f]{{12}})\.(npy|json)")
#: Part of every key: to be raised whenever readers come to give other values for the same file.
VERSION = 5
OFF = "off"


class Cached(NamedTuple):
    """An array, and what is known about it: names, numbers, text and lists of them."""

    values: np.ndarray
    metadata: dict[str, Any]


def cache_folder(cache_dir: str | os.PathLike[str] | None = None) -> Path | None:
    """Return the folder that ``cache_dir`` of a config stands for.

    None stands for the environment's DAART_FAST_CACHE_DIR, or else for daart_fast's place in the
    user's cache folder; ``"off"`` for no folder.
    """
    if cache_dir is not None and os.path.basename(cache_dir) == OFF:
        return None
    if cache_dir is None:
        cache_dir = os.environ.get("DAART_FAST_CACHE_DIR")
    if cache_dir is None:
        import platformdirs

        cache_dir = platformdirs.user_cache_dir("daart_fast", appauthor=False)
    return Path(cache_dir)


def cached(
    source: Path, settings: Mapping[str, Any], make: Callable[[], Cached], folder: Path | None
) -> Cached:
    """Return what `make` makes of a file, from the cache where it holds that.

    A file that has changed since is read again. An entry that is damaged is made again, with a
    warning. Where the cache cannot be written, a warning says so and nothing else changes.

    Parameters
    ----------
    source
        the file that `make` reads
    settings
        all that decides, besides the file, what `make` returns; JSON can hold it
    make
        reads the file
    folder
        the cache; None: always `make`

    Returns
    -------
    Cached
        ``values`` read-only and mapped into memory, if it is in the cache now
    """
    before = fingerprint(source)
    if folder is None or before is None:
        return make()
    key = _digest([VERSION, str(source.absolute()), settings])
    entry = folder / f"{re.sub(r'[^A-Za-z0-9]+', '_', source.name)[:40]}-{key}-{before}"
    if (found := _read(entry)) is not None:
        return found
    fresh = make()
    if fingerprint(source) != before:  # it changed while it was read
        return fresh
    try:
        _write(entry, fresh)
    except OSError as error:
        logging.warning(f"{folder}: {source} cannot be kept for the next start: {error}")
        return fresh
    for other in folder.glob(f"*-{key}-*"):
        if before not in other.name:  # of the file as it was; another process may write this entry
            _remove(other)
    return _read(entry) or fresh


def clear_cache(cache_dir: str | os.PathLike[str] | None = None) -> int:
    """Remove every entry of the cache, and no other file that lies in its folder.

    Trainings that run go on with what they have mapped.

    Parameters
    ----------
    cache_dir
        as in a config: see `cache_folder`

    Returns
    -------
    int
        how many bytes were freed
    """
    folder = cache_folder(cache_dir)
    freed = 0
    for path in sorted(folder.glob("*-*-*.*")) if folder is not None else ():
        if OWN.fullmatch(path.name):
            with suppress(FileNotFoundError):  # renamed or removed by another process meanwhile
                freed += path.stat().st_size
                _remove(path)
    return freed


def _digest(of: Any) -> str:
    text = json.dumps(of, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _files(entry: Path) -> tuple[Path, Path]:
    return entry.with_name(f"{entry.name}.npy"), entry.with_name(f"{entry.name}.json")


def _write(entry: Path, fresh: Cached) -> None:
    values, metadata = fresh
    values_file, metadata_file = _files(entry)
    stored = {"shape": list(values.shape), "dtype": str(values.dtype), "about": metadata}
    with replacing(values_file) as temporary:
        np.save(temporary, values)
    with replacing(metadata_file) as temporary:
        temporary.write_text(json.dumps({**stored, "digest": _digest(stored)}), encoding="utf-8")


def _read(entry: Path) -> Cached | None:
    """Map an entry; None where there is none, or (with a warning) where it is damaged."""
    values_file, metadata_file = _files(entry)
    try:
        stored = json.loads(metadata_file.read_text(encoding="utf-8"))
        if stored.pop("digest") != _digest(stored):
            raise ValueError(f"{metadata_file.name} is not as it was written")
        values = np.load(values_file, mmap_mode="r")
        if list(values.shape) != stored["shape"] or str(values.dtype) != stored["dtype"]:
            raise ValueError(f"expected {stored['dtype']} of shape {stored['shape']}")
        return Cached(values, dict(stored["about"]))
    except FileNotFoundError:
        return None
    except Exception as error:  # of JSON or a header that may hold anything
        logging.warning(f"{values_file}: a damaged file of the cache is made again: {error}")
        return None


def _remove(path: Path) -> None:
    """Remove a file, unless it is gone or (on Windows) mapped by somebody."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        logging.info(f"{path}: stays in the cache: {error}")
