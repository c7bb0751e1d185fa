"""What a machine lacks is said in one sentence, before anything is printed, made or claimed."""

from __future__ import annotations

import shutil
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from daart_fast.api import Model
from daart_fast.api.model import _say_cpu
from daart_fast.cli import main
from daart_fast.demo import write_demo
from daart_fast.errors import ConfigError
from daart_fast.experiment.stored import export_hparams
from daart_fast.machine import check_device, device_problem, memory_asked_for, naming_sizes
from daart_fast.models import Segmenter
from daart_fast.search import fit_models
from daart_fast.search.trials import Job, attempt

WITHOUT_CUDA = not torch.cuda.is_available()


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo(tmp_path_factory.mktemp("demo") / "data")


@pytest.fixture
def settings(demo: Path, tmp_path: Path) -> dict[str, Any]:
    """A training of a minute or none."""
    return {
        "data_dir": str(demo), "results_dir": str(tmp_path / "results"), "expt_ids": ["mouse1"],
        "sequence_length": 250, "max_epochs": 1, "min_epochs": 1, "n_hid_units": 4,
    }  # fmt: skip


def train(settings: dict[str, Any], folder: Path, *more: str) -> int:
    """Run ``daart-fast train`` with three config files; return the exit code."""
    arguments = []
    for name in ("data", "model", "train"):
        text = yaml.safe_dump(settings) if name == "data" else ""
        (folder / f"{name}.yaml").write_text(text)
        arguments += [f"--{name}_config", str(folder / f"{name}.yaml")]
    try:
        return main(["train", *arguments, *more])
    except SystemExit as end:
        return int(end.code or 0)


# ------------------------------------------------------------------------------ the device


@pytest.mark.slow
@pytest.mark.skipif(torch.backends.cuda.is_built(), reason="torch is built with CUDA here")
def test_a_gpu_with_a_torch_that_has_no_cuda_is_refused(settings, tmp_path, capsys):
    assert train(settings, tmp_path, "--device", "cuda") == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(
        f"daart-fast: error: 'device' is cuda ({tmp_path / 'train.yaml'}, or --device), but "
        f"torch {torch.__version__} is built without CUDA; give --device cpu, or install"
    )
    assert printed.err.count("\n") == 1 and printed.out == ""
    assert not list((tmp_path / "results").rglob("version_*"))


@pytest.mark.slow
@pytest.mark.skipif(not WITHOUT_CUDA, reason="there is a GPU")
def test_a_folders_config_files_do_not_keep_a_gpu_that_is_not_there(demo, tmp_path, capsys):
    data = tmp_path / "data"
    shutil.copytree(demo, data)
    assert main(["train", str(data), "--device", "cuda"]) == 2
    assert capsys.readouterr().err.startswith("daart-fast: error: 'device' is cuda, but torch ")
    assert not (data / "train.yaml").exists()


@pytest.mark.skipif(not WITHOUT_CUDA, reason="there is a GPU")
def test_a_search_on_gpus_that_are_not_there_ends_before_its_first_trial(
    settings, tmp_path, capsys
):
    settings |= {"n_lags": [1, 2], "device": "cuda", "gpus_vis": "0;1"}
    assert train(settings, tmp_path) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("daart-fast: error: 'device' is cuda")
    assert not (tmp_path / "results").exists() and "starts" not in printed.err
    with pytest.raises(ConfigError, match="'device' is cuda"):
        fit_models(settings)


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """A function that has torch find so many GPUs; what it then says is all that is tested."""

    def find(count: int) -> None:
        monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)

    return find


def test_a_gpu_that_is_not_there_is_named_with_those_that_are(gpus, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    gpus(2)
    assert device_problem("cuda") == device_problem("cuda:1") == device_problem("cpu") == ""
    assert device_problem("cuda:2") == "torch finds 2 GPUs, numbered from 0"
    gpus(0)
    assert device_problem("cuda") == "torch finds no GPU (does nvidia-smi list one?)"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    assert device_problem("cuda") == "torch finds no GPU 7 (gpus_vis, or CUDA_VISIBLE_DEVICES)"


def test_a_device_from_python_is_refused_too(gpus):
    gpus(0)
    check_device({"device": "cpu"})
    with pytest.raises(ConfigError, match=r"^'device' is cuda:1, but torch finds no GPU"):
        check_device({"device": "cuda:1"})


@pytest.mark.skipif(not WITHOUT_CUDA, reason="there is a GPU")
def test_a_model_that_was_trained_on_a_gpu_runs_on_the_cpu_and_says_so(tmp_path, caplog):
    hparams = {
        "backbone": "dtcn", "input_size": 2, "output_size": 3, "n_hid_layers": 1, "n_lags": 1,
        "n_hid_units": 4, "activation": "lrelu", "lambda_strong": 1.0, "device": "cuda:1",
    }  # fmt: skip
    export_hparams(hparams, tmp_path / "hparams.yaml")
    Segmenter(hparams).save(tmp_path / "best_val_model.pt")
    _say_cpu.cache_clear()
    for _ in range(2):
        model = Model.from_dir(tmp_path)
        assert next(model.model.parameters()).device.type == "cpu"
    (message,) = caplog.messages
    assert message.startswith("the model was trained on cuda:1, but torch ")
    assert message.endswith(": it runs on the CPU")


# ------------------------------------------------------------------------------ memory


@pytest.mark.parametrize(
    ("allocate", "asked"),
    [
        (lambda: torch.empty(2**60, dtype=torch.uint8), "1,073,741,824.0 GiB"),
        (lambda: np.empty((2**40, 2**19), dtype=np.uint8), "512. PiB"),
        (lambda: bytearray(2**62), "some bytes"),
    ],
)
def test_the_memory_that_was_asked_for_is_read_from_the_error(allocate, asked):
    with pytest.raises((MemoryError, RuntimeError)) as raised:
        allocate()
    assert memory_asked_for(raised.value) == asked


def test_an_error_of_a_gpus_memory_is_read_too():
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has")
    assert memory_asked_for(error) == "20.00 GiB"
    assert memory_asked_for(RuntimeError("shapes cannot be multiplied")) is None


def test_other_errors_pass_where_memory_is_looked_after():
    error = RuntimeError("something else")
    with pytest.raises(RuntimeError) as raised, naming_sizes({}):
        raise error
    assert raised.value is error


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems promise memory they lack")
def test_a_network_larger_than_memory_is_refused_with_the_keys_that_make_it_so(
    settings, tmp_path, capsys
):
    assert train(settings | {"n_hid_units": 10_000_000}, tmp_path) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("daart-fast: error: not enough memory: ")
    assert "GiB more were asked for; the sizes are n_hid_units 10000000, n_hid_layers 2" in error
    assert "batch_size" in error and "Traceback" not in error
    assert not list((tmp_path / "results").rglob("version_*"))


def test_a_trial_of_the_users_own_function_profits_too(capsys):
    def fill(trial: Namespace) -> None:
        torch.empty(2**60, dtype=torch.uint8)

    outcome = attempt(fill, Job(1, Namespace(batch_size=2)), (), "here")
    assert outcome.status == "failed" and outcome.mendable
    assert "the sizes are batch_size 2" in capsys.readouterr().err
