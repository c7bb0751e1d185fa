"""The operators of operators_losses.py on CUDA devices."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from daart_fast.ops.cuda import place_of, workspace_of
from daart_fast.ops.native import has_cuda, native
from daart_fast.ops.operators_conv import addresses
from daart_fast.ops.operators_losses import (
    HEAD_TENSORS,
    head_loss_grad_results,
    head_loss_results,
    squared_error_grad_results,
    squared_error_results,
)


def _queue(x: Tensor) -> tuple[bool, int, int]:
    return x.dtype == torch.float64, *place_of(x)


def head_loss(*arguments: Any) -> tuple[Tensor, ...]:
    assert native is not None
    tensors = [None if t is None else t.contiguous() for t in arguments[:HEAD_TENSORS]]
    ignored, first, frames, by_sequence = arguments[HEAD_TENSORS:]
    x, weight = arguments[:2]
    made = head_loss_results(x, weight, frames, by_sequence)
    loss, agreement, factor, targets, slopes = made
    sizes = [*x.shape, weight.shape[0], first, frames]
    workspace = workspace_of(x, native.cuda_head_loss_bytes(sizes))
    native.cuda_head_loss(
        *_queue(x),
        addresses((*tensors, targets, slopes, loss, agreement, factor)),
        workspace.data_ptr(),
        sizes,
        ignored,
        by_sequence,
    )
    return made


def head_loss_grad(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    assert native is not None
    grad, x, weight, targets, slopes, factor = (t.contiguous() for t in arguments[:6])
    first, by_sequence, need_x, need_weight = arguments[6:]
    made = head_loss_grad_results(grad, x, weight, targets, slopes, factor, *arguments[6:])
    sizes = [*x.shape, weight.shape[0], first, targets.shape[1]]
    n_bytes = native.cuda_head_loss_grad_bytes(sizes) if need_weight else 0
    workspace = workspace_of(x, n_bytes)
    native.cuda_head_loss_grad(
        *_queue(x),
        addresses(
            (x, weight, targets, slopes, factor, grad, *(t if t.numel() else None for t in made))
        ),
        workspace.data_ptr(),
        sizes,
        by_sequence,
    )
    return made


def squared_error(
    prediction: Tensor, target: Tensor, mask: Tensor | None, *numbers: Any
) -> tuple[Tensor, Tensor]:
    assert native is not None
    *frames, by_sequence = numbers
    prediction, target = prediction.contiguous(), target.contiguous()
    mask = None if mask is None else mask.contiguous()
    made = squared_error_results(prediction, target, mask, *numbers)
    sizes = [*prediction.shape, *frames]
    workspace = workspace_of(prediction, native.cuda_squared_error_bytes(sizes))
    native.cuda_squared_error(
        *_queue(prediction),
        addresses((prediction, target, mask, *made)),
        workspace.data_ptr(),
        sizes,
        by_sequence,
    )
    return made


def squared_error_grad(
    grad: Tensor,
    prediction: Tensor,
    target: Tensor,
    mask: Tensor | None,
    factor: Tensor,
    *numbers: Any,
) -> Tensor:
    assert native is not None
    *frames, by_sequence = numbers
    prediction, target, grad = prediction.contiguous(), target.contiguous(), grad.contiguous()
    mask = None if mask is None else mask.contiguous()
    made = squared_error_grad_results(grad, prediction)
    native.cuda_squared_error_grad(
        *_queue(prediction),
        addresses((prediction, target, mask, factor, grad, made)),
        [*prediction.shape, *frames],
        by_sequence,
    )
    return made


if has_cuda():
    _library = torch.library.Library("daart_fast", "IMPL")
    for _operator in (head_loss, head_loss_grad, squared_error, squared_error_grad):
        _library.impl(_operator.__name__, _operator, "CUDA")
