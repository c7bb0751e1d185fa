"""Trying kernels out on a device before their first use: verdicts that are found once."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Hashable, Iterable

import torch
from torch import Tensor


class Trial:
    """What is wrong with some kernels, by device and kind of numbers; each found once.

    Parameters
    ----------
    of
        What the kernels compute, as the warning says it: ``"losses"``.
    """

    def __init__(self, of: str) -> None:
        self.of = of
        self._found: dict[Hashable, str] = {}
        self._lock = threading.Lock()

    def why_not(self, x: Tensor, kind: Hashable, attempt: Callable[[], str]) -> str:
        """Why the kernels can't take x, or an empty string.

        The first call for a device and a kind of numbers makes the attempt; where that finds
        something, it warns and the answer stays. While a CUDA graph is captured, or a model
        compiled, nothing is tried: the answer is yes, until the next call.
        """
        key = (x.device.index, kind)
        if key in self._found:
            return self._found[key]
        if torch.compiler.is_compiling() or torch.cuda.is_current_stream_capturing():
            return ""
        with self._lock:
            if key not in self._found:
                self._found[key] = why = attempt()
                if why:
                    warnings.warn(
                        f"{self.of} in {x.dtype} on {x.device} go through PyTorch: {why}",
                        RuntimeWarning,
                        stacklevel=3,
                    )
        return self._found[key]


def verdict(error_of: Callable[[], float], tolerance: float) -> str:
    """What is wrong with kernels of which ``error_of`` finds the relative error; or nothing."""
    try:
        error = error_of()
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
