"""The kernels' mathematics in plain PyTorch: the fallback, and what tests compare with."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

LEAKY_SLOPE = 0.05


def activate(x: Tensor, activation: str) -> Tensor:
    """Apply one of linear, relu, lrelu (slope 0.05 below zero), sigmoid, tanh."""
    if activation == "relu":
        return F.relu(x)
    if activation == "lrelu":
        return F.leaky_relu(x, LEAKY_SLOPE)
    if activation == "sigmoid":
        return x.sigmoid()
    if activation == "tanh":
        return x.tanh()
    return x


def dilated_conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    dilation: int,
    left: int,
    right: int,
    activation: str,
) -> Tensor:
    """Convolve x (B, T, C_in), with ``left`` and ``right`` frames of zeros beside it."""
    padded = F.pad(x.transpose(1, 2), (left, right))
    y = F.conv1d(padded, weight, bias, dilation=dilation).transpose(1, 2)
    return activate(y, activation)
