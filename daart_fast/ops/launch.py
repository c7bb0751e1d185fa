"""How operators hand their tensors to the native module's kernels.

The CPU's kernels get torch's number of threads. A CUDA device's are queued on the current stream,
in memory of torch's allocator, and nothing waits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from daart_fast.ops.native import cuda_precision, native

_BFLOAT16, _FLOAT64 = 2, 3


def address(tensor: Tensor | None) -> int:
    """Where a tensor lies; 0 where there is none, or a new one without elements."""
    return 0 if tensor is None else tensor.data_ptr()


def address_list(tensors: Iterable[Tensor | None]) -> list[int]:
    """The `address` of each."""
    return [0 if t is None else t.data_ptr() for t in tensors]


def addresses(**tensors: Tensor | None) -> dict[str, int]:
    """Where tensors lie, for one of the native module's structs."""
    return {name: 0 if t is None else t.data_ptr() for name, t in tensors.items()}


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


def cuda_call(x: Tensor) -> Any:
    """What CUDA kernels compute x in, its device, and the stream that work is queued on now."""
    assert native is not None
    stream = torch.cuda.current_stream(x.device).cuda_stream
    return native.CudaCall(math_of(x.dtype), x.device.index, stream, workspace=0)


def cpu_call(x: Tensor) -> Any:
    """What the CPU's kernels compute x in, and by how many threads."""
    assert native is not None
    return native.CpuCall(x.dtype == torch.float64, torch.get_num_threads())


def launch(name: str, x: Tensor, sizes: Any, *arguments: Any) -> None:
    """Run the kernels ``name`` on x's device.

    Parameters
    ----------
    name
        Of a function of the native module; on a CUDA device of ``cuda_<name>``, which may need as
        much workspace as ``cuda_<name>_bytes`` says.
    x
        Of the device and dtype of the call.
    sizes, arguments
        What the function takes.
    """
    if not on_cuda(x):
        getattr(native, name)(cpu_call(x), sizes, *arguments)
        return
    call = cuda_call(x)
    if (bytes_of := getattr(native, f"cuda_{name}_bytes", None)) is not None:
        workspace = torch.empty(bytes_of(call, sizes), dtype=torch.uint8, device=x.device)
        call = call._replace(workspace=workspace.data_ptr())
    getattr(native, f"cuda_{name}")(call, sizes, *arguments)
