"""What every benchmark needs: the machine and its FMA peak, fair timing, a table, a JSON file."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from daart_fast import ops
from daart_fast.ops.native import native

Row = dict[str, Any]


def processor() -> str:
    """The processor's name, and how many of its cores this process may use."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    return name


def describe() -> Row:
    """The machine and the software, for the head of a table."""
    return {
        "processor": processor(),
        "torch": torch.__version__,
        "instruction set": native.isa() if native is not None else "none: PyTorch alone",
        "compiler": native.compiler if native is not None else "",
    }


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Run a block of code with n of torch's threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


_peaks: dict[tuple[str, int], float] = {}


def fma_peak(n_threads: int) -> float:
    """Multiply-adds per second of the instruction set in use, the best seen in this run so far."""
    if native is None or not hasattr(native, "fma_rate"):
        raise SystemExit(
            "the FMA peak needs the native module, built beside the sources or installed with "
            "DAART_FAST_BENCHMARKS=1 in the environment"
        )
    key = (native.isa(), n_threads)
    _peaks[key] = max(_peaks.get(key, 0.0), native.fma_rate(n_threads, 0.03))
    return _peaks[key]


def round_trip(n_threads: int) -> float | None:
    """Nanoseconds that a word takes from one core to another and back; None for one thread.

    Some 60 where cores share a cache, and 300 or more where they do not: small operations on two
    threads are then half as fast. A virtual machine's cores may change from one to the other.
    """
    if n_threads == 1 or not hasattr(native, "round_trip"):
        return None
    return 1e9 * native.round_trip()


def medians(sides: Sequence[Callable[[], Any]], seconds: float) -> list[float]:
    """Seconds a call of each side takes: medians over calls, in rounds in which sides take turns.

    A turn's calls fill ten milliseconds, after uncounted ones that fill twenty: a side should find
    its own data and code in the caches, as in a training loop, and not the other's (after PyTorch's
    turn, a block of 2.2 ms takes 3.0, 2.5, 2.4, 2.3 ms and so on). Rounds go on for ``seconds``, at
    least five. Calls are timed in groups that fill 50 microseconds, so that the clock's grain does
    not show.
    """
    groups, sizes, warm_ups = [], [], []
    for side in sides:
        side()
        start = time.perf_counter()
        side()
        took = time.perf_counter() - start
        sizes.append(max(1, round(50e-6 / took)))
        groups.append(max(1, round(10e-3 / took / sizes[-1])))
        warm_ups.append(max(1, round(20e-3 / took)))
    times: list[list[float]] = [[] for _ in sides]
    end = time.perf_counter() + seconds
    rounds = 0
    while time.perf_counter() < end or rounds < 5:
        rounds += 1
        for side, n, size, warm_up, seen in zip(sides, groups, sizes, warm_ups, times, strict=True):
            for _ in range(warm_up):
                side()
            for _ in range(n):
                start = time.perf_counter()
                for _ in range(size):
                    side()
                seen.append((time.perf_counter() - start) / size)
    return [statistics.median(seen) for seen in times]


def can_compile() -> bool:
    """Whether torch.compile finds a C++ compiler here."""
    return shutil.which(os.environ.get("CXX", "g++")) is not None


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function under torch.compile, for the number of threads as it is now."""
    torch.compiler.reset()
    return torch.compile(function, dynamic=False)


def arguments(description: str | None) -> argparse.ArgumentParser:
    """The options that all kernel benchmarks share."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], metavar="N")
    parser.add_argument("--seconds", type=float, default=0.4, help="for each line of the table")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    return parser


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if isinstance(value, float) else str(value)


class Table:
    """Rows printed as they come, and written to a JSON file: with a path here, after each row."""

    def __init__(
        self, columns: dict[str, int], about: Row | None = None, path: Path | None = None
    ) -> None:
        self.columns, self.path = columns, path
        self.rows: list[Row] = []
        self.about = describe() if about is None else about
        for name, value in self.about.items():
            print(f"{name}: {value}")
        if about is None:
            print(ops.report().splitlines()[-3 if native is not None else -1])

    def head(self, title: str, columns: dict[str, int] | None = None) -> None:
        """Print the names of the columns, which may be others from here on."""
        self.columns = columns or self.columns
        print(f"\n{title}")
        print("  ".join(name.rjust(width) for name, width in self.columns.items()))

    def add(self, row: Row) -> None:
        self.rows.append(row)
        cells = (_cell(row.get(name)).rjust(width) for name, width in self.columns.items())
        print("  ".join(cells), flush=True)
        if self.path is not None:
            self._write(self.path, [])

    def _write(self, path: Path, peaks: list[Row]) -> None:
        result = {"machine": self.about, "peaks": peaks, "rows": self.rows}
        path.write_text(json.dumps(result, indent=1) + "\n")

    def finish(self, path: Path | None) -> None:
        """Print the peaks and what fell short of its bar; write the JSON file."""
        peaks = [
            {"instruction set": isa, "threads": n, "gflops": round(2e-9 * rate, 1)}
            for (isa, n), rate in _peaks.items()
        ]
        if peaks:
            print("\nFMA peak measured in this run, GFLOP/s, float32:")
        for peak in peaks:
            print(f"  {peak['instruction set']}, threads {peak['threads']}: {peak['gflops']}")
        with_bar = [row for row in self.rows if row.get("bar") is not None]
        short = [row for row in with_bar if row["value"] < row["bar"]]
        print(f"{len(with_bar) - len(short)} of {len(with_bar)} lines reach their bar")
        if path is not None:
            self._write(path, peaks)
