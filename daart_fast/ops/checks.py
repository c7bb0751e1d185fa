"""What operators ask of their tensors, in one wording."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def check_dimensions(name: str, tensor: Tensor, *dimensions: str) -> None:
    """Raise a ValueError where a tensor has more or fewer dimensions than these."""
    if tensor.dim() != len(dimensions):
        expected = ", ".join(dimensions)
        raise ValueError(f"{name} must be ({expected}), but its shape is {tuple(tensor.shape)}")


def check_shape(name: str, tensor: Tensor | None, shape: Sequence[int]) -> None:
    """Raise a ValueError where there is a tensor, and it has another shape."""
    if tensor is not None and tensor.shape != tuple(shape):
        raise ValueError(f"{name} must be {tuple(shape)}, but its shape is {tuple(tensor.shape)}")


def check_kind(name: str, tensor: Tensor | None, x: Tensor, dtype: torch.dtype) -> None:
    """Raise if a tensor has a different dtype (TypeError) or is not on x's device (ValueError).

    There may be no tensor.
    """
    if tensor is None:
        return
    if tensor.dtype != dtype:
        raise TypeError(f"{name} must be {dtype}, but it is {tensor.dtype}")
    if tensor.device != x.device:
        raise ValueError(f"{name} must be on {x.device}, but it is on {tensor.device}")


def check_floating_point(name: str, tensor: Tensor) -> None:
    """Raise a TypeError where a tensor holds no floating-point numbers."""
    if not tensor.is_floating_point():
        raise TypeError(f"{name} must be floating point, but it is {tensor.dtype}")
