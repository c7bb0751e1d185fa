"""How operators hand their tensors to the native module's kernels.

The CPU's kernels get torch's number of threads. A CUDA device's are queued on the current stream,
in memory of torch's allocator, and nothing waits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from daart_fast.ops.native import cuda_precision, native

_BFLOAT16, _FLOAT64 = 2, 3


def addresses(tensors: Sequence[Tensor | None]) -> list[int]:
    """Where tensors lie; 0 where there is none, or none with elements."""
    return [0 if t is None else t.data_ptr() for t in tensors]


def contiguous(tensors: Sequence[Tensor | None]) -> list[Tensor | None]:
    """The tensors themselves where they are contiguous, copies that are otherwise."""
    return [None if t is None else t.contiguous() for t in tensors]


def on_cuda(x: Tensor) -> bool:
    """Whether x is a CUDA device's."""
    return x.is_cuda


def math_of(dtype: torch.dtype) -> int:
    """What CUDA kernels compute in: 0 float32, 1 tf32, 2 bfloat16, 3 float64."""
    if dtype == torch.float32:
        return int(cuda_precision() == "tf32")
    return _BFLOAT16 if dtype == torch.bfloat16 else _FLOAT64


def queue(x: Tensor) -> tuple[int, int, int]:
    """What CUDA kernels compute x in, its device, and the stream that work is queued on now."""
    return math_of(x.dtype), x.device.index, torch.cuda.current_stream(x.device).cuda_stream


def workspace(x: Tensor, n_bytes: int) -> Tensor:
    """Memory for the time of a call, on x's device."""
    return torch.empty(n_bytes, dtype=torch.uint8, device=x.device)


def launch(
    name: str, x: Tensor, tensors: Sequence[Tensor | None], sizes: Sequence[int], *rest: Any
) -> None:
    """Run the kernels ``name`` on x's device.

    Parameters
    ----------
    name
        Of a function of the native module; on a CUDA device ``cuda_<name>``, which may need
        workspace of ``cuda_<name>_bytes(sizes)``.
    x
        Of the device and dtype of the call.
    tensors
        Inputs and outputs. A tensor without elements counts as None.
    sizes, rest
        What the function takes besides.
    """
    assert native is not None
    is_double = x.dtype == torch.float64
    there = addresses(tensors)
    if not on_cuda(x):
        getattr(native, name)(is_double, there, sizes, *rest, torch.get_num_threads())
        return
    _, *device_and_stream = queue(x)
    arguments: list[Any] = [there]
    if (n_bytes := getattr(native, f"cuda_{name}_bytes", None)) is not None:
        space = workspace(x, n_bytes(sizes))
        arguments.append(space.data_ptr())
    getattr(native, f"cuda_{name}")(is_double, *device_and_stream, *arguments, sizes, *rest)
