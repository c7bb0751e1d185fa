"""Which backend runs: an ordered table, best first, each with the reason when it says no.

Environment variables, read once at import:

``DAART_FAST_BACKEND``  ``native`` or ``torch``: only this one (native where it can't run: an error)
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

from daart_fast.errors import ConfigError, did_you_mean

METHODS = ("auto", "direct", "filtered")
DTYPES = (torch.float32, torch.float64)


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


BACKENDS = (Backend("native", _native_can_run), Backend("torch", lambda x: ""))
_only: str | None = None


def runs_native(x: Tensor) -> bool:
    """Whether the native module takes a call with this tensor."""
    for backend in BACKENDS:
        if _only in (None, backend.name) and not backend.why_not(x):
            return backend.name == "native"
    return False


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
    chosen = next(b.name for b in BACKENDS if _only in (None, b.name) and not b.why_not(example))
    for backend in BACKENDS:
        why = backend.why_not(example)
        if backend.name == chosen:
            why = "runs"
        elif not why:
            why = (
                f"not used: DAART_FAST_BACKEND is {_only!r}"
                if _only
                else f"not used where {chosen} can run"
            )
        else:
            why = f"cannot run: {why}"
        lines.append(f"{backend.name}: {why}")
    if native is not None:
        sets = ", ".join(native.isas())
        lines.append(f"instruction set: {native.isa()} (of {sets}; DAART_FAST_ISA)")
        lines.append(
            f"convolutions: {METHODS[native.method()]} (of auto, direct, filtered; DAART_FAST_CONV)"
        )
        threads = "OpenMP, torch's threads" if native.openmp else "built without OpenMP: one thread"
        lines.append(f"threads: {threads}")
    lines.append("cuda: not built")
    return "\n".join(lines)


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
