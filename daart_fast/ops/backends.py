"""Which backend runs: a table, best first, each with the reason when it refuses a call.

Environment variables, read once at import:

``DAART_FAST_BACKEND``  ``cuda``, ``native`` or ``torch``: only this one (an error if it can't run)
``DAART_FAST_ISA``      ``avx512``, ``avx2``, ``neon`` or ``generic``: instruction set
``DAART_FAST_CONV``     ``auto``, ``direct`` or ``filtered``: how the native module convolves
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd import forward_ad

from daart_fast.errors import ConfigError, did_you_mean
from daart_fast.ops import cuda_check
from daart_fast.ops.native import (
    CUDA_DTYPES,
    DTYPES,
    METHODS,
    cuda_precision,
    has_cuda,
    native,
    why_no_cuda,
    why_no_native,
)

_log = logging.getLogger(__name__)


class Call(NamedTuple):
    """What is to be computed, as far as a backend may refuse it.

    Parameters
    ----------
    x
        (B, T, C): what is convolved, or scored, or what a head makes its scores of.
    operation
        ``"convolutions"`` or ``"losses"``.
    frames
        T with all padding.
    weights
        (C_out, C_in, K) each, applied one after the other.
    n_classes
        Of the head.
    """

    x: Tensor
    operation: str = "convolutions"
    frames: int = 0
    weights: tuple[Tensor, ...] = ()
    n_classes: int = 1


def _cuda_refusal(call: Call) -> str:
    if not has_cuda():
        return why_no_cuda()
    if call.operation == "losses":
        return (
            _dtype_refusal(call, DTYPES)
            or _loss_size_refusal(call)
            or cuda_check.loss_refusal(call.x)
        )
    refusal = _dtype_refusal(call, CUDA_DTYPES)
    if not refusal and not torch.compiler.is_compiling():
        refusal = cuda_check.convolution_refusal(call.x)
    return refusal or _size_refusal(call)


def _native_refusal(call: Call) -> str:
    return why_no_native or _dtype_refusal(call, DTYPES)


def _dtype_refusal(call: Call, dtypes: tuple[torch.dtype, ...]) -> str:
    if call.x.dtype in dtypes:
        return ""
    *names, last = (str(dtype).removeprefix("torch.") for dtype in dtypes)
    return f"it computes in {', '.join(names)} and {last}, and the tensor is {call.x.dtype}"


def _size_refusal(call: Call) -> str:
    """Whether an index of the convolutions' kernels would not fit their 32 bits, in words."""
    x, weights = call.x, call.weights
    rows = max(x.shape[0], 1) * call.frames
    sizes = [w.numel() for w in weights] + [rows * max(w.shape[:2]) for w in weights]
    if not weights or max(*sizes, x.shape[0] * abs(x.stride(0))) < 2**31:
        return ""
    return "the kernels take tensors below 2^31 elements, padding included"


def _loss_size_refusal(call: Call) -> str:
    assert native is not None
    if call.n_classes > native.cuda_most_classes:
        return f"the kernels take up to {native.cuda_most_classes} classes"
    b, t, c = call.x.shape
    if (b + 1) * (t + 1) * max(c, call.n_classes) >= 2**31:
        return "the kernels take tensors below 2^31 elements"
    return ""


@dataclass(frozen=True)
class Backend:
    """Kernels: their name, the device of their tensors, and why they refuse a call (or ``""``)."""

    name: str
    device: str
    refusal: Callable[[Call], str]


#: Best first. What all of them refuse, PyTorch computes.
BACKENDS = (Backend("cuda", "cuda", _cuda_refusal), Backend("native", "cpu", _native_refusal))
NAMES = (*(backend.name for backend in BACKENDS), "torch")

_forced_backend: str | None = None
#: What was refused on its own device, by backend, operation and reason.
_refusals: set[tuple[str, str, str]] = set()


def choose(call: Call) -> str:
    """Return the name of the first backend that takes a call.

    Raises
    ------
    ConfigError
        x is on a CUDA device and ``DAART_FAST_BACKEND`` is ``cuda``, but the kernels of a
        convolution can't run.
    """
    if _transformed():
        return "torch"
    device = call.x.device.type
    for backend in BACKENDS:
        if backend.device != device or _forced_backend not in (None, backend.name):
            continue
        refusal = backend.refusal(call)
        if not refusal:
            return backend.name
        if not torch.compiler.is_compiling():
            _note_refusal(backend.name, call.operation, refusal)
    return "torch"


def _note_refusal(backend: str, operation: str, refusal: str) -> None:
    if backend == _forced_backend == "cuda":
        raise ConfigError(f"DAART_FAST_BACKEND is 'cuda', but {refusal}")
    if (backend, operation, refusal) not in _refusals:
        _refusals.add((backend, operation, refusal))
        _log.info("%s does not compute some %s: %s", backend, operation, refusal)


def _transformed() -> bool:
    """Whether derivatives are taken forward, or by torch.func: PyTorch's operations know how.

    There is no public way to ask. What is compiled is traced as it is outside of them.
    """
    if torch.compiler.is_compiling():
        return False
    functional = getattr(torch._C, "_are_functorch_transforms_active", bool)
    return forward_ad._current_level >= 0 or functional()


def runs_native(x: Tensor) -> bool:
    """Whether the native module's CPU kernels take a call with this tensor."""
    return choose(Call(x)) == "native"


def _choice(variable: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        expected = ", ".join(choices)
        raise ConfigError(
            f"{variable} is {value!r}{did_you_mean(value, choices)}; it can be {expected}"
        )
    return value


def _use(backend: str | None, isa: str | None, conv: str | None) -> None:
    """Set what is not None. ``""`` stands for the default of each."""
    global _forced_backend
    if backend is not None:
        if backend:
            _choice("DAART_FAST_BACKEND", backend, NAMES)
        if backend == "native" and native is None:
            raise ConfigError(f"DAART_FAST_BACKEND is 'native', but {why_no_native}")
        if backend == "cuda" and why_no_cuda():
            raise ConfigError(f"DAART_FAST_BACKEND is 'cuda', but {why_no_cuda()}")
        _forced_backend = backend or None
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
        raise ConfigError(f"DAART_FAST_ISA is {isa!r}, but {why_no_native}")


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
        _forced_backend or "",
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
    native_runs = runs_native(torch.empty(0))
    if native_runs:
        lines.append("native: runs")
    elif native is None:
        lines.append(f"native: cannot run: {why_no_native}")
    else:
        lines.append(f"native: not used: DAART_FAST_BACKEND is {_forced_backend!r}")
    lines.append(f"torch: {'not used where native can run' if native_runs else 'runs'}")
    if native is not None:
        sets = ", ".join(native.isas())
        lines.append(f"instruction set: {native.isa()} (of {sets}; DAART_FAST_ISA)")
        lines.append(
            f"convolutions: {METHODS[native.method()]} (of auto, direct, filtered; DAART_FAST_CONV)"
        )
        threads = "OpenMP, torch's threads" if native.openmp else "built without OpenMP: one thread"
        lines.append(f"threads: {threads}")
    return "\n".join([*lines, *_cuda_report()])


def _cuda_report() -> list[str]:
    if native is None or not has_cuda():
        return ["cuda: not built"]
    why = why_no_cuda()
    if why:
        return [f"cuda: cannot run: {why}"]
    if _forced_backend not in (None, "cuda"):
        return [f"cuda: not used: DAART_FAST_BACKEND is {_forced_backend!r}"]
    why = _cuda_refusal(Call(torch.empty(0, device="cuda")))
    lines = [
        f"cuda: {'cannot run: ' + why if why else 'runs'} (nvcc {native.cuda_version}, for "
        f"{native.cuda_architectures}; float32 convolutions in {cuda_precision()})"
    ]
    return lines + [
        f"cuda, some {operation} through torch: {refusal}"
        for backend, operation, refusal in sorted(_refusals)
        if backend == "cuda"
    ]


def _warn_in_checkout() -> None:
    root = Path(__file__).resolve().parents[2]
    if native is None and _forced_backend != "torch" and (root / "CMakeLists.txt").exists():
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
