"""Version folders: each claimed by one run, and taken up again if that run was cut short."""

from __future__ import annotations

import itertools
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import IO

from daart_fast.experiment.stored import CHECKPOINT, WEIGHTS
from daart_fast.files import lock_file, writing

__all__ = ["Experiment", "claim_number", "claim_version"]


class Experiment:
    """One run's hold on its version folder.

    The hold is a lock on a small file inside, which the system lets go of when the process ends
    in whatever way. So a folder without training's end and without a lock is an interrupted run,
    and one with a lock is at work.

    Attributes
    ----------
    folder : Path
        ``.../<experiment name>/version_<N>``
    version : int
        N
    name : str
        the experiment's name
    keeps_failure : bool
        whether a block ``with experiment`` that fails before anything is trained leaves the folder
    """

    keeps_failure = True

    def __init__(self, folder: Path, lock: IO[bytes] | None) -> None:
        self._lock, self._process = lock, os.getpid()
        self.folder = folder
        self.version = int(folder.name.removeprefix("version_"))
        self.name = folder.parent.name

    @classmethod
    def take_up(cls, folder: Path) -> Experiment | None:
        """Hold a folder that is there already, or None where another run (perhaps) holds it."""
        lock = _lock(folder)
        return None if lock is None else cls(folder, lock)

    def close(self) -> None:
        """Let go of the folder; in a process forked off this one, of the copy it has."""
        lock, self._lock = self._lock, None
        if lock is not None:
            if os.getpid() == self._process:
                with suppress(OSError):  # Windows removes no open file; it does no harm there
                    (self.folder / LOCK).unlink()
            lock.close()

    def __enter__(self) -> Experiment:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, Exception) and not self.keeps_failure:
            self._remove_untrained()
        self.close()

    def _remove_untrained(self) -> None:
        """Remove what is no model and can become none: a folder without weights or checkpoint."""
        if any((self.folder / name).exists() for name in (CHECKPOINT, WEIGHTS)):
            return
        for path in self.folder.iterdir():
            if path.name != LOCK:  # kept to the last, as nobody else is to hold the folder
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.close()
        with suppress(OSError):
            self.folder.rmdir()

    def __del__(self) -> None:
        self.close()


LOCK = ".running"


def claim_version(parent: Path) -> Experiment:
    """Make and hold the first free ``version_<N>`` in `parent`; no two runs get the same one."""
    folder = claim_number(parent, "version_")
    return Experiment(folder, _lock(folder))


def claim_number(parent: Path, prefix: str) -> Path:
    """Make the first free ``<prefix><N>`` in `parent`; no two callers get the same one."""
    with writing(parent, elsewhere="--results_dir"):
        parent.mkdir(parents=True, exist_ok=True)
        for number in itertools.count():
            folder = parent / f"{prefix}{number}"
            with suppress(FileExistsError):
                os.mkdir(folder)  # succeeds for one process only
                break
    return folder


def _lock(folder: Path) -> IO[bytes] | None:
    """Lock `folder` for this process; None where it is locked, or cannot be (some file systems)."""
    path = folder / LOCK
    try:
        file = open(path, "ab")  # noqa: SIM115 (stays open as long as the lock is held)
    except OSError:
        return None
    with suppress(OSError):
        # a run that ends removes the file: a lock on a removed file holds nothing
        if lock_file(file, wait=False) and os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
            return file
    file.close()
    return None
