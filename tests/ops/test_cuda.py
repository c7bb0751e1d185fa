"""The operations on a GPU: right numbers, on any stream and device, and clean errors."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from daart_fast import ops

from .conftest import Shape, draw_shapes
from .test_block import LEAVES, Block, Tensors, draw_blocks

pytestmark = pytest.mark.cuda

SMOOTH = ("linear", "sigmoid", "tanh")
#: relative errors allowed of values that are sums of up to USUAL_TERMS products
ERRORS = {"float64": 1e-13, "ieee": 1e-6, "tf32": 1e-3, "bfloat16": 1e-2}
USUAL_TERMS = 64 * 9
DTYPES = {"float64": torch.float64, "bfloat16": torch.bfloat16}


@contextmanager
def numbers(kind: str) -> Iterator[torch.dtype]:
    """Compute in this kind of numbers, as a user would ask for them; the tensors' dtype."""
    convolutions = torch.backends.cudnn.conv
    before = convolutions.fp32_precision
    convolutions.fp32_precision = "tf32" if kind == "tf32" else "ieee"
    try:
        yield DTYPES.get(kind, torch.float32)
    finally:
        convolutions.fp32_precision = before


def on(device: Any, tensors: Tensors, dtype: torch.dtype) -> Tensors:
    return {n: None if t is None else t.to(device, dtype) for n, t in tensors.items()}


def value_and_gradients(block: Block, tensors: Tensors) -> dict[str, Tensor]:
    """The output and the gradients of a sum of it, random but always the same, in float64."""
    given = dict(tensors)
    for name in LEAVES:
        leaf = given[name]
        given[name] = None if leaf is None else leaf.detach().requires_grad_()
    y = ops.dilation_block(**given, **block.settings)
    draw = torch.Generator().manual_seed(1)
    y.backward(torch.randn(y.shape, generator=draw, dtype=torch.float64).to(y))
    leaves = {name: given[name] for name in LEAVES}
    gradients = {n: t.grad for n, t in leaves.items() if t is not None and t.grad is not None}
    return {n: t.detach().cpu().double() for n, t in {"y": y, **gradients}.items()}


def reference(block: Block, tensors: Tensors) -> dict[str, Tensor]:
    """The same in float64 on the CPU, of the numbers that were given."""
    with ops.forced("torch"):
        return value_and_gradients(block, on("cpu", tensors, torch.float64))


def relative_error(found: Tensor, expected: Tensor) -> float:
    return ((found - expected).norm() / expected.norm().clamp_min(1e-30)).item()


def allowed(kind: str, n_terms: int, activation: str, gradient: bool) -> float:
    """The relative error that a value or a gradient may have; infinite where it can be any."""
    error = ERRORS[kind] * max(1.0, (n_terms / USUAL_TERMS) ** 0.5)
    if not gradient:
        return error
    if activation in SMOOTH:
        return 10 * error  # sums over all frames
    # at a kink, rounding decides which slope a gradient takes: with few digits that is often
    return math.inf if kind in ("tf32", "bfloat16") else max(10 * error, 1e-3)


def assert_right(block: Block, kind: str) -> None:
    with numbers(kind) as dtype:
        tensors = on("cuda", block.tensors(), dtype)
        found = value_and_gradients(block, tensors)
    expected = reference(block, tensors)
    assert found.keys() == expected.keys()
    n_terms = block.width * max(block.c_in, block.hidden)
    for name, value in found.items():
        error = relative_error(value, expected[name])
        most = allowed(kind, n_terms, block.activation, name != "y")
        assert error < most, f"{name}: {error:.1e}, {block}"


@pytest.fixture(autouse=True)
def _kernels() -> Iterator[None]:
    """Run on the kernels, and on nothing that stands in for them."""
    if not torch.cuda.is_available():
        yield
        return
    with ops.forced("cuda"):
        yield


# ------------------------------------------------------------------------------ right numbers


@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("seed", range(3))
def test_random_blocks_are_right(kind: str, seed: int) -> None:
    for block in draw_blocks(20, 100 + seed):
        assert_right(block, kind)


@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize(
    "block",
    [
        Block(2, 548, 16, 32, 32, 9, 1),
        Block(32, 1240, 64, 64, 64, 9, 8, "causal", "tanh"),
        Block(1, 20_000, 32, 32, 32, 9, 2, "same", "tanh"),
        Block(3, 700, 256, 256, 256, 3, 1, "same", "sigmoid"),
        Block(2, 300, 7, 33, 65, 65, 3, "causal", "linear"),
        Block(5, 1, 1, 1, 1, 2, 1),
    ],
    ids=str,
)
def test_blocks_of_usual_and_of_extreme_sizes_are_right(kind: str, block: Block) -> None:
    assert_right(block, kind)


def convolution(shape: Shape, tensors: tuple[Tensor | None, ...]) -> list[Tensor]:
    """The output and the gradients of a sum of it, in float64 on the CPU."""
    leaves = [None if t is None else t.detach().requires_grad_() for t in tensors]
    y = ops.dilated_conv1d(*leaves, shape.dilation, shape.padding, shape.activation)
    draw = torch.Generator().manual_seed(1)
    y.backward(torch.randn(y.shape, generator=draw, dtype=torch.float64).to(y))
    gradients = [t.grad for t in leaves if t is not None]
    return [t.detach().cpu().double() for t in (y, *gradients)]


@pytest.mark.parametrize("kind", ERRORS)
def test_random_convolutions_are_right(kind: str) -> None:
    for shape in draw_shapes(60, 7):
        with numbers(kind) as dtype:
            tensors = tuple(None if t is None else t.to("cuda", dtype) for t in shape.tensors())
            found = convolution(shape, tensors)
        with ops.forced("torch"):
            exact = tuple(None if t is None else t.cpu().double() for t in tensors)
            expected = convolution(shape, exact)
        for i, (value, right) in enumerate(zip(found, expected, strict=True)):
            error = relative_error(value, right)
            most = allowed(kind, shape.width * shape.c_in, shape.activation, i > 0)
            assert error < most, f"tensor {i}: {error:.1e}, {shape}"


@pytest.mark.parametrize("c_out", [2, 3], ids=["identity residual", "1x1 residual"])
@pytest.mark.parametrize("padding", ["same", "causal"])
def test_float64_gradients_pass_gradcheck(padding: str, c_out: int) -> None:
    block = Block(2, 5, 2, 3, c_out, 3, 1, padding, "tanh")
    tensors = on("cuda", block.tensors(), torch.float64)
    names = [name for name in LEAVES if tensors[name] is not None]
    leaves = [t.requires_grad_() for n in names if (t := tensors[n]) is not None]

    def run(*values: Tensor) -> Tensor:
        return ops.dilation_block(
            **(tensors | dict(zip(names, values, strict=True))), **block.settings
        )

    assert gradcheck(run, leaves, atol=1e-6)


def test_slices_and_transposed_tensors_are_right() -> None:
    block = Block(frames=50)
    tensors = on("cuda", block.tensors(), torch.float64)
    x = tensors["x"]
    assert x is not None
    for view in (x[:, 5:45], x.transpose(1, 2).contiguous().transpose(1, 2)):
        given = tensors | {"x": view}
        found, expected = value_and_gradients(block, given), reference(block, given)
        for name in expected:
            assert relative_error(found[name], expected[name]) < 1e-12, name


def test_an_empty_batch_gives_an_empty_result_and_zero_gradients() -> None:
    found = value_and_gradients(Block(batch=0), on("cuda", Block(batch=0).tensors(), torch.float32))
    assert found["y"].shape == (0, 40, 20)
    assert not any(found[name].any() for name in ("v0", "gain0", "bias0", "v1", "gain1"))


def test_deterministic_algorithms_give_the_same_bits_each_time() -> None:
    block = Block(8, 1240, 64, 64, 64, 9, 2)
    tensors = on("cuda", block.tensors(), torch.float32)
    torch.use_deterministic_algorithms(True)
    try:
        first, *others = (value_and_gradients(block, tensors) for _ in range(5))
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(first[name], other[name]) for other in others for name in first)


@pytest.mark.parametrize("backend", ["torch", "cuda"])
@pytest.mark.parametrize("reduce", ["batch", "sequence"])
def test_losses_on_the_device_are_those_of_the_cpu(backend: str, reduce: str) -> None:
    draw = torch.Generator().manual_seed(0)
    x, weight = torch.randn(3, 40, 16, generator=draw), torch.randn(6, 16, generator=draw)
    labels, mask = (
        torch.randint(-2, 6, (3, 40), generator=draw),
        torch.rand(3, 40, generator=draw) < 0.8,
    )
    target = torch.where(torch.rand(3, 40, 16, generator=draw) < 0.1, torch.nan, x + 1)
    results = []
    for device in ("cpu", "cuda"):
        own = [t.to(device) for t in (x, weight, labels, mask, target)]
        own[0].requires_grad_()
        with ops.forced(backend if device == "cuda" else "torch"):
            cross, agreement = ops.linear_cross_entropy(
                *(own[0], own[1], None, own[2]),
                **{"mask": own[3], "compared": own[2], "ignored": 0, "reduce": reduce},
            )
            squared = ops.squared_error(own[0], own[4], own[3], 2, 30, 1, reduce)
        (cross + squared).sum().backward()
        results.append([t.detach().cpu() for t in (cross, agreement, squared, own[0].grad)])
    for ours, expected in zip(*results, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-6)


# ------------------------------------------------------------------------------ streams, graphs


BLOCK = Block(2, 548, 16, 32, 32, 9, 2)


def test_work_is_queued_on_the_current_stream() -> None:
    tensors = on("cuda", BLOCK.tensors(), torch.float32)
    expected = value_and_gradients(BLOCK, tensors)
    x = tensors["x"]
    assert x is not None
    stream = torch.cuda.Stream()
    late = torch.full_like(x, torch.nan)
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)  # whoever runs elsewhere reads NaN
        late.copy_(x)
        found = value_and_gradients(BLOCK, tensors | {"x": late})
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-5, atol=1e-5)


def test_threads_with_streams_of_their_own_do_not_disturb_each_other() -> None:
    blocks = draw_blocks(4, 9)
    expected = [reference(block, block.tensors()) for block in blocks]
    found: dict[int, dict[str, Tensor]] = {}

    def work(i: int) -> None:
        with torch.cuda.stream(torch.cuda.Stream()):
            tensors = on("cuda", blocks[i].tensors(), torch.float64)
            for _ in range(20):
                found[i] = value_and_gradients(blocks[i], tensors)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, right in enumerate(expected):
        for name in right:
            assert relative_error(found[i][name], right[name]) < 1e-11


def test_a_graph_replayed_a_thousand_times_follows_its_data() -> None:
    tensors = on("cuda", BLOCK.tensors(), torch.float32)
    leaves = [t.requires_grad_() for n in LEAVES if (t := tensors[n]) is not None]
    x = leaves[0]

    def step() -> list[Tensor]:
        y = ops.dilation_block(**tensors, **BLOCK.settings)
        return [y, *torch.autograd.grad(y.square().sum(), leaves)]

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = step()
    draw = torch.Generator(device="cuda").manual_seed(0)
    for i in range(1000):
        with torch.no_grad():
            x.normal_(generator=draw)
        graph.replay()
        if i % 50 == 0 or i == 999:
            for found, expected in zip(results, step(), strict=True):
                assert relative_error(found.detach(), expected.detach()) < 1e-5


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there are not two CUDA devices")
def test_each_device_works_on_its_own_tensors() -> None:
    expected = reference(BLOCK, BLOCK.tensors())
    for current in (0, 1):
        for device in (0, 1):
            with torch.cuda.device(current):
                found = value_and_gradients(
                    BLOCK, on(f"cuda:{device}", BLOCK.tensors(), torch.float64)
                )
                assert torch.cuda.current_device() == current
            for name in expected:
                assert relative_error(found[name], expected[name]) < 1e-12


# ------------------------------------------------------------------------------ what goes wrong


def test_running_out_of_memory_is_an_error_that_can_be_gone_on_from() -> None:
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(2**28 / total)
    try:
        with pytest.raises(torch.OutOfMemoryError):
            value_and_gradients(
                BLOCK, on("cuda", Block(64, 20_000, 16, 32, 32, 9, 2).tensors(), torch.float32)
            )
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()
    assert_right(BLOCK, "ieee")


SANITIZED = """
import torch
from daart_fast import ops
draw = torch.Generator().manual_seed(0)
def normal(*shape):
    return torch.randn(shape, generator=draw).cuda().requires_grad_()
for b, t, c, h, o, k, d in (
    (2, 61, 6, 16, 20, 5, 2), (1, 7, 33, 33, 33, 9, 8), (3, 130, 64, 32, 64, 3, 1)
):
    residual = (normal(o, c, 1), normal(o)) if c != o else (None, None)
    with ops.forced("cuda"):
        y = ops.dilation_block(
            normal(b, t, c), normal(h, c, k), normal(h, 1, 1), normal(h), normal(o, h, k),
            normal(o, 1, 1), normal(o), *residual, torch.ones(b, h).cuda(), None, d)
        labels = torch.randint(-1, 7, (b, t), generator=draw).cuda()
        loss, _ = ops.linear_cross_entropy(y, normal(7, o), normal(7), labels, compared=labels)
        (loss + ops.squared_error(y, torch.ones_like(y), ahead=1)).backward()
torch.cuda.synchronize()
"""


@pytest.mark.parametrize("tool", ["memcheck", "racecheck", "synccheck", "initcheck"])
def test_the_sanitizer_finds_nothing(tool: str) -> None:
    sanitizer = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
    if not os.access(sanitizer, os.X_OK):
        pytest.skip("compute-sanitizer is not installed")
    done = subprocess.run(
        [
            sanitizer,
            "--tool",
            tool,
            "--error-exitcode",
            "9",
            "--report-api-errors",
            "no",
            sys.executable,
            "-P",
            "-c",
            SANITIZED,
        ],
        # torch's cache of memory would hide where a tensor ends
        env={**os.environ, "PYTORCH_NO_CUDA_MEMORY_CACHING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
