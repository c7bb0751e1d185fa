"""The dilated convolution as a torch operator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from daart_fast.ops import launch
from daart_fast.ops.operators import differentiable, operator


def dense_frames(x: Tensor) -> Tensor:
    """x (B, T, C) with each sequence contiguous: itself if it is a slice in time or batch."""
    b, t, c = x.shape
    if (c == 1 or x.stride(2) == 1) and (t == 1 or x.stride(1) == c):
        return x
    return x.contiguous()


def _sizes(x: Tensor, weight: Tensor, frames_out: int, dilation: int, left: int) -> list[int]:
    b, t, c_in = x.shape
    c_out, _, width = weight.shape
    return [b, t, frames_out, c_in, c_out, width, dilation, left, x.stride(0)]


def _conv_forward_fake(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    dilation: int,
    left: int,
    right: int,
    activation: int,
) -> Tensor:
    c_out, _, width = weight.shape
    return x.new_empty((x.shape[0], x.shape[1] + left + right - dilation * (width - 1), c_out))


def _conv_forward(*arguments: Any) -> Tensor:
    x, weight, bias, dilation, left, _, activation = arguments
    x, weight = dense_frames(x), weight.contiguous()
    bias = None if bias is None else bias.contiguous()
    y = _conv_forward_fake(*arguments)
    sizes = _sizes(x, weight, y.shape[1], dilation, left)
    _launch("conv_forward", x, (x, weight, bias, y), sizes, activation)
    return y


conv_forward = operator(
    "conv_forward(Tensor x, Tensor weight, Tensor? bias, int dilation, int left, int right, "
    "int activation) -> Tensor",
    _conv_forward,
    _conv_forward_fake,
)


def _conv_backward_fake(grad: Tensor, x: Tensor, weight: Tensor, *rest: Any) -> tuple[Tensor, ...]:
    need_x, need_weight, need_bias = rest[-3:]
    return (
        x.new_empty(x.shape if need_x else 0),
        # the bias gradient is a by-product of the weight gradient's pass over the frames
        x.new_empty(weight.shape if need_weight or need_bias else 0),
        x.new_empty(weight.shape[:1] if need_bias else 0),
    )


def _conv_backward(*arguments: Any) -> tuple[Tensor, ...]:
    grad, x, weight, y, dilation, left, activation, *_ = arguments
    x, grad, weight = dense_frames(x), grad.contiguous(), weight.contiguous()
    gradients = _conv_backward_fake(*arguments)
    if grad.shape[0] == 0:
        return tuple(g.zero_() for g in gradients)
    sizes = _sizes(x, weight, grad.shape[1], dilation, left)
    _launch("conv_backward", x, (grad, x, weight, y, *gradients), sizes, activation)
    return gradients


conv_backward = operator(
    "conv_backward(Tensor grad, Tensor x, Tensor weight, Tensor? y, int dilation, int left, "
    "int activation, bool need_x, bool need_weight, bool need_bias) -> (Tensor, Tensor, Tensor)",
    _conv_backward,
    _conv_backward_fake,
)


def _launch(
    name: str, x: Tensor, tensors: Sequence[Tensor | None], sizes: list[int], activation: int
) -> None:
    native, addresses = launch.native, launch.addresses(tensors)
    assert native is not None
    if not launch.on_cuda(x):
        threads = torch.get_num_threads()
        getattr(native, name)(x.dtype == torch.float64, *addresses, *sizes, activation, threads)
    elif name == "conv_forward":
        native.cuda_conv_forward(*launch.queue(x), addresses, sizes, activation)
    else:
        queue = launch.queue(x)
        space = launch.workspace(x, native.cuda_conv_backward_bytes(*queue[:2], sizes))
        native.cuda_conv_backward(*queue, addresses, space.data_ptr(), sizes, activation)


def _convolve(*arguments: Any) -> Any:
    x, weight, _, dilation, left, _, activation = arguments
    y = conv_forward(*arguments)
    # the output is kept only where the activation needs it
    return y, (x, weight, y if activation else None), (dilation, left, activation)


def _gradients(
    grad: Tensor, needs: Sequence[bool], values: tuple[Any, ...], *tensors: Tensor | None
) -> Any:
    return conv_backward(grad, *tensors, *values, *needs[:3])


#: ``conv_forward`` for autograd.
differentiable_conv = differentiable(_convolve, _gradients)
