"""Writing files whole: a reader finds the old content or the new, never a part."""

from __future__ import annotations

import os
import uuid
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from daart_fast.errors import DataError


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary name beside ``path``; rename it to ``path`` when the block ends well.

    The folder is made if missing. The temporary name keeps the suffix, which ``np.save`` and
    pandas read. If the block raises, the temporary file is removed and ``path`` is untouched.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:12]}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def spare_inputs(
    outputs: Iterable[str | os.PathLike[str]], inputs: Iterable[str | os.PathLike[str]]
) -> None:
    """Refuse to write over what is read, by whatever name or link.

    Raises
    ------
    DataError
        an output is one of the inputs
    """
    read = {_identity(path) for path in map(Path, inputs) if path.exists()}
    for path in map(Path, outputs):
        if path.exists() and _identity(path) in read:
            raise DataError(
                f"{path}: expected an output that is no input: this file is read, and would be "
                f"written over; write to another folder or name"
            )


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def check_archive(path: str | os.PathLike[str]) -> None:
    """Compare a zip archive's parts with their checksums, as ``torch.load`` does not.

    Raises
    ------
    ValueError
        naming the first part that is not as it was written; files of other kinds pass
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"the checksum of its part {damaged} is wrong")
