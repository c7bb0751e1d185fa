"""Opening h5 files that may be damaged: libhdf5 trusts lengths in them that it should not."""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from daart_fast.errors import DataError

__all__ = ["opened"]

#: gzip, the best that h5 files are compressed by, makes data at most 1032 times smaller
MOST_TIMES = 1032
#: bytes that any h5 file may say to hold
LEAST_CLAIM = 2**24
#: how a collection of texts of any length begins (HDF5's "global heap"): its name and version
HEAP, HEAD = b"GCOL\x01\x00\x00\x00", 16


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Any]:
    """Open an h5 file to read, once it is sure that libhdf5 comes to an end with it.

    Yields
    ------
    h5py.File

    Raises
    ------
    DataError
        it is no h5 file, or says to hold more than it can
    """
    import h5py

    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise DataError(f"{path}: expected an h5 file: {error}") from None
    with file:
        _check_heaps(Path(path))
        try:
            _check_claims(file, Path(path))
        except DataError:
            raise
        except Exception as error:  # whatever h5py makes of damaged tables
            raise DataError(f"{path}: expected an h5 file that is whole: {error}") from None
        yield file


def _check_claims(file: Any, path: Path) -> None:
    """Refuse tables larger than the file can hold: one would fill the memory."""
    import h5py

    most = max(path.stat().st_size * MOST_TIMES, LEAST_CLAIM)

    def look(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.nbytes > most:
            raise DataError(f"{path}: '{name}' says to hold {item.nbytes} bytes: it is damaged")

    file.visititems(look)


def _check_heaps(path: Path) -> None:
    """Refuse collections of texts whose lengths don't add up: libhdf5 walks them without end."""
    with (
        open(path, "rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        place = data.find(HEAP)
        while place >= 0:
            if not _adds_up(data, place):
                raise DataError(f"{path}: the texts at byte {place} are damaged")
            place = data.find(HEAP, place + HEAD)


def _adds_up(data: mmap.mmap, place: int) -> bool:
    """Whether the objects of a collection fill it; the last, numbered 0, is its free room."""
    (size,) = struct.unpack_from("<Q", data, place + 8)
    end = place + size
    if end > len(data):
        return False
    place += HEAD
    while end - place >= HEAD:
        number, _, _, length = struct.unpack_from("<HHIQ", data, place)
        if number == 0:
            return bool(length == end - place)
        place += HEAD + -(-length // 8) * 8
    return place <= end
