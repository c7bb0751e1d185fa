"""Whether the CUDA kernels give the right numbers on a device: tested once, before first use."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from daart_fast.ops import operators_block, operators_losses, reference
from daart_fast.ops.launch import math_of
from daart_fast.ops.native import NUMBERS

#: relative errors that are not taken for wrong numbers, of float32, tf32, bfloat16 and float64
TOLERANCES = (1e-4, 3e-2, 1e-1, 1e-9)
LOSS_TOLERANCES = {torch.float32: 1e-4, torch.float64: 1e-9}
OLDEST = (8, 0)  # compute capability
_DILATION, _LEFT, _ACTIVATION = 2, 2, "tanh"


class SelfTest:
    """What is wrong with some kernels, by device and kind of numbers; each is found once.

    Parameters
    ----------
    kernels
        What the kernels compute, as the warning names it: ``"losses"``.
    """

    def __init__(self, kernels: str) -> None:
        self.kernels = kernels
        self._results: dict[Hashable, str] = {}
        self._lock = threading.Lock()

    def refusal(self, x: Tensor, kind: Hashable, test: Callable[[], str]) -> str:
        """Why the kernels can't take x, or an empty string.

        The first call for a device and a kind of numbers runs the test; where that finds something,
        it warns and the answer stays. While a CUDA graph is captured, or a model compiled, nothing
        is tested: the answer is yes, until the next call.
        """
        key = (x.device.index, kind)
        if key in self._results:
            return self._results[key]
        if torch.compiler.is_compiling() or torch.cuda.is_current_stream_capturing():
            return ""
        with self._lock:
            if key not in self._results:
                self._results[key] = why = test()
                if why:
                    warnings.warn(
                        f"{self.kernels} in {x.dtype} on {x.device} go through PyTorch: {why}",
                        RuntimeWarning,
                        stacklevel=3,
                    )
        return self._results[key]


_convolutions, _losses = SelfTest("convolutions"), SelfTest("losses")


def convolution_refusal(x: Tensor) -> str:
    """Why the kernels can't convolve x on its device, or an empty string.

    Before first use two small blocks are computed there and compared with `reference`.
    """
    return _convolutions.refusal(x, math_of(x.dtype), lambda: _test_convolutions(x.device, x.dtype))


def loss_refusal(x: Tensor) -> str:
    """Why the kernels can't score x on its device, or an empty string.

    Before first use all losses of small tensors are computed there and compared with `reference`.
    """
    return _losses.refusal(x, x.dtype, lambda: _test_losses(x.device, x.dtype))


def _verdict(error_of: Callable[[], float], tolerance: float) -> str:
    """What is wrong with kernels whose relative error ``error_of`` finds; or an empty string."""
    try:
        with _undisturbed():
            error = error_of()
    except torch.OutOfMemoryError:  # it passes: kernels that found no memory may be right
        raise
    except RuntimeError as failure:
        return f"the kernels failed when they were tried out: {failure}"
    if error < tolerance:
        return ""
    return (
        f"the kernels gave wrong numbers when they were tried out: a relative error of "
        f"{error:.1e}, and {tolerance:.0e} is the most"
    )


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Compute as if nothing stood around the first use: no inference mode, no autocast."""
    with (
        torch.inference_mode(False),
        torch.autocast("cpu", enabled=False),
        torch.autocast("cuda", enabled=False),
    ):
        yield


def _largest_error(computed: Iterable[Tensor], expected: Iterable[Tensor]) -> float:
    """The largest of the tensors' relative errors; infinite where one is NaN."""
    errors = [
        ((c.cpu().double() - e).norm() / e.norm()).item()
        for c, e in zip(computed, expected, strict=True)
    ]
    return max(error if error == error else float("inf") for error in errors)


# ------------------------------------------------------------------------------ convolutions


def _test_convolutions(device: torch.device, dtype: torch.dtype) -> str:
    capability = torch.cuda.get_device_capability(device)
    if capability < OLDEST:
        return f"its compute capability is {capability[0]}.{capability[1]}, below 8.0"
    processors = torch.cuda.get_device_properties(device).multi_processor_count
    # few sequences take the small tiles, one for each processor the large ones
    return _verdict(
        lambda: max(_block_error(device, dtype, batch) for batch in (2, processors)),
        TOLERANCES[math_of(dtype)],
    )


def _block_error(device: torch.device, dtype: torch.dtype, batch: int) -> float:
    """The largest relative error of a block's output and gradients; infinite where one is NaN."""
    tensors = [t.to(dtype) for t in _block(batch)]
    exact = [t.double() for t in tensors]
    on_device = [t.to(device) for t in tensors]
    with torch.enable_grad():
        leaves = [t.clone().requires_grad_() for t in exact[:-2]]
        arguments: list[Any] = [*leaves, *exact[-2:], _DILATION, _LEFT, _ACTIVATION]
        y = reference.dilation_block(*arguments)
        expected = [y.detach(), *torch.autograd.grad(y.sum(), leaves)]
    settings = (_DILATION, _LEFT, NUMBERS[_ACTIVATION])
    outputs = operators_block.block_forward(*on_device, *settings, True)
    gradients = operators_block.block_backward(
        torch.ones_like(outputs[0]), *on_device, *outputs, *settings, True, True
    )
    return _largest_error([outputs[0], *gradients], expected)


def _block(batch: int) -> list[Tensor]:
    """Random tensors of a small block, in the order of `reference.dilation_block`."""
    draw = torch.Generator().manual_seed(0)

    def normal(*shape: int, mean: float = 0.0) -> Tensor:
        return torch.randn(shape, generator=draw) + mean

    frames, c_in, hidden, out, width = 19, 5, 7, 6, 3
    return [
        normal(batch, frames, c_in),
        *(normal(hidden, c_in, width), normal(hidden, 1, 1, mean=2), normal(hidden)),
        *(normal(out, hidden, width), normal(out, 1, 1, mean=2), normal(out)),
        *(normal(out, c_in, 1), normal(out)),
        *(normal(batch, hidden).abs(), normal(batch, out).abs()),
    ]


# ------------------------------------------------------------------------------ losses


def _test_losses(device: torch.device, dtype: torch.dtype) -> str:
    return _verdict(
        lambda: max(loss_error(device, dtype, by_sequence) for by_sequence in (False, True)),
        LOSS_TOLERANCES[dtype],
    )


def loss_error(device: torch.device, dtype: torch.dtype, by_sequence: bool) -> float:
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
    expected = _expected_losses(head, error, grad.double(), by_sequence)
    computed = _computed_losses(_to(head, device), _to(error, device), grad.to(device), by_sequence)
    return _largest_error(computed, expected)


def _to(arguments: tuple[Any, ...], to: torch.device | torch.dtype) -> tuple[Any, ...]:
    """Tensors on another device; or those of floating point in another dtype."""
    if isinstance(to, torch.device):
        return tuple(a.to(to) if isinstance(a, Tensor) else a for a in arguments)
    return tuple(
        a.to(to) if isinstance(a, Tensor) and a.is_floating_point() else a for a in arguments
    )


def _expected_losses(
    head: tuple[Any, ...], error: tuple[Any, ...], grad: Tensor, by_sequence: bool
) -> list[Tensor]:
    with torch.enable_grad():
        head, error = _to(head, torch.float64), _to(error, torch.float64)
        leaves = [t.clone().requires_grad_() for t in (*head[:3], error[0])]
        arguments: list[Any] = [*leaves[:3], *head[3:], by_sequence]
        loss, agreement = reference.linear_cross_entropy(*arguments)
        arguments = [leaves[3], *error[1:], by_sequence]
        squared = reference.squared_error(*arguments)
        gradients = torch.autograd.grad((loss, squared), leaves, (grad, grad))
    return [loss.detach(), agreement, squared.detach(), *gradients]


def _computed_losses(
    head: tuple[Any, ...], error: tuple[Any, ...], grad: Tensor, by_sequence: bool
) -> list[Tensor]:
    x, weight = head[:2]
    loss, agreement, factor, targets, slopes = operators_losses.head_loss(*head, by_sequence)
    dx, dweight, dbias = operators_losses.head_loss_grad(
        grad, x, weight, targets, slopes, factor, head[9], by_sequence, True, True
    )
    squared, share = operators_losses.squared_error(*error, by_sequence)
    derivative = operators_losses.squared_error_grad(
        grad, *error[:3], share, *error[3:], by_sequence
    )
    return [loss, agreement, squared, dx, dweight, dbias, derivative]
