"""The kernels' mathematics in plain PyTorch: the fallback, and what tests compare with."""

from __future__ import annotations

import torch
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


def dilation_block(
    x: Tensor,
    v0: Tensor,
    gain0: Tensor,
    bias0: Tensor | None,
    v1: Tensor,
    gain1: Tensor,
    bias1: Tensor | None,
    residual_weight: Tensor | None,
    residual_bias: Tensor | None,
    mask0: Tensor | None,
    mask1: Tensor | None,
    dilation: int,
    left: int,
    activation: str,
) -> Tensor:
    """Two weight-normalised convolutions of x (B, T, C) and a residual around them."""
    right = dilation * (v0.shape[2] - 1) - left
    y = x
    for v, gain, bias, mask in ((v0, gain0, bias0, mask0), (v1, gain1, bias1, mask1)):
        weight = torch._weight_norm(v, gain, 0)
        y = dilated_conv1d(y, weight, bias, dilation, left, right, activation)
        if mask is not None:
            y = y * mask[:, None, :]
    if residual_weight is not None:
        x = F.linear(x, residual_weight[:, :, 0], residual_bias)
    return activate(y + x, activation)
