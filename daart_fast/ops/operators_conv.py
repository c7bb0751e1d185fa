"""The native kernels as torch operators: define, implement, describe to the compiler.

The operators know no gradients; the ``autograd.Function`` outside them does. That is a third of
the cost of a call of what ``torch.library.custom_op`` with ``register_autograd`` takes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from daart_fast.ops.native import native

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
_BLOCK_TENSORS = (
    "Tensor x, Tensor v0, Tensor gain0, Tensor? bias0, Tensor v1, Tensor gain1, Tensor? bias1, "
    "Tensor? residual_weight, Tensor? residual_bias, Tensor? mask0, Tensor? mask1, "
)
_library.define(
    f"block_forward({_BLOCK_TENSORS}int dilation, int left, int activation, bool keep) "
    "-> (Tensor, Tensor, Tensor, Tensor)"
)
_library.define(
    f"block_backward(Tensor grad, {_BLOCK_TENSORS}Tensor y, Tensor hidden, Tensor inner, "
    "Tensor weights, int dilation, int left, int activation, bool need_x, bool need_weights) "
    "-> Tensor[]"
)


def dense_frames(x: Tensor) -> Tensor:
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
    x, weight = dense_frames(x), weight.contiguous()
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
    x, weight, grad = dense_frames(x), weight.contiguous(), grad.contiguous()
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


# A block's tensors in the order of the schema: x, v0, gain0, bias0, v1, gain1, bias1,
# residual_weight, residual_bias, mask0, mask1.
BLOCK_TENSORS = 11
# Which of them get a gradient, as backward's returned list has them.
BLOCK_LEAVES = 9

BlockArguments = tuple[Tensor | None, ...]


def addresses(tensors: Sequence[Tensor | None]) -> list[int]:
    return [0 if t is None else t.data_ptr() for t in tensors]


def block_sizes(tensors: BlockArguments, dilation: int, left: int) -> list[int]:
    x, v0, v1 = tensors[0], tensors[1], tensors[4]
    assert x is not None and v0 is not None and v1 is not None
    hidden, c_in, width = v0.shape
    return [x.shape[0], x.shape[1], c_in, hidden, v1.shape[0], width, dilation, left]


def _block_forward(*arguments: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    assert native is not None
    tensors = tuple(None if t is None else t.contiguous() for t in arguments[:BLOCK_TENSORS])
    dilation, left, activation, keep = arguments[BLOCK_TENSORS:]
    made = block_forward_shapes(torch.empty, tensors, keep)
    native.block_forward(
        made[0].dtype == torch.float64,
        addresses(tensors),
        addresses(made if keep else (made[0], None, None, None)),
        block_sizes(tensors, dilation, left),
        activation,
        torch.get_num_threads(),
    )
    return made


def _block_backward(grad: Tensor, *arguments: Any) -> list[Tensor]:
    assert native is not None
    tensors = tuple(None if t is None else t.contiguous() for t in arguments[:BLOCK_TENSORS])
    saved = arguments[BLOCK_TENSORS : BLOCK_TENSORS + 4]
    dilation, left, activation, need_x, need_weights = arguments[BLOCK_TENSORS + 4 :]
    grad = grad.contiguous()
    made = gradients_of(tensors[:BLOCK_LEAVES], need_x, need_weights)
    native.block_backward(
        grad.dtype == torch.float64,
        addresses(tensors),
        addresses(saved),
        grad.data_ptr(),
        addresses([t if t.numel() else None for t in made]),
        block_sizes(tensors, dilation, left),
        activation,
        torch.get_num_threads(),
    )
    return made


def block_forward_shapes(
    empty: Callable[..., Tensor], tensors: BlockArguments, keep: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """y, and what backward needs (of no size where there will be none)."""
    x, v0, v1 = tensors[0], tensors[1], tensors[4]
    assert x is not None and v0 is not None and v1 is not None
    b, t, _ = x.shape
    hidden, out = v0.shape[0], v1.shape[0]
    # both norms, after both normalised weights on the CPU; no norm is as coarse as bfloat16
    n_weights = hidden + out if x.is_cuda else v0.numel() + v1.numel() + hidden + out
    dtype = torch.float32 if x.dtype == torch.bfloat16 else x.dtype
    return (
        empty((b, t, out), dtype=x.dtype),
        empty((b, t, hidden) if keep else (0,), dtype=x.dtype),
        empty((b, t, out) if keep else (0,), dtype=x.dtype),
        empty((n_weights,) if keep else (0,), dtype=dtype),
    )


def gradients_of(leaves: Sequence[Tensor | None], need_x: bool, need_weights: bool) -> list[Tensor]:
    """One tensor for each leaf, x and then parameters, of no size where no gradient is needed."""
    x = leaves[0]
    assert x is not None
    made = []
    for i, leaf in enumerate(leaves):
        if leaf is None or not (need_weights if i else need_x):
            made.append(x.new_empty(0))
        else:  # half as long as new_empty with a shape
            made.append(torch.empty_like(leaf, memory_format=torch.contiguous_format))
    return made


def _block_forward_fake(*arguments: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    tensors = arguments[:BLOCK_TENSORS]
    return block_forward_shapes(tensors[0].new_empty, tensors, arguments[-1])


def _block_backward_fake(grad: Tensor, *arguments: Any) -> list[Tensor]:
    return gradients_of(arguments[:BLOCK_LEAVES], *arguments[-2:])


if native is not None:
    _library.impl("block_forward", _block_forward, "CPU")
    _library.impl("block_backward", _block_backward, "CPU")
    _library.impl("conv_forward", _conv_forward, "CPU")
    _library.impl("conv_backward", _conv_backward, "CPU")
torch.library.register_fake("daart_fast::conv_forward", _conv_forward_fake, lib=_library)
torch.library.register_fake("daart_fast::conv_backward", _conv_backward_fake, lib=_library)
torch.library.register_fake("daart_fast::block_forward", _block_forward_fake, lib=_library)
torch.library.register_fake("daart_fast::block_backward", _block_backward_fake, lib=_library)

conv_forward = torch.ops.daart_fast.conv_forward.default
conv_backward = torch.ops.daart_fast.conv_backward.default
block_forward = torch.ops.daart_fast.block_forward.default
block_backward = torch.ops.daart_fast.block_backward.default


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


class Block(torch.autograd.Function):
    """``block_forward`` with its gradient."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, *arguments: Any
    ) -> Tensor:
        y, *kept = block_forward(*arguments, True)
        ctx.save_for_backward(*arguments[:BLOCK_TENSORS], y, *kept)
        ctx.constants = arguments[BLOCK_TENSORS:]
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        need = ctx.needs_input_grad[:BLOCK_TENSORS]
        need_weights = any(need[1:])
        grads = block_backward(grad, *ctx.saved_tensors, *ctx.constants, need[0], need_weights)
        given = (g if needed else None for g, needed in zip(grads, need, strict=False))
        return (*given, *(None,) * (len(ctx.needs_input_grad) - len(grads)))
