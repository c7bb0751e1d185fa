"""Tell what runs here: versions, kernels and why not others, cores, GPU, OpenMP runtimes."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path

HELP = "versions, and which kernels run here and why the others don't"
EXAMPLES = """
  daart-fast info
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing to ask."""


def run(options: argparse.Namespace) -> None:
    import platform

    import numpy as np
    import torch

    from daart_fast import __version__, ops

    print(f"daart_fast {__version__}, Python {platform.python_version()}, {platform.platform()}")
    print(f"numpy {np.__version__}, numba {_version('numba')}, pandas {_version('pandas')}")
    print(f"cores: {_cores()} of {os.cpu_count()} usable, {torch.get_num_threads()} threads")
    print(f"GPU: {_gpu()}")
    print(ops.report())
    print(f"csv: {_csv()}")
    print(f"OpenMP runtime: {_openmp()}")


def _version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _csv() -> str:
    from importlib.util import find_spec

    if find_spec("daart_fast._text") is None:
        return "read by the cell, which is slow: daart_fast._text was not built"
    return "scanned natively"


def _cores() -> int:
    usable = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
    return len(usable(0)) if usable else os.cpu_count() or 1


def _gpu() -> str:
    import torch

    if not torch.cuda.is_available():
        return "none that torch can use"
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return f"{', '.join(names)} (CUDA {torch.version.cuda})"


def _openmp() -> str:
    """Name the OpenMP libraries in this process; two of them would fight over the cores."""
    maps = Path("/proc/self/maps")
    if not maps.exists():
        return "this system does not tell"
    found = sorted(set(re.findall(r"/\S*/(lib[gi]?omp\S*|libomp\S*)", maps.read_text())))
    if not found:
        return "none"
    warning = "" if len(found) == 1 else " (more than one: they compete for the cores)"
    return ", ".join(found) + warning
