"""Opening h5 files that may be damaged: libhdf5 trusts lengths in them that it should not."""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from daart_fast.errors import DataError

__all__ = ["opened"]

#: gzip, the best that h5 files are compressed by, makes data at most 1032 times smaller
MOST_TIMES = 1032
#: bytes that any h5 file may say to hold
LEAST_CLAIM = 2**24
#: how a collection of texts of any length begins (HDF5's "global heap"): its name and version
HEAP, HEAD = b"GCOL\x01\x00\x00\x00", 16
#: what stands for a text of any length: how long it is, and where
POINTER = np.dtype([("length", "<u4"), ("heap", "<u8"), ("number", "<u4")])


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
        try:
            with _bytes_of(path) as data:
                _check_pointers(data, _checked_heaps(data, path), path)
                _check_claims(file, data, path)
        except DataError:
            raise
        except Exception as error:  # whatever h5py makes of damaged tables
            raise DataError(f"{path}: expected an h5 file that is whole: {error}") from None
        yield file


@contextmanager
def _bytes_of(path: str | os.PathLike[str]) -> Iterator[mmap.mmap]:
    with (
        open(path, "rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        yield data


def _check_claims(file: Any, data: mmap.mmap, path: str | os.PathLike[str]) -> None:
    """Refuse tables, and texts, larger than the file can hold: one would fill the memory."""
    import h5py

    most = max(len(data) * MOST_TIMES, LEAST_CLAIM)

    def look(name: str, item: Any) -> None:
        if not isinstance(item, h5py.Dataset):
            return
        if item.nbytes > most:
            raise DataError(f"{path}: '{name}' says to hold {item.nbytes} bytes: it is damaged")
        if (longest := _longest_text(item, data)) > len(data):
            raise DataError(f"{path}: a text in '{name}' says to be {longest} long: it is damaged")

    file.visititems(look)


def _longest_text(dataset: Any, data: mmap.mmap) -> int:
    """Return the greatest length that a dataset gives of its texts of any length; 0 without any."""
    if (
        not (dataset.dtype.metadata or {}).get("vlen")
        or dataset.file.userblock_size
        or not dataset.size
    ):
        return 0
    stored = dataset.id
    if (offset := stored.get_offset()) is not None:
        places = [(offset, stored.get_storage_size())]
    elif dataset.chunks is not None and stored.get_create_plist().get_nfilters() == 0:
        chunks = map(stored.get_chunk_info, range(stored.get_num_chunks()))
        places = [(chunk.byte_offset, chunk.size) for chunk in chunks]
    else:
        return 0
    longest = 0
    for start, size in places:
        pointers = np.frombuffer(data[start : start + size - size % POINTER.itemsize], POINTER)
        longest = max(longest, int(pointers["length"].max(initial=0)))
    return longest


def _checked_heaps(data: mmap.mmap, path: str | os.PathLike[str]) -> list[int]:
    """Return where collections of texts are; refuse those whose lengths don't add up.

    Libhdf5 would walk them without end.
    """
    heaps: list[int] = []
    place = data.find(HEAP)
    while place >= 0:
        if not _adds_up(data, place):
            raise DataError(f"{path}: the texts at byte {place} are damaged")
        heaps.append(place)
        place = data.find(HEAP, place + HEAD)
    return heaps


def _check_pointers(data: mmap.mmap, heaps: list[int], path: str | os.PathLike[str]) -> None:
    """Refuse texts in a collection, wherever they are spoken of, that are longer than the file.

    (Those that lead to no collection are found in datasets alone, see `_check_claims`.)
    """
    for place in _pointers_to(heaps, data):
        length = int.from_bytes(data[place : place + 4], "little")
        if length > len(data):
            raise DataError(
                f"{path}: a text at byte {place} says to be {length} long: it is damaged"
            )


def _pointers_to(heaps: list[int], data: mmap.mmap) -> list[int]:
    """Return where a text's length stands, 4 bytes before the address of its collection."""
    found: list[int] = []
    for shift in range(8 if heaps else 0):
        words = np.frombuffer(data, "<u8", (len(data) - shift) // 8, shift)
        found += (8 * np.flatnonzero(np.isin(words, heaps)) + shift - 4).tolist()
    return [place for place in found if place >= 0]


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
