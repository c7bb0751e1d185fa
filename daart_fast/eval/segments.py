"""Metrics of bouts: frame accuracy alone hides that a prediction is in pieces.

Edit score and segmental F1 are those of Lea et al. 2017 (Temporal convolutional networks for
action segmentation and detection, CVPR) as Farha and Gall 2019 (MS-TCN, CVPR) report them, from 0
to 1 rather than in percent.

A bout is a run of frames of one class. Frames that don't count (unlabelled, or of the ignored
class by their label) are blank in both labels and predictions: they end a bout and start none.
Predicted bouts of the ignored class are no bouts, as background segments are none in these papers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from daart_fast.compiled import jit
from daart_fast.eval.metrics import as_classes, counted

__all__ = [
    "bout_statistics",
    "bouts",
    "edit_score",
    "segment_counts",
    "segment_f1",
]


def bouts(classes: ArrayLike, background: int | None = None) -> np.ndarray:
    """List the runs of frames of one class.

    Parameters
    ----------
    classes
        (T,) integers; negative ones are no class.
    background
        A class whose runs are left out.

    Returns
    -------
    (n, 3) int64: class, first frame, frame after the last; in order of time.

    Examples
    --------
    >>> bouts([1, 1, -100, 2, 2, 2], background=0).tolist()
    [[1, 0, 2], [2, 3, 6]]
    """
    values = as_classes(classes, "classes")
    if len(values) == 0:
        return np.empty((0, 3), dtype=np.int64)
    starts = np.concatenate([[0], np.flatnonzero(np.diff(values)) + 1])
    found = np.stack([values[starts], starts, np.append(starts[1:], len(values))], axis=1)
    kept = found[:, 0] >= 0
    if background is not None:
        kept &= found[:, 0] != background
    return np.ascontiguousarray(found[kept])


def _bouts_of_both(
    true_classes: ArrayLike, pred_classes: ArrayLike, background: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """List the true and the predicted bouts among the frames that count."""
    true, pred, counts = counted(true_classes, pred_classes, background)
    true, pred = (np.where(counts, values, -1) for values in (true, pred))
    return bouts(true, background), bouts(pred, background)


def edit_score(
    true_classes: ArrayLike, pred_classes: ArrayLike, background: int | None = 0
) -> float:
    """Compare the order of bouts, whatever their length.

    One minus the Levenshtein distance of the two sequences of bouts' classes over the length of
    the longer one (Lea et al. 2017).

    Parameters
    ----------
    true_classes, pred_classes
        (T,) integers.
    background
        The ignored class; None scores every labelled frame.

    Returns
    -------
    float
        From 0 to 1; NaN where no frame counts.
    """
    true, pred = _bouts_of_both(true_classes, pred_classes, background)
    longest = max(len(true), len(pred))
    if longest == 0:
        return float("nan")
    first, second = (np.ascontiguousarray(found[:, 0]) for found in (true, pred))
    return 1.0 - _edit_distance()(first, second, np.empty(len(second) + 1, np.int64)) / longest


def segment_counts(
    true_classes: ArrayLike,
    pred_classes: ArrayLike,
    overlap: float,
    background: int | None = 0,
    n_classes: int | None = None,
) -> np.ndarray:
    """Count, for each class, bouts that were found, found in error, and missed.

    Each predicted bout in turn looks for the true bout of its class that it has the highest
    intersection over union with. If that is at least `overlap`, and no earlier bout has taken the
    true one, the bout is a hit; else it is an error. True bouts that nothing took are missed.

    Parameters
    ----------
    true_classes, pred_classes
        (T,) integers.
    overlap
        Above 0, up to 1: 0.10, 0.25 and 0.50 in the papers.
    background
        The ignored class; None scores every labelled frame.
    n_classes
        Classes in all, the ignored one included; None: one more than the highest that occurs.

    Returns
    -------
    (n_classes, 3) int64: true positives, false positives, false negatives.
    """
    if not 0 < overlap <= 1:
        raise ValueError(f"expected an overlap above 0, up to 1, got {overlap}")
    true, pred = _bouts_of_both(true_classes, pred_classes, background)
    hits = np.zeros(len(pred), np.bool_)
    _match()(true, pred, float(overlap), np.zeros(len(true), np.bool_), hits)
    highest = max(true[:, 0].max(initial=-1), pred[:, 0].max(initial=-1))
    n = int(highest) + 1 if n_classes is None else n_classes
    n_true, n_pred = (np.bincount(found[:, 0], minlength=n) for found in (true, pred))
    n_hits = np.bincount(pred[hits, 0], minlength=n)
    return np.stack([n_hits, n_pred - n_hits, n_true - n_hits], axis=1)


def segment_f1(
    true_classes: ArrayLike,
    pred_classes: ArrayLike,
    overlap: float,
    background: int | None = 0,
) -> float:
    """Compute F1 over all bouts, of whichever class, at an intersection over union (F1@k).

    It scores one session, for a user's scripts. The package adds up the `segment_counts` of all
    sessions first, as the papers do. From 0 to 1; NaN where no frame counts.
    """
    return f1_of(segment_counts(true_classes, pred_classes, overlap, background).sum(0))


def f1_of(counts: np.ndarray) -> float:
    """F1 of true positives, false positives and false negatives (3,); NaN where all are 0."""
    hits, errors, misses = (float(value) for value in counts)
    total = 2 * hits + errors + misses
    return 2 * hits / total if total else float("nan")


def bout_statistics(
    classes: ArrayLike,
    n_classes: int,
    fps: float | None = None,
    counts: ArrayLike | None = None,
) -> list[dict[str, float]]:
    """Tell how many bouts each class has, and how long they are.

    Parameters
    ----------
    classes
        (T,) integers; negative ones are no class.
    n_classes
        Classes in all.
    fps
        Frames a second: durations are then in seconds, else in frames.
    counts
        (T,) bool, the frames that count; the others end a bout. None: all.

    Returns
    -------
    list of dict
        For each class ``bouts``, ``total``, ``mean``, ``median``, ``shortest``, ``longest``; the
        durations NaN where it has no bout (``total`` 0).
    """
    values = as_classes(classes, "classes")
    if counts is not None:
        values = np.where(np.asarray(counts, dtype=bool), values, -1)
    found = bouts(values)
    durations = (found[:, 2] - found[:, 1]) / float(fps or 1.0)
    measures: dict[str, Callable[[np.ndarray], Any]] = {
        "mean": np.mean, "median": np.median, "shortest": np.min, "longest": np.max,
    }  # fmt: skip
    rows = []
    for label in range(n_classes):
        lengths = durations[found[:, 0] == label]
        row = {"bouts": float(len(lengths)), "total": float(lengths.sum())}
        row |= {
            name: float(of(lengths)) if len(lengths) else math.nan for name, of in measures.items()
        }
        rows.append(row)
    return rows


# ------------------------------------------------------------------------------ loops


def _edit_distance_loop(first: Any, second: Any, row: Any) -> Any:
    """Levenshtein distance of two sequences, in one row of its table (n + 1,), overwritten."""
    for j in range(len(second) + 1):
        row[j] = j
    for i in range(len(first)):
        diagonal = row[0]
        row[0] = i + 1
        for j in range(len(second)):
            change = diagonal + (first[i] != second[j])
            diagonal = row[j + 1]
            row[j + 1] = min(change, diagonal + 1, row[j] + 1)
    return row[len(second)]


def _match_loop(true: Any, pred: Any, overlap: Any, taken: Any, hits: Any) -> None:
    """Mark the predicted bouts that are hits. Bouts (n, 3) follow each other without overlap."""
    begin = 0
    for j in range(len(pred)):
        label, start, stop = pred[j, 0], pred[j, 1], pred[j, 2]
        while begin < len(true) and true[begin, 2] <= start:
            begin += 1
        best, nearest = 0.0, -1
        i = begin
        while i < len(true) and true[i, 1] < stop:
            if true[i, 0] == label:
                both = min(true[i, 2], stop) - max(true[i, 1], start)
                either = max(true[i, 2], stop) - min(true[i, 1], start)
                if both / either > best:
                    best, nearest = both / either, i
            i += 1
        if nearest >= 0 and best >= overlap and not taken[nearest]:
            taken[nearest] = True
            hits[j] = True


@cache
def _edit_distance() -> Callable[..., int]:
    from numba import types

    row = types.int64[::1]
    return jit(_edit_distance_loop, types.int64(row, row, row))


@cache
def _match() -> Callable[..., None]:
    from numba import types

    rows, flags = types.int64[:, ::1], types.boolean[::1]
    return jit(_match_loop, types.void(rows, rows, types.float64, flags, flags))
