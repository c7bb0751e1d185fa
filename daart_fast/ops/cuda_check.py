"""Whether the CUDA kernels give the right numbers on a device: tried out once, before first use."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from daart_fast.ops import cuda, reference
from daart_fast.ops.cuda_trial import Trial, largest_error, verdict
from daart_fast.ops.library import ACTIVATIONS

#: relative errors that are not taken for wrong numbers, of float32, tf32, bfloat16 and float64
TOLERANCES = (1e-4, 3e-2, 1e-1, 1e-9)
OLDEST = (8, 0)  # compute capability
_DILATION, _LEFT, _ACTIVATION = 2, 2, "tanh"

_trial = Trial("convolutions")


def why_not(x: Tensor) -> str:
    """Why the kernels can't take x on its device, or an empty string.

    Before first use two small blocks are computed there and compared with `reference`.
    """
    return _trial.why_not(x, cuda.math_of(x.dtype), lambda: _try_out(x.device, x.dtype))


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
