"""Copying windows out of a session, normalised on the way."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np


def gather_window_numpy(
    inputs: np.ndarray, mean: np.ndarray, scale: np.ndarray, first: int, out: np.ndarray
) -> None:
    """Copy ``(inputs[first : first + W] - mean) * scale`` into out; zeros beyond the ends.

    Parameters
    ----------
    inputs
        (T, N) float32; may be read-only, as a file mapped into memory is
    mean, scale
        (N,) float32; scale is one over the spread
    first
        the first frame, may be negative or beyond the end
    out
        (W, N) float32, overwritten
    """
    begin = min(max(-first, 0), len(out))
    end = min(max(len(inputs) - first, begin), len(out))
    out[:begin] = 0
    out[end:] = 0
    out[begin:end] = (inputs[first + begin : first + end] - mean) * scale


def _gather_window(inputs: Any, mean: Any, scale: Any, first: Any, out: Any) -> None:
    n_frames, n_channels = inputs.shape
    for row in range(out.shape[0]):
        frame = first + row
        if 0 <= frame < n_frames:
            for channel in range(n_channels):
                out[row, channel] = (inputs[frame, channel] - mean[channel]) * scale[channel]
        else:
            for channel in range(n_channels):
                out[row, channel] = 0.0


@cache
def gather_window() -> Callable[[np.ndarray, np.ndarray, np.ndarray, int, np.ndarray], None]:
    """Return the compiled twin of `gather_window_numpy`, made on first use and kept on disk."""
    import numba
    from numba import types

    rows, row = (types.Array(types.float32, ndim, "C", readonly=True) for ndim in (2, 1))
    signature = types.void(rows, row, row, types.int64, types.float32[:, ::1])
    try:
        return numba.njit(signature, nogil=True, cache=True)(_gather_window)
    except (RuntimeError, OSError):  # no folder to keep it in
        return numba.njit(signature, nogil=True)(_gather_window)
