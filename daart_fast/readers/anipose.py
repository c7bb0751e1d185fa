"""Anipose's csv of points in three dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from daart_fast.errors import DataError
from daart_fast.readers.checks import PathLike, shown_frame
from daart_fast.readers.markers import Markers
from daart_fast.readers.tables import misnumbered, read_table

__all__ = ["anipose_frames", "load_anipose_csv"]

#: The reprojection error (pixels) at which a point of Anipose is half as likely as without.
HALF_ERROR = 10.0


def load_anipose_csv(path: PathLike) -> Markers:
    """Read Anipose's csv of points in 3D: ``part_x``, ``_y``, ``_z``, ``_error``, ``_ncams``, ...

    A point that fewer than two cameras saw is missing. Its likelihood is its score (1 without one)
    over 1 + error / `HALF_ERROR`. Returns and raises as `load_marker_csv`.
    """
    table = read_table(Path(path))
    (header,) = table.header
    columns = {name: place for place, name in enumerate(header)}
    parts = [name.removesuffix("_ncams") for name in header if name.endswith("_ncams")]

    def read(what: str, default: float) -> np.ndarray:
        names = [f"{part}_{what}" for part in parts]
        if what in "xyz" and (missing := [name for name in names if name not in columns]):
            raise DataError(f"{path}: expected a column '{missing[0]}', found {', '.join(header)}")
        full = np.full(len(table.values), default)
        return np.stack([table.values[:, columns[n]] if n in columns else full for n in names], 1)

    if (numbers := anipose_frames(table.header[0], table.values)) is not None:
        row = misnumbered(numbers)
        if row is not None:
            raise DataError(
                f"{table.where(row, columns['fnum'])}: expected frames that count up by one, found "
                f"{shown_frame(numbers[row])}"
            )
    unseen = ~(read("ncams", 2.0) >= 2)
    xs, ys, zs = (np.where(unseen, np.nan, read(axis, 0.0)) for axis in "xyz")
    score, error = read("score", 1.0), read("error", 0.0)
    likelihoods = score / (1 + np.nan_to_num(error) / HALF_ERROR)
    return Markers(xs, ys, likelihoods, parts, zs)


def anipose_frames(header: Sequence[str], values: np.ndarray) -> np.ndarray | None:
    """Return the frame numbers in Anipose's table; None if it has none."""
    return values[:, list(header).index("fnum")] if "fnum" in header else None
