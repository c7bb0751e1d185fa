"""SLEAP's files: analysis csv, analysis h5 and projects (.slp)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from daart_fast.errors import DataError
from daart_fast.readers.checks import PathLike, shown_frame
from daart_fast.readers.h5 import open_checked
from daart_fast.readers.markers import Markers, by_animal, text_of
from daart_fast.readers.tables import first_row, read_named_rows

__all__ = ["load_marker_slp", "load_sleap_csv", "sleap_analysis"]

#: a damaged number of a frame, in a project that tells but some, would fill the memory
MOST_FRAMES = 10_000_000


def load_sleap_csv(path: PathLike) -> Markers:
    """Read SLEAP's analysis csv, which has a row for each animal in a frame.

    Frames are counted from the video's first one; those without a row are missing. Returns and
    raises as `load_marker_csv`.
    """
    header = first_row(Path(path))
    if header[0] != "track":
        raise DataError(
            f"{path}: expected SLEAP's csv with the column 'track' first, found "
            f"{header[0] or 'one without a name'!r} before it, as pandas writes its index; leave "
            f"that column out (to_csv(..., index=False))"
        )
    table, tracks = read_named_rows(Path(path))
    columns = {name: place for place, name in enumerate(header)}
    parts = [name.removesuffix(".x") for name in header if name.endswith(".x")]
    wanted = [f"{part}.{what}" for part in parts for what in ("x", "y", "score")]
    if missing := [name for name in wanted if name not in columns]:
        raise DataError(f"{path}: expected a column '{missing[0]}', found {', '.join(header)}")
    frames = table.values[:, columns["frame_idx"]]
    wrong = np.flatnonzero(~((frames >= 0) & (frames < MOST_FRAMES) & (frames % 1 == 0)))
    if len(wrong):
        where = table.where(int(wrong[0]), columns["frame_idx"])
        raise DataError(f"{where}: expected a frame number, found {shown_frame(frames[wrong[0]])}")
    rows, owners = frames.astype(np.int64), table.values[:, 0].astype(np.int64)
    _, first = np.unique(rows * len(tracks) + owners, return_index=True)
    if len(first) < len(rows):
        row = int(np.setdiff1d(np.arange(len(rows)), first)[0])
        track = tracks[owners[row]]
        of = f"of track '{track}'" if track else "without a track; track the animals in SLEAP"
        raise DataError(
            f"{path}, line {table.lines[row]}: expected one row for a frame and a track, found a "
            f"second one for frame {rows[row]} {of}"
        )
    shape = (int(rows.max()) + 1, len(tracks), len(parts))
    points = np.full((3, *shape), np.nan)
    for what, values in zip(("x", "y", "score"), points, strict=True):
        values[rows, owners] = table.values[:, [columns[f"{part}.{what}"] for part in parts]]
    by_hand = np.isnan(points[2]) & ~np.isnan(points[:2]).any(0)  # SLEAP scores only its own points
    return by_animal(
        points[0], points[1], np.where(by_hand, 1.0, points[2]), tracks, parts, str(path)
    )


def load_marker_slp(path: PathLike) -> Markers:
    """Read a SLEAP project (.slp) through sleap-io. Returns and raises as `load_marker_csv`."""
    try:
        import sleap_io
    except ImportError:
        raise DataError(
            f"{path}: reading .slp needs sleap-io: pip install 'daart_fast[sleap]'"
        ) from None
    try:
        with open_checked(path):  # sleap-io checks nothing
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
    return by_animal(points[..., 0], points[..., 1], points[..., 2], animals, parts, str(path))


def sleap_analysis(file: Any, path: str) -> Markers:
    """Read SLEAP's analysis h5: ``tracks``, ``point_scores``, ``node_names``, ``track_names``.

    Files say in an attribute which axis is which; those of SLEAP itself, which do not, hold tracks
    as (animals, 2, nodes, frames) and scores as (animals, nodes, frames).
    """
    parts = [text_of(name) for name in file["node_names"][:]]
    animals = [text_of(name) for name in file["track_names"][:]] if "track_names" in file else []

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
    return by_animal(points[0], points[1], scores, animals, parts, path)
