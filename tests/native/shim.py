"""Compiles the CUDA kernels' own source for this processor (cuda/shim.h)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHIM = ROOT / "tests" / "native" / "cuda"
CUDA, PYTHON = ROOT / "csrc" / "cuda", ROOT / "csrc" / "python"
KERNELS = tuple(CUDA / f"{kind}.cu" for kind in ("bfloat16", "tf32", "float32", "float64"))
FLAGS = (
    *("-std=c++17", "-O1", "-Wall", "-Wextra", "-Wno-unknown-pragmas", "-fno-strict-aliasing"),
    *("-DDAART_FAST_SHIM", f"-I{SHIM}"),
)

needs_compiler = pytest.mark.skipif(
    not sys.platform.startswith("linux") or shutil.which("g++") is None,
    reason="it takes Linux and g++",
)


def run(*command: str | Path) -> str:
    """Run a command that must succeed; its output."""
    result = subprocess.run(
        [str(c) for c in command],
        capture_output=True,
        text=True,
        timeout=900,
        env=os.environ | {"ASAN_OPTIONS": "detect_stack_use_after_return=0:detect_leaks=0"},
    )
    assert result.returncode == 0, result.stdout[-8000:] + result.stderr[-8000:]
    return result.stdout


def build(result: Path, sources: Sequence[Path], flags: Sequence[str]) -> None:
    """Compile sources side by side, and link them."""
    objects = [result.parent / f"{source.name}.o" for source in sources]

    def compile_one(source: Path, to: Path) -> None:
        run("g++", *FLAGS, *flags, "-x", "c++", "-c", source, "-o", to)

    with ThreadPoolExecutor(max_workers=2) as pool:
        list(pool.map(compile_one, sources, objects))
    run("g++", *FLAGS, *flags, *objects, "-o", result)
