"""Which backend runs: an ordered table, best first, each with the reason when it says no.

Environment variables, read once at import:

``DAART_FAST_BACKEND``  ``cuda``, ``native`` or ``torch``: only this one (an error if it can't run)
``DAART_FAST_ISA``      ``avx512``, ``avx2`` or ``generic``: the native module's instruction set
``DAART_FAST_CONV``     ``auto``, ``direct`` or ``filtered``: how the native module convolves
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor
from torch.autograd import forward_ad

from daart_fast.errors import ConfigError, did_you_mean

METHODS = ("auto", "direct", "filtered")
DTYPES = (torch.float32, torch.float64)
CUDA_DTYPES = (torch.float32, torch.bfloat16, torch.float64)


def _load() -> tuple[ModuleType | None, str]:
    """Import the native module (after torch: they share its OpenMP runtime), or say why not."""
    try:
        from daart_fast import _native  # type: ignore[attr-defined]
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) or "cannot import name" in str(error):
            return None, "daart_fast._native was not built"
        return None, f"daart_fast._native cannot be loaded: {error}"
    return _native, ""


native, _why_no_native = _load()

# Why calls on CUDA tensors went through PyTorch.
_cuda_refusals: set[str] = set()


def _why_no_cuda() -> str:
    if native is None:
        return _why_no_native
    if not hasattr(native, "cuda_version"):
        return "the native module was built without CUDA"
    return "" if torch.cuda.is_available() else "torch sees no CUDA device"


def _cuda_can_run(x: Tensor) -> str:
    if not x.is_cuda:
        return "it runs on cuda, and the tensor is elsewhere"
    if native is None or not hasattr(native, "cuda_version"):
        return _why_no_cuda()
    if x.dtype not in CUDA_DTYPES:
        return f"it computes in float32, bfloat16 and float64, and the tensor is {x.dtype}"
    if torch.compiler.is_compiling():
        return ""
    from daart_fast.ops import cuda_check

    return cuda_check.why_not(x)


def _native_can_run(x: Tensor) -> str:
    if native is None:
        return _why_no_native
    if x.device.type != "cpu":
        return f"it runs on cpu, and the tensor is on {x.device.type}"
    if x.dtype not in DTYPES:
        return f"it computes in float32 and float64, and the tensor is {x.dtype}"
    return ""


@dataclass(frozen=True)
class Backend:
    """A name, and why it can't take a tensor (an empty string if it can)."""

    name: str
    why_not: Callable[[Tensor], str]


BACKENDS = (
    Backend("cuda", _cuda_can_run),
    Backend("native", _native_can_run),
    Backend("torch", lambda x: ""),
)
_only: str | None = None


def runs_native(x: Tensor) -> bool:
    """Whether the native module's CPU kernels take a call with this tensor."""
    return _only in (None, "native") and not _native_can_run(x) and not _transformed()


def _transformed() -> bool:
    """Whether derivatives are taken forward, or by torch.func: PyTorch's operations know how.

    There is no public way to ask. What is compiled is traced as it is outside of them.
    """
    if torch.compiler.is_compiling():
        return False
    functional = getattr(torch._C, "_are_functorch_transforms_active", bool)
    return forward_ad._current_level >= 0 or functional()


def runs_convolution(x: Tensor, frames: int, *weights: Tensor) -> bool:
    """Whether compiled kernels, on the CPU or a CUDA device, convolve x with these weights.

    Parameters
    ----------
    x
        (B, T, C).
    frames
        T with all padding.
    weights
        (C_out, C_in, K) each, applied one after the other.

    Raises
    ------
    ConfigError
        x is on a CUDA device and ``DAART_FAST_BACKEND`` is ``cuda``, but the kernels can't run.
    """
    if not x.is_cuda:
        return runs_native(x)
    if _only not in (None, "cuda"):
        return False
    if _transformed():
        return False
    why = _cuda_can_run(x) or _too_large(x, frames, weights)
    if why and _only == "cuda":
        raise ConfigError(f"DAART_FAST_BACKEND is 'cuda', but {why}")
    if why:
        _cuda_refusals.add(why)
    return not why


def runs_losses(x: Tensor, n_classes: int = 1) -> bool:
    """Whether compiled kernels, on the CPU or a CUDA device, compute losses of x (B, T, C).

    Parameters
    ----------
    x
        What is scored, or what a head of ``n_classes`` makes its scores of.
    """
    if not x.is_cuda:
        return runs_native(x)
    if _only not in (None, "cuda") or x.dtype not in DTYPES or _transformed():
        return False
    why = _why_no_cuda()
    if not why:
        from daart_fast.ops import cuda_loss_check

        why = cuda_loss_check.why_not(x, n_classes)
    if why:
        _cuda_refusals.add(f"losses: {why}")
    return not why


def _too_large(x: Tensor, frames: int, weights: tuple[Tensor, ...]) -> str:
    """Whether an index of the kernels' would not fit their 32 bits, in words."""
    rows = max(x.shape[0], 1) * frames
    sizes = (rows * max(max(w.shape[:2]) for w in weights), *(w.numel() for w in weights))
    if max(*sizes, x.shape[0] * abs(x.stride(0))) < 2**31:
        return ""
    return "the kernels take tensors below 2^31 elements, padding included"


def _choice(variable: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        expected = ", ".join(choices)
        raise ConfigError(
            f"{variable} is {value!r}{did_you_mean(value, choices)}; it can be {expected}"
        )
    return value


def _use(backend: str | None, isa: str | None, conv: str | None) -> None:
    """Set what is not None. ``""`` stands for the default of each."""
    global _only
    if backend is not None:
        if backend:
            _choice("DAART_FAST_BACKEND", backend, tuple(b.name for b in BACKENDS))
        if backend == "native" and native is None:
            raise ConfigError(f"DAART_FAST_BACKEND is 'native', but {_why_no_native}")
        if backend == "cuda" and _why_no_cuda():
            raise ConfigError(f"DAART_FAST_BACKEND is 'cuda', but {_why_no_cuda()}")
        _only = backend or None
    if conv is not None:
        number = METHODS.index(_choice("DAART_FAST_CONV", conv or "auto", METHODS))
        if native is not None:
            native.set_method(number)
    if isa is None:
        return
    if native is not None:
        try:
            native.set_isa(isa)
        except ValueError as error:
            raise ConfigError(f"DAART_FAST_ISA: {error}") from None
    elif isa:
        raise ConfigError(f"DAART_FAST_ISA is {isa!r}, but {_why_no_native}")


@contextmanager
def forced(
    backend: str | None = None, isa: str | None = None, conv: str | None = None
) -> Iterator[None]:
    """Run a block of code under another backend, instruction set or convolution method.

    Parameters
    ----------
    backend, isa, conv
        What the environment variables ``DAART_FAST_BACKEND``, ``DAART_FAST_ISA`` and
        ``DAART_FAST_CONV`` can be; None leaves it as it is.

    Raises
    ------
    ConfigError
        Where this machine or this build has no such thing.

    Notes
    -----
    The setting is the whole process's, not the thread's.
    """
    before = (
        _only or "",
        native.isa() if native is not None else None,
        METHODS[native.method()] if native is not None else None,
    )
    try:
        _use(backend, isa, conv)
        yield
    finally:
        _use(*before)


def report() -> str:
    """Say in a few lines what runs, and why the rest doesn't."""
    lines = [f"torch {torch.__version__}, {torch.get_num_threads()} threads"]
    example = torch.empty(0)
    native_runs = runs_native(example)
    for backend in BACKENDS[1:]:
        why = backend.why_not(example)
        if (backend.name == "native") == native_runs:
            why = "runs"
        elif why:
            why = f"cannot run: {why}"
        else:
            why = (
                f"not used: DAART_FAST_BACKEND is {_only!r}"
                if _only
                else "not used where native can run"
            )
        lines.append(f"{backend.name}: {why}")
    if native is not None:
        sets = ", ".join(native.isas())
        lines.append(f"instruction set: {native.isa()} (of {sets}; DAART_FAST_ISA)")
        lines.append(
            f"convolutions: {METHODS[native.method()]} (of auto, direct, filtered; DAART_FAST_CONV)"
        )
        threads = "OpenMP, torch's threads" if native.openmp else "built without OpenMP: one thread"
        lines.append(f"threads: {threads}")
    lines += _cuda_report()
    return "\n".join(lines)


def _cuda_report() -> list[str]:
    if native is None or not hasattr(native, "cuda_version"):
        return ["cuda: not built"]
    why = _why_no_cuda()
    if why:
        return [f"cuda: cannot run: {why}"]
    if _only not in (None, "cuda"):
        return [f"cuda: not used: DAART_FAST_BACKEND is {_only!r}"]
    why = _cuda_can_run(torch.empty(0, device="cuda"))
    lines = [
        f"cuda: {'cannot run: ' + why if why else 'runs'} (nvcc {native.cuda_version}, for "
        f"{native.cuda_architectures}; float32 convolutions in {cuda_precision()})"
    ]
    return lines + [f"cuda, some calls through torch: {why}" for why in sorted(_cuda_refusals)]


def cuda_precision() -> str:
    """``tf32`` or ``ieee``: how float32 convolutions multiply on a CUDA device, as torch is set."""
    backends = torch.backends
    for level in (getattr(backends.cudnn, "conv", backends), backends.cudnn, backends):
        precision: str = level.fp32_precision
        if precision != "none":
            return precision
    return "ieee"


def _warn_in_checkout() -> None:
    root = Path(__file__).resolve().parents[2]
    if native is None and _only != "torch" and (root / "CMakeLists.txt").exists():
        warnings.warn(
            f"daart_fast runs from its source folder {root}, where the native module is not built "
            "(or not for this Python): convolutions go through PyTorch. Run the installed package "
            "from elsewhere, or build beside the sources: "
            "cmake -S . -B build && cmake --build build",
            RuntimeWarning,
            stacklevel=2,
        )


_use(
    os.environ.get("DAART_FAST_BACKEND", ""),
    os.environ.get("DAART_FAST_ISA", ""),
    os.environ.get("DAART_FAST_CONV", ""),
)
_warn_in_checkout()
