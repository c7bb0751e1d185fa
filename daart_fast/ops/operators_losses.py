"""The native losses as torch operators: define, implement, describe to the compiler.

The operators know no gradients; the ``autograd.Function`` outside them does (operators_conv.py).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from daart_fast.ops.native import native
from daart_fast.ops.operators_conv import addresses

_library = torch.library.Library("daart_fast", "FRAGMENT")
_library.define(
    "head_loss(Tensor x, Tensor weight, Tensor? bias, Tensor? class_weights, Tensor labels, "
    "Tensor? unless, Tensor? compared, Tensor? mask, int ignored, int first, int frames, "
    "bool by_sequence) -> (Tensor, Tensor, Tensor, Tensor, Tensor)"
)
_library.define(
    "head_loss_grad(Tensor grad, Tensor x, Tensor weight, Tensor targets, Tensor slopes, "
    "Tensor factor, int first, bool by_sequence, bool need_x, bool need_weight) "
    "-> (Tensor, Tensor, Tensor)"
)
_library.define(
    "squared_error(Tensor prediction, Tensor target, Tensor? mask, int first, int scored, "
    "int ahead, bool by_sequence) -> (Tensor, Tensor)"
)
_library.define(
    "squared_error_grad(Tensor grad, Tensor prediction, Tensor target, Tensor? mask, "
    "Tensor factor, int first, int scored, int ahead, bool by_sequence) -> Tensor"
)


def _means_shape(x: Tensor, by_sequence: bool) -> tuple[int, ...]:
    return x.shape[:1] if by_sequence else ()


def head_loss_results(x: Tensor, weight: Tensor, *rest: Any) -> tuple[Tensor, ...]:
    """loss, agreement; and for backward: 1 / weight of each sequence, targets, slopes of the
    logits."""
    frames, by_sequence = rest[-2:]
    means, scored = _means_shape(x, by_sequence), (x.shape[0], frames)
    return (
        *(x.new_empty(means), x.new_empty(means), x.new_empty(x.shape[0])),
        *(x.new_empty(scored, dtype=torch.int64), x.new_empty((*scored, weight.shape[0]))),
    )


HEAD_TENSORS = 8  # the first arguments of head_loss


def _head_loss(*arguments: Any) -> tuple[Tensor, ...]:
    assert native is not None
    tensors = [None if t is None else t.contiguous() for t in arguments[:HEAD_TENSORS]]
    ignored, first, frames, by_sequence = arguments[HEAD_TENSORS:]
    x, weight = arguments[:2]
    made = head_loss_results(x, weight, frames, by_sequence)
    loss, agreement, factor, targets, slopes = made
    native.head_loss(
        x.dtype == torch.float64,
        addresses((*tensors, targets, slopes, loss, agreement, factor)),
        [*x.shape, weight.shape[0], first, frames],
        ignored,
        by_sequence,
        torch.get_num_threads(),
    )
    return made


def head_loss_grad_results(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    targets: Tensor,
    slopes: Tensor,
    factor: Tensor,
    first: int,
    by_sequence: bool,
    need_x: bool,
    need_weight: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    return (
        x.new_empty(x.shape if need_x else 0),
        x.new_empty(weight.shape if need_weight else 0),
        x.new_empty(weight.shape[:1] if need_weight else 0),
    )


def _head_loss_grad(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    assert native is not None
    grad, x, weight, targets, slopes, factor = (t.contiguous() for t in arguments[:6])
    first, by_sequence, need_x, need_weight = arguments[6:]
    made = head_loss_grad_results(grad, x, weight, targets, slopes, factor, *arguments[6:])
    wanted = [t if t.numel() else None for t in made]
    native.head_loss_grad(
        x.dtype == torch.float64,
        addresses((x, weight, targets, slopes, factor, grad, *wanted)),
        [*x.shape, weight.shape[0], first, targets.shape[1]],
        by_sequence,
        torch.get_num_threads(),
    )
    return made


def squared_error_results(
    prediction: Tensor,
    target: Tensor,
    mask: Tensor | None,
    first: int,
    scored: int,
    ahead: int,
    by_sequence: bool,
) -> tuple[Tensor, Tensor]:
    """The loss; and for backward: 1 / number of each sequence's values."""
    return (
        prediction.new_empty(_means_shape(prediction, by_sequence)),
        prediction.new_empty(prediction.shape[0]),
    )


def _squared_error(
    prediction: Tensor, target: Tensor, mask: Tensor | None, *numbers: int
) -> tuple[Tensor, Tensor]:
    assert native is not None
    *frames, by_sequence = numbers
    prediction, target = prediction.contiguous(), target.contiguous()
    mask = None if mask is None else mask.contiguous()
    made = squared_error_results(prediction, target, mask, *numbers)  # type: ignore[arg-type]
    native.squared_error(
        prediction.dtype == torch.float64,
        addresses((prediction, target, mask, *made)),
        [*prediction.shape, *frames],
        by_sequence,
        torch.get_num_threads(),
    )
    return made


def squared_error_grad_results(grad: Tensor, prediction: Tensor, *rest: Any) -> Tensor:
    return prediction.new_empty(prediction.shape)


def _squared_error_grad(
    grad: Tensor,
    prediction: Tensor,
    target: Tensor,
    mask: Tensor | None,
    factor: Tensor,
    *numbers: int,
) -> Tensor:
    assert native is not None
    *frames, by_sequence = numbers
    prediction, target, grad = prediction.contiguous(), target.contiguous(), grad.contiguous()
    mask = None if mask is None else mask.contiguous()
    made = squared_error_grad_results(grad, prediction)
    native.squared_error_grad(
        prediction.dtype == torch.float64,
        addresses((prediction, target, mask, factor, grad, made)),
        [*prediction.shape, *frames],
        by_sequence,
        torch.get_num_threads(),
    )
    return made


for _name, _implementation, _fake in (
    ("head_loss", _head_loss, head_loss_results),
    ("head_loss_grad", _head_loss_grad, head_loss_grad_results),
    ("squared_error", _squared_error, squared_error_results),
    ("squared_error_grad", _squared_error_grad, squared_error_grad_results),
):
    if native is not None:
        _library.impl(_name, _implementation, "CPU")
    torch.library.register_fake(f"daart_fast::{_name}", _fake, lib=_library)

head_loss = torch.ops.daart_fast.head_loss.default
head_loss_grad = torch.ops.daart_fast.head_loss_grad.default
squared_error = torch.ops.daart_fast.squared_error.default
squared_error_grad = torch.ops.daart_fast.squared_error_grad.default


class HeadLoss(torch.autograd.Function):
    """``head_loss``'s loss and agreement, with the loss's gradient."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, *arguments: Any
    ) -> tuple[Tensor, Tensor]:
        loss, agreement, factor, targets, slopes = head_loss(*arguments)
        ctx.save_for_backward(*arguments[:2], targets, slopes, factor)
        *_, first, _, by_sequence = arguments
        ctx.constants = (first, by_sequence)
        ctx.mark_non_differentiable(agreement)
        return loss, agreement

    @staticmethod
    @once_differentiable
    def backward(  # type: ignore[override]
        ctx: Any, grad: Tensor, grad_agreement: Tensor
    ) -> tuple[Tensor | None, ...]:
        need = ctx.needs_input_grad[:3]
        need_weight = need[1] or need[2]
        grads = head_loss_grad(grad, *ctx.saved_tensors, *ctx.constants, need[0], need_weight)
        given = (g if needed else None for g, needed in zip(grads, need, strict=True))
        return (*given, *(None,) * (len(ctx.needs_input_grad) - 3))


class SquaredError(torch.autograd.Function):
    """``squared_error``'s loss, with its gradient in the prediction."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, prediction: Tensor, target: Tensor, mask: Tensor | None, *numbers: Any
    ) -> Tensor:
        loss: Tensor
        loss, factor = squared_error(prediction, target, mask, *numbers)
        ctx.save_for_backward(prediction, target, mask, factor)
        ctx.constants = numbers
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        dprediction = squared_error_grad(grad, *ctx.saved_tensors, *ctx.constants)
        return (dprediction, *(None,) * (2 + len(ctx.constants)))
