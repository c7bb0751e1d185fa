"""Files of tracked points -> x, y and likelihood of each keypoint."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from daart_fast.errors import DataError
from daart_fast.readers.checks import PathLike, check_frame_numbers, shown_frame
from daart_fast.readers.h5 import opened
from daart_fast.readers.tables import misnumbered, read_table
from daart_fast.readers.unpickle import loads_plain

__all__ = [
    "HEADER_CELLS",
    "MARKER_STARTS",
    "TOO_LARGE",
    "Markers",
    "load_marker_csv",
    "load_marker_h5",
    "load_marker_slp",
    "point_columns",
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


#: a damaged number of a frame, in a project that tells but some, would fill the memory
MOST_FRAMES = 10_000_000


class Markers(NamedTuple):
    """Tracked points: x, y (pixels) and likelihood (0 to 1), each (T, K); K keypoint names."""

    xs: np.ndarray
    ys: np.ndarray
    likelihoods: np.ndarray
    names: list[str]

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
        K names, those of several animals as ``animal-part``. Without likelihoods in the file they
        are 1.

    Raises
    ------
    DataError
        if the file is anything else
    """
    table = read_table(Path(path), HEADERS)
    check_frame_numbers(table)
    rows = table.header[1:]
    columns = [tuple(cells[i] for cells in rows) for i in range(1, len(rows[0]))]
    return _markers(table.values[:, 1:], columns, str(path))


def load_marker_h5(path: PathLike) -> Markers:
    """Read tracked points from h5: DeepLabCut's, Lightning Pose's, or a SLEAP analysis file.

    Nothing in the file is unpickled but plain lists of names. Returns and raises as
    `load_marker_csv`.
    """
    with opened(path) as file:
        try:
            return _markers_of(file, str(path))
        except DataError:
            raise
        except Exception as error:  # an unknown compression, a file cut short, another layout
            raise DataError(
                f"{path}: expected a table of DeepLabCut, Lightning Pose or SLEAP (analysis) that "
                f"h5py can read: {error}"
            ) from None


def _markers_of(file: Any, path: str) -> Markers:
    if "tracks" in file and "node_names" in file:
        return _sleap_analysis(file, path)
    for group in groups_of(file):
        if "table" in group:
            return _pandas_table(group["table"], path)
        if "axis0_level0" in group:
            return _pandas_fixed(group, path)
    raise DataError(
        f"{path}: expected a table of DeepLabCut, Lightning Pose or SLEAP (analysis), "
        f"found {', '.join(file) or 'nothing'}"
    )


def _pandas_table(table: Any, path: str) -> Markers:
    """Read a pandas DataFrame stored in PyTables' table format."""
    blocks = sorted(name for name in table.dtype.names if name.startswith("values_block_"))
    rows = table[:]
    values, columns = [], []
    for block in blocks:
        names = table.attrs.get(f"{block}_kind")
        if names is None:
            raise DataError(f"{path}: the table does not name the columns of {block}")
        data = names if isinstance(names, bytes) else bytes(np.asarray(names).tobytes())
        columns += list(loads_plain(data, f"{path}: the names of its columns"))
        values.append(np.asarray(rows[block], dtype=np.float64).reshape(len(rows), -1))
    if not blocks:
        raise DataError(f"{path}: the table holds no numbers")
    _check_index(table_index(table), path)
    return _markers(np.concatenate(values, 1), _without_scorer(columns, path), path)


def _pandas_fixed(group: Any, path: str) -> Markers:
    """Read a pandas DataFrame stored in PyTables' fixed format."""

    def named(axis: str) -> list[tuple[str, ...]]:
        levels: list[list[str]] = []
        while f"{axis}_level{len(levels)}" in group:
            level = [_text(name) for name in group[f"{axis}_level{len(levels)}"][:]]
            levels.append([level[code] for code in group[f"{axis}_label{len(levels)}"][:]])
        return list(zip(*levels, strict=True))

    values: list[np.ndarray] = []
    columns: list[tuple[str, ...]] = []
    while f"block{len(values)}_values" in group:
        block = f"block{len(values)}"
        columns += named(f"{block}_items")
        values.append(np.asarray(group[f"{block}_values"][:], dtype=np.float64))
    if not values:
        raise DataError(f"{path}: the table holds no numbers")
    _check_index(fixed_index(group), path)
    return _markers(np.concatenate(values, 1), _without_scorer(columns, path), path)


def groups_of(file: Any) -> list[Any]:
    """Return the places in an h5 file where pandas may have put a table."""
    import h5py

    return [file, *(item for item in file.values() if isinstance(item, h5py.Group))]


def table_index(table: Any) -> np.ndarray | None:
    """Return the numbers of the rows in PyTables' table format; None if they are no numbers."""
    if "index" not in table.dtype.names:
        return None
    return _as_numbers(table["index"], table.attrs.get("index_kind"))


def fixed_index(group: Any) -> np.ndarray | None:
    """Return the numbers of the rows in PyTables' fixed format; None if they are no numbers."""
    if "axis1" not in group:
        return None
    return _as_numbers(group["axis1"][:], group["axis1"].attrs.get("kind"))


def _as_numbers(index: np.ndarray, kind: Any) -> np.ndarray | None:
    """Return an index as float64; None for texts, and for dates, which are stored as integers."""
    if index.ndim != 1 or index.dtype.kind not in "iuf" or _text(kind) not in ("integer", "float"):
        return None
    return index.astype(np.float64)


def _check_index(numbers: np.ndarray | None, path: str) -> None:
    """The rows of an h5 table must be numbered as those of a csv."""
    row = None if numbers is None else misnumbered(numbers)
    if numbers is not None and row is not None:
        wanted = "a frame number, as other rows have"
        if row > 0:
            wanted = f"frame {numbers[row - 1] + 1:.15g}, one more than the row before has"
        raise DataError(
            f"{path}, row {row} of the index: expected {wanted}, found {shown_frame(numbers[row])}"
        )


def _without_scorer(columns: Sequence[Any], path: str) -> list[tuple[str, ...]]:
    """Return ([animal,] part, coordinate) of columns that have the scorer before them."""
    for column in columns:
        if not isinstance(column, tuple) or len(column) not in (3, 4):
            raise DataError(
                f"{path}: expected columns named (scorer, bodypart, coordinate) or (scorer, "
                f"individual, bodypart, coordinate), found {column}"
            )
    return [tuple(map(str, column[1:])) for column in columns]


def _sleap_analysis(file: Any, path: str) -> Markers:
    """Read SLEAP's analysis h5: ``tracks``, ``point_scores``, ``node_names``, ``track_names``.

    Files say in an attribute which axis is which; those of SLEAP itself, which do not, hold tracks
    as (animals, 2, nodes, frames) and scores as (animals, nodes, frames).
    """
    parts = [_text(name) for name in file["node_names"][:]]
    animals = [_text(name) for name in file["track_names"][:]] if "track_names" in file else []

    def read(name: str, axes: str, wanted: str) -> np.ndarray:
        stored = file[name]
        order = json.loads(stored.attrs["dims"]) if "dims" in stored.attrs else axes.split()
        if stored.ndim != len(order) or sorted(order) != sorted(axes.split()):
            raise DataError(f"{path}: expected '{name}' of axes ({axes}), found {stored.shape}")
        return np.asarray(stored[:], np.float64).transpose([order.index(a) for a in wanted.split()])

    points = read("tracks", "track xy node frame", "xy frame track node")
    if points.shape[0] != 2 or points.shape[3] != len(parts):
        raise DataError(
            f"{path}: expected 'tracks' of shape (animals, 2, {len(parts)}, frames), "
            f"found {file['tracks'].shape}"
        )
    scores = np.ones_like(points[0])
    if "point_scores" in file:
        scores = read("point_scores", "track node frame", "frame track node")
        by_hand = np.isnan(scores) & ~np.isnan(points).any(0)  # SLEAP scores its own points alone
        scores = np.where(by_hand, 1.0, scores)
    return _by_animal(points[0], points[1], scores, animals, parts, path)


def load_marker_slp(path: PathLike) -> Markers:
    """Read a SLEAP project (.slp) through sleap-io. Returns and raises as `load_marker_csv`."""
    try:
        import sleap_io
    except ImportError:
        raise DataError(
            f"{path}: reading .slp needs sleap-io: pip install 'daart_fast[sleap]'"
        ) from None
    try:
        with opened(path):  # sleap-io checks nothing
            pass
        labels = sleap_io.load_slp(str(path), open_videos=False)
        last = max((int(frame.frame_idx) for frame in labels.labeled_frames), default=0)
        if not 0 <= last < MOST_FRAMES:
            raise ValueError(f"frame {last} is no frame's number")
        points = np.asarray(labels.numpy(return_confidence=True), dtype=np.float64)
        parts = [node.name for node in labels.skeletons[-1].nodes]  # of which numpy() speaks
    except Exception as error:  # whatever sleap-io raises for a file that is none
        raise DataError(f"{path}: expected a SLEAP project: {error}") from None
    if len(labels.videos) > 1:
        raise DataError(f"{path}: expected one video, found {len(labels.videos)}")
    animals = [track.name for track in labels.tracks]
    return _by_animal(points[..., 0], points[..., 1], points[..., 2], animals, parts, str(path))


def _by_animal(
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


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _markers(values: np.ndarray, columns: Sequence[tuple[str, ...]], path: str) -> Markers:
    """Sort columns named ([animal,] part, coordinate) into x, y and likelihood."""
    if len(values) == 0:
        raise DataError(f"{path}: no rows of numbers below the header")
    points = point_columns(columns, path)
    xs, ys, likelihoods = (
        _columns(values, list(indices)) for indices in zip(*points.values(), strict=True)
    )
    return Markers(xs, ys, likelihoods, list(points))


def point_columns(columns: Iterable[tuple[str, ...]], path: str) -> dict[str, tuple[int, int, int]]:
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
        the indices of x, y and likelihood by the point's name, which is ``animal-part`` with
        several animals; -1 where it has no likelihood
    """
    found: dict[str, dict[str, int]] = {}
    for index, (*owner, coordinate) in enumerate(columns):
        axes = found.setdefault("-".join(owner), {})
        if coordinate in axes:
            raise DataError(f"{path}: '{'-'.join(owner)}' has two columns '{coordinate}'")
        axes[coordinate] = index
    points = {name: axes for name, axes in found.items() if {"x", "y"} & axes.keys()}
    for name, axes in points.items():
        for coordinate in ("x", "y"):
            if coordinate not in axes:
                raise DataError(
                    f"{path}: '{name}' has no column '{coordinate}', only {', '.join(axes)}"
                )
    if not points:
        raise DataError(f"{path}: expected columns x and y for each body part, found none")
    return {
        name: (axes["x"], axes["y"], axes.get("likelihood", -1)) for name, axes in points.items()
    }


def _columns(values: np.ndarray, indices: list[int]) -> np.ndarray:
    """Return columns of a table, ones for -1; they are no copy if they lie at equal distances."""
    steps = {after - before for before, after in itertools.pairwise(indices)} or {1}
    if -1 not in indices and len(steps) == 1 and (step := steps.pop()) > 0:
        return values[:, indices[0] : indices[-1] + 1 : step]
    columns = values[:, indices]
    columns[:, [index == -1 for index in indices]] = 1
    return columns
