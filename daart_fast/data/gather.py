"""Copying windows out of a session, normalised on the way."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from daart_fast.compiled import jit

#: Channels in a row that the compiled loop likes: enough for vector code to pay.
RUN = 256


def repeated(values: np.ndarray) -> np.ndarray:
    """Repeat (N,) values until there are at least `RUN` of them: one row after another."""
    return np.tile(values.astype(np.float32), max(1, RUN // len(values)))


def gather_window_numpy(
    inputs: np.ndarray, mean: np.ndarray, scale: np.ndarray, first: int, out: np.ndarray
) -> None:
    """Copy ``(inputs[first : first + W] - mean) * scale`` into out; zeros beyond the ends.

    An input that is NaN, which has no value yet, is 0 too: its mean. It is right for long windows;
    `gather_window` is faster for short ones, but takes a third of a second to import.

    Parameters
    ----------
    inputs
        (T, N) float32; may be read-only, as a file mapped into memory is
    mean, scale
        (k N,) float32, k times the same N values (see `repeated`); scale is one over the spread
    first
        the first frame, may be negative or beyond the end
    out
        (W, N) float32, overwritten
    """
    n_channels = inputs.shape[1]
    begin = min(max(-first, 0), len(out))
    end = min(max(len(inputs) - first, begin), len(out))
    out[:begin] = 0
    out[end:] = 0
    inside = out[begin:end]
    with np.errstate(over="ignore", invalid="ignore"):
        np.subtract(inputs[first + begin : first + end], mean[:n_channels], out=inside)
        inside *= scale[:n_channels]
    inside[np.isnan(inside)] = 0


def _gather_window(inputs: Any, mean: Any, scale: Any, first: Any, out: Any) -> None:
    begin = min(max(-first, 0), len(out))
    end = min(max(len(inputs) - first, begin), len(out))
    out[:begin] = 0
    out[end:] = 0
    source, target = inputs[first + begin : first + end].ravel(), out[begin:end].ravel()
    # Runs of several frames, each from its place 0 on: the compiler sees no negative index.
    for start in range(0, len(target), len(mean)):
        run, values = target[start : start + len(mean)], source[start : start + len(mean)]
        for i in range(len(run)):
            value = (values[i] - mean[i]) * scale[i]
            run[i] = value if value == value else np.float32(0)


@cache
def gather_window() -> Callable[[np.ndarray, np.ndarray, np.ndarray, int, np.ndarray], None]:
    """Return the compiled twin of `gather_window_numpy`, made on first use and kept on disk."""
    from numba import types

    rows, row = (types.Array(types.float32, ndim, "C", readonly=True) for ndim in (2, 1))
    signature = types.void(rows, row, row, types.int64, types.float32[:, ::1])
    return jit(_gather_window, signature)
