"""The residual block of a dilated temporal network as one operation."""

from __future__ import annotations

import torch
from torch import Tensor

from daart_fast.ops import operators_block, operators_stack, reference
from daart_fast.ops.backends import Call, choose
from daart_fast.ops.checks import check_dimensions, check_floating_point, check_kind, check_shape
from daart_fast.ops.conv import activation_code, sides


def dilation_block(
    x: Tensor,
    v0: Tensor,
    gain0: Tensor,
    bias0: Tensor | None,
    v1: Tensor,
    gain1: Tensor,
    bias1: Tensor | None,
    residual_weight: Tensor | None = None,
    residual_bias: Tensor | None = None,
    mask0: Tensor | None = None,
    mask1: Tensor | None = None,
    dilation: int = 1,
    padding: str = "same",
    activation: str = "lrelu",
) -> Tensor:
    """Two weight-normalised dilated convolutions, a residual around them, one backward pass.

    ::

        hidden = activation(conv(x, gain0 v0 / ||v0||) + bias0) * mask0
        inner = activation(conv(hidden, gain1 v1 / ||v1||) + bias1) * mask1
        y = activation(inner + residual(x))

    Parameters
    ----------
    x
        (B, T, C_in), floating point. float32 and float64 run on kernels of our own on a CPU or a
        CUDA device, there bfloat16 too; anything else through PyTorch.
    v0, gain0, bias0
        (H, C_in, K), (H, 1, 1) and (H,) or None: the first convolution, its weights ``gain0`` times
        ``v0`` over the norm of each output channel.
    v1, gain1, bias1
        (C_out, H, K), (C_out, 1, 1) and (C_out,) or None: the second.
    residual_weight, residual_bias
        (C_out, C_in, 1) and (C_out,) or None: what carries the residual. Without weights it is x
        itself, and C_in must be C_out.
    mask0, mask1
        (B, H) and (B, C_out): what each channel is multiplied by in all frames (dropout of whole
        channels: 0 or ``1 / (1 - p)``), never negative; no gradient is taken in it. None: ones.
    dilation
        Frames between the taps of both convolutions.
    padding
        ``"same"`` or ``"causal"``, see ``dilated_conv1d``.
    activation
        One of ``daart_fast.activations``.

    Returns
    -------
    Tensor
        (B, T, C_out), x's dtype. Differentiable once in x and all weights.

    Raises
    ------
    TypeError
        A dtype that is not floating point, or dtypes that differ.
    ValueError
        Any other argument that does not fit; the message says what was expected and what came.
    """
    tensors = (
        *(x, v0, gain0, bias0, v1, gain1, bias1),
        *(residual_weight, residual_bias, mask0, mask1),
    )
    _check(tensors, dilation)
    code = activation_code(activation)
    if padding not in ("same", "causal"):
        raise ValueError(f"padding must be 'same' or 'causal', but it is {padding!r}")
    span = dilation * (v0.shape[2] - 1)
    left, _ = sides(padding, span)
    backend = choose(Call(x, frames=x.shape[1] + span, weights=(v0, v1)))
    if backend == "torch":
        return reference.dilation_block(*tensors, dilation, left, activation)
    with_gradient = torch.is_grad_enabled() and any(
        t is not None and t.requires_grad for t in tensors
    )
    y: Tensor
    if backend == "native":
        layer = [v0.shape[0], v1.shape[0], v0.shape[2], dilation, left]
        masks = _side_by_side(x, (mask0, mask1), layer[:2])
        settings = (masks, layer, code, 0, x.shape[1])
        if with_gradient:
            return operators_stack.differentiable_stack(x, *tensors[1:9], *settings)
        y, _ = operators_stack.stack_forward(x, tensors[1:9], *settings, False)
    elif with_gradient:
        y = operators_block.differentiable_block(*tensors, dilation, left, code)
    else:
        y, *_ = operators_block.block_forward(*tensors, dilation, left, code, False)
    return y


def _side_by_side(
    x: Tensor, masks: tuple[Tensor | None, Tensor | None], channels: list[int]
) -> Tensor | None:
    """The masks of both convolutions as one tensor, as a stack has them."""
    if all(mask is None for mask in masks):
        return None
    pairs = zip(masks, channels, strict=True)
    return torch.cat([x.new_ones((x.shape[0], n)) if m is None else m for m, n in pairs], 1)


_NAMES = (
    *("x", "v0", "gain0", "bias0", "v1", "gain1", "bias1"),
    *("residual_weight", "residual_bias", "mask0", "mask1"),
)


def _check(tensors: tuple[Tensor | None, ...], dilation: int) -> None:
    x, v0, v1, residual_weight = tensors[0], tensors[1], tensors[4], tensors[7]
    assert x is not None and v0 is not None and v1 is not None
    check_dimensions("x", x, "batch", "frames", "channels")
    for name, v in (("v0", v0), ("v1", v1)):
        check_dimensions(name, v, "channels out", "channels in", "width")
    b, t, c_in = x.shape
    hidden, _, k = v0.shape
    out = v1.shape[0]
    if t < 1 or min(hidden, out, c_in, k) < 1:
        raise ValueError(
            f"nothing to convolve: x is {tuple(x.shape)}, v0 is {tuple(v0.shape)}, "
            f"v1 is {tuple(v1.shape)}"
        )
    if dilation < 1:
        raise ValueError(f"dilation must be at least 1, but it is {dilation}")
    if residual_weight is None and c_in != out:
        raise ValueError(
            f"x has {c_in} channels and the block makes {out}: the residual needs residual_weight"
        )
    expected = (
        *((b, t, c_in), (hidden, c_in, k), (hidden, 1, 1), (hidden,)),
        *((out, hidden, k), (out, 1, 1), (out,), (out, c_in, 1), (out,), (b, hidden), (b, out)),
    )
    check_floating_point("x", x)
    for name, tensor, shape in zip(_NAMES, tensors, expected, strict=True):
        check_shape(name, tensor, shape)
        check_kind(name, tensor, x, x.dtype)
