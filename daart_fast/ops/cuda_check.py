"""Whether the CUDA kernels give the right numbers on a device: tried out once, before first use."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from daart_fast.ops import cuda, reference
from daart_fast.ops.library import ACTIVATIONS

#: relative errors that are not taken for wrong numbers, of float32, tf32, bfloat16 and float64
TOLERANCES = (1e-4, 3e-2, 1e-1, 1e-9)
OLDEST = (8, 0)  # compute capability
_DILATION, _LEFT, _ACTIVATION = 2, 2, "tanh"

_found: dict[tuple[int, int], str] = {}
_lock = threading.Lock()


def why_not(x: Tensor) -> str:
    """Why the kernels can't take x on its device, or an empty string.

    The first call for a device and a kind of numbers computes two small blocks there and compares
    them with `reference`; where they differ, or the attempt fails, it warns and the answer stays
    no. While a CUDA graph is captured nothing is tried: the answer is yes, until the next call.
    """
    key = (x.device.index, cuda.math_of(x.dtype))
    if key in _found:
        return _found[key]
    if torch.cuda.is_current_stream_capturing():
        return ""
    with _lock:
        if key not in _found:
            _found[key] = why = _try_out(x.device, x.dtype)
            if why:
                warnings.warn(
                    f"convolutions in {x.dtype} on {x.device} go through PyTorch: {why}",
                    RuntimeWarning,
                    stacklevel=2,
                )
    return _found[key]


def _try_out(device: torch.device, dtype: torch.dtype) -> str:
    capability = torch.cuda.get_device_capability(device)
    if capability < OLDEST:
        return f"its compute capability is {capability[0]}.{capability[1]}, below 8.0"
    processors = torch.cuda.get_device_properties(device).multi_processor_count
    # few sequences take the small tiles, one for each processor the large ones
    return verdict(
        lambda: max(_error(device, dtype, batch) for batch in (2, processors)),
        TOLERANCES[cuda.math_of(dtype)],
    )


def verdict(attempt: Callable[[], float], tolerance: float) -> str:
    """What is wrong with kernels of which ``attempt`` finds the relative error; or nothing."""
    try:
        error = attempt()
    except RuntimeError as failure:
        return f"the kernels failed when they were tried out: {failure}"
    if error < tolerance:
        return ""
    return (
        f"the kernels gave wrong numbers when they were tried out: a relative error of "
        f"{error:.1e}, and {tolerance:.0e} is the most"
    )


def largest_error(found: Iterable[Tensor], right: Iterable[Tensor]) -> float:
    """The largest of the tensors' relative errors; infinite where one is NaN."""
    errors = [
        ((f.cpu().double() - r).norm() / r.norm()).item() for f, r in zip(found, right, strict=True)
    ]
    return max(error if error == error else float("inf") for error in errors)


def _error(device: torch.device, dtype: torch.dtype, batch: int) -> float:
    """The largest relative error of a block's output and gradients; infinite where one is NaN."""
    tensors = [t.to(dtype) for t in _block(batch)]
    exact = [t.double() for t in tensors]
    there = [t.to(device) for t in tensors]
    with torch.inference_mode(False), torch.enable_grad():
        leaves = [t.clone().requires_grad_() for t in exact[:-2]]
        arguments: list[Any] = [*leaves, *exact[-2:], _DILATION, _LEFT, _ACTIVATION]
        y = reference.dilation_block(*arguments)
        expected = [y.detach(), *torch.autograd.grad(y.sum(), leaves)]
    settings = (_DILATION, _LEFT, ACTIVATIONS.index(_ACTIVATION))
    kept = cuda.block_forward(*there, *settings, True)
    gradients = cuda.block_backward(torch.ones_like(kept[0]), *there, *kept, *settings, True, True)
    return largest_error([kept[0], *gradients], expected)


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
