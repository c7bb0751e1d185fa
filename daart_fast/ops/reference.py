"""The kernels' mathematics in plain PyTorch: the fallback, and what tests compare with."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from daart_fast.activations import ACTIVATIONS


def activate(x: Tensor, activation: str) -> Tensor:
    """Apply one of ``daart_fast.activations``."""
    _, function, _, arguments = ACTIVATIONS[activation]
    return getattr(F, function)(x, *arguments) if function else x


def dilated_conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    dilation: int,
    left: int,
    right: int,
    activation: str,
) -> Tensor:
    """Convolve x (B, T, C_in), with ``left`` and ``right`` frames of zeros beside it."""
    padded = F.pad(x.transpose(1, 2), (left, right))
    y = F.conv1d(padded, weight, bias, dilation=dilation).transpose(1, 2)
    return activate(y, activation)


def dilation_block(
    x: Tensor,
    v0: Tensor,
    gain0: Tensor,
    bias0: Tensor | None,
    v1: Tensor,
    gain1: Tensor,
    bias1: Tensor | None,
    residual_weight: Tensor | None,
    residual_bias: Tensor | None,
    mask0: Tensor | None,
    mask1: Tensor | None,
    dilation: int,
    left: int,
    activation: str,
) -> Tensor:
    """Two weight-normalised convolutions of x (B, T, C) and a residual around them."""
    right = dilation * (v0.shape[2] - 1) - left
    y = x
    for v, gain, bias, mask in ((v0, gain0, bias0, mask0), (v1, gain1, bias1, mask1)):
        weight = torch._weight_norm(v, gain, 0)
        y = dilated_conv1d(y, weight, bias, dilation, left, right, activation)
        if mask is not None:
            y = y * mask[:, None, :]
    if residual_weight is not None:
        x = F.linear(x, residual_weight[:, :, 0], residual_bias)
    return activate(y + x, activation)


def mean_of(total: Tensor, weight: Tensor, by_sequence: bool) -> Tensor:
    """Divide sums (B,) of each sequence by their weights; or those of the batch, for a scalar.

    Without weight a sequence's mean is NaN, and the batch's is 0.
    """
    if not by_sequence:
        total, weight = total.sum(), weight.sum()
    mean = total / torch.where(weight > 0, weight, 1.0)
    return torch.where(weight > 0, mean, torch.nan) if by_sequence else mean


def linear_cross_entropy(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    class_weights: Tensor | None,
    labels: Tensor,
    unless: Tensor | None,
    compared: Tensor | None,
    mask: Tensor | None,
    ignored: int,
    first: int,
    frames: int,
    by_sequence: bool,
) -> tuple[Tensor, Tensor]:
    """The loss of a linear head over x (B, T, C), and how often it agrees with ``compared``."""

    def seen(tensor: Tensor) -> Tensor:
        return tensor[:, first : first + frames]

    def counts(labels: Tensor) -> Tensor:
        there = (seen(labels) >= 0) & (seen(labels) != ignored)
        return there if mask is None else there & seen(mask)

    logits = F.linear(seen(x), weight, bias)
    scored = counts(labels) if unless is None else counts(labels) & ~counts(unless)
    targets = torch.where(scored, seen(labels), 0)
    weights = scored.to(x.dtype)
    if class_weights is not None:
        weights = weights * class_weights[targets]
    chosen = torch.log_softmax(logits, -1).gather(-1, targets[..., None])[..., 0]
    # where, not a product: a frame that is not scored must not bring in its NaN
    losses = torch.where(scored, -chosen * weights, 0.0)
    loss = mean_of(losses.sum(1), weights.sum(1), by_sequence)
    known = torch.zeros_like(scored) if compared is None else counts(compared)
    hits = known
    if compared is not None:
        hits = known & (logits.detach().argmax(-1) == seen(compared))
    agreement = mean_of(hits.sum(1).to(x.dtype), known.sum(1).to(x.dtype), by_sequence)
    return loss, agreement


def squared_error(
    prediction: Tensor,
    target: Tensor,
    mask: Tensor | None,
    first: int,
    frames: int,
    ahead: int,
    by_sequence: bool,
) -> Tensor:
    """The squared error of prediction (B, T, N) against the target ``ahead`` frames later."""
    here, there = slice(first, first + frames), slice(first + ahead, first + ahead + frames)
    known = ~target[:, there].isnan()
    if mask is not None:
        known = known & (mask[:, here] & mask[:, there])[..., None]
    errors = prediction[:, here] - torch.where(known, target[:, there], 0.0)
    squares = torch.where(known, errors.square(), 0.0)
    return mean_of(
        squares.flatten(1).sum(1), known.flatten(1).sum(1).to(squares.dtype), by_sequence
    )
