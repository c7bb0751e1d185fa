"""Dilated convolution over time, with bias and activation."""

from __future__ import annotations

import torch
from torch import Tensor

from daart_fast.activations import ACTIVATIONS
from daart_fast.errors import did_you_mean
from daart_fast.ops import operators_conv, reference
from daart_fast.ops.backends import Call, choose
from daart_fast.ops.checks import check_dimensions, check_floating_point, check_kind, check_shape
from daart_fast.ops.native import NUMBERS


def dilated_conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    dilation: int = 1,
    padding: str | tuple[int, int] = "same",
    activation: str = "linear",
) -> Tensor:
    """Convolve along time: every output channel sees every input channel.

    ``y[b, t, o] = activation(bias[o] + sum_{k, c} weight[o, c, k] x[b, t + k dilation - left, c])``

    Parameters
    ----------
    x
        (B, T, C_in), floating point. float32 and float64 run on kernels of our own on a CPU or a
        CUDA device, there bfloat16 too; anything else through PyTorch. Slices in time or batch are
        read in place.
    weight
        (C_out, C_in, K), as ``nn.Conv1d`` holds it.
    bias
        (C_out,) or None.
    dilation
        Frames between taps, at least 1.
    padding
        ``"same"``: T frames out, half of the zeros on each side (where their number is odd, the
        extra one on the right); ``"causal"``: T frames out, all zeros on the left, so that no
        output sees a later frame; ``(left, right)``: that many frames of zeros.
    activation
        One of ``daart_fast.activations``.

    Returns
    -------
    Tensor
        (B, T + left + right - dilation (K - 1), C_out), x's dtype. Differentiable once in x,
        weight and bias.

    Raises
    ------
    TypeError
        A dtype that is not floating point, or dtypes that differ.
    ValueError
        Any other argument that does not fit; the message says what was expected and what came.

    Notes
    -----
    Where it is faster, blocks of frames are computed together by minimal filtering (docs/
    performance.md). Their rounding errors are then about 1e-6 of the largest value among the frames
    that such a block reads, of which some are later than a causal output; a value that is infinite
    or NaN spreads over the block. ``DAART_FAST_CONV=direct`` has none of this.
    """
    left, right = _check(x, weight, bias, dilation, padding, activation)
    if choose(Call(x, "convolutions", x.shape[1] + left + right, (weight,))) == "torch":
        return reference.dilated_conv1d(x, weight, bias, dilation, left, right, activation)
    code = activation_code(activation)
    if torch.is_grad_enabled() and (
        x.requires_grad or weight.requires_grad or (bias is not None and bias.requires_grad)
    ):
        y: Tensor = operators_conv.differentiable_conv(x, weight, bias, dilation, left, right, code)
        return y
    y = operators_conv.conv_forward(x, weight, bias, dilation, left, right, code)
    return y


def _check(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    dilation: int,
    padding: str | tuple[int, int],
    activation: str,
) -> tuple[int, int]:
    """Return the padding in frames on the left and on the right."""
    check_dimensions("x", x, "batch", "frames", "channels")
    check_dimensions("weight", weight, "channels out", "channels in", "width")
    c_out, c_in, width = weight.shape
    if x.shape[2] != c_in:
        raise ValueError(f"x has {x.shape[2]} channels, but weight takes {c_in}")
    if min(c_out, c_in, width) == 0:
        raise ValueError(f"weight has no elements: its shape is {tuple(weight.shape)}")
    check_shape("bias", bias, (c_out,))
    check_floating_point("x", x)
    check_kind("weight", weight, x, x.dtype)
    check_kind("bias", bias, x, x.dtype)
    if dilation < 1:
        raise ValueError(f"dilation must be at least 1, but it is {dilation}")
    activation_code(activation)
    left, right = sides(padding, dilation * (width - 1))
    frames = x.shape[1] + left + right - dilation * (width - 1)
    if x.shape[1] < 1 or frames < 1:
        raise ValueError(
            f"no frame is left: {x.shape[1]} frames with padding {left} + {right}, width {width} "
            f"and dilation {dilation} give {frames} frames"
        )
    return left, right


def activation_code(activation: str) -> int:
    """The number by which the kernels know an activation."""
    if activation not in ACTIVATIONS:
        raise ValueError(
            f"activation must be one of {', '.join(ACTIVATIONS)}, but it is {activation!r}"
            f"{did_you_mean(activation, ACTIVATIONS)}"
        )
    return NUMBERS[activation]


def sides(padding: str | tuple[int, int], span: int) -> tuple[int, int]:
    """The padding on the left and on the right, for taps that span ``span`` frames."""
    if padding == "same":
        return span // 2, span - span // 2
    if padding == "causal":
        return span, 0
    if not isinstance(padding, (tuple, list)) or len(padding) != 2:
        raise ValueError(
            f"padding must be 'same', 'causal' or (left, right), but it is {padding!r}"
        )
    left, right = padding
    if left < 0 or right < 0:
        raise ValueError(f"padding must not be negative, but it is {padding!r}")
    return left, right
