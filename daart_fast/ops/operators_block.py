"""The residual block as a torch operator of CUDA devices. On the CPU it is a stack of one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from daart_fast.ops import launch
from daart_fast.ops.native import OF_OUTPUT
from daart_fast.ops.operators import differentiable, operator

_TENSORS = (
    "Tensor x, Tensor v0, Tensor gain0, Tensor? bias0, Tensor v1, Tensor gain1, Tensor? bias1, "
    "Tensor? residual_weight, Tensor? residual_bias, Tensor? mask0, Tensor? mask1, "
)
N_TENSORS = 11
#: which of them get a gradient, as backward's returned list has them
N_LEAVES = 9


def gradients_of(leaves: Sequence[Tensor | None], need_x: bool, need_weights: bool) -> list[Tensor]:
    """One tensor for each leaf, x and then parameters, of no size where no gradient is needed."""
    x = leaves[0]
    assert x is not None
    gradients = []
    for i, leaf in enumerate(leaves):
        if leaf is None or not (need_weights if i else need_x):
            gradients.append(x.new_empty(0))
        else:  # half as long as new_empty with a shape
            gradients.append(torch.empty_like(leaf, memory_format=torch.contiguous_format))
    return gradients


def _block_forward_fake(*arguments: Any) -> tuple[Tensor, ...]:
    """y, and what backward needs (of no size without ``keep``): hidden, inner and the norms.

    Where the activation's derivative is no function of its output, hidden and inner are two tensors
    each, stacked: hidden and what its activation was applied to; what inner's and y's were.
    """
    (x, v0, *_), v1, (*_, activation, keep) = arguments[:2], arguments[4], arguments
    b, t, _ = x.shape
    hidden, out = v0.shape[0], v1.shape[0]
    # no norm is as coarse as bfloat16
    norms = torch.float32 if x.dtype == torch.bfloat16 else x.dtype
    two = () if OF_OUTPUT[activation] else (2,)
    return (
        x.new_empty((b, t, out)),
        x.new_empty((*two, b, t, hidden) if keep else 0),
        x.new_empty((*two, b, t, out) if keep else 0),
        x.new_empty(hidden + out if keep else 0, dtype=norms),
    )


def _outputs(activation: int, y: Tensor, hidden: Tensor, inner: Tensor, norms: Tensor) -> Any:
    """The addresses of what forward makes."""
    assert launch.native is not None
    before = (None, None)
    if not OF_OUTPUT[activation] and inner.numel():
        (hidden, hidden_before), (inner, y_before) = hidden, inner
        before = (hidden_before, y_before)
    return launch.native.BlockOutputs(
        **launch.addresses(y=y, hidden=hidden, inner=inner, norms=norms),
        **launch.addresses(hidden_before=before[0], y_before=before[1]),
    )


def prepare(tensors: Sequence[Tensor | None]) -> tuple[tuple[Tensor | None, ...], int]:
    """Return a block's tensors, and the elements from one row of a mask to the next.

    All tensors are contiguous but masks that are columns of one tensor; 0 elements say that the
    masks are contiguous too.
    """
    masks = [m for m in tensors[-2:] if m is not None]
    steps = {m.stride(0) for m in masks}
    # a row that stands for all sequences has step 0, which would be taken for a dense mask
    dense = all(m.stride(1) == 1 and m.stride(0) >= m.shape[1] for m in masks)
    if len(steps) == 1 and dense:
        return (*launch.contiguous(tensors[:-2]), *tensors[-2:]), steps.pop()
    return tuple(launch.contiguous(tensors)), 0


def _sizes(tensors: Sequence[Tensor | None], dilation: int, left: int, mask_stride: int) -> Any:
    x, v0, v1 = tensors[0], tensors[1], tensors[4]
    assert launch.native is not None and x is not None and v0 is not None and v1 is not None
    return launch.native.BlockSizes(
        batch=x.shape[0],
        frames=x.shape[1],
        channels_in=x.shape[2],
        channels_hidden=v0.shape[0],
        channels_out=v1.shape[0],
        width=v0.shape[2],
        dilation=dilation,
        pad_left=left,
        mask_stride=mask_stride,
    )


def _block_forward(*arguments: Any) -> tuple[Tensor, ...]:
    assert launch.native is not None
    tensors, mask_stride = prepare(arguments[:N_TENSORS])
    dilation, left, activation, keep = arguments[N_TENSORS:]
    x, v0 = arguments[:2]
    outputs = _block_forward_fake(*arguments)
    y, hidden, *kept = outputs
    if not keep:
        hidden = x.new_empty((*x.shape[:2], v0.shape[0]))
    launch.launch(
        "block_forward",
        x,
        _sizes(tensors, dilation, left, mask_stride),
        launch.native.BlockInputs(*launch.address_list(tensors)),
        _outputs(activation, y, hidden, *kept),
        activation,
    )
    return outputs


block_forward = operator(
    f"block_forward({_TENSORS}int dilation, int left, int activation, bool keep) "
    "-> (Tensor, Tensor, Tensor, Tensor)",
    _block_forward,
    _block_forward_fake,
    devices=("CUDA",),
)


def _block_backward_fake(grad: Tensor, *arguments: Any) -> list[Tensor]:
    return gradients_of(arguments[:N_LEAVES], *arguments[-2:])


def _block_backward(grad: Tensor, *arguments: Any) -> list[Tensor]:
    native = launch.native
    assert native is not None
    tensors, mask_stride = prepare(arguments[:N_TENSORS])
    saved = arguments[N_TENSORS : N_TENSORS + 4]
    dilation, left, activation, _, _ = arguments[N_TENSORS + 4 :]
    grad = grad.contiguous()
    gradients = _block_backward_fake(grad, *arguments)
    if grad.shape[0] == 0:
        return [g.zero_() for g in gradients]
    launch.launch(
        "block_backward",
        grad,
        _sizes(tensors, dilation, left, mask_stride),
        native.BlockInputs(*launch.address_list(tensors)),
        _outputs(activation, *saved),
        grad.data_ptr(),
        native.BlockLeaves(*launch.address_list(gradients)),
        activation,
    )
    return gradients


block_backward = operator(
    f"block_backward(Tensor grad, {_TENSORS}Tensor y, Tensor hidden, Tensor inner, "
    "Tensor norms, int dilation, int left, int activation, bool need_x, bool need_weights) "
    "-> Tensor[]",
    _block_backward,
    _block_backward_fake,
    devices=("CUDA",),
)


def _block(*arguments: Any) -> Any:
    y, *kept = block_forward(*arguments, True)
    return y, (*arguments[:N_TENSORS], y, *kept), arguments[N_TENSORS:]


def _gradients(
    grad: Tensor, needs: Sequence[bool], values: tuple[Any, ...], *tensors: Tensor | None
) -> Any:
    return block_backward(grad, *tensors, *values, needs[0], any(needs[1:N_LEAVES]))


#: ``block_forward``'s y for autograd.
differentiable_block: Callable[..., Any] = differentiable(_block, _gradients)
