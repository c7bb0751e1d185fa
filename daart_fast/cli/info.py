"""Print what runs here: versions, cores, GPU, kernels and why others don't, OpenMP runtimes."""

from __future__ import annotations

import argparse
import json
import os
import re
from pathlib import Path

HELP = "versions, and which kernels run here and why the others don't"
EXAMPLES = """
  daart-fast info
  daart-fast info --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def run(options: argparse.Namespace) -> None:
    import platform

    import numpy as np
    import torch

    from daart_fast import __version__, ops

    rows = {
        "daart_fast": __version__,
        "Python": f"{platform.python_version()}, {platform.platform()}",
        "numpy": np.__version__,
        "numba": _version("numba"),
        "pandas": _version("pandas"),
        "cores": f"{_cores()} of {os.cpu_count()} usable, {torch.get_num_threads()} threads",
        "GPU": _gpu(),
        "kernels": ops.report().splitlines(),
        "csv": _csv(),
        "OpenMP runtime": _openmp(),
    }
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        for name, value in rows.items():
            print(*(value if isinstance(value, list) else [f"{name}: {value}"]), sep="\n")


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
        return "unknown on this system"
    found = sorted(set(re.findall(r"/\S*/(lib[gi]?omp\S*|libomp\S*)", maps.read_text())))
    if not found:
        return "none"
    warning = "" if len(found) == 1 else " (more than one: they compete for the cores)"
    return ", ".join(found) + warning
