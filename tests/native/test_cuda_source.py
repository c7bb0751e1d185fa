"""The CUDA kernels' own source, compiled for this processor, against plain loops."""

from __future__ import annotations

from pathlib import Path

import pytest

from .shim import KERNELS, SHIM, build, needs_compiler, run

SANITIZED = ("-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


@pytest.mark.slow
@needs_compiler
def test_kernels_agree_with_plain_loops_and_stay_within_their_tensors(tmp_path: Path) -> None:
    program = tmp_path / "check_cuda"
    build(program, (*KERNELS, SHIM / "check_cuda.cpp", SHIM / "shim.cpp"), SANITIZED)
    assert ", 0 failures" in run(program)
