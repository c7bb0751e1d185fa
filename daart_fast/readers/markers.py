"""Files of tracked points -> x, y and likelihood of each keypoint."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from daart_fast.errors import DataError
from daart_fast.readers.checks import PathLike, check_frame_numbers
from daart_fast.readers.tables import read_table

__all__ = [
    "HEADER_CELLS",
    "MARKER_STARTS",
    "TOO_LARGE",
    "Markers",
    "by_animal",
    "load_marker_csv",
    "markers_of",
    "point_columns",
    "text_of",
    "unsure",
]


#: the first cells of a marker csv's header rows: of one animal, and of several
HEADERS = (
    ("scorer", "bodyparts", "coords"),
    ("scorer", "individuals", "bodyparts", "coords"),
)


#: what a file that has lost some of its header rows begins with is no table of features either
MARKER_STARTS = [[cell] for cell in HEADERS[-1]]


HEADER_CELLS = set(HEADERS[-1])


#: A value as large is no measurement. A network's sums of it may overflow.
TOO_LARGE = 1e18


@dataclass(frozen=True)
class Markers:
    """Tracked points: x, y (pixels) and likelihood (0 to 1), each (T, K); K keypoint names.

    Points in three dimensions have z too, (T, K), in the unit of x and y. It is a sequence of the
    first four, as what daart's functions return.
    """

    xs: np.ndarray
    ys: np.ndarray
    likelihoods: np.ndarray
    names: list[str]
    zs: np.ndarray | None = None

    def __getitem__(self, part: Any) -> Any:
        return (self.xs, self.ys, self.likelihoods, self.names)[part]

    def __iter__(self) -> Iterator[Any]:
        return iter(self[:])

    @property
    def coordinates(self) -> dict[str, np.ndarray]:
        """By axis, (T, K): x and y, and in three dimensions z."""
        return {"x": self.xs, "y": self.ys} | ({} if self.zs is None else {"z": self.zs})

    def replacing(self, coordinates: Mapping[str, np.ndarray]) -> Markers:
        """Return the same points with these coordinates, by axis."""
        return replace(self, xs=coordinates["x"], ys=coordinates["y"], zs=coordinates.get("z"))

    def of(self, places: Sequence[int]) -> Markers:
        """Return some of the points, by their places."""
        chosen = self.replacing({axis: c[:, places] for axis, c in self.coordinates.items()})
        names = [self.names[place] for place in places]
        return replace(chosen, likelihoods=self.likelihoods[:, places], names=names)

    def missing(self) -> np.ndarray:
        """(T, K) bool: where a coordinate is missing."""
        return np.any([np.isnan(values) for values in self.coordinates.values()], axis=0)

    def unsure(self, threshold: float) -> np.ndarray:
        """(T, K) bool: less likely than a threshold or, if there is one, of unknown likelihood."""
        return unsure(self.likelihoods, threshold)


def unsure(likelihoods: np.ndarray, threshold: float) -> np.ndarray:
    """Of the same shape: less likely than a threshold or, if there is one, unknown (NaN).

    Both are compared as float32, in which frames come to a model that runs online.
    """
    with np.errstate(over="ignore"):
        likely = np.asarray(likelihoods).astype(np.float32)
    return (likely < np.float32(threshold)) | (np.isnan(likely) & (threshold > 0))


def load_marker_csv(path: PathLike) -> Markers:
    """Read a DeepLabCut or Lightning Pose csv of one animal or several.

    Parameters
    ----------
    path
        csv or csv.gz with the header rows scorer, bodyparts, coords, or, of several animals,
        scorer, individuals, bodyparts, coords; the first column is the frame number, which counts
        up by one from any number, or is empty

    Returns
    -------
    Markers
        xs, ys, likelihoods (T, K) float64, NaN where a point was not detected or a cell is empty;
        zs too if the file has them; K names, those of several animals as ``animal-part``. Without
        likelihoods in the file they are 1.

    Raises
    ------
    DataError
        if the file is anything else
    """
    table = read_table(Path(path), HEADERS)
    check_frame_numbers(table)
    rows = table.header[1:]
    columns = [tuple(cells[i] for cells in rows) for i in range(1, len(rows[0]))]
    return markers_of(table.values[:, 1:], columns, str(path))


def by_animal(
    xs: np.ndarray,
    ys: np.ndarray,
    likelihoods: np.ndarray,
    animals: list[str],
    parts: list[str],
    path: str,
) -> Markers:
    """Flatten (T, animals, parts)."""
    n_animals = xs.shape[1]
    if 0 in xs.shape:
        raise DataError(
            f"{path}: expected tracked points, found {len(xs)} frames, {n_animals} tracks and "
            f"{len(parts)} nodes"
        )
    if n_animals == 1:
        names = parts
    else:
        animals = animals or [f"animal{i + 1}" for i in range(n_animals)]
        if len(animals) != n_animals:
            raise DataError(f"{path}: expected {n_animals} track names, found {len(animals)}")
        names = [f"{animal}-{part}" for animal in animals for part in parts]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{path}: two tracks or nodes have the same name: {', '.join(twice)}")
    flat = (len(xs), len(names))
    return Markers(xs.reshape(flat), ys.reshape(flat), likelihoods.reshape(flat), names)


def text_of(name: object) -> str:
    """Return a name as text, which h5 files hold as bytes."""
    return name.decode() if isinstance(name, bytes) else str(name)


def markers_of(values: np.ndarray, columns: Sequence[tuple[str, ...]], path: str) -> Markers:
    """Sort columns named ([animal,] part, coordinate) into x, y and likelihood."""
    if len(values) == 0:
        raise DataError(f"{path}: no rows of numbers below the header")
    points = point_columns(columns, path)
    axes = [axis for axis in "xyz" if axis in next(iter(points.values()))]
    xs, ys, *zs = (_columns(values, [point[axis] for point in points.values()]) for axis in axes)
    likelihoods = _columns(values, [point.get("likelihood", -1) for point in points.values()])
    several = any(len(owner) > 1 for *owner, _ in columns)
    return _without_places(Markers(xs, ys, likelihoods, list(points), *zs), several)


def point_columns(columns: Iterable[tuple[str, ...]], path: str) -> dict[str, dict[str, int]]:
    """Find the columns of each tracked point.

    Parameters
    ----------
    columns
        ([animal,] part, coordinate) of each column
    path
        the file, for messages

    Returns
    -------
    dict
        the indices of ``x``, ``y`` and, where they are there, ``z`` and ``likelihood`` by the
        point's name, which is ``animal-part`` with several animals

    Raises
    ------
    DataError
        a coordinate is missing, or there twice
    """
    found: dict[str, dict[str, int]] = {}
    for index, (*owner, coordinate) in enumerate(columns):
        point = found.setdefault("-".join(owner), {})
        if coordinate in point:
            raise DataError(f"{path}: '{'-'.join(owner)}' has two columns '{coordinate}'")
        point[coordinate] = index
    points = {name: point for name, point in found.items() if {*"xyz"} & point.keys()}
    axes = "xyz" if any("z" in point for point in points.values()) else "xy"
    for name, point in points.items():
        for axis in axes:
            if axis not in point:
                raise DataError(f"{path}: '{name}' has no column '{axis}', only {', '.join(point)}")
    if not points:
        raise DataError(f"{path}: expected columns x and y for each body part, found none")
    return points


def _without_places(markers: Markers, several: bool) -> Markers:
    """Return markers in which a place that stands for no point is missing.

    Trackers write -1 in all coordinates of a point that they did not find and, in files of
    ``several`` animals, 0 with a likelihood of 0.
    """
    every = list(markers.coordinates.values())
    suspected = markers.xs == -1
    if several:
        suspected |= markers.xs == 0
    if not suspected.any():  # one look at x is faster than at all coordinates
        return markers
    nowhere = np.all([values == -1 for values in every], axis=0)
    if several:
        unlikely = ~(markers.likelihoods > 0)
        nowhere |= np.all([values == 0 for values in every], axis=0) & unlikely
    if not nowhere.any():
        return markers
    return markers.replacing(
        {axis: np.where(nowhere, np.nan, c) for axis, c in markers.coordinates.items()}
    )


def _columns(values: np.ndarray, indices: list[int]) -> np.ndarray:
    """Return columns of a table, ones for -1; they are no copy if they lie at equal distances."""
    steps = {after - before for before, after in itertools.pairwise(indices)} or {1}
    if -1 not in indices and len(steps) == 1 and (step := steps.pop()) > 0:
        return values[:, indices[0] : indices[-1] + 1 : step]
    columns = values[:, indices]
    columns[:, [index == -1 for index in indices]] = 1
    return columns
