"""The native module: whether it can be loaded, why not, and what it computes in."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

import torch

from daart_fast.activations import ACTIVATIONS

METHODS = ("auto", "direct", "filtered")
DTYPES = (torch.float32, torch.float64)
CUDA_DTYPES = (torch.float32, torch.bfloat16, torch.float64)


def _load() -> tuple[ModuleType | None, str]:
    """Import the native module (after torch: they share its OpenMP runtime), or say why not."""
    try:
        from daart_fast import _native
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) or "cannot import name" in str(error):
            return None, "daart_fast._native was not built"
        return None, f"daart_fast._native cannot be loaded: {error}"
    return _native, ""


if TYPE_CHECKING:  # as daart_fast/_native.pyi describes it
    from daart_fast import _native as native

    why_no_native = ""
else:
    native, why_no_native = _load()

#: The activations by number, as the kernels know them (csrc/activations.h); whether the derivative
#: is a function of the output, else backward gets what the activation was applied to.
NAMES = tuple(native.activations if native is not None else ACTIVATIONS)
NUMBERS = {name: number for number, name in enumerate(NAMES)}
OF_OUTPUT = tuple(native.activations.values() if native is not None else ())


def has_cuda() -> bool:
    """Whether the native module was built with CUDA kernels."""
    return native is not None and hasattr(native, "cuda_version")


def why_no_cuda() -> str:
    """Why no CUDA kernel can run here, or an empty string."""
    if native is None:
        return why_no_native
    if not has_cuda():
        return "the native module was built without CUDA"
    return "" if torch.cuda.is_available() else "torch sees no CUDA device"


def cuda_precision() -> str:
    """``tf32`` or ``ieee``: how float32 convolutions multiply on a CUDA device, as torch is set."""
    backends = torch.backends
    for level in (getattr(backends.cudnn, "conv", backends), backends.cudnn, backends):
        precision: str = level.fp32_precision
        if precision != "none":
            return precision
    return "ieee"
