"""Writing files whole, so that a reader finds the old content or the new; telling files apart."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import uuid
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from daart_fast.errors import DataError, OutputError, reason, some


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary name beside ``path``; rename it to ``path`` when the block ends well.

    The folder is made if missing. The temporary name keeps the suffix, which ``np.save`` and
    pandas read. If the block raises, the temporary file is removed and ``path`` is untouched.

    Raises
    ------
    OutputError
        naming ``path``, where the system refuses to write
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:12]}{path.suffix}")
    with writing(path, temporary):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            os.replace(temporary, path)
        finally:
            with suppress(NotADirectoryError):
                temporary.unlink(missing_ok=True)


#: What the system says where it refuses to write, and the user can mend it.
REFUSALS = (
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR,
    errno.EISDIR, errno.ENAMETOOLONG,
)  # fmt: skip


@contextmanager
def writing(path: Path, temporary: Path | None = None, elsewhere: str = "") -> Iterator[None]:
    """Name `path` where the system refuses to write to it, to make it, or to make what is in it.

    Parameters
    ----------
    path
        the file or folder that is written in the block
    temporary
        the name that it has until it is whole
    elsewhere
        the option that writes to another place

    Raises
    ------
    OutputError
        the system refuses; errors of other files pass as they are
    """
    try:
        yield
    except OSError as error:
        name = Path(os.fsdecode(error.filename)) if error.filename is not None else path
        ours = name in (path, temporary, *path.parents) or name.parent == path
        if isinstance(error, OutputError) or error.errno not in REFUSALS or not ours:
            raise
        hint = f"; {elsewhere} writes to another place" if elsewhere else ""
        raise OutputError(f"{path}: cannot be written: {reason(error)}{hint}") from error


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Wait until no other process holds the lock of a folder, and hold it meanwhile.

    The lock is on a file ``.lock`` in the folder. On file systems without locks, and in a folder
    that can only be read, nobody waits.
    """
    try:
        file = open(folder / ".lock", "ab")  # noqa: SIM115
    except OSError:
        yield
        return
    with file:
        with suppress(OSError):
            lock_file(file)
        yield


def lock_file(file: IO[bytes], wait: bool = True) -> bool:
    """Lock an open file for this process, and return whether it holds the lock.

    The lock ends when the file is closed, or the process ends in whatever way. A process forked
    off this one does not end it by closing its copy. filelock's `FileLock` promises less: without
    the system's locks it leaves a file that outlives a process which is killed.

    Parameters
    ----------
    file
        open for writing
    wait
        whether to wait while another process holds it

    Raises
    ------
    OSError
        the file system has no locks
    """
    from filelock import lock_descriptor  # takes a tenth of a second

    return lock_descriptor(file.fileno(), blocking=wait)


def refuse_overwriting_inputs(
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


def refuse_overwriting(existing: Sequence[str | os.PathLike[str]], expected: str) -> None:
    """Refuse to write over files that hold something else.

    Parameters
    ----------
    others
        the files
    expected
        what might have been there

    Raises
    ------
    DataError
        there are any
    """
    if existing:
        raise DataError(
            f"{some([os.fspath(path) for path in existing])}: expected no file, or {expected}; "
            f"found others, which --overwrite replaces"
        )


def holds(path: str | os.PathLike[str], content: bytes) -> bool:
    """Tell whether there is a file of just this content."""
    path = Path(path)
    same_size = path.is_file() and path.stat().st_size == len(content)
    return same_size and path.read_bytes() == content


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def fingerprint(path: str | os.PathLike[str]) -> str | None:
    """Tell a file (the one that a link leads to) from any other, and from itself before a change.

    Labels keep their size when they are edited, and mv and unzip keep times: so which file it is
    counts too, and when anything about it was changed last, which no program sets. None where there
    is no file.
    """
    try:
        stat = os.stat(path)
    except OSError:
        return None
    facts = [stat.st_size, stat.st_mtime_ns, stat.st_ino, stat.st_ctime_ns]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]


def changed_at(path: Path) -> int:
    """Return when a file was written, or put in its place (mv keeps the time of writing), in ns."""
    found = (path.stat(), path.lstat())
    return max(max(stat.st_mtime_ns, stat.st_ctime_ns) for stat in found)


def checksum_of(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of what a file holds."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def check_archive(file: str | os.PathLike[str] | IO[bytes]) -> None:
    """Compare a zip archive's parts with their checksums, as ``torch.load`` does not.

    Raises
    ------
    ValueError
        naming the first part that is not as it was written; files of other kinds pass
    """
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"the checksum of its part {damaged} is wrong")
