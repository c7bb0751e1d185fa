"""Scores of finished predictions, session by session."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from daart_fast.eval.metrics import macro_f1

if TYPE_CHECKING:
    from daart_fast.data import DataGenerator

__all__ = ["score_sessions"]


def score_sessions(
    data_generator: DataGenerator, states_dir: str | os.PathLike[str], split: str = "test"
) -> dict[str, float]:
    """Compare ``<sess_id>_states.npy`` with the hand labels, on the frames of one split.

    Parameters
    ----------
    data_generator
        The one the model was trained with.
    states_dir
        The model's folder.
    split
        ``"train"``, ``"val"`` or ``"test"``.

    Returns
    -------
    dict
        From each session that has labelled frames in the split to its macro-F1 (the background,
        class 0, is not scored; with one or several behaviours at once see Notes).

    Notes
    -----
    Of multibinary labels each behaviour's F1 counts, at a probability of 0.5.
    """
    scores = {}
    for dataset in data_generator.datasets:
        labels, frames = dataset.session.labels_strong, dataset.frames_of(split)
        if labels is None or not frames.any():
            continue
        states = np.load(Path(states_dir) / f"{dataset.id}_states.npy")
        if labels.ndim == 2:
            score = _mean_f1_of_each(labels[frames], states[frames] >= 0.5)
        else:
            score = macro_f1(labels[frames], states[frames].argmax(1))
        if not np.isnan(score):
            scores[dataset.id] = score
    return scores


def _mean_f1_of_each(labels: np.ndarray, predicted: np.ndarray) -> float:
    """Average F1 over the behaviours (columns) that are labelled or predicted anywhere."""
    known = ~np.isnan(labels)
    true, found = known & (labels == 1), known & predicted
    total = true.sum(0) + found.sum(0)
    f1 = 2.0 * (true & found).sum(0) / np.maximum(total, 1)
    return float(f1[total > 0].mean()) if (total > 0).any() else float("nan")
