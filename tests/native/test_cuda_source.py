"""The CUDA kernels' own source, compiled for this processor, against plain loops."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHIM = ROOT / "tests" / "native" / "cuda"
FLAGS = (
    *("-std=c++17", "-O1", "-g1", "-Wall", "-Wextra", "-Wno-unknown-pragmas"),
    *("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-strict-aliasing"),
    *("-DDAART_FAST_SHIM", f"-I{SHIM}"),
)
SOURCES = (
    *(ROOT / "csrc" / "cuda" / f"{kind}.cu" for kind in ("bfloat16", "tf32", "float32", "float64")),
    SHIM / "check_cuda.cpp",
    SHIM / "shim.cpp",
)


def run(*command: str | Path, timeout: float) -> str:
    result = subprocess.run(
        [str(c) for c in command],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=os.environ | {"ASAN_OPTIONS": "detect_stack_use_after_return=0:detect_leaks=0"},
    )
    assert result.returncode == 0, result.stdout[-8000:] + result.stderr[-8000:]
    return result.stdout


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the shim's fibres are for Linux")
@pytest.mark.skipif(shutil.which("g++") is None, reason="it takes g++ and its sanitizers")
def test_kernels_agree_with_plain_loops_and_stay_within_their_tensors(tmp_path: Path) -> None:
    objects = [tmp_path / f"{source.stem}.o" for source in SOURCES]
    with ThreadPoolExecutor(max_workers=2) as pool:
        list(
            pool.map(
                lambda pair: run(
                    "g++", *FLAGS, "-x", "c++", "-c", pair[0], "-o", pair[1], timeout=600
                ),
                zip(SOURCES, objects, strict=True),
            )
        )
    program = tmp_path / "check_cuda"
    run("g++", *FLAGS, *objects, "-o", program, timeout=600)
    assert ", 0 failures" in run(program, timeout=900)
