"""Loops that Python is too slow for, compiled by numba on first use and kept on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from daart_fast.files import folder_lock

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
        # numba writes what the folder holds, and then the code: who reads in between gets the code
        # of an older version of the function, and of two who write one may get the other's
        with folder_lock(Path(folder)):
            compiled.compile(signature)
        compiled.disable_compile()
        return compiled  # type: ignore[no-any-return]
    except (RuntimeError, OSError):  # no folder to keep it in
        return numba.njit(signature, nogil=True)(function)
