"""The native kernels as torch operators: define, implement, describe to the compiler.

The operators know no gradients; the ``autograd.Function`` outside them does. That is a third of
the cost of a call of what ``torch.library.custom_op`` with ``register_autograd`` takes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from daart_fast.ops.backends import native

ACTIVATIONS = ("linear", "relu", "lrelu", "sigmoid", "tanh")

_library = torch.library.Library("daart_fast", "DEF")
_library.define(
    "conv_forward(Tensor x, Tensor weight, Tensor? bias, int dilation, int left, int right, "
    "int activation) -> Tensor"
)
_library.define(
    "conv_backward(Tensor grad, Tensor x, Tensor weight, Tensor? y, int dilation, int left, "
    "int activation, bool need_x, bool need_weight, bool need_bias) -> (Tensor, Tensor, Tensor)"
)


def _frames(x: Tensor) -> Tensor:
    """x (B, T, C) with each sequence contiguous: itself if it is a slice in time or batch."""
    b, t, c = x.shape
    if (c == 1 or x.stride(2) == 1) and (t == 1 or x.stride(1) == c):
        return x
    return x.contiguous()


def _conv_forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    dilation: int,
    left: int,
    right: int,
    activation: int,
) -> Tensor:
    assert native is not None
    x, weight = _frames(x), weight.contiguous()
    bias = None if bias is None else bias.contiguous()
    b, t, c_in = x.shape
    c_out, _, k = weight.shape
    t_out = t + left + right - dilation * (k - 1)
    y = torch.empty((b, t_out, c_out), dtype=x.dtype)
    native.conv_forward(
        x.dtype == torch.float64,
        x.data_ptr(),
        weight.data_ptr(),
        0 if bias is None else bias.data_ptr(),
        y.data_ptr(),
        b,
        t,
        t_out,
        c_in,
        c_out,
        k,
        dilation,
        left,
        x.stride(0),
        activation,
        torch.get_num_threads(),
    )
    return y


def _conv_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    y: Tensor | None,
    dilation: int,
    left: int,
    activation: int,
    need_x: bool,
    need_weight: bool,
    need_bias: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    assert native is not None
    x, weight, grad = _frames(x), weight.contiguous(), grad.contiguous()
    b, t, c_in = x.shape
    c_out, _, k = weight.shape
    # The bias gradient is a by-product of the weight gradient's pass over the frames.
    need_weight = need_weight or need_bias
    dx = torch.empty((b, t, c_in) if need_x else 0, dtype=x.dtype)
    dweight = torch.empty((c_out, c_in, k) if need_weight else 0, dtype=x.dtype)
    dbias = torch.empty(c_out if need_bias else 0, dtype=x.dtype)
    native.conv_backward(
        x.dtype == torch.float64,
        grad.data_ptr(),
        x.data_ptr(),
        weight.data_ptr(),
        0 if y is None else y.data_ptr(),
        dx.data_ptr() if need_x else 0,
        dweight.data_ptr() if need_weight else 0,
        dbias.data_ptr() if need_bias else 0,
        b,
        t,
        grad.shape[1],
        c_in,
        c_out,
        k,
        dilation,
        left,
        x.stride(0),
        activation,
        torch.get_num_threads(),
    )
    return dx, dweight, dbias


def _conv_forward_fake(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    dilation: int,
    left: int,
    right: int,
    activation: int,
) -> Tensor:
    c_out, _, k = weight.shape
    return x.new_empty((x.shape[0], x.shape[1] + left + right - dilation * (k - 1), c_out))


def _conv_backward_fake(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    y: Tensor | None,
    dilation: int,
    left: int,
    activation: int,
    need_x: bool,
    need_weight: bool,
    need_bias: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    return (
        x.new_empty(x.shape if need_x else 0),
        x.new_empty(weight.shape if need_weight or need_bias else 0),
        x.new_empty(weight.shape[:1] if need_bias else 0),
    )


if native is not None:
    _library.impl("conv_forward", _conv_forward, "CPU")
    _library.impl("conv_backward", _conv_backward, "CPU")
torch.library.register_fake("daart_fast::conv_forward", _conv_forward_fake, lib=_library)
torch.library.register_fake("daart_fast::conv_backward", _conv_backward_fake, lib=_library)

conv_forward = torch.ops.daart_fast.conv_forward.default
conv_backward = torch.ops.daart_fast.conv_backward.default


class Convolution(torch.autograd.Function):
    """``conv_forward`` with its gradient. Saves its output only where the activation needs it."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        dilation: int,
        left: int,
        right: int,
        activation: int,
    ) -> Tensor:
        y: Tensor = conv_forward(x, weight, bias, dilation, left, right, activation)
        ctx.save_for_backward(x, weight, y if activation else None)
        ctx.constants = (dilation, left, activation)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, weight, y = ctx.saved_tensors
        need = ctx.needs_input_grad[:3]
        grads = conv_backward(grad, x, weight, y, *ctx.constants, *need)
        given = (g if needed else None for g, needed in zip(grads, need, strict=True))
        return (*given, None, None, None, None)
