"""Losses over the frames that have something to score, beside those of ``ops``.

Every loss takes predictions and targets over (B, W) frames and a ``reduce``:

- ``"batch"``: a scalar, the mean over the frames of the batch that can be scored; exactly 0, with
  zero gradient, where there are none;
- ``"sequence"``: (B,), each sequence's own mean; NaN where a sequence has no such frame.

None copies anything to the host, so none makes a GPU wait.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from daart_fast.ops.reference import mean_of

__all__ = [
    "binary_accuracy",
    "binary_cross_entropy",
    "kl_div_to_std_normal",
    "masked_mean",
    "r2_score",
]


def masked_mean(values: Tensor, weights: Tensor, reduce: str = "batch") -> Tensor:
    """Average ``values`` (B, ...) with ``weights`` of the same shape, as ``reduce`` says.

    A value whose weight is zero may be anything finite.
    """
    if reduce not in ("batch", "sequence"):
        raise ValueError(f"reduce must be 'batch' or 'sequence', not '{reduce}'")
    totals, counts = (t.reshape(len(t), -1).sum(1) for t in (values * weights, weights))
    return mean_of(totals, counts, by_sequence=reduce == "sequence")


def by_class(function: Callable[[Tensor, int], Tensor], logits: Tensor) -> Tensor:
    """Apply softmax or log_softmax to the rows of logits (frames, C).

    torch's code for the last dimension is slow where that is as short as a list of behaviours;
    over the first one it is some 15 times as fast.
    """
    return function(logits.t().contiguous(), 0).t()


def binary_cross_entropy(
    logits: Tensor, labels: Tensor, class_weights: Tensor | None = None, reduce: str = "batch"
) -> Tensor:
    """Binary cross-entropy of several behaviours at once, each its own sigmoid.

    Parameters
    ----------
    logits
        (B, W, C) floats.
    labels
        (B, W, C) floats in [0, 1], NaN where a behaviour was not labelled.
    class_weights
        (C,) floats, one for each behaviour; None gives all the same weight.
    reduce
        See the top of this module.
    """
    known = ~labels.isnan()
    weights = known.to(logits.dtype)
    if class_weights is not None:
        weights = weights * class_weights
    losses = F.binary_cross_entropy_with_logits(
        logits, torch.where(known, labels, 0.0), reduction="none"
    )
    return masked_mean(losses, weights, reduce)


def kl_div_to_std_normal(
    mu: Tensor, logvar: Tensor, frame_mask: Tensor | None = None, reduce: str = "batch"
) -> Tensor:
    """Kullback-Leibler divergence of diagonal Gaussians from the standard normal.

    Parameters
    ----------
    mu, logvar
        (..., D) means and log-variances.
    frame_mask
        (...), True where the frame is to be scored; None scores all.
    reduce
        See the top of this module.

    Returns
    -------
    The divergence in nats, summed over the D dimensions and averaged over the rest.
    """
    divergence = 0.5 * (mu.square() + logvar.exp() - 1.0 - logvar).sum(-1)
    if frame_mask is None:
        frame_mask = torch.ones_like(divergence, dtype=torch.bool)
    return masked_mean(divergence, frame_mask.to(divergence.dtype), reduce)


@torch.no_grad()
def binary_accuracy(logits: Tensor, labels: Tensor, reduce: str = "batch") -> Tensor:
    """Fraction of the labelled behaviours that are predicted rightly, at a probability of 0.5.

    ``logits`` and ``labels`` are (B, W, C) floats; a label is NaN where there is none.
    """
    hits = ((logits > 0) == (labels > 0.5)).to(logits.dtype)
    return masked_mean(hits, (~labels.isnan()).to(logits.dtype), reduce)


@torch.no_grad()
def r2_score(
    predictions: Tensor, targets: Tensor, frame_mask: Tensor, reduce: str = "batch"
) -> Tensor:
    """Coefficient of determination, averaged over the tasks that vary at all.

    ``predictions`` and ``targets`` are (B, W, N), NaN where a target is not scored; ``frame_mask``
    (B, W) bool. Each task's variance is taken about its mean over the
    scored frames of the batch, or of the sequence.
    """
    known = (frame_mask[..., None] & ~targets.isnan()).to(predictions.dtype)
    targets = torch.where(targets.isnan(), 0.0, targets)
    over = (0, 1) if reduce == "batch" else (1,)
    mean = (targets * known).sum(over, keepdim=True) / known.sum(over, keepdim=True).clamp(min=1.0)
    residual = ((targets - predictions).square() * known).sum(over)
    spread = ((targets - mean).square() * known).sum(over)
    # a constant task differs from its mean by rounding alone
    varies = spread > 1e-12 * (targets.square() * known).sum(over)
    scores = 1.0 - residual / torch.where(varies, spread, 1.0)
    return masked_mean(scores, varies.to(scores.dtype), reduce)
