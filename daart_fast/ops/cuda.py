"""The operators of operators_conv.py on CUDA devices.

Work is queued on the current stream, in memory of torch's allocator, and nothing waits.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from daart_fast.ops.native import cuda_precision, has_cuda, native
from daart_fast.ops.operators_conv import (
    BLOCK_LEAVES,
    BLOCK_TENSORS,
    addresses,
    block_forward_shapes,
    block_sizes,
    dense_frames,
    gradients_of,
)

_BFLOAT16, _FLOAT64 = 2, 3


def math_of(dtype: torch.dtype) -> int:
    """What the kernels compute in: 0 float32, 1 tf32, 2 bfloat16, 3 float64."""
    if dtype == torch.float32:
        return int(cuda_precision() == "tf32")
    return _BFLOAT16 if dtype == torch.bfloat16 else _FLOAT64


def place_of(x: Tensor) -> tuple[int, int]:
    """x's device, and the stream that work on it is queued on now."""
    return x.device.index, torch.cuda.current_stream(x.device).cuda_stream


def _queue(x: Tensor) -> tuple[int, int, int]:
    return math_of(x.dtype), *place_of(x)


def workspace_of(x: Tensor, n_bytes: int) -> Tensor:
    """Memory for the time of a call, on x's device."""
    return torch.empty(n_bytes, dtype=torch.uint8, device=x.device)


def conv_forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    dilation: int,
    left: int,
    right: int,
    activation: int,
) -> Tensor:
    assert native is not None
    x, weight = dense_frames(x), weight.contiguous()
    bias = None if bias is None else bias.contiguous()
    b, t, c_in = x.shape
    c_out, _, k = weight.shape
    y = x.new_empty((b, t + left + right - dilation * (k - 1), c_out))
    sizes = [b, t, y.shape[1], c_in, c_out, k, dilation, left, x.stride(0)]
    native.cuda_conv_forward(*_queue(x), addresses([x, weight, bias, y]), sizes, activation)
    return y


def conv_backward(
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
    x, weight, grad = dense_frames(x), weight.contiguous(), grad.contiguous()
    b, t, c_in = x.shape
    c_out, _, k = weight.shape
    need_weight = need_weight or need_bias
    dx = x.new_empty((b, t, c_in) if need_x else 0)
    dweight = x.new_empty(weight.shape if need_weight else 0)
    dbias = x.new_empty(c_out if need_bias else 0)
    if b == 0:
        return dx, dweight.zero_(), dbias.zero_()
    sizes = [b, t, grad.shape[1], c_in, c_out, k, dilation, left, x.stride(0)]
    queue = _queue(x)
    workspace = workspace_of(x, native.cuda_conv_backward_bytes(*queue[:2], sizes))
    made = [m if m.numel() else None for m in (dx, dweight, dbias)]
    native.cuda_conv_backward(
        *queue,
        addresses([grad, x, weight, y, *made]),
        workspace.data_ptr(),
        sizes,
        activation,
    )
    return dx, dweight, dbias


def _prepare(tensors: tuple[Tensor | None, ...]) -> tuple[tuple[Tensor | None, ...], int]:
    """A block's tensors, all contiguous but masks that are columns of one tensor, and the elements
    from one row of a mask to the next (0: contiguous)."""
    masks = [m for m in tensors[-2:] if m is not None]
    steps = {m.stride(0) for m in masks}
    if len(steps) == 1 and all(m.stride(1) == 1 for m in masks):
        given = tuple(None if t is None else t.contiguous() for t in tensors[:-2])
        return (*given, *tensors[-2:]), steps.pop()
    return tuple(None if t is None else t.contiguous() for t in tensors), 0


def block_forward(*arguments: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    assert native is not None
    tensors, mask_stride = _prepare(arguments[:BLOCK_TENSORS])
    dilation, left, activation, keep = arguments[BLOCK_TENSORS:]
    x, v0 = tensors[0], tensors[1]
    assert x is not None and v0 is not None
    made = block_forward_shapes(x.new_empty, tensors, keep)
    y, hidden, inner, norms = made
    if not keep:
        hidden = x.new_empty((*x.shape[:2], v0.shape[0]))
    native.cuda_block_forward(
        *_queue(x),
        addresses(tensors),
        addresses([y, hidden, inner, norms] if keep else [y, hidden, None, None]),
        [*block_sizes(tensors, dilation, left), mask_stride],
        activation,
    )
    return made


def block_backward(grad: Tensor, *arguments: Any) -> list[Tensor]:
    assert native is not None
    tensors, mask_stride = _prepare(arguments[:BLOCK_TENSORS])
    saved = arguments[BLOCK_TENSORS : BLOCK_TENSORS + 4]
    dilation, left, activation, need_x, need_weights = arguments[BLOCK_TENSORS + 4 :]
    grad = grad.contiguous()
    made = gradients_of(tensors[:BLOCK_LEAVES], need_x, need_weights)
    if grad.shape[0] == 0:
        return [m.zero_() for m in made]
    sizes = [*block_sizes(tensors, dilation, left), mask_stride]
    queue = _queue(grad)
    workspace = workspace_of(grad, native.cuda_block_backward_bytes(*queue[:2], sizes))
    native.cuda_block_backward(
        *queue,
        addresses(tensors),
        addresses(saved),
        grad.data_ptr(),
        addresses([m if m.numel() else None for m in made]),
        workspace.data_ptr(),
        sizes,
        activation,
    )
    return made


if has_cuda():
    _library = torch.library.Library("daart_fast", "IMPL")
    for _operator in (conv_forward, conv_backward, block_forward, block_backward):
        _library.impl(_operator.__name__, _operator, "CUDA")
