"""A build folder is used again for what has not changed, and never for what has."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OBJECT = "csrc/CMakeFiles/daart_fast_core.dir/scratch.cpp.o"

pytestmark = pytest.mark.skipif(
    not (ROOT / "CMakeLists.txt").is_file() or not shutil.which("cmake"),
    reason="the sources or cmake are not there",
)


# ------------------------------------------------------------------------------ a second build


@pytest.fixture(params=["Ninja", "Unix Makefiles"])
def build(request: pytest.FixtureRequest, tmp_path: Path) -> Build:
    program = {"Ninja": "ninja", "Unix Makefiles": "make"}[request.param]
    if not shutil.which(program) or not shutil.which("c++"):
        pytest.skip(f"{program} or a C++ compiler is not there")
    shutil.copytree(ROOT / "csrc", tmp_path / "csrc")
    for path in (tmp_path / "csrc").rglob("*.cpp"):
        path.write_text("")  # which is compiled in no time
    shutil.copy(ROOT / "CMakeLists.txt", tmp_path)
    return Build(tmp_path, request.param)


class Build:
    """A copy of the sources' names, built as pip and scikit-build-core do."""

    def __init__(self, source: Path, generator: str) -> None:
        self.source, self.folder = source, source / "build"
        self.generator = generator

    def compiled(self) -> bool:
        """Build from a new isolated environment; return whether `OBJECT` was compiled."""
        (self.folder / "CMakeCache.txt").unlink(missing_ok=True)
        shutil.rmtree(self.folder / "CMakeFiles", ignore_errors=True)
        before = self.time()
        configure = ["-S", self.source, "-B", self.folder, "-G", self.generator]
        run("cmake", *configure, "-DDAART_FAST_PYTHON=OFF")
        run("cmake", "--build", self.folder, "--target", "daart_fast_core")
        return self.time() != before

    def time(self) -> int | None:
        path = self.folder / OBJECT
        return path.stat().st_mtime_ns if path.exists() else None


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def replace(path: Path) -> None:
    """Change a file to one that is older than all that was built from it."""
    path.write_text(path.read_text() + "\n// changed\n")
    os.utime(path, (1, 1))


@pytest.mark.slow
def test_only_what_changed_is_compiled_again(build):
    assert build.compiled()
    assert not build.compiled()
    replace(build.source / "csrc" / "scratch.cpp")
    assert build.compiled()
    replace(build.source / "csrc" / "cpu" / "parallel.h")
    assert build.compiled()
    flags = build.source / "CMakeLists.txt"
    flags.write_text(flags.read_text().replace("add_sub", "add_compile_options(-g1)\nadd_sub"))
    assert build.compiled()
    assert not build.compiled()


# ------------------------------------------------------------------------------ which GPUs


@pytest.fixture
def architectures(tmp_path, monkeypatch):
    """A function that says for what is compiled, given GPUs, nvcc's version and the setting."""

    def chosen(gpus: str | None, setting: str = "", version: str = "13.0") -> list[str]:
        write_program(tmp_path / "nvcc", "compute_80\ncompute_86\ncompute_90\ncompute_100\n")
        if gpus is not None:
            write_program(tmp_path / "nvidia-smi", gpus)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        monkeypatch.setenv("DAART_FAST_CUDA_ARCHS", setting)
        script = tmp_path / "script.cmake"
        script.write_text(
            f'include("{ROOT}/csrc/cuda/architectures.cmake")\n'
            f'set(CMAKE_CUDA_COMPILER "{tmp_path}/nvcc")\n'
            f"set(CMAKE_CUDA_COMPILER_VERSION {version})\n"
            "daart_fast_cuda_architectures(found)\n"
            'message("${found}")\n'
        )
        return run("cmake", "-P", script).strip().split(";")

    return chosen


def write_program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\nprintf '{text}'\n")
    path.chmod(0o755)


@pytest.mark.slow
def test_by_default_the_gpus_that_are_here_are_compiled_for(architectures):
    assert architectures("9.0\n8.6\n9.0\n") == ["86-real", "90"]
    assert architectures("8.0\n", "native") == ["80"]


def test_gpus_that_the_kernels_or_nvcc_do_not_know_are_left_out(architectures):
    assert architectures("7.5\n9.0\n12.0\n") == ["90"]
    assert architectures("7.5\n") == ["80-real", "90"]


def test_without_a_gpu_two_kinds_of_machine_code_and_ptx_are_made(architectures):
    assert architectures("no devices were found\n") == ["80-real", "90"]


def test_all_is_for_wheels(architectures):
    assert architectures(None, "all") == [
        "80",
        "86-real",
        "89-real",
        "90-real",
        "100-real",
        "120",
    ]
    assert architectures(None, "all", "12.4") == ["80", "86-real", "89-real", "90"]


def test_a_list_is_taken_as_it_is(architectures):
    assert architectures("9.0\n", "sm_80, 100-real") == ["80", "100-real"]


def test_native_without_a_gpu_is_an_error(architectures):
    with pytest.raises(AssertionError, match="name the architecture"):
        architectures("no devices were found\n", "native")
