"""The losses of a training step: public faces, checks and choice of backend.

Both take ``reduce``: ``"batch"`` for a scalar, the mean over all that counts in the batch (exactly
0, with zero gradient, where nothing does), or ``"sequence"`` for (B,), each sequence's own mean
(NaN where a sequence has nothing that counts).
"""

from __future__ import annotations

import torch
from torch import Tensor

from daart_fast.ops import operators_losses, reference
from daart_fast.ops.backends import Call, choose
from daart_fast.ops.checks import check_dimensions, check_kind, check_shape

REDUCTIONS = ("batch", "sequence")


def linear_cross_entropy(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    labels: Tensor,
    *,
    mask: Tensor | None = None,
    unless: Tensor | None = None,
    compared: Tensor | None = None,
    ignored: int = -1,
    class_weights: Tensor | None = None,
    first: int = 0,
    frames: int | None = None,
    reduce: str = "batch",
) -> tuple[Tensor, Tensor]:
    """Cross-entropy of ``softmax(weight x + bias)`` over the frames whose label counts.

    A label counts where it is 0 or more and not ``ignored``, and the mask holds. The logits are
    made for those frames alone, and kept nowhere.

    Parameters
    ----------
    x
        (B, T, C), float32 or float64 for the kernels of the CPU or of a CUDA device, anything else
        through PyTorch.
    weight, bias
        (K, C), and (K,) or None: the head of K classes.
    labels
        (B, T) int64: each frame's class.
    mask
        (B, T) bool, or None for all True.
    unless
        (B, T) int64 as ``labels``, or None: a frame whose class here counts is not scored.
    compared
        (B, T) int64 as ``labels``, or None: classes to compare the likeliest one with.
    ignored
        The class that does not count.
    class_weights
        (K,) or None: what a frame of each class weighs.
    first, frames
        This many frames from the first on are looked at; None: all.
    reduce
        See the top of this module.

    Returns
    -------
    tuple
        The loss, differentiable once in x, weight and bias; and the fraction of the compared frames
        whose likeliest class is the compared one.

    Raises
    ------
    TypeError
        Where a dtype is another (floating point: where the kernels run; PyTorch, as under autocast,
        may take several together).
    ValueError
        Where shapes or devices do not fit, or reduce is neither.
    IndexError
        Where a label that counts is no class; on a CUDA device, which nobody waits for, the loss
        (or the agreement) is NaN instead.
    """
    _check_reduce(reduce)
    check_dimensions("weight", weight, "classes", "channels")
    k, c = weight.shape
    check_dimensions("x", x, "batch", "frames", "channels")
    if x.shape[2] != c:
        raise ValueError(f"x has {x.shape[2]} channels, but weight takes {c}")
    b, t, _ = x.shape
    check_shape("bias", bias, (k,))
    check_shape("class_weights", class_weights, (k,))
    of_frames = {"labels": labels, "unless": unless, "compared": compared, "mask": mask}
    for name, tensor in of_frames.items():
        check_shape(name, tensor, (b, t))
        check_kind(name, tensor, x, torch.bool if name == "mask" else torch.int64)
    if frames is None:
        frames = max(t - first, 0)
    _check_span(t, first, frames)
    arguments = (
        *(x, weight, bias, class_weights, labels, unless, compared, mask),
        *(ignored, first, frames, reduce == "sequence"),
    )
    if choose(Call(x, "losses", n_classes=k)) == "torch":
        return reference.linear_cross_entropy(*arguments)
    for name, values in (("weight", weight), ("bias", bias), ("class_weights", class_weights)):
        check_kind(name, values, x, x.dtype)
    results: tuple[Tensor, Tensor]
    if torch.is_grad_enabled():
        results = operators_losses.differentiable_head_loss(*arguments)
    else:
        results = operators_losses.head_loss(*arguments)[:2]
    return results


def squared_error(
    prediction: Tensor,
    target: Tensor,
    mask: Tensor | None = None,
    first: int = 0,
    frames: int | None = None,
    ahead: int = 0,
    reduce: str = "batch",
) -> Tensor:
    """Mean squared error of predictions of each frame's own or a later frame's values.

    Parameters
    ----------
    prediction, target
        (B, T, N); a NaN in the target is not scored.
    mask
        (B, T) bool, or None for all True: a prediction counts where the mask holds both for its
        frame and for the target's.
    first, frames
        Predictions of this many frames from the first on count; None: all that have a target.
    ahead
        Frame t predicts the target of frame ``t + ahead``.
    reduce
        See the top of this module.

    Returns
    -------
    Tensor
        The loss, differentiable once in the prediction.

    Raises
    ------
    TypeError
        As of `linear_cross_entropy`.
    ValueError
        Where shapes do not fit, or reduce is neither.
    """
    _check_reduce(reduce)
    check_dimensions("prediction", prediction, "batch", "frames", "channels")
    check_shape("target", target, prediction.shape)
    b, t, _ = prediction.shape
    check_shape("mask", mask, (b, t))
    if frames is None:
        frames = max(t - first - ahead, 0)
    _check_span(t - ahead, first, frames)
    numbers = (first, frames, ahead, reduce == "sequence")
    check_kind("mask", mask, prediction, torch.bool)
    if choose(Call(prediction, "losses")) == "torch":
        return reference.squared_error(prediction, target, mask, *numbers)
    check_kind("target", target, prediction, prediction.dtype)
    loss: Tensor
    if torch.is_grad_enabled() and prediction.requires_grad:
        loss = operators_losses.differentiable_squared_error(prediction, target, mask, *numbers)
    else:
        loss = operators_losses.squared_error(prediction, target, mask, *numbers)[0]
    return loss


def _check_reduce(reduce: str) -> None:
    if reduce not in REDUCTIONS:
        raise ValueError(f"reduce must be 'batch' or 'sequence', not {reduce!r}")


def _check_span(there: int, first: int, frames: int) -> None:
    if first < 0 or frames < 0 or first + frames > max(there, 0):
        raise ValueError(
            f"frames {first} to {first + frames} are to be scored, but there are only {there}"
        )
