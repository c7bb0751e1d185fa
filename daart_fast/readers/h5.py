"""Opening h5 files that may be damaged: libhdf5 trusts lengths in them that it should not."""

from __future__ import annotations

import math
import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from daart_fast.errors import DataError, unreadable

__all__ = ["open_checked"]

#: gzip, the best that h5 files are compressed by, makes data at most 1032 times smaller
MOST_TIMES = 1032
#: bytes that any h5 file may say to hold
LEAST_CLAIM = 2**24
#: chunks that any table may have, and bytes that a file needs at least for each that it holds
LEAST_CHUNKS, CHUNK_ENTRY = 4096, 16
#: how a collection of texts of any length begins (HDF5's "global heap"): its name and version
HEAP, HEAD = b"GCOL\x01\x00\x00\x00", 16
#: where an encoded type of any length says what it is: 0 a sequence, 1 a text
VLEN_KIND = 3
#: what stands for a text of any length: how long it is, and where
POINTER = np.dtype([("length", "<u4"), ("heap", "<u8"), ("number", "<u4")])


@contextmanager
def open_checked(path: str | os.PathLike[str]) -> Iterator[Any]:
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
        raise DataError(unreadable(path, error, "an h5 file")) from None
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
    most_chunks = LEAST_CHUNKS + len(data) // CHUNK_ENTRY

    def look(name: str, item: Any) -> None:
        for attribute in item.attrs:
            if not _is_known(item.attrs.get_id(attribute).get_type()):
                raise DataError(f"{path}: the type of '{attribute}' of '{name}' is damaged")
        if not isinstance(item, h5py.Dataset):
            return
        if not _is_known(item.id.get_type()):
            raise DataError(f"{path}: the type of '{name}' is damaged")
        if item.nbytes > most:
            raise DataError(f"{path}: '{name}' says to hold {item.nbytes} bytes: it is damaged")
        if (n_chunks := _n_chunks(item)) > most_chunks:
            raise DataError(f"{path}: '{name}' says to hold {n_chunks} chunks: it is damaged")
        if (longest := _longest_text(item, data)) > len(data):
            raise DataError(f"{path}: a text in '{name}' says to be {longest} long: it is damaged")

    look("/", file)
    file.visititems(look)


def _is_known(kind: Any) -> bool:
    """Whether a type, and all that it is made of, is one that libhdf5 has functions for.

    What is of any length may be a sequence or a text; of others it would call what is not there.
    """
    import h5py

    if isinstance(kind, h5py.h5t.TypeCompoundID):
        return all(_is_known(kind.get_member_type(i)) for i in range(kind.get_nmembers()))
    if isinstance(kind, h5py.h5t.TypeVlenID) and kind.encode()[VLEN_KIND] & 15 != 0:
        return False  # h5py has texts of any length as another class
    if isinstance(kind, (h5py.h5t.TypeVlenID, h5py.h5t.TypeArrayID)):
        return _is_known(kind.get_super())
    return True


def _n_chunks(dataset: Any) -> int:
    """Return how many chunks a table says to consist of; 0 if it is in one piece."""
    pairs = zip(dataset.shape or (), dataset.chunks or (), strict=False)
    return math.prod(-(-n // chunk) for n, chunk in pairs) if dataset.chunks else 0


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


def _checked_heaps(data: mmap.mmap, path: str | os.PathLike[str]) -> dict[int, set[int]]:
    """Return where collections of texts are, and the numbers of each one's texts.

    Those whose lengths don't add up are refused: libhdf5 would walk them without end.
    """
    heaps: dict[int, set[int]] = {}
    place = data.find(HEAP)
    while place >= 0:
        numbers = _numbers_in(data, place)
        if numbers is None:
            raise DataError(f"{path}: the texts at byte {place} are damaged")
        heaps[place] = numbers
        place = data.find(HEAP, place + HEAD)
    return heaps


def _check_pointers(
    data: mmap.mmap, heaps: dict[int, set[int]], path: str | os.PathLike[str]
) -> None:
    """Refuse texts in a collection, wherever they are spoken of, that are longer than the file.

    (Those that lead to no collection are found in datasets alone, see `_check_claims`.)
    """
    for place in _places_of(list(heaps), data):
        pointer = data[place : place + POINTER.itemsize]
        if place < 0 or len(pointer) < POINTER.itemsize:
            continue
        length, heap, number = struct.unpack("<IQI", pointer)
        # what reads as an address may be part of something else: its text must be there as well
        if length > len(data) and number in heaps[heap]:
            raise DataError(
                f"{path}: a text at byte {place} says to be {length} long: it is damaged"
            )


def _places_of(heaps: list[int], data: mmap.mmap) -> list[int]:
    """Return where a text is spoken of, 4 bytes before the address of its collection."""
    found: list[int] = []
    for shift in range(8 if heaps else 0):
        words = np.frombuffer(data, "<u8", (len(data) - shift) // 8, shift)
        found += (8 * np.flatnonzero(np.isin(words, heaps)) + shift - 4).tolist()
    return found


def _numbers_in(data: mmap.mmap, place: int) -> set[int] | None:
    """Return the numbers of a collection's texts; None if their lengths don't fill it.

    The last object, numbered 0, is its free room.
    """
    (size,) = struct.unpack_from("<Q", data, place + 8)
    end = place + size
    if end > len(data):
        return None
    numbers: set[int] = set()
    place += HEAD
    while end - place >= HEAD:
        number, _, _, length = struct.unpack_from("<HHIQ", data, place)
        if number == 0:
            return numbers if length == end - place else None
        numbers.add(number)
        place += HEAD + -(-length // 8) * 8
    return numbers if place <= end else None
