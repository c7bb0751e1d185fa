"""The dilated convolution as a torch operator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from daart_fast.ops import launch, reference
from daart_fast.ops.native import NAMES, NUMBERS, OF_OUTPUT
from daart_fast.ops.operators import differentiable, operator


def dense_frames(x: Tensor) -> Tensor:
    """Return x (B, T, C), or a copy unless it is a slice in time or batch of dense sequences."""
    _, t, c = x.shape
    if (c == 1 or x.stride(2) == 1) and (t == 1 or x.stride(1) == c):
        return x
    return x.contiguous()


def _sizes(x: Tensor, weight: Tensor, frames_out: int, dilation: int, left: int) -> Any:
    assert launch.native is not None
    b, t, c_in = x.shape
    c_out, _, width = weight.shape
    return launch.native.ConvSizes(
        batch=b,
        frames_in=t,
        frames_out=frames_out,
        channels_in=c_in,
        channels_out=c_out,
        width=width,
        dilation=dilation,
        pad_left=left,
        x_stride=x.stride(0),
    )


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
    assert launch.native is not None
    x, weight, bias, dilation, left, _, activation = arguments
    x, weight = dense_frames(x), weight.contiguous()
    bias = None if bias is None else bias.contiguous()
    y = _conv_forward_fake(*arguments)
    sizes = _sizes(x, weight, y.shape[1], dilation, left)
    tensors = launch.native.ConvTensors(
        x=x.data_ptr(), weight=weight.data_ptr(), bias=launch.address(bias), y=y.data_ptr()
    )
    launch.launch("conv_forward", x, sizes, tensors, activation)
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
    assert launch.native is not None
    grad, x, weight, gate, dilation, left, activation, *_ = arguments
    x, grad, weight = dense_frames(x), grad.contiguous(), weight.contiguous()
    gradients = _conv_backward_fake(*arguments)
    if grad.shape[0] == 0:
        return tuple(g.zero_() for g in gradients)
    sizes = _sizes(x, weight, grad.shape[1], dilation, left)
    dx, dweight, dbias = gradients
    tensors = launch.native.ConvGradients(
        **launch.addresses(grad=grad, x=x, weight=weight, gate=gate),
        **launch.addresses(dx=dx, dweight=dweight, dbias=dbias),
    )
    launch.launch("conv_backward", x, sizes, tensors, activation)
    return gradients


conv_backward = operator(
    "conv_backward(Tensor grad, Tensor x, Tensor weight, Tensor? gate, int dilation, int left, "
    "int activation, bool need_x, bool need_weight, bool need_bias) -> (Tensor, Tensor, Tensor)",
    _conv_backward,
    _conv_backward_fake,
)


def _convolve(*arguments: Any) -> Any:
    x, weight, *rest, activation = arguments
    _, dilation, left, _ = rest
    if OF_OUTPUT[activation]:
        y = conv_forward(*arguments)
        gate = y if activation != NUMBERS["linear"] else None
    else:
        gate = conv_forward(x, weight, *rest, NUMBERS["linear"])
        y = reference.activate(gate, NAMES[activation])
    return y, (x, weight, gate), (dilation, left, activation)


def _gradients(
    grad: Tensor, needs: Sequence[bool], values: tuple[Any, ...], *tensors: Tensor | None
) -> Any:
    return conv_backward(grad, *tensors, *values, *needs[:3])


#: ``conv_forward`` for autograd.
differentiable_conv = differentiable(_convolve, _gradients)
