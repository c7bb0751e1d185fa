"""What Python hands to the CUDA losses: their own source runs on the processor here."""

from __future__ import annotations

import importlib.util
import sys
import sysconfig
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from daart_fast import ops
from daart_fast.ops import backends, cuda_check, launch, operators_losses

from ..native.shim import CUDA, PYTHON, SHIM, build, needs_compiler, run
from .test_losses import error, head

pytestmark = pytest.mark.slow

SANITIZED = ("-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
CPU = torch.device("cpu")


@needs_compiler
def test_kernels_agree_with_plain_loops_and_stay_within_their_tensors(tmp_path):
    program = tmp_path / "check_losses"
    sources = (CUDA / "losses.cu", SHIM / "check_losses.cpp", SHIM / "shim.cpp")
    build(program, sources, SANITIZED)
    assert ", 0 failures" in run(program)


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    pybind11 = pytest.importorskip("pybind11")
    folder = tmp_path_factory.mktemp("cuda_losses")
    path = folder / f"cuda_losses_on_cpu{sysconfig.get_config_var('EXT_SUFFIX')}"
    includes = (f"-I{pybind11.get_include()}", f"-I{sysconfig.get_paths()['include']}")
    sources = (CUDA / "losses.cu", PYTHON / "cuda_losses.cpp")
    sources += (SHIM / "loss_module.cpp", SHIM / "shim.cpp")
    build(path, sources, ("-fPIC", "-shared", "-fvisibility=hidden", *includes))
    spec = importlib.util.spec_from_file_location("cuda_losses_on_cpu", path)
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = made
    spec.loader.exec_module(made)
    return made


@pytest.fixture
def on_cpu(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the processor for a CUDA device, whose kernels run on it too."""
    monkeypatch.setattr(launch, "native", module)
    monkeypatch.setattr(launch, "on_cuda", lambda x: True)

    def cuda_call(x: Tensor) -> Any:
        return module.CudaCall(launch.math_of(x.dtype), device=0, stream=0, workspace=0)

    monkeypatch.setattr(launch, "cuda_call", cuda_call)


def values_and_gradients(function: Any, arguments: dict[str, Any]) -> list[Tensor]:
    returned = function(**arguments)
    values = returned if isinstance(returned, tuple) else (returned,)
    leaves = [v for v in arguments.values() if isinstance(v, Tensor) and v.requires_grad]
    upstream = torch.linspace(0.5, 2.0, values[0].numel(), dtype=values[0].dtype)
    total = (torch.where(values[0].isnan(), 0.0, values[0]).flatten() * upstream).sum()
    return [
        *(v.detach() for v in values),
        *torch.autograd.grad(total, leaves, materialize_grads=True),
    ]


@needs_compiler
@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize(
    ("function", "draw"), [(ops.linear_cross_entropy, head), (ops.squared_error, error)]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_losses_and_gradients_are_the_references(on_cpu, seed, function, draw, dtype):
    arguments = draw(seed, dtype)
    found = values_and_gradients(function, arguments)
    with ops.forced("torch"):
        expected = values_and_gradients(function, arguments)
    for ours, right in zip(found, expected, strict=True):
        tolerance = 1e-4 if dtype == torch.float32 else 1e-10
        torch.testing.assert_close(ours, right, rtol=tolerance, atol=tolerance, equal_nan=True)


@needs_compiler
@pytest.mark.parametrize("needed", [("x",), ("weight", "bias"), ("weight",)])
def test_only_the_gradients_asked_for_are_made(on_cpu, needed):
    arguments = head(3)
    leaves = {n: arguments[n].detach().requires_grad_(n in needed) for n in ("x", "weight", "bias")}
    loss, _ = ops.linear_cross_entropy(**{**arguments, **leaves})
    loss.sum().nan_to_num().backward()
    assert {n for n, leaf in leaves.items() if leaf.grad is not None} == set(needed)


@needs_compiler
def test_a_label_that_is_no_class_makes_the_loss_nan(on_cpu):
    x, labels = torch.randn(1, 5, 4), torch.tensor([[0, 1, 2, 3, 1]])
    weight = torch.randn(3, 4)
    loss, agreement = ops.linear_cross_entropy(x, weight, None, labels, compared=labels)
    assert loss.isnan() and agreement.isnan()


@needs_compiler
@pytest.mark.parametrize("by_sequence", [False, True])
def test_the_kernels_are_tried_out_and_found_right(on_cpu, by_sequence):
    for dtype, most in cuda_check.LOSS_TOLERANCES.items():
        assert cuda_check.loss_error(CPU, dtype, by_sequence) < most / 10


@needs_compiler
def test_kernels_that_come_out_wrong_are_found_out(on_cpu, monkeypatch):
    right = operators_losses.squared_error

    def wrong(*arguments: Any) -> Any:
        loss, factor = right(*arguments)
        return loss * 1.01, factor

    monkeypatch.setattr(operators_losses, "squared_error", wrong)
    why = cuda_check._test_losses(CPU, torch.float32)
    assert "wrong numbers when they were tried out: a relative error of 1.0e-02" in why


@needs_compiler
@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ([1, 5, 3, 2000, 0, 5], "classes must lie between 1 and 1024"),
        ([1, 5, 3, 2, 1, 5], "do not lie within the sequence"),
        ([2**20, 2**20, 3, 2, 0, 5], "2\\^31"),
        ([-1, 5, 3, 2, 0, 5], "negative"),
    ],
)
def test_sizes_beyond_what_the_kernels_take_are_refused(module, sizes, message):
    with pytest.raises(ValueError, match=message):
        module.cuda_head_loss(
            module.CudaCall(math=0, device=0, stream=0, workspace=64),
            module.HeadSizes(*sizes),
            module.HeadTensors(*[64] * 13),
            ignored=0,
            by_sequence=False,
        )


def test_more_classes_than_the_kernels_take_are_pytorchs(module, monkeypatch):
    monkeypatch.setattr(backends, "native", module)

    def refusal(x: Tensor, n_classes: int) -> str:
        return backends._loss_size_refusal(backends.Call(x, "losses", n_classes=n_classes))

    assert "up to 1024 classes" in refusal(torch.empty(1, 2, 3), 1025)
    assert "2^31" in refusal(torch.empty(1, 1, 3).expand(2**20, 2**12, 3), 2)
    assert not refusal(torch.empty(1, 2, 3), 1024)
