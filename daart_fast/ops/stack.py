"""A chain of residual blocks: the public face, its checks, and the choice of backend."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from daart_fast.ops import operators_stack
from daart_fast.ops.backends import runs_native
from daart_fast.ops.block import dilation_block
from daart_fast.ops.checks import check_dimensions, check_kind, check_shape
from daart_fast.ops.conv import activation_code, sides

#: v0, gain0, bias0, v1, gain1, bias1, residual_weight, residual_bias, as `dilation_block` has them.
BlockParameters = tuple[
    Tensor, Tensor, Tensor | None, Tensor, Tensor, Tensor | None, Tensor | None, Tensor | None
]


def dilation_stack(
    x: Tensor,
    blocks: Sequence[BlockParameters],
    masks: Tensor | None = None,
    *,
    dilations: Sequence[int],
    padding: str = "same",
    activation: str = "lrelu",
    first: int = 0,
    frames: int | None = None,
) -> Tensor:
    """Run a chain of residual blocks (`dilation_block`), each on the one before it.

    Only frames that the wanted ones depend on are computed, and backward is one pass.

    Parameters
    ----------
    x
        (B, T, C), float32 or float64 on the CPU for the native kernels, anything else block by
        block.
    blocks
        For each block its eight parameters, None where it has none: ``v0, gain0, bias0, v1, gain1,
        bias1, residual_weight, residual_bias``.
    masks
        (B, S) or None: what each channel is multiplied by in all frames, side by side for all
        blocks: first a block's hidden channels, then those that it makes.
    dilations
        Of each block.
    padding, activation
        See `dilation_block`.
    first, frames
        So many frames of the result are wanted, from the first on; None: all.

    Returns
    -------
    Tensor
        (B, frames, C_out), x's dtype. Differentiable once in x and all parameters.

    Raises
    ------
    TypeError, ValueError
        As `dilation_block`.
    """
    check_dimensions("x", x, "batch", "frames", "channels")
    if frames is None:
        frames = x.shape[1] - first
    if not 0 <= first < first + frames <= x.shape[1]:
        raise ValueError(f"frames {first} to {first + frames} are wanted, but x has {x.shape[1]}")
    layers = stack_layers(x, blocks, masks, dilations, padding)
    code = activation_code(activation)
    if not runs_native(x):
        return _block_by_block(x, blocks, masks, dilations, padding, activation, first, frames)
    parameters = [tensor for block in blocks for tensor in block]
    settings = (masks, layers, code, first, frames)
    y: Tensor
    if torch.is_grad_enabled():
        y = operators_stack.differentiable_stack(x, *parameters, *settings)
    else:
        y, _ = operators_stack.stack_forward(x, parameters, *settings, False)
    return y


def _block_by_block(
    x: Tensor,
    blocks: Sequence[BlockParameters],
    masks: Tensor | None,
    dilations: Sequence[int],
    padding: str,
    activation: str,
    first: int,
    frames: int,
) -> Tensor:
    column = 0

    def next_mask(channels: int) -> Tensor | None:
        nonlocal column
        column += channels
        return None if masks is None else masks[:, column - channels : column]

    for block, dilation in zip(blocks, dilations, strict=True):
        mask0, mask1 = next_mask(block[0].shape[0]), next_mask(block[3].shape[0])
        x = dilation_block(x, *block, mask0, mask1, dilation, padding, activation)
    return x.narrow(1, first, frames)


_NAMES = (
    *("v0", "gain0", "bias0", "v1", "gain1", "bias1"),
    *("residual_weight", "residual_bias"),
)


def stack_layers(
    x: Tensor,
    blocks: Sequence[BlockParameters],
    masks: Tensor | None,
    dilations: Sequence[int],
    padding: str,
) -> list[int]:
    """Check all that must fit; return each block's hidden and out channels, width, dilation, left.

    See `dilation_stack` for the arguments.
    """
    if padding not in ("same", "causal"):
        raise ValueError(f"padding must be 'same' or 'causal', but it is {padding!r}")
    if len(blocks) != len(dilations) or not blocks:
        raise ValueError(
            f"each block needs a dilation: {len(blocks)} blocks and {len(dilations)} dilations"
        )
    layers: list[int] = []
    c_in, n_masks = x.shape[2], 0
    for i, (block, dilation) in enumerate(zip(blocks, dilations, strict=True)):
        v0, v1 = block[0], block[3]
        for name, v in (("v0", v0), ("v1", v1)):
            check_dimensions(f"block {i}'s {name}", v, "channels out", "channels in", "width")
        hidden, _, k = v0.shape
        out = v1.shape[0]
        expected = (
            *((hidden, c_in, k), (hidden, 1, 1), (hidden,), (out, hidden, k), (out, 1, 1), (out,)),
            *((out, c_in, 1), (out,)),
        )
        for name, tensor, shape in zip(_NAMES, block, expected, strict=True):
            check_shape(f"block {i}'s {name}", tensor, shape)
            check_kind(f"block {i}'s {name}", tensor, x, x.dtype)
        if block[6] is None and c_in != out:
            raise ValueError(
                f"block {i} gets {c_in} channels and makes {out}: it needs residual_weight"
            )
        if dilation < 1:
            raise ValueError(f"dilation must be at least 1, but it is {dilation}")
        layers += (hidden, out, k, dilation, sides(padding, dilation * (k - 1))[0])
        c_in, n_masks = out, n_masks + hidden + out
    check_shape("masks", masks, (x.shape[0], n_masks))
    check_kind("masks", masks, x, x.dtype)
    return layers
