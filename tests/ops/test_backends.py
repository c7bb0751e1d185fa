"""Which backend runs, and what the report says of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from daart_fast import ops
from daart_fast.errors import ConfigError
from daart_fast.ops import backends

needs_native = pytest.mark.skipif(backends.native is None, reason="the native module is not built")

# Hides the native module from the import system, as where it was never built.
WITHOUT_NATIVE = """
import importlib.abc, sys, warnings
class Hide(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "daart_fast._native":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Hide())
warnings.simplefilter("ignore")
"""
CONVOLVE = """
import torch
from daart_fast import ops
x = torch.ones(1, 20, 3, requires_grad=True)
y = ops.dilated_conv1d(x, torch.ones(5, 3, 3), torch.zeros(5), 2, "same", "lrelu")
y.sum().backward()
print(ops.report())
"""


def python(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("DAART_FAST_")}
    path = os.pathsep.join(p for p in sys.path if p)
    return subprocess.run(
        [sys.executable, "-c", script],
        # the child looks for the package here first: the one that this test runs on
        cwd=Path(ops.__file__).resolve().parents[2],
        env=clean | {"PYTHONPATH": path} | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.slow
@needs_native
def test_native_runs_first() -> None:
    result = python(CONVOLVE)
    assert "native: runs" in result.stdout, result.stderr
    assert "torch: not used where native can run" in result.stdout


@pytest.mark.slow
def test_the_environment_chooses_pytorch() -> None:
    result = python(CONVOLVE, DAART_FAST_BACKEND="torch")
    assert "torch: runs" in result.stdout, result.stderr
    if backends.native is not None:
        assert "native: not used: DAART_FAST_BACKEND is 'torch'" in result.stdout


@pytest.mark.slow
@needs_native
def test_the_environment_chooses_instruction_set_and_method() -> None:
    result = python(
        CONVOLVE, DAART_FAST_BACKEND="native", DAART_FAST_ISA="generic", DAART_FAST_CONV="direct"
    )
    assert "instruction set: generic (of " in result.stdout, result.stderr
    assert "convolutions: direct (of auto, direct, filtered" in result.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("DAART_FAST_BACKEND", "nativ", "did you mean 'native'"),
        ("DAART_FAST_CONV", "filterd", "did you mean 'filtered'"),
        ("DAART_FAST_ISA", "avx1024", "DAART_FAST_ISA"),
    ],
)
def test_an_unknown_value_in_the_environment_is_an_error(
    variable: str, value: str, message: str
) -> None:
    result = python("import daart_fast.ops", **{variable: value})
    assert result.returncode != 0
    assert "ConfigError" in result.stderr
    assert message.lower() in result.stderr.lower()
    assert value in result.stderr


@pytest.mark.slow
def test_without_the_native_module_pytorch_convolves() -> None:
    result = python(WITHOUT_NATIVE + CONVOLVE)
    assert result.returncode == 0, result.stderr
    assert "native: cannot run: daart_fast._native was not built" in result.stdout
    assert "torch: runs" in result.stdout


@pytest.mark.slow
def test_without_the_native_module_asking_for_it_is_an_error() -> None:
    result = python(WITHOUT_NATIVE + CONVOLVE, DAART_FAST_BACKEND="native")
    assert "DAART_FAST_BACKEND is 'native', but daart_fast._native was not built" in result.stderr
    result = python(WITHOUT_NATIVE + CONVOLVE, DAART_FAST_ISA="avx2")
    assert "DAART_FAST_ISA is 'avx2', but daart_fast._native was not built" in result.stderr


@pytest.mark.slow
def test_without_the_native_module_a_forced_method_changes_nothing() -> None:
    script = """
with ops.forced("torch", conv="direct"):
    print(ops.report())
"""
    result = python(WITHOUT_NATIVE + CONVOLVE + script)
    assert result.returncode == 0, result.stderr


@needs_native
def test_forced_holds_within_its_block_alone() -> None:
    before = ops.report()
    with ops.forced("torch"):
        assert "torch: runs" in ops.report()
    with ops.forced("native", isa="generic", conv="filtered"):
        assert "instruction set: generic" in ops.report()
        assert "convolutions: filtered" in ops.report()
    with pytest.raises(RuntimeError), ops.forced("torch", isa="generic", conv="direct"):
        raise RuntimeError
    assert ops.report() == before


@needs_native
def test_forcing_the_impossible_leaves_everything_as_it_was() -> None:
    before = ops.report()
    for setting in ({"backend": "cuda"}, {"isa": "mmx"}, {"conv": "fft"}):
        with pytest.raises(ConfigError), ops.forced(**setting):
            pass
    assert ops.report() == before


@needs_native
def test_forced_decides_which_backend_runs() -> None:
    x = torch.zeros(1, 4, 2)
    assert backends.runs_native(x)
    assert not backends.runs_native(x.half())
    with ops.forced("torch"):
        assert not backends.runs_native(x)


def test_the_report_names_every_part() -> None:
    lines = ops.report().splitlines()
    assert lines[0] == f"torch {torch.__version__}, {torch.get_num_threads()} threads"
    starts = [line.split(":")[0] for line in lines[1:]]
    expected = ["native", "torch", "cuda"]
    if backends.native is not None:
        expected = ["native", "torch", "instruction set", "convolutions", "threads", "cuda"]
    assert starts == expected


@needs_native
def test_every_instruction_set_is_as_fast_as_its_registers_are_wide() -> None:
    # a dispatch that silently fell to narrower code would pass every numeric test
    native = backends.native
    if not hasattr(native, "fma_rate"):
        pytest.skip("built without the benchmarks (DAART_FAST_BENCHMARKS=1 pip install .)")
    rates = {}
    for isa in native.isas():
        with ops.forced(isa=isa):
            rates[isa] = max(native.fma_rate(1, 0.02) for _ in range(3))
    assert all(rate > 1e8 for rate in rates.values())
    if "avx2" in rates:
        assert rates["avx2"] > 1.3 * rates["generic"]


@needs_native
def test_what_a_backend_refuses_is_logged_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "_refusals", set())
    caplog.set_level("INFO")
    half = backends.Call(torch.zeros(1, 4, 2).half())
    assert backends.choose(half) == backends.choose(half) == "torch"
    assert [record.message for record in caplog.records] == [
        "native does not compute some convolutions: "
        "it computes in float32 and float64, and the tensor is torch.float16"
    ]
