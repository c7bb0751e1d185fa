"""Metrics of one class a frame, in NumPy alone.

Classes are integers from 0 up. A frame whose true class is negative (-100) was not labelled, and
one whose true class is the ignored one (the background, 0, in daart's files) was labelled as not
to be scored: neither counts in any metric. A frame that counts and is predicted as the ignored
class is a miss.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from daart_fast.errors import DataError

__all__ = [
    "accuracy",
    "average_precision",
    "balanced_accuracy",
    "confusion_matrix",
    "get_precision_recall",
    "int_over_union",
    "macro_f1",
    "mean_iou",
    "run_lengths",
    "weighted_f1",
]


def confusion_matrix(
    true_classes: ArrayLike,
    pred_classes: ArrayLike,
    ignore_class: int | None = 0,
    n_classes: int | None = None,
) -> np.ndarray:
    """Count the frames of each true class by what they were predicted as.

    Parameters
    ----------
    true_classes, pred_classes
        (T,) integers.
    ignore_class
        Frames of this true class don't count; None or a negative number: all labelled frames do.
    n_classes
        Classes in all, the ignored one included; None: one more than the highest that occurs.

    Returns
    -------
    (n_classes, n_classes) int64; rows are true, columns predicted classes.

    Raises
    ------
    DataError
        The lengths differ, or a class is no integer or out of range.
    """
    true, pred, counts = counted(true_classes, pred_classes, ignore_class)
    true, pred = true[counts], pred[counts]
    highest = max(true.max(initial=-1), pred.max(initial=-1))
    if n_classes is None:
        n_classes = int(highest) + 1
    if highest >= n_classes or pred.min(initial=0) < 0:
        raise DataError(
            f"expected classes from 0 to {n_classes - 1}, got "
            f"{min(true.min(initial=0), pred.min(initial=0))} to {highest}"
        )
    matrix = np.bincount(true * n_classes + pred, minlength=n_classes * n_classes)
    return matrix.reshape(n_classes, n_classes)


def get_precision_recall(
    true_classes: ArrayLike,
    pred_classes: ArrayLike,
    background: int | None = 0,
    n_classes: int | None = None,
) -> dict[str, np.ndarray]:
    """Compute precision, recall and F1 of each class.

    With TP the frames of a class that are predicted as it, precision is TP over all (counted)
    frames predicted as it, recall TP over all frames that are it, and F1 their harmonic mean,
    2 TP / (predicted + true). Each is 0 where its denominator is.

    Parameters
    ----------
    true_classes, pred_classes
        (T,) integers.
    background
        The ignored class; None scores every labelled frame.
    n_classes
        Classes that are scored, without the background; None: up to the highest true class.

    Returns
    -------
    dict
        ``precision``, ``recall``, ``f1``: float64, in the order of the classes, the background
        left out.
    """
    ignores = background is not None and background >= 0
    if n_classes is None:
        true = as_classes(true_classes, "true_classes")
        scored = true[(true >= 0) & (true != background)] if ignores else true[true >= 0]
        n_all = int(scored.max(initial=-1)) + 1
    else:
        n_all = n_classes + int(ignores)
    kept = [label for label in range(n_all) if label != background]
    # predictions of classes that are never true still count as misses of those that are
    matrix = confusion_matrix(true_classes, pred_classes, background)
    matrix = np.pad(matrix, (0, max(n_all - len(matrix), 0)))
    hits = matrix.diagonal()[kept].astype(float)
    predicted, actual = matrix.sum(0)[kept], matrix.sum(1)[kept]
    return {
        "precision": hits / np.maximum(predicted, 1),
        "recall": hits / np.maximum(actual, 1),
        "f1": 2.0 * hits / np.maximum(predicted + actual, 1),
    }


def macro_f1(
    true_classes: ArrayLike,
    pred_classes: ArrayLike,
    background: int | None = 0,
    n_classes: int | None = None,
) -> float:
    """Average the F1 of the scored classes that occur among the true or the predicted ones.

    Arguments as for `get_precision_recall`, but that without `n_classes` the highest class that is
    predicted counts too. NaN where no frame counts.
    """
    matrix = confusion_matrix(true_classes, pred_classes, background)
    occurs = matrix.sum(0) + matrix.sum(1) > 0
    ignores = background is not None and background >= 0
    if n_classes is None:
        n_classes = max(len(matrix) - int(ignores), 0)
    scores = get_precision_recall(true_classes, pred_classes, background, n_classes)
    labels = [label for label in range(len(scores["f1"]) + int(ignores)) if label != background]
    kept = [i for i, label in enumerate(labels) if label < len(occurs) and occurs[label]]
    return float(scores["f1"][kept].mean()) if kept and matrix.any() else float("nan")


def weighted_f1(
    true_classes: ArrayLike, pred_classes: ArrayLike, background: int | None = 0
) -> float:
    """Average the F1 of each scored class, weighed by how many frames it truly has.

    NaN where no frame counts.
    """
    matrix = confusion_matrix(true_classes, pred_classes, background)
    actual = matrix.sum(1)
    f1 = 2.0 * matrix.diagonal() / np.maximum(matrix.sum(0) + actual, 1)
    return float(np.average(f1, weights=actual)) if matrix.any() else float("nan")


def accuracy(true_classes: ArrayLike, pred_classes: ArrayLike, background: int | None = 0) -> float:
    """Return the fraction of the counted frames that are predicted right; NaN where none counts."""
    matrix = confusion_matrix(true_classes, pred_classes, background)
    return float(matrix.trace() / matrix.sum()) if matrix.any() else float("nan")


def balanced_accuracy(
    true_classes: ArrayLike, pred_classes: ArrayLike, background: int | None = 0
) -> float:
    """Average the recall of the scored classes that occur in truth; NaN where no frame counts."""
    matrix = confusion_matrix(true_classes, pred_classes, background)
    actual = matrix.sum(1)
    if not matrix.any():
        return float("nan")
    return float((matrix.diagonal()[actual > 0] / actual[actual > 0]).mean())


def mean_iou(true_classes: ArrayLike, pred_classes: ArrayLike, background: int | None = 0) -> float:
    """Average intersection over union of the scored classes that occur, in frames.

    NaN where no frame counts.
    """
    matrix = confusion_matrix(true_classes, pred_classes, background)
    hits = matrix.diagonal()
    either = matrix.sum(0) + matrix.sum(1) - hits
    scored = either > 0
    if background is not None and 0 <= background < len(scored):
        scored[background] = False
    return float((hits[scored] / either[scored]).mean()) if scored.any() else float("nan")


def average_precision(
    true_classes: ArrayLike, probabilities: ArrayLike, background: int | None = 0
) -> np.ndarray:
    """Compute the area under each class's precision-recall curve, as a sum of steps.

    With the frames in falling order of a class's probability, P_n and R_n the precision and recall
    of the first n frames (frames of equal probability come together), it is the sum of
    (R_n - R_n-1) P_n, as scikit-learn's.

    Parameters
    ----------
    true_classes
        (T,) integers.
    probabilities
        (T, C), as in ``<sess_id>_states.npy``.
    background
        The ignored class; None scores every labelled frame.

    Returns
    -------
    (C,) float64, NaN for the background and for classes without a counted frame.

    Raises
    ------
    DataError
        There are not as many rows of probabilities as labels.
    """
    states = np.asarray(probabilities)
    if states.ndim != 2:
        raise DataError(f"expected probabilities of shape (frames, classes), got {states.shape}")
    true, _, counts = counted(true_classes, states.argmax(1), background)
    true, states = true[counts], states[counts]
    scores = [_average_precision_of(true == c, states[:, c]) for c in range(states.shape[1])]
    return np.array(scores, dtype=np.float64)


def _average_precision_of(true: np.ndarray, score: np.ndarray) -> float:
    if not true.any():
        return float("nan")
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(true[order])
    last_of_equals = np.append(np.flatnonzero(np.diff(score[order])), len(order) - 1)
    hits = hits[last_of_equals]
    return float(np.sum(np.diff(hits, prepend=0) * hits / (last_of_equals + 1)) / hits[-1])


def int_over_union(array1: ArrayLike, array2: ArrayLike) -> dict[int, float]:
    """Compute, for each value, the frames where both arrays have it over those where either has.

    It is kept for daart's scripts.

    Parameters
    ----------
    array1, array2
        (T,) integers. Frames where either is negative, as unlabelled frames are, don't count.

    Returns
    -------
    dict
        From each value that occurs to its intersection over union, in [0, 1].

    Raises
    ------
    DataError
        The lengths differ.
    """
    first, second = as_classes(array1, "array1"), as_classes(array2, "array2")
    if first.shape != second.shape:
        raise DataError(f"expected arrays of one length, got {len(first)} and {len(second)}")
    counts = (first >= 0) & (second >= 0)
    first, second = first[counts], second[counts]
    return {
        int(value): float(
            np.sum((first == value) & (second == value))
            / np.sum((first == value) | (second == value))
        )
        for value in np.union1d(first, second)
    }


def run_lengths(array: ArrayLike) -> dict[int, list[int]]:
    """List the lengths of the runs (bouts) of each value, in frames, as they come.

    It is kept for daart's scripts; `bout_statistics` is what the package uses.

    Parameters
    ----------
    array
        (T,) integers. A negative value, as unlabelled frames have, ends a run and starts none.

    Returns
    -------
    dict
        A list for each value from 0 to the highest.

    Examples
    --------
    >>> run_lengths([1, 1, 1, 0, 0, 4, 4, 4, 0, 1])
    {0: [2, 1], 1: [3, 1], 2: [], 3: [], 4: [3]}
    """
    values = as_classes(array, "array")
    lengths: dict[int, list[int]] = {value: [] for value in range(int(values.max(initial=-1)) + 1)}
    if len(values) == 0:
        return lengths
    starts = np.concatenate([[0], np.flatnonzero(np.diff(values)) + 1])
    for start, stop in zip(starts, np.append(starts[1:], len(values)), strict=True):
        if values[start] >= 0:
            lengths[int(values[start])].append(int(stop - start))
    return lengths


def counted(
    true_classes: ArrayLike, pred_classes: ArrayLike, background: int | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Check labels and predictions; tell which frames count.

    Returns
    -------
    true, pred : (T,) int64
    counts : (T,) bool
        labelled, and not as `background`

    Raises
    ------
    DataError
        The lengths differ, or a class is no integer.
    """
    true, pred = as_classes(true_classes, "true_classes"), as_classes(pred_classes, "pred_classes")
    if true.shape != pred.shape:
        raise DataError(
            f"expected as many predictions as labels, got {len(pred)} for {len(true)} labels"
        )
    counts = true >= 0
    if background is not None:
        counts &= true != background
    return true, pred, counts


def as_classes(array: ArrayLike, name: str) -> np.ndarray:
    """Return (T,) int64."""
    values = np.asarray(array)
    if values.ndim != 1:
        raise DataError(f"{name}: expected one class a frame, got an array of shape {values.shape}")
    integers = values.astype(np.int64)
    if not np.array_equal(integers, values):
        raise DataError(f"{name}: expected integers, got {values[integers != values][0]}")
    return integers
