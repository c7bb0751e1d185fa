"""The native stack of blocks as torch operators; operators_conv.py has the single block."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from daart_fast.ops.native import native
from daart_fast.ops.operators_conv import addresses, gradients_of

_library = torch.library.Library("daart_fast", "FRAGMENT")
_library.define(
    "stack_forward(Tensor x, Tensor?[] parameters, Tensor? masks, int[] layers, int activation, "
    "int first, int frames, bool keep) -> (Tensor, Tensor)"
)
_library.define(
    "stack_backward(Tensor grad, Tensor x, Tensor?[] parameters, Tensor? masks, Tensor y, "
    "Tensor saved, int[] layers, int activation, int first, bool need_x, bool need_weights) "
    "-> Tensor[]"
)

_LAYER_SIZES = 5  # hidden and out channels, width, dilation, left


def _forward_shapes(
    x: Tensor, layers: list[int], first: int, frames: int, keep: bool
) -> tuple[Tensor, Tensor]:
    """y, and all that backward needs (nothing where there will be none)."""
    b, t, c = x.shape
    size = _saved_size((b, t, c, first, frames), tuple(layers)) if keep else 0
    return x.new_empty((b, frames, layers[-_LAYER_SIZES + 1])), x.new_empty(size)


@lru_cache(maxsize=64)
def _saved_size(sizes: tuple[int, ...], layers: tuple[int, ...]) -> int:
    assert native is not None
    return int(native.stack_saved(sizes, layers))


def _forward(
    x: Tensor,
    parameters: list[Tensor | None],
    masks: Tensor | None,
    layers: list[int],
    activation: int,
    first: int,
    frames: int,
    keep: bool,
) -> tuple[Tensor, Tensor]:
    assert native is not None
    x = x.contiguous()
    parameters = [None if p is None else p.contiguous() for p in parameters]
    masks = None if masks is None else masks.contiguous()
    y, saved = _forward_shapes(x, layers, first, frames, keep)
    native.stack_forward(
        x.dtype == torch.float64,
        x.data_ptr(),
        addresses(parameters),
        0 if masks is None else masks.data_ptr(),
        y.data_ptr(),
        saved.data_ptr() if keep else 0,
        [*x.shape, first, frames],
        layers,
        activation,
        torch.get_num_threads(),
    )
    return y, saved


def _backward(
    grad: Tensor,
    x: Tensor,
    parameters: list[Tensor | None],
    masks: Tensor | None,
    y: Tensor,
    saved: Tensor,
    layers: list[int],
    activation: int,
    first: int,
    need_x: bool,
    need_weights: bool,
) -> list[Tensor]:
    assert native is not None
    x, grad = x.contiguous(), grad.contiguous()
    parameters = [None if p is None else p.contiguous() for p in parameters]
    masks = None if masks is None else masks.contiguous()
    made = gradients_of((x, *parameters), need_x, need_weights)
    wanted = [t if p is not None else None for t, p in zip(made[1:], parameters, strict=True)]
    native.stack_backward(
        x.dtype == torch.float64,
        x.data_ptr(),
        addresses(parameters),
        0 if masks is None else masks.data_ptr(),
        y.data_ptr(),
        saved.data_ptr(),
        grad.data_ptr(),
        made[0].data_ptr() if need_x else 0,
        addresses(wanted) if need_weights else [],
        [*x.shape, first, y.shape[1]],
        layers,
        activation,
        torch.get_num_threads(),
    )
    return made


def _forward_fake(
    x: Tensor, parameters: list[Tensor | None], masks: Tensor | None, *rest: Any
) -> tuple[Tensor, Tensor]:
    layers, _, first, frames, keep = rest
    return _forward_shapes(x, layers, first, frames, keep)


def _backward_fake(
    grad: Tensor, x: Tensor, parameters: list[Tensor | None], *rest: Any
) -> list[Tensor]:
    return gradients_of((x, *parameters), *rest[-2:])


for _name, _implementation, _fake in (
    ("stack_forward", _forward, _forward_fake),
    ("stack_backward", _backward, _backward_fake),
):
    if native is not None:
        _library.impl(_name, _implementation, "CPU")
    torch.library.register_fake(f"daart_fast::{_name}", _fake, lib=_library)

stack_forward = torch.ops.daart_fast.stack_forward.default
stack_backward = torch.ops.daart_fast.stack_backward.default


class Stack(torch.autograd.Function):
    """``stack_forward`` with its gradient."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        x: Tensor,
        masks: Tensor | None,
        layers: list[int],
        activation: int,
        first: int,
        frames: int,
        *parameters: Tensor | None,
    ) -> Tensor:
        y: Tensor
        y, saved = stack_forward(x, parameters, masks, layers, activation, first, frames, True)
        ctx.save_for_backward(x, masks, y, saved, *parameters)
        ctx.constants = (layers, activation, first)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, masks, y, saved, *parameters = ctx.saved_tensors
        need_x, *_ = ctx.needs_input_grad
        need = ctx.needs_input_grad[6:]
        dx, *grads = stack_backward(
            grad, x, parameters, masks, y, saved, *ctx.constants, need_x, any(need)
        )
        given = (g if needed else None for g, needed in zip(grads, need, strict=True))
        return (dx if need_x else None, None, None, None, None, None, *given)
