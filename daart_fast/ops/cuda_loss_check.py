"""Whether the losses' CUDA kernels give the right numbers on a device: tried out once, as those of
the convolutions are (cuda_check.py)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from daart_fast.ops import cuda_losses, reference
from daart_fast.ops.backends import native
from daart_fast.ops.cuda_trial import Trial, largest_error, verdict

#: relative errors that are not taken for wrong numbers
TOLERANCES = {torch.float32: 1e-4, torch.float64: 1e-9}

_trial = Trial("losses")


def why_not(x: Tensor, n_classes: int) -> str:
    """Why the kernels can't score x (B, T, C) for so many classes, or an empty string.

    Before first use they are tried out on small tensors, and compared with `reference`.
    """
    assert native is not None
    if n_classes > native.cuda_most_classes:
        return f"the kernels take up to {native.cuda_most_classes} classes"
    if (x.shape[0] + 1) * (x.shape[1] + 1) * max(x.shape[2], n_classes) >= 2**31:
        return "the kernels take tensors below 2^31 elements"
    return _trial.why_not(x, x.dtype, lambda: _try_out(x.device, x.dtype))


def _try_out(device: torch.device, dtype: torch.dtype) -> str:
    return verdict(
        lambda: max(errors(device, dtype, by_sequence) for by_sequence in (False, True)),
        TOLERANCES[dtype],
    )


@torch.inference_mode(False)
def errors(device: torch.device, dtype: torch.dtype, by_sequence: bool) -> float:
    """The largest relative error of both losses and all their gradients; infinite for a NaN."""
    draw = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw).to(dtype)

    def labels() -> Tensor:
        return torch.randint(-2, 7, (3, 90), generator=draw)

    x, weight, bias, class_weights = normal(3, 90, 37), normal(7, 37), normal(7), normal(7).abs()
    mask = torch.rand(3, 90, generator=draw) < 0.8
    frames: tuple[Any, ...] = (5, 70)
    grad = normal(3) if by_sequence else normal(1)[0]
    head = (x, weight, bias, class_weights, labels(), labels(), labels(), mask, 0, *frames)
    prediction, target = normal(3, 90, 19), normal(3, 90, 19)
    target[torch.rand(target.shape, generator=draw) < 0.1] = torch.nan
    error = (prediction, target, mask, *frames, 1)
    expected = _expected(head, error, grad.double(), by_sequence)
    found = _found_by_kernels(_to(head, device), _to(error, device), grad.to(device), by_sequence)
    return largest_error(found, expected)


def _to(arguments: tuple[Any, ...], to: torch.device | torch.dtype) -> tuple[Any, ...]:
    """Tensors elsewhere; or those of floating point in another dtype."""
    if isinstance(to, torch.device):
        return tuple(a.to(to) if isinstance(a, Tensor) else a for a in arguments)
    return tuple(
        a.to(to) if isinstance(a, Tensor) and a.is_floating_point() else a for a in arguments
    )


def _expected(
    head: tuple[Any, ...], error: tuple[Any, ...], grad: Tensor, by_sequence: bool
) -> list[Tensor]:
    with torch.enable_grad():
        head, error = _to(head, torch.float64), _to(error, torch.float64)
        leaves = [t.clone().requires_grad_() for t in (*head[:3], error[0])]
        given: list[Any] = [*leaves[:3], *head[3:], by_sequence]
        loss, agreement = reference.linear_cross_entropy(*given)
        given = [leaves[3], *error[1:], by_sequence]
        squared = reference.squared_error(*given)
        gradients = torch.autograd.grad((loss, squared), leaves, (grad, grad))
    return [loss.detach(), agreement, squared.detach(), *gradients]


def _found_by_kernels(
    head: tuple[Any, ...], error: tuple[Any, ...], grad: Tensor, by_sequence: bool
) -> list[Tensor]:
    x, weight = head[:2]
    loss, agreement, factor, targets, slopes = cuda_losses.head_loss(*head, by_sequence)
    dx, dweight, dbias = cuda_losses.head_loss_grad(
        grad, x, weight, targets, slopes, factor, head[9], by_sequence, True, True
    )
    squared, share = cuda_losses.squared_error(*error, by_sequence)
    derivative = cuda_losses.squared_error_grad(grad, *error[:3], share, *error[3:], by_sequence)
    return [loss, agreement, squared, dx, dweight, dbias, derivative]
