"""Loops that Python is too slow for, compiled by numba on first use and kept on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["jit"]


def jit(function: Callable[..., Any], signature: Any) -> Callable[..., Any]:
    """Compile a function for one signature; it lets go of the interpreter's lock while it runs."""
    import numba

    try:
        return numba.njit(signature, nogil=True, cache=True)(function)
    except (RuntimeError, OSError):  # no folder to keep it in
        return numba.njit(signature, nogil=True)(function)
