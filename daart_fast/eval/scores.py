"""Every score of some sessions' predictions at once, as plain numbers for a summary."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from daart_fast.data.ignored import scored_labels
from daart_fast.eval.metrics import (
    accuracy,
    average_precision,
    balanced_accuracy,
    confusion_matrix,
    counted,
    get_precision_recall,
    macro_f1,
    mean_iou,
    weighted_f1,
)
from daart_fast.eval.segments import bout_statistics, edit_score, f1_of, segment_counts

__all__ = ["OVERLAPS", "behaviour_labels", "score"]

#: The intersections over union at which Lea et al. 2017 report F1 of bouts.
OVERLAPS = (0.10, 0.25, 0.50)

#: What a class's scores say of bouts where sessions are not whole.
NO_BOUTS = {"segment_f1": None, "true_bouts": None, "predicted_bouts": None}


def score(
    labels: Sequence[np.ndarray],
    states: Sequence[np.ndarray],
    classes: Sequence[np.ndarray],
    label_names: Sequence[str],
    background: int | None = 0,
    fps: float | None = None,
    whole_sessions: bool = True,
) -> dict[str, Any]:
    """Score predictions of some sessions, pooled.

    Frames are pooled, and so are the counts of bouts; the edit score is the mean over sessions
    weighed by their counted frames. Pieces of sessions have no bouts: one that is cut by the end
    of a piece is shorter than it was, and begins or ends where nothing happened.

    Parameters
    ----------
    labels
        for each session (T,) integers, negative where not labelled, or multibinary (T, C) with
        NaN
    states
        for each session (T, C) probabilities
    classes
        for each session what was predicted, smoothed or not: (T,) integers, multibinary (T, C) of
        0 and 1
    label_names
        the C classes
    background
        the class that is not scored, nor are the frames where it is 1 (multibinary); None scores
        every labelled frame
    fps
        frames a second: bouts are then in seconds, else in frames
    whole_sessions
        whether labels are of whole sessions; if not, ``edit`` and all that is about bouts is None

    Returns
    -------
    dict
        numbers, lists and dicts alone; None where there is nothing to score
    """
    if labels and labels[0].ndim == 2:
        return _score_behaviours(
            [scored_labels(track, background) for track in labels],
            states,
            classes,
            {c: name for c, name in enumerate(label_names) if c != background},
            fps,
            whole_sessions,
        )
    n = len(label_names)
    true, pred = np.concatenate(labels), np.concatenate(classes)
    matrix = confusion_matrix(true, pred, background, n)
    scored = [c for c in range(n) if c != background]
    frames = get_precision_recall(true, pred, background, len(scored))
    precision = average_precision(true, np.concatenate(states), background)
    occurs = matrix.sum(0) + matrix.sum(1) > 0
    by_class = {
        label_names[c]: {
            **{name: float(values[i]) if occurs[c] else None for name, values in frames.items()},
            "average_precision": float(precision[c]),
            "frames": int(matrix[c].sum()),
            **NO_BOUTS,
        }
        for i, c in enumerate(scored)
    }
    found = {
        "whole_sessions": whole_sessions,
        "frames": int(matrix.sum()),
        "macro_f1": macro_f1(true, pred, background, len(scored)),
        "weighted_f1": weighted_f1(true, pred, background),
        "accuracy": accuracy(true, pred, background),
        "balanced_accuracy": balanced_accuracy(true, pred, background),
        "mean_iou": mean_iou(true, pred, background),
        "edit": None,
        "segment_f1": None,
        "classes": by_class,
        "confusion": matrix.tolist(),
    }
    if whole_sessions:
        _score_bouts(found, labels, classes, label_names, background, fps)
    return _plain(found)


def _score_bouts(
    found: dict[str, Any],
    labels: Sequence[np.ndarray],
    classes: Sequence[np.ndarray],
    label_names: Sequence[str],
    background: int | None,
    fps: float | None,
) -> None:
    """Fill in what `found` says of bouts, as a whole and of each class."""
    n, pairs = len(label_names), list(zip(labels, classes, strict=True))
    segments = {
        f"{k:.2f}": np.sum([segment_counts(t, p, k, background, n) for t, p in pairs], axis=0)
        for k in OVERLAPS
    }
    true_bouts, pred_bouts = _bouts_of(labels, classes, background, n, fps)
    found["edit"] = _edit(labels, classes, background)
    found["segment_f1"] = {k: f1_of(counts.sum(0)) for k, counts in segments.items()}
    for c, name in enumerate(label_names):
        if c != background:
            found["classes"][name] |= {
                "segment_f1": {k: f1_of(counts[c]) for k, counts in segments.items()},
                "true_bouts": true_bouts[c],
                "predicted_bouts": pred_bouts[c],
            }


def _bouts_of(
    labels: Sequence[np.ndarray],
    classes: Sequence[np.ndarray],
    background: int | None,
    n_classes: int,
    fps: float | None,
) -> tuple[list[dict[str, float]], list[dict[str, float]]]:
    """Count and time true and predicted bouts; an uncounted frame ends a session."""
    true: list[np.ndarray] = []
    pred: list[np.ndarray] = []
    for t, p in zip(labels, classes, strict=True):
        *_, counts = counted(t, p, background)
        true += [np.where(counts, t, -1), np.array([-1])]
        pred += [np.where(counts, p, -1), np.array([-1])]
    first, second = (bout_statistics(np.concatenate(x), n_classes, fps) for x in (true, pred))
    return first, second


def _edit(
    labels: Sequence[np.ndarray], classes: Sequence[np.ndarray], background: int | None
) -> float:
    pairs = list(zip(labels, classes, strict=True))
    weights = [int(counted(t, p, background)[2].sum()) for t, p in pairs]
    scores = [edit_score(t, p, background) for t, p in pairs]
    if not any(weights):
        return float("nan")
    return float(np.average(np.nan_to_num(scores), weights=weights))  # NaN weighs nothing


def _score_behaviours(
    labels: Sequence[np.ndarray],
    states: Sequence[np.ndarray],
    classes: Sequence[np.ndarray],
    names: Mapping[int, str],
    fps: float | None,
    whole_sessions: bool,
) -> dict[str, Any]:
    """Score each of several behaviours, named by its column, by itself: there (1) or not (0)."""
    by_class = {}
    for c, name in names.items():
        alone = score(
            [behaviour_labels(track[:, c]) for track in labels],
            [np.stack([1 - track[:, c], track[:, c]], axis=1) for track in states],
            [track[:, c] for track in classes],
            ["", name],
            None,
            fps,
            whole_sessions,
        )
        by_class[name] = alone["classes"][name]
    # a behaviour that is neither there nor predicted has no F1
    f1 = [scores["f1"] for scores in by_class.values() if scores["f1"] is not None]
    return _plain(
        {
            "whole_sessions": whole_sessions,
            "frames": sum(int((~np.isnan(track).all(1)).sum()) for track in labels),
            "macro_f1": float(np.mean(f1)) if f1 else None,
            "edit": None,
            "segment_f1": None,
            "classes": by_class,
        }
    )


def behaviour_labels(column: np.ndarray) -> np.ndarray:
    """Turn 0, 1 and NaN into integers, -100 where there is no label."""
    return np.where(np.isnan(column), -100, np.nan_to_num(column)).astype(np.int64)


def _plain(value: Any) -> Any:
    """Return the same with None for what is no number, as JSON has none."""
    if isinstance(value, dict):
        return {name: _plain(element) for name, element in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
