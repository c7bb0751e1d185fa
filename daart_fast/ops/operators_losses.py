"""The losses as torch operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from daart_fast.ops import launch
from daart_fast.ops.operators import differentiable, operator

HEAD_TENSORS = 8  # the first arguments of head_loss


def _means_shape(x: Tensor, by_sequence: bool) -> tuple[int, ...]:
    return x.shape[:1] if by_sequence else ()


def _head_sizes(x: Tensor, weight: Tensor, first: int, scored: int) -> Any:
    assert launch.native is not None
    b, t, c = x.shape
    return launch.native.HeadSizes(
        batch=b, frames=t, channels=c, classes=weight.shape[0], first=first, scored=scored
    )


def _error_sizes(prediction: Tensor, first: int, scored: int, ahead: int) -> Any:
    assert launch.native is not None
    b, t, c = prediction.shape
    return launch.native.ErrorSizes(
        batch=b, frames=t, channels=c, first=first, scored=scored, ahead=ahead
    )


def _head_loss_fake(x: Tensor, weight: Tensor, *rest: Any) -> tuple[Tensor, ...]:
    """Return empty loss and agreement, and what backward needs.

    That is 1 / weight of each sequence, targets, and slopes of the logits.
    """
    frames, by_sequence = rest[-2:]
    means, scored = _means_shape(x, by_sequence), (x.shape[0], frames)
    return (
        *(x.new_empty(means), x.new_empty(means), x.new_empty(x.shape[0])),
        *(x.new_empty(scored, dtype=torch.int64), x.new_empty((*scored, weight.shape[0]))),
    )


def _head_loss(*arguments: Any) -> tuple[Tensor, ...]:
    assert launch.native is not None
    inputs = launch.contiguous(arguments[:HEAD_TENSORS])
    ignored, first, frames, by_sequence = arguments[HEAD_TENSORS:]
    x, weight = arguments[:2]
    outputs = _head_loss_fake(*arguments)
    loss, agreement, factor, targets, slopes = outputs
    x_, weight_, bias, class_weights, labels, unless, compared, mask = inputs
    tensors = launch.native.HeadTensors(
        **launch.addresses(x=x_, weight=weight_, bias=bias, class_weights=class_weights),
        **launch.addresses(labels=labels, unless=unless, compared=compared, mask=mask),
        **launch.addresses(targets=targets, slopes=slopes),
        **launch.addresses(loss=loss, agreement=agreement, factor=factor),
    )
    launch.launch(
        "head_loss", x, _head_sizes(x, weight, first, frames), tensors, ignored, by_sequence
    )
    return outputs


head_loss = operator(
    "head_loss(Tensor x, Tensor weight, Tensor? bias, Tensor? class_weights, Tensor labels, "
    "Tensor? unless, Tensor? compared, Tensor? mask, int ignored, int first, int frames, "
    "bool by_sequence) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    _head_loss,
    _head_loss_fake,
)


def _head_loss_grad_fake(grad: Tensor, x: Tensor, weight: Tensor, *rest: Any) -> tuple[Tensor, ...]:
    need_x, need_weight = rest[-2:]
    return (
        x.new_empty(x.shape if need_x else 0),
        x.new_empty(weight.shape if need_weight else 0),
        x.new_empty(weight.shape[:1] if need_weight else 0),
    )


def _head_loss_grad(*arguments: Any) -> tuple[Tensor, ...]:
    assert launch.native is not None
    grad, x, weight, targets, slopes, factor = (t.contiguous() for t in arguments[:6])
    first, by_sequence, _, _ = arguments[6:]
    gradients = dx, dweight, dbias = _head_loss_grad_fake(*arguments)
    tensors = launch.native.HeadGradients(
        **launch.addresses(x=x, weight=weight, targets=targets, slopes=slopes, factor=factor),
        **launch.addresses(grad=grad, dx=dx, dweight=dweight, dbias=dbias),
    )
    sizes = _head_sizes(x, weight, first, targets.shape[1])
    launch.launch("head_loss_grad", x, sizes, tensors, by_sequence)
    return gradients


head_loss_grad = operator(
    "head_loss_grad(Tensor grad, Tensor x, Tensor weight, Tensor targets, Tensor slopes, "
    "Tensor factor, int first, bool by_sequence, bool need_x, bool need_weight) "
    "-> (Tensor, Tensor, Tensor)",
    _head_loss_grad,
    _head_loss_grad_fake,
)


def _squared_error_fake(prediction: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    """The loss; and for backward: 1 / number of each sequence's values."""
    return (
        prediction.new_empty(_means_shape(prediction, rest[-1])),
        prediction.new_empty(prediction.shape[0]),
    )


def _squared_error(*arguments: Any) -> tuple[Tensor, Tensor]:
    prediction, target, mask = launch.contiguous(arguments[:3])
    *frames, by_sequence = arguments[3:]
    assert launch.native is not None and prediction is not None
    outputs = loss, factor = _squared_error_fake(*arguments)
    tensors = launch.native.ErrorTensors(
        **launch.addresses(prediction=prediction, target=target, mask=mask),
        **launch.addresses(loss=loss, factor=factor),
    )
    sizes = _error_sizes(prediction, *frames)
    launch.launch("squared_error", prediction, sizes, tensors, by_sequence)
    return outputs


squared_error = operator(
    "squared_error(Tensor prediction, Tensor target, Tensor? mask, int first, int scored, "
    "int ahead, bool by_sequence) -> (Tensor, Tensor)",
    _squared_error,
    _squared_error_fake,
)


def _squared_error_grad_fake(grad: Tensor, prediction: Tensor, *rest: Any) -> Tensor:
    return prediction.new_empty(prediction.shape)


def _squared_error_grad(*arguments: Any) -> Tensor:
    grad, prediction, target, mask, factor = launch.contiguous(arguments[:5])
    *frames, by_sequence = arguments[5:]
    assert launch.native is not None and prediction is not None
    dprediction = _squared_error_grad_fake(*arguments)
    tensors = launch.native.ErrorGradients(
        **launch.addresses(prediction=prediction, target=target, mask=mask, factor=factor),
        **launch.addresses(grad=grad, dprediction=dprediction),
    )
    sizes = _error_sizes(prediction, *frames)
    launch.launch("squared_error_grad", prediction, sizes, tensors, by_sequence)
    return dprediction


squared_error_grad = operator(
    "squared_error_grad(Tensor grad, Tensor prediction, Tensor target, Tensor? mask, "
    "Tensor factor, int first, int scored, int ahead, bool by_sequence) -> Tensor",
    _squared_error_grad,
    _squared_error_grad_fake,
)


def _differentiable_head_loss(*arguments: Any) -> Any:
    loss, agreement, factor, targets, slopes = head_loss(*arguments)
    *_, first, _, by_sequence = arguments
    return (loss, agreement), (*arguments[:2], targets, slopes, factor), (first, by_sequence)


def _head_loss_gradients(
    grad: Tensor, needs: Sequence[bool], values: tuple[Any, ...], *tensors: Tensor
) -> Any:
    return head_loss_grad(grad, *tensors, *values, needs[0], needs[1] or needs[2])


def _differentiable_squared_error(*arguments: Any) -> Any:
    loss, factor = squared_error(*arguments)
    return loss, (*arguments[:3], factor), arguments[3:]


def _squared_error_gradients(
    grad: Tensor, needs: Sequence[bool], values: tuple[Any, ...], *tensors: Tensor
) -> Any:
    return (squared_error_grad(grad, *tensors, *values),)


#: ``head_loss``'s loss and agreement, and the loss of ``squared_error``, for autograd.
differentiable_head_loss = differentiable(_differentiable_head_loss, _head_loss_gradients)
differentiable_squared_error = differentiable(
    _differentiable_squared_error, _squared_error_gradients
)
