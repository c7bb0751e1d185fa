"""The arithmetic of kinematic features, compiled by numba on first use and kept on disk.

Every kernel fills columns of ``out`` for the frames [first, last), one column for each row of a
table of points. Frames are independent of each other but for their neighbours in time, so several
threads can fill different frames (numba's own threads would bring a second OpenMP into the
process; these kernels let go of the interpreter's lock instead).

Signature: ``kernel(points, table, rate, lag, lead, first, last, out)`` with points (T, P, D)
float64 of 2 or 3 coordinates, table (n, k) int64, rate in frames a second (or 1), movement measured
from ``lag`` frames before to ``lead`` frames after each frame, and out (T, n) float32.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import sqrt
from typing import Any

import numpy as np

from daart_fast.compiled import jit

__all__ = ["compiled", "windowed"]


def distance(
    points: Any, table: Any, rate: Any, lag: Any, lead: Any, first: Any, last: Any, out: Any
) -> None:
    """Distance of points a and b."""
    for t in range(first, last):
        for j in range(len(table)):
            a, b = table[j, 0], table[j, 1]
            square = 0.0
            for i in range(points.shape[2]):
                d = points[t, a, i] - points[t, b, i]
                square += d * d
            out[t, j] = sqrt(square)


def approach(
    points: Any, table: Any, rate: Any, lag: Any, lead: Any, first: Any, last: Any, out: Any
) -> None:
    """How fast the distance of points a and b grows."""
    for t in range(first, last):
        t0, t1 = max(t - lag, 0), min(t + lead, len(points) - 1)
        per = rate / max(t1 - t0, 1)
        for j in range(len(table)):
            a, b = table[j, 0], table[j, 1]
            then, now = 0.0, 0.0
            for i in range(points.shape[2]):
                d0 = points[t0, a, i] - points[t0, b, i]
                d1 = points[t1, a, i] - points[t1, b, i]
                then += d0 * d0
                now += d1 * d1
            out[t, j] = (sqrt(now) - sqrt(then)) * per


def speed(
    points: Any, table: Any, rate: Any, lag: Any, lead: Any, first: Any, last: Any, out: Any
) -> None:
    """Speed of point a."""
    for t in range(first, last):
        t0, t1 = max(t - lag, 0), min(t + lead, len(points) - 1)
        per = rate / max(t1 - t0, 1)
        for j in range(len(table)):
            a = table[j, 0]
            square = 0.0
            for i in range(points.shape[2]):
                d = points[t1, a, i] - points[t0, a, i]
                square += d * d
            out[t, j] = sqrt(square) * per


def acceleration(
    points: Any, table: Any, rate: Any, lag: Any, lead: Any, first: Any, last: Any, out: Any
) -> None:
    """Length of point a's acceleration, by the second difference."""
    n_frames = len(points)
    for t in range(first, last):
        # the frame in the middle of three that exist
        m = min(max(t if lead > 0 else t - 1, 1), n_frames - 2)
        for j in range(len(table)):
            a = table[j, 0]
            if n_frames < 3 or (lead == 0 and t < 2):  # there are not yet three
                out[t, j] = 0.0
                continue
            square = 0.0
            for i in range(points.shape[2]):
                d = points[m - 1, a, i] - 2.0 * points[m, a, i] + points[m + 1, a, i]
                square += d * d
            out[t, j] = sqrt(square) * rate * rate


def turn(
    points: Any, table: Any, rate: Any, lag: Any, lead: Any, first: Any, last: Any, out: Any
) -> None:
    """Cosine (part 0) or sine (part 1) of the angle from b->a to d->c; 0 where it has none.

    An angle itself would jump between pi and -pi.
    """
    for t in range(first, last):
        for j in range(len(table)):
            a, b, c, d = table[j, 0], table[j, 1], table[j, 2], table[j, 3]
            ux, uy = points[t, a, 0] - points[t, b, 0], points[t, a, 1] - points[t, b, 1]
            vx, vy = points[t, c, 0] - points[t, d, 0], points[t, c, 1] - points[t, d, 1]
            lengths = sqrt((ux * ux + uy * uy) * (vx * vx + vy * vy))
            product = ux * vx + uy * vy if table[j, 4] == 0 else ux * vy - uy * vx
            out[t, j] = product / lengths if lengths > 0.0 else 0.0


def turn_3d(
    points: Any, table: Any, rate: Any, lag: Any, lead: Any, first: Any, last: Any, out: Any
) -> None:
    """Cosine (part 0) or sine (part 1) of the angle between b->a and d->c, from 0 to pi.

    In space an angle has no sign, so its sine is never negative.
    """
    for t in range(first, last):
        for j in range(len(table)):
            a, b, c, d = table[j, 0], table[j, 1], table[j, 2], table[j, 3]
            uu, vv, uv = 0.0, 0.0, 0.0
            for i in range(3):
                u, v = points[t, a, i] - points[t, b, i], points[t, c, i] - points[t, d, i]
                uu += u * u
                vv += v * v
                uv += u * v
            product = uv if table[j, 4] == 0 else sqrt(max(uu * vv - uv * uv, 0.0))
            out[t, j] = product / sqrt(uu * vv) if uu * vv > 0.0 else 0.0


def egocentric(
    points: Any, table: Any, rate: Any, lag: Any, lead: Any, first: Any, last: Any, out: Any
) -> None:
    """Point c, seen from o and along o->h (part 0) or across it, to the left of +x (part 1)."""
    for t in range(first, last):
        for j in range(len(table)):
            o, h, c = table[j, 0], table[j, 1], table[j, 2]
            ex, ey = points[t, h, 0] - points[t, o, 0], points[t, h, 1] - points[t, o, 1]
            dx, dy = points[t, c, 0] - points[t, o, 0], points[t, c, 1] - points[t, o, 1]
            length = sqrt(ex * ex + ey * ey)
            product = ex * dx + ey * dy if table[j, 3] == 0 else ex * dy - ey * dx
            out[t, j] = product / length if length > 0.0 else 0.0


def egocentric_3d(
    points: Any, table: Any, rate: Any, lag: Any, lead: Any, first: Any, last: Any, out: Any
) -> None:
    """Point c, seen from o: along o->h (part 0), towards s across it (1), off their plane (2)."""
    for t in range(first, last):
        for j in range(len(table)):
            o, h, s, c = table[j, 0], table[j, 1], table[j, 2], table[j, 3]
            ox, oy, oz = points[t, o, 0], points[t, o, 1], points[t, o, 2]
            ex, ey, ez = points[t, h, 0] - ox, points[t, h, 1] - oy, points[t, h, 2] - oz
            sx, sy, sz = points[t, s, 0] - ox, points[t, s, 1] - oy, points[t, s, 2] - oz
            dx, dy, dz = points[t, c, 0] - ox, points[t, c, 1] - oy, points[t, c, 2] - oz
            along = sqrt(ex * ex + ey * ey + ez * ez)
            scale = 1.0 / along if along > 0.0 else 0.0
            ex, ey, ez = ex * scale, ey * scale, ez * scale
            if table[j, 4] == 0:
                out[t, j] = ex * dx + ey * dy + ez * dz
                continue
            part = sx * ex + sy * ey + sz * ez
            sx, sy, sz = sx - part * ex, sy - part * ey, sz - part * ez
            across = sqrt(sx * sx + sy * sy + sz * sz)
            scale = 1.0 / across if across > 0.0 else 0.0
            sx, sy, sz = sx * scale, sy * scale, sz * scale
            if table[j, 4] == 1:
                out[t, j] = sx * dx + sy * dy + sz * dz
            else:
                nx, ny, nz = ey * sz - ez * sy, ez * sx - ex * sz, ex * sy - ey * sx
                out[t, j] = nx * dx + ny * dy + nz * dz


def _windowed(
    values: Any, before: Any, after: Any, first: Any, last: Any, mean: Any, spread: Any, sums: Any
) -> None:
    """Fill mean and spread (T, N) over the frames from t - before to t + after that exist.

    A window's sums follow from the last one's: add the frame that enters, take off the one that
    leaves. They are of differences from the first frame's values, in float64, and begin again with
    each call, so rounding does not pile up. ``sums`` (2, N) float64 is overwritten.
    """
    n_frames, n_channels = values.shape
    origin = values[first]
    sums[:] = 0.0
    begin = max(first - before, 0)
    end = begin
    for t in range(first, last):
        while end < min(t + after + 1, n_frames):
            for j in range(n_channels):
                x = np.float64(values[end, j]) - np.float64(origin[j])
                sums[0, j] += x
                sums[1, j] += x * x
            end += 1
        while begin < t - before:
            for j in range(n_channels):
                x = np.float64(values[begin, j]) - np.float64(origin[j])
                sums[0, j] -= x
                sums[1, j] -= x * x
            begin += 1
        share = 1.0 / (end - begin)
        for j in range(n_channels):
            m = sums[0, j] * share
            mean[t, j] = m + np.float64(origin[j])
            spread[t, j] = max(sums[1, j] * share - m * m, 0.0) ** 0.5


@cache
def compiled(kernel: Callable[..., None]) -> Callable[..., None]:
    """Return the compiled twin of a kernel."""
    from numba import types

    signature = types.void(
        types.float64[:, :, ::1], types.int64[:, ::1], types.float64, types.int64, types.int64,
        types.int64, types.int64, types.Array(types.float32, 2, "A"),
    )  # fmt: skip
    return jit(kernel, signature)


@cache
def windowed() -> Callable[..., None]:
    """Return the compiled twin of ``_windowed``."""
    from numba import types

    rows = types.Array(types.float32, 2, "A")
    number = types.int64
    return jit(
        _windowed,
        types.void(rows, number, number, number, number, rows, rows, types.float64[:, ::1]),
    )
