"""The losses of a split, without training on it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["ALL", "evaluate"]

ALL = -1  # stands for all sessions together, as in metrics.csv


def evaluate(model: Any, data_generator: Any, dtype: str) -> dict[int, dict[str, float]]:
    """Compute the loss and its terms over one split, in evaluation mode.

    A term's value is its mean over the sequences that have something to score of each sequence's
    own mean, so neither sequences without labels nor the size of a batch sways it; NaN where no
    sequence has anything. The loss is the weighted sum of the terms but the KL divergence,
    whose weight grows from epoch to epoch, so that no two losses would compare.

    Parameters
    ----------
    model
        A Segmenter.
    data_generator
        A DataGenerator; its iterators over this split are reset.
    dtype
        ``"train"``, ``"val"`` or ``"test"``.

    Returns
    -------
    dict
        From each session's index, and `ALL`, to its terms; empty for an empty split.
    """
    was_training = model.training
    model.eval()
    data_generator.reset_iterators(dtype)
    values: list[Tensor] = []
    sessions: list[int] = []
    names: list[str] = []
    with torch.inference_mode():
        for _ in range(data_generator.n_tot_batches[dtype]):
            batch, members = data_generator.next_batch(dtype)
            terms = model.losses(batch, reduce="sequence")
            names = list(terms)
            values.append(torch.stack(list(terms.values())))
            sessions += [int(session) for session in members]
    model.train(was_training)
    if not values:
        return {}
    table = torch.cat(values, 1).cpu().double().numpy()  # (terms, sequences): the one host copy
    members = np.array(sessions)
    scores = {ALL: _average(model, names, table)}
    for session in np.unique(members).tolist():
        scores[session] = _average(model, names, table[:, members == session])
    return scores


def _average(model: Any, names: list[str], table: np.ndarray) -> dict[str, float]:
    """Average a table (terms, sequences) over the sequences that are not NaN."""
    known = ~np.isnan(table)
    count = known.sum(1)
    total = np.where(known, table, 0.0).sum(1)
    means = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    terms = {name: torch.tensor(mean) for name, mean in zip(names, means, strict=True)}
    compared = {name: term for name, term in terms.items() if name != "loss_kl"}
    terms["loss"] = model.total_loss(compared, skip_nan=True)
    return {name: float(mean) for name, mean in terms.items()}
