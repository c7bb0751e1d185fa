"""What benchmarks on a GPU need: its name and limits, timing by CUDA events, counts of launches."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.machine import Row, describe
from daart_fast import ops

Side = Callable[[], object]
#: What the CUDA runtime and driver call to start something on the device.
LAUNCHES = (
    *("cudaLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernel", "cuLaunchKernelEx"),
    *("cudaMemcpyAsync", "cudaMemsetAsync", "cudaGraphLaunch"),
)


def about(device: torch.device) -> Row:
    """The GPU and the software, for the head of a table."""
    card = torch.cuda.get_device_properties(device)
    return {
        **describe(),
        "GPU": f"{card.name}, sm_{card.major}{card.minor}, {card.multi_processor_count} "
        f"multiprocessors, {card.total_memory / 2**30:.0f} GiB",
        "CUDA": torch.version.cuda,
        "cuDNN": torch.backends.cudnn.version(),
        "kernels": "; ".join(line for line in ops.report().splitlines() if "cuda" in line),
    }


@contextmanager
def convolutions_in(kind: str) -> Iterator[None]:
    """Convolve in ``"tf32"``, PyTorch's default, or in float32 proper (``"ieee"``)."""
    settings = torch.backends.cudnn.conv
    before = settings.fp32_precision
    settings.fp32_precision = kind
    try:
        yield
    finally:
        settings.fp32_precision = before


def elapsed(side: Side, n: int) -> float:
    """Seconds that n calls take, from when the device begins to when it ends."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    for _ in range(n):
        side()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / 1e3


def medians(sides: Sequence[Side], seconds: float) -> list[float]:
    """Seconds a call of each side takes: medians over rounds in which the sides take turns.

    A round calls a side as often as fills 20 ms, and waits for the device at its end alone.
    """
    calls = []
    for side in sides:
        elapsed(side, 5)
        calls.append(max(1, round(20e-3 / (elapsed(side, 5) / 5))))
    times: list[list[float]] = [[] for _ in sides]
    stop = time.perf_counter() + seconds
    while time.perf_counter() < stop or len(times[0]) < 5:
        for side, n, seen in zip(sides, calls, times, strict=True):
            seen.append(elapsed(side, n) / n)
    return [statistics.median(seen) for seen in times]


def launches(side: Side, n: int = 5) -> tuple[float, float]:
    """What a call starts: calls of the host, and kernels on the device."""
    from torch.profiler import ProfilerActivity, profile

    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
        for _ in range(n):
            side()
        torch.cuda.synchronize()
    events = seen.events()
    on_device = [event for event in events if event.device_type == torch.autograd.DeviceType.CUDA]
    return sum(event.name in LAUNCHES for event in events) / n, len(on_device) / n


@dataclass(frozen=True)
class Limits:
    """What the device can do, measured: bytes and multiply-adds a second."""

    bytes: float
    multiply_adds: dict[str, float]

    def floor(self, n_bytes: float, multiply_adds: float, kind: str) -> float:
        """Seconds below which no program for these bytes and operations can come."""
        return max(n_bytes / self.bytes, multiply_adds / self.multiply_adds[kind])


def limits(device: torch.device) -> Limits:
    """Measure copies of 1 GiB, and products of square matrices in TF32 and in float32 proper."""
    source = torch.empty(2**28, device=device)
    target = torch.empty_like(source)
    copy = min(elapsed(lambda: target.copy_(source), 10) / 10 for _ in range(3))
    n = 8192
    a, b = (torch.randn(n, n, device=device) for _ in range(2))
    products: dict[str, float] = {}
    settings = torch.backends.cuda.matmul
    before = settings.fp32_precision
    for kind in ("tf32", "ieee"):
        settings.fp32_precision = kind
        products[kind] = n**3 / min(elapsed(lambda: a @ b, 5) / 5 for _ in range(3))
    settings.fp32_precision = before
    return Limits(2 * source.nbytes / copy, products)


def relative_error(found: Tensor, expected: Tensor) -> float:
    """The norm of the difference over the norm of what is right, both taken in float64."""
    expected = expected.double().cpu()
    return ((found.double().cpu() - expected).norm() / expected.norm()).item()
