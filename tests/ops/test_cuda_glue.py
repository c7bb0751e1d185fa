"""What Python hands to the CUDA kernels, and when it does: tested without a GPU.

The kernels' own source runs on the processor here, called as on a GPU; tensors that are only said
to be on a device are torch's fake ones.
"""

from __future__ import annotations

import importlib.util
import re
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from daart_fast import ops
from daart_fast.errors import ConfigError
from daart_fast.ops import (
    backends,
    cuda_check,
    launch,
    operators_block,
    operators_conv,
    reference,
)
from daart_fast.ops import native as native_module
from daart_fast.ops.cuda_check import SelfTest
from daart_fast.ops.native import NUMBERS, OF_OUTPUT

from ..native.shim import KERNELS, PYTHON, SHIM, build, needs_compiler
from .conftest import draw_shapes
from .test_block import LEAVES, TENSORS, Block, draw_blocks

pytestmark = pytest.mark.slow

MATHS = {"float32": 0, "tf32": 1, "bfloat16": 2, "float64": 3}
DTYPES = (torch.float32, torch.float32, torch.bfloat16, torch.float64)


@pytest.fixture(scope="session")
def module(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The Python face of the kernels, which run on the processor."""
    pybind11 = pytest.importorskip("pybind11")
    folder = tmp_path_factory.mktemp("cuda_on_cpu")
    path = folder / f"cuda_on_cpu{sysconfig.get_config_var('EXT_SUFFIX')}"
    includes = (f"-I{pybind11.get_include()}", f"-I{sysconfig.get_paths()['include']}")
    names = ('-DDAART_FAST_CUDA="13.0"', '-DDAART_FAST_CUDA_ARCHS="90"')
    sources = (*KERNELS, PYTHON / "cuda.cpp", SHIM / "module.cpp", SHIM / "shim.cpp")
    build(path, sources, ("-fPIC", "-shared", "-fvisibility=hidden", *includes, *names))
    spec = importlib.util.spec_from_file_location("cuda_on_cpu", path)
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = made
    spec.loader.exec_module(made)
    return made


@pytest.fixture
def on_processor(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], torch.dtype]:
    """Take the processor for a CUDA device, whose kernels run on it too; chooses what they compute
    in."""
    monkeypatch.setattr(launch, "native", module)
    monkeypatch.setattr(launch, "on_cuda", lambda x: True)
    # as they are registered for CUDA devices alone
    for name in ("block_forward", "block_backward"):
        monkeypatch.setattr(operators_block, name, getattr(operators_block, f"_{name}"))

    def choose(kind: str) -> torch.dtype:
        call = module.CudaCall(math=MATHS[kind], device=0, stream=0, workspace=0)
        monkeypatch.setattr(launch, "cuda_call", lambda x: call)
        return DTYPES[MATHS[kind]]

    return choose


def relative_error(found: Tensor, expected: Tensor) -> float:
    return ((found.double() - expected).norm() / expected.norm().clamp_min(1e-30)).item()


# ------------------------------------------------------------------------------ the right numbers


@needs_compiler
def test_convolutions_are_handed_over_rightly(on_processor: Callable[[str], torch.dtype]) -> None:
    on_processor("float64")
    for shape in draw_shapes(15, 3):
        x, weight, bias = shape.tensors()
        x = torch.cat([x, x], 1)[:, : shape.frames]  # a slice in time, read in place
        leaves = [t.detach().requires_grad_() for t in (x, weight, bias) if t is not None]
        left, right = ops.conv.sides(shape.padding, shape.dilation * (shape.width - 1))
        settings = (shape.dilation, left, right)
        expected = reference.dilated_conv1d(
            *leaves[:2], leaves[2] if bias is not None else None, *settings, shape.activation
        )
        code = NUMBERS[shape.activation]
        y = operators_conv.conv_forward(x, weight, bias, *settings, code)
        assert relative_error(y, expected.detach()) < 1e-12, shape
        linear = operators_conv.conv_forward(x, weight, bias, *settings, NUMBERS["linear"])
        gate = y if OF_OUTPUT[code] else linear
        grad = torch.randn(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(0))
        gradients = torch.autograd.grad(expected, leaves, grad)
        needs = (True, True, bias is not None)
        of_gate = (grad, x, weight, gate, shape.dilation, left, code)
        found = operators_conv.conv_backward(*of_gate, *needs)
        for a, b in zip(found, gradients, strict=False):
            assert relative_error(a, b) < 1e-12, shape
        (none_x, dweight, none_bias) = operators_conv.conv_backward(*of_gate, False, True, False)
        assert none_x.numel() == none_bias.numel() == 0
        assert torch.equal(dweight, found[1])


def run_block(block: Block, tensors: list[Tensor | None]) -> dict[str, Tensor]:
    """The output and the gradients of its sum, by the CUDA operators."""
    span = block.dilation * (block.width - 1)
    left = span if block.padding == "causal" else span // 2
    settings = (block.dilation, left, NUMBERS[block.activation])
    y, *kept = operators_block.block_forward(*tensors, *settings, True)
    alone = operators_block.block_forward(*tensors, *settings, False)
    assert torch.equal(alone[0], y)
    assert [t.numel() for t in alone[1:]] == [0, 0, 0]
    grads = operators_block.block_backward(
        torch.ones_like(y), *tensors, y, *kept, *settings, True, True
    )
    return {"y": y} | {n: g for n, g in zip(LEAVES, grads, strict=True) if g.numel()}


@needs_compiler
@pytest.mark.parametrize(
    ("kind", "bar"), [("float32", 1e-5), ("tf32", 2e-2), ("bfloat16", 8e-2), ("float64", 1e-12)]
)
@pytest.mark.parametrize("activation", ["tanh", "silu"])  # no kinks
def test_blocks_are_handed_over_rightly(
    on_processor: Callable[[str], torch.dtype], kind: str, bar: float, activation: str
) -> None:
    dtype = on_processor(kind)
    for block in draw_blocks(6, 5):
        block = replace(block, activation=activation)
        tensors = [None if t is None else t.to(dtype) for t in block.tensors().values()]
        found = run_block(block, tensors)
        leaves = [None if t is None else t.double() for t in tensors]
        given = [t.requires_grad_() for t in leaves[: len(LEAVES)] if t is not None]
        y = reference_block(block, leaves)
        gradients = torch.autograd.grad(y.sum(), given)
        names = [n for n, t in zip(LEAVES, leaves, strict=False) if t is not None]
        expected = {"y": y.detach()} | dict(zip(names, gradients, strict=True))
        assert found.keys() == expected.keys()
        for name in ("y", "x", *(n for n in names if n.startswith("bias"))):
            assert relative_error(found[name], expected[name]) < bar, f"{name}: {block}"


def reference_block(block: Block, tensors: list[Tensor | None]) -> Tensor:
    with ops.forced("torch"):
        return ops.dilation_block(**dict(zip(TENSORS, tensors, strict=True)), **block.settings)


@needs_compiler
def test_masks_that_are_columns_of_one_tensor_are_read_in_place(
    on_processor: Callable[[str], torch.dtype],
) -> None:
    on_processor("float32")
    block = Block(batch=3, activation="tanh")
    tensors = list(block.tensors(torch.float32).values())
    dense = run_block(block, tensors)
    masks = torch.cat([tensors[-2], tensors[-1]], 1)  # type: ignore[list-item]
    columns = [masks[:, : block.hidden], masks[:, block.hidden :]]
    prepared, stride = operators_block.prepare((*tensors[:-2], *columns))
    assert stride == block.hidden + block.c_out
    assert prepared[-1] is columns[1]
    for name, value in run_block(block, [*tensors[:-2], *columns]).items():
        assert torch.equal(value, dense[name]), name


@needs_compiler
def test_an_empty_batch_has_zero_gradients(on_processor: Callable[[str], torch.dtype]) -> None:
    on_processor("float32")
    block = Block(batch=0)
    found = run_block(block, list(block.tensors(torch.float32).values()))
    assert found["y"].shape == (0, 40, 20)
    assert not any(found[name].any() for name in ("v0", "gain0", "bias0", "v1", "gain1"))


CONV_SIZES = [2, 10, 10, 3, 4, 3, 1, 1, 30]


@needs_compiler
@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (0, -1, "negative"),
        (1, 0, "at least one frame"),
        (4, 0, "at least one frame and one channel"),
        (5, 0, "width and dilation must be at least 1"),
        (6, 2**40, "2\\^31 elements or more"),
        (7, 9, "frames_out is fewer"),
        (8, 2**30, "2\\^31 elements or more"),
        (0, 2**28, "2\\^31 elements or more"),
    ],
)
def test_bad_sizes_are_refused(module: ModuleType, place: int, value: int, message: str) -> None:
    sizes = [value if i == place else n for i, n in enumerate(CONV_SIZES)]
    with pytest.raises(ValueError, match=message):
        module.cuda_conv_forward(
            cuda_call(module), module.ConvSizes(*sizes), module.ConvTensors(*[8] * 4), 0
        )


def cuda_call(module: ModuleType, math: int = 0) -> Any:
    return module.CudaCall(math=math, device=0, stream=0, workspace=8)


@needs_compiler
def test_missing_tensors_and_unknown_numbers_are_refused(module: ModuleType) -> None:
    sizes, tensors = module.ConvSizes(*CONV_SIZES), module.ConvTensors(*[8] * 4)
    with pytest.raises(ValueError, match="must not be null"):
        module.cuda_conv_forward(cuda_call(module), sizes, tensors._replace(weight=0), 0)
    with pytest.raises(ValueError, match="math must be"):
        module.cuda_conv_forward(cuda_call(module, math=4), sizes, tensors, 0)
    with pytest.raises(ValueError, match="activation must be the number of one"):
        module.cuda_conv_forward(cuda_call(module), sizes, tensors, len(NUMBERS))
    sizes = module.BlockSizes(2, 10, 3, 3, 3, 3, 1, 1, 0)
    inputs, outputs = module.BlockInputs(*[8] * 11), module.BlockOutputs(*[8] * 6)
    with pytest.raises(ValueError, match="all or none"):
        gradients = module.BlockLeaves(*[8] * 9)._replace(v1=0, residual_weight=0)
        module.cuda_block_backward(cuda_call(module), sizes, inputs, outputs, 8, gradients, 0)
    with pytest.raises(ValueError, match="what the activation was applied to"):
        gradients, outputs_ = module.BlockLeaves(*[8] * 9), outputs._replace(y_before=0)
        silu = NUMBERS["silu"]
        module.cuda_block_backward(cuda_call(module), sizes, inputs, outputs_, 8, gradients, silu)
    with pytest.raises(ValueError, match="the residual needs weights"):
        inputs, sizes = inputs._replace(residual_weight=0), sizes._replace(channels_in=2)
        module.cuda_block_forward(cuda_call(module), sizes, inputs, outputs, 0)


# ------------------------------------------------------------------------------ trying them out


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that has nothing but properties."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(
        torch.cuda,
        "get_device_properties",
        lambda device: SimpleNamespace(multi_processor_count=4),
    )
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    monkeypatch.setattr(cuda_check, "_convolutions", SelfTest("convolutions"))


@needs_compiler
@pytest.mark.parametrize("kind", MATHS)
def test_right_kernels_pass_the_self_test(
    on_processor: Callable[[str], torch.dtype],
    device: None,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dtype = on_processor(kind)
    monkeypatch.setattr(cuda_check, "math_of", lambda dtype: MATHS[kind])
    assert cuda_check.convolution_refusal(torch.empty(0, dtype=dtype)) == ""


@needs_compiler
def test_wrong_kernels_fail_the_self_test_once_and_for_all(
    on_processor: Callable[[str], torch.dtype],
    module: ModuleType,
    device: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on_processor("float32")
    x, right = torch.empty(0), module.cuda_block_forward

    def wrong(*arguments: Any) -> None:
        right(*arguments[:-1], 0)  # another activation

    monkeypatch.setattr(module, "cuda_block_forward", wrong)
    with pytest.warns(RuntimeWarning, match="go through PyTorch: the kernels gave wrong numbers"):
        why = cuda_check.convolution_refusal(x)
    assert "a relative error of" in why
    monkeypatch.setattr(module, "cuda_block_forward", right)
    assert cuda_check.convolution_refusal(x) == why


def test_kernels_that_raise_fail_the_self_test(
    device: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_image(*arguments: Any) -> None:
        raise RuntimeError("CUDA: starting a kernel failed: no kernel image is available")

    monkeypatch.setattr(operators_block, "block_forward", no_image)
    with pytest.warns(RuntimeWarning, match="no kernel image"):
        why = cuda_check.convolution_refusal(torch.empty(0))
    assert "failed when they were tried out" in why
    assert (
        cuda_check.convolution_refusal(torch.empty(0)) == why
    )  # not tried again, no second warning


@needs_compiler
@pytest.mark.parametrize("around", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_right_kernels_pass_wherever_they_are_used_first(
    on_processor: Callable[[str], torch.dtype],
    device: None,
    monkeypatch: pytest.MonkeyPatch,
    around: Callable[[], Any],
) -> None:
    """A process that only predicts meets the kernels in inference mode first."""
    dtype = on_processor("float32")
    monkeypatch.setattr(cuda_check, "math_of", lambda dtype: MATHS["float32"])
    with around(), torch.autocast("cpu", torch.bfloat16):
        assert cuda_check.convolution_refusal(torch.empty(0, dtype=dtype)) == ""


def test_no_memory_at_first_use_is_not_taken_for_wrong_kernels(
    device: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patched:
        patched.setattr(operators_block, "block_forward", full)
        with pytest.raises(torch.OutOfMemoryError):
            cuda_check.convolution_refusal(torch.empty(0))
    monkeypatch.setattr(cuda_check, "_test_convolutions", lambda *arguments: "")
    assert cuda_check.convolution_refusal(torch.empty(0)) == ""  # tried again


def test_a_mask_that_stands_for_all_sequences_is_copied() -> None:
    mask, columns = torch.rand(7), torch.rand(3, 20)[:, 4:11]
    others: list[Tensor | None] = [torch.rand(3, 5, 2)] * 9
    tensors, step = operators_block.prepare([*others, mask.expand(3, 7), mask.expand(3, 7)])
    assert step == 0 and all(m is not None and m.is_contiguous() for m in tensors[-2:])
    tensors, step = operators_block.prepare([*others, columns, columns])
    assert step == 20 and tensors[-1] is columns


def test_an_old_device_is_not_tried(device: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    with pytest.warns(RuntimeWarning, match="compute capability is 7.5"):
        assert "7.5" in cuda_check.convolution_refusal(torch.empty(0))


def test_nothing_is_tried_while_a_graph_is_captured(
    device: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    monkeypatch.setattr(cuda_check, "_test_convolutions", lambda *arguments: pytest.fail("tried"))
    assert cuda_check.convolution_refusal(torch.empty(0)) == ""
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    monkeypatch.setattr(cuda_check, "_test_convolutions", lambda *arguments: "now it was")
    with pytest.warns(RuntimeWarning, match="convolutions in torch.float32 on cpu .*now it was"):
        assert cuda_check.convolution_refusal(torch.empty(0)) == "now it was"


# ------------------------------------------------------------------------------ the choice


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the native module had been built with CUDA, on a machine with a device."""
    module = SimpleNamespace(cuda_version="13.0", cuda_architectures="80, 90")
    monkeypatch.setattr(backends, "native", module)
    monkeypatch.setattr(native_module, "native", module)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(cuda_check, "convolution_refusal", lambda x: "")
    monkeypatch.setattr(backends, "_refusals", set())
    monkeypatch.setattr(backends, "_forced_backend", None)


def on_device(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    with FakeTensorMode():
        return torch.empty(shape, dtype=dtype, device="cuda")


def slice_on_device(frames: int) -> Tensor:
    """Ten frames of two sequences of this many frames and four channels."""
    with FakeTensorMode():
        return torch.empty_strided((2, 10, 4), (4 * frames, 4, 1), device="cuda")


X, WEIGHT = on_device(2, 10, 4), on_device(8, 4, 3)


def convolves(x: Tensor, frames: int, weight: Tensor) -> str:
    """The backend of a convolution of so many frames, padding included."""
    return backends.choose(backends.Call(x, frames=frames, weights=(weight,)))


def test_tensors_on_a_device_go_to_its_kernels(built: None) -> None:
    assert convolves(X, 12, WEIGHT) == "cuda"
    assert not backends.runs_native(X)
    assert not backends._refusals


@pytest.mark.parametrize(
    ("x", "frames", "weight", "reason"),
    [
        (on_device(2, 10, 4, dtype=torch.float16), 12, WEIGHT, "the tensor is torch.float16"),
        (on_device(2**15, 2**14, 4), 2**14, WEIGHT, "below 2\\^31 elements"),
        (X, 2**31, WEIGHT, "below 2\\^31 elements"),
        (X, 12, on_device(2**14, 2**14, 9), "below 2\\^31 elements"),
        (slice_on_device(2**28), 12, WEIGHT, "below 2\\^31 elements"),
    ],
)
def test_what_the_kernels_cannot_take_goes_to_pytorch_and_is_reported(
    built: None,
    monkeypatch: pytest.MonkeyPatch,
    x: Tensor,
    frames: int,
    weight: Tensor,
    reason: str,
) -> None:
    assert convolves(x, frames, weight) == "torch"
    ((*_, said),) = backends._refusals
    monkeypatch.setattr(backends, "_cuda_refusal", lambda x: "")
    monkeypatch.setattr(torch, "empty", lambda *a, **k: None)
    assert f"cuda, some convolutions through torch: {said}" in backends._cuda_report()
    monkeypatch.undo()
    assert re.search(reason, said)


def test_kernels_that_failed_their_self_test_are_not_used(
    built: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        cuda_check, "convolution_refusal", lambda x: "the kernels gave wrong numbers"
    )
    assert convolves(X, 12, WEIGHT) == "torch"
    assert backends._refusals == {("cuda", "convolutions", "the kernels gave wrong numbers")}


def test_asked_for_by_name_what_cannot_run_is_an_error(
    built: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "_forced_backend", "cuda")
    assert convolves(X, 12, WEIGHT) == "cuda"
    assert convolves(torch.empty(2, 10, 4), 12, torch.empty(8, 4, 3)) == "torch"
    with pytest.raises(ConfigError, match="'cuda', but .*torch.float16"):
        convolves(on_device(2, 10, 4, dtype=torch.float16), 12, WEIGHT)


@pytest.mark.parametrize("other", ["native", "torch"])
def test_another_backend_by_name_leaves_the_kernels_alone(
    built: None, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    monkeypatch.setattr(backends, "_forced_backend", other)
    assert convolves(X, 12, WEIGHT) == "torch"
    assert backends._cuda_report() == [f"cuda: not used: DAART_FAST_BACKEND is {other!r}"]


def test_a_module_without_cuda_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_module, "native", SimpleNamespace())
    assert backends._cuda_report() == ["cuda: not built"]
    assert convolves(X, 12, WEIGHT) == "torch"
    with pytest.raises(ConfigError, match="'cuda', but the native module was built without CUDA"):
        backends._use("cuda", None, None)


def test_without_a_device_the_report_says_so(built: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert backends._cuda_report() == ["cuda: cannot run: torch sees no CUDA device"]


def test_precision_follows_pytorchs_settings() -> None:
    convolutions = torch.backends.cudnn.conv  # type: ignore[attr-defined]
    before = convolutions.fp32_precision
    try:
        for precision in ("tf32", "ieee"):
            convolutions.fp32_precision = precision
            assert native_module.cuda_precision() == precision
            assert launch.math_of(torch.float32) == int(precision == "tf32")
        torch.backends.cudnn.allow_tf32 = False
        assert native_module.cuda_precision() == "ieee"
    finally:
        convolutions.fp32_precision = before
    assert launch.math_of(torch.bfloat16) == 2
    assert launch.math_of(torch.float64) == 3
