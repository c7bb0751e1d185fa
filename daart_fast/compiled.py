"""Loops that Python is too slow for, compiled by numba on first use and kept on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

__all__ = ["jit"]


def jit(function: Callable[..., Any], signature: Any) -> Callable[..., Any]:
    """Compile a function for one signature; it lets go of the interpreter's lock while it runs."""
    import numba

    if getattr(numba.config, "DISABLE_JIT", False):  # for debugging: NUMBA_DISABLE_JIT
        return function
    try:
        compiled = numba.njit(nogil=True, cache=True)(function)
        folder = compiled.stats.cache_path
        assert folder is not None
        with _alone_in(Path(folder)):
            compiled.compile(signature)
        compiled.disable_compile()
        return compiled  # type: ignore[no-any-return]
    except (RuntimeError, OSError):  # no folder to keep it in
        return numba.njit(signature, nogil=True)(function)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Have the folder to oneself, where the system can lock a file in it.

    numba writes what the folder holds, and then the code: who reads in between gets the code of an
    older version of the function, and of two who write at once one may get the other's.
    """
    try:
        import fcntl

        file = open(folder / ".lock", "ab")  # noqa: SIM115
    except (ImportError, OSError):  # Windows; a folder that is only read
        yield
        return
    with file:
        with suppress(OSError):  # some file systems of networks
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
