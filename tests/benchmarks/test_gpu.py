"""The benchmark of a GPU, where there is none: it says so, and its parts work on the CPU."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from daart_fast import ops
from daart_fast.errors import ConfigError
from daart_fast.train.graph import GraphStep

from ..train.test_graph import Tape

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_it_says_so():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stdout.startswith("no CUDA device: ")


@pytest.fixture
def gpu(monkeypatch) -> Any:
    """The benchmark, with the CPU in the place of a GPU and little to do."""
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks import cuda, gpu, loader, machine

    def medians(sides: Any, seconds: float) -> list[float]:
        times = []
        for side in sides:
            start = time.perf_counter()
            side()
            times.append(time.perf_counter() - start)
        return times

    monkeypatch.setattr(cuda, "medians", medians)
    monkeypatch.setattr(cuda, "launches", lambda side, n=5: (1.0, 2.0))
    limits = cuda.Limits(1e10, {"tf32": 1e11, "ieee": 1e11})
    monkeypatch.setattr(cuda, "limits", lambda device: limits)
    monkeypatch.setattr(cuda, "about", lambda device: machine.describe())
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(gpu, "CudaRecorder", lambda device: Tape())
    monkeypatch.setattr(gpu, "graph_step", lambda *parts: GraphStep(*parts, Tape()))
    monkeypatch.setattr(gpu, "BLOCKS", ((1, 70, 8),))
    monkeypatch.setattr(gpu, "SESSION_FRAMES", 2000)
    monkeypatch.setattr(gpu, "PREDICTED_FRAMES", 3000)
    monkeypatch.setattr(gpu, "CHUNK", 1000)
    monkeypatch.setattr(gpu, "EPOCHS", 2)
    monkeypatch.setattr(gpu, "HOST_FRAMES", 3000)
    monkeypatch.setattr(loader, "N_FRAMES", 5000)
    small = gpu.Case("small", 2, 40, 8, 1, ("strong", "weak", "pred"), (0, 0), 0)
    monkeypatch.setattr(gpu, "CASES", (small, small))
    monkeypatch.setattr(gpu, "WIDE", small)
    return gpu


@pytest.mark.slow
def test_its_parts_work_and_find_the_results_right(gpu, capsys, tmp_path):
    table, failed = gpu.run(torch.device("cpu"), 0.0, tmp_path / "gpu.json", backend="torch")
    assert failed == []
    assert json.loads((tmp_path / "gpu.json").read_text())["rows"] == table.rows
    errors = [row for row in table.rows if "right" in row]
    assert len(errors) == 11
    assert [row["right"] for row in errors] == ["yes"] * 11
    steps = [row for row in table.rows if "graph" in row]
    assert len(steps) == 6
    assert all(row["graph"] > 0 and not row["why launched"] for row in steps)
    assert "not replayed" not in capsys.readouterr().out
    assert sum("M frames/s" in row for row in table.rows) == 3


@pytest.mark.slow
def test_a_section_that_fails_does_not_stop_the_next(gpu, monkeypatch, capsys):
    def fail(*arguments: Any) -> None:
        raise RuntimeError("no memory")

    monkeypatch.setattr(gpu, "check_losses", fail)
    monkeypatch.setattr(gpu, "steps", fail)
    table, failed = gpu.run(torch.device("cpu"), 0.0, backend="torch")
    assert len(failed) == 3 and all("RuntimeError: no memory" in line for line in failed)
    assert sum("M frames/s" in row for row in table.rows) == 3  # the last section


def test_kernels_that_do_not_run_are_not_measured(gpu):
    """PyTorch is not compared with itself where the kernels are missing."""
    if ops.backends.has_cuda() and torch.cuda.is_available():
        pytest.skip("the kernels run here")
    with pytest.raises(ConfigError, match="DAART_FAST_BACKEND is 'cuda', but"):
        gpu.run(torch.device("cpu"), 0.0)


def test_prediction_in_chunks_is_prediction(gpu):
    model = gpu.prediction_model().eval()
    frames = torch.randn(2345, gpu.INPUTS, generator=torch.Generator().manual_seed(0))
    out = torch.empty(2345, gpu.CLASSES)
    gpu.predict_resident(model, frames, out)
    whole = torch.softmax(model.classify(frames[None])[0][0], -1)
    torch.testing.assert_close(out, whole.detach(), rtol=1e-4, atol=1e-5)
