"""The residual block against its plain twin: values, gradients, complaints."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from daart_fast import ops
from daart_fast.activations import ACTIVATIONS
from daart_fast.ops.native import native

TENSORS = (
    *("x", "v0", "gain0", "bias0", "v1", "gain1", "bias1"),
    *("residual_weight", "residual_bias", "mask0", "mask1"),
)
LEAVES = TENSORS[:9]

Tensors = dict[str, Tensor | None]


@dataclass(frozen=True)
class Block:
    batch: int = 2
    frames: int = 40
    c_in: int = 6
    hidden: int = 16
    c_out: int = 20
    width: int = 5
    dilation: int = 2
    padding: str = "same"
    activation: str = "lrelu"
    bias: bool = True
    masks: bool = True

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "dilation": self.dilation,
            "padding": self.padding,
            "activation": self.activation,
        }

    def tensors(self, dtype: torch.dtype = torch.float64) -> Tensors:
        draw = torch.Generator().manual_seed(0)

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=draw, dtype=torch.float64)

        def mask(channels: int) -> Tensor:
            keep = torch.rand(self.batch, channels, generator=draw, dtype=torch.float64) < 0.7
            return keep / 0.7

        made: Tensors = {
            "x": normal(self.batch, self.frames, self.c_in),
            "v0": normal(self.hidden, self.c_in, self.width),
            "gain0": normal(self.hidden, 1, 1).abs() + 0.5,
            "bias0": normal(self.hidden) if self.bias else None,
            "v1": normal(self.c_out, self.hidden, self.width),
            "gain1": normal(self.c_out, 1, 1),
            "bias1": normal(self.c_out) if self.bias else None,
            "residual_weight": None,
            "residual_bias": None,
            "mask0": mask(self.hidden) if self.masks else None,
            "mask1": mask(self.c_out) if self.masks else None,
        }
        if self.c_in != self.c_out:
            made["residual_weight"] = normal(self.c_out, self.c_in, 1)
            made["residual_bias"] = normal(self.c_out) if self.bias else None
        return {name: None if t is None else t.to(dtype) for name, t in made.items()}


def value_and_gradients(block: Block, tensors: Tensors, backend: str) -> dict[str, Tensor]:
    """The output and the gradients of a random weighted sum of it, in float64."""
    given = dict(tensors)
    for name in LEAVES:
        leaf = given[name]
        given[name] = None if leaf is None else leaf.detach().requires_grad_()
    with ops.forced(backend):
        y = ops.dilation_block(**given, **block.settings)
        draw = torch.Generator().manual_seed(1)
        y.backward(torch.randn(y.shape, generator=draw, dtype=torch.float64).to(y.dtype))
    results = {"y": y.detach().double()}
    for name in LEAVES:
        leaf = given[name]
        if leaf is not None:
            assert leaf.grad is not None, name
            results[name] = leaf.grad.double()
    return results


def assert_agrees_with_reference(block: Block, dtype: torch.dtype) -> None:
    exact = block.tensors()
    expected = value_and_gradients(block, exact, "torch")
    cast: Tensors = {n: None if t is None else t.to(dtype) for n, t in exact.items()}
    got = value_and_gradients(block, cast, "native")
    assert got.keys() == expected.keys()
    for name, value in got.items():
        assert value.shape == expected[name].shape
        scale = expected[name].abs().max().clamp_min(1e-30)
        error = ((value - expected[name]).abs().max() / scale).item()
        # at a kink, rounding decides which slope a gradient takes: it is then wrong in few places
        kinked = block.activation in ("relu", "lrelu") and dtype == torch.float32 and name != "y"
        if kinked and error >= 1e-4:
            error = ((value - expected[name]).norm() / expected[name].norm()).item() / 30
        assert error < (1e-4 if dtype == torch.float32 else 1e-11), f"{name}: {error:.1e}, {block}"


def draw_blocks(n: int, seed: int) -> list[Block]:
    draw = random.Random(seed)
    blocks = []
    for _ in range(n):
        hidden = draw.choice([1, 5, 16, 32, 33])
        blocks.append(
            Block(
                batch=draw.choice([1, 2, 3]),
                frames=draw.choice([1, 3, 20, 61, 150]),
                c_in=draw.choice([1, 3, 16, 20, hidden]),
                hidden=hidden,
                c_out=draw.choice([2, 16, 17, 32, hidden]),
                # a row of one weight has no direction: its gradient is zero but for rounding
                width=draw.choice([2, 3, 5, 9, 17]),
                dilation=draw.choice([1, 2, 8]),
                padding=draw.choice(["same", "causal"]),
                activation=draw.choice(list(ACTIVATIONS)),
                bias=draw.random() < 0.7,
                masks=draw.random() < 0.7,
            )
        )
    return blocks


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_and_gradients_of_random_blocks_agree_with_reference(
    kernels: tuple[str, str], dtype: torch.dtype
) -> None:
    for block in draw_blocks(25, ["avx512", "avx2", "generic", "neon"].index(kernels[0])):
        assert_agrees_with_reference(block, dtype)


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
@pytest.mark.parametrize("c_out", [6, 20], ids=["identity residual", "1x1 residual"])
def test_every_activation_and_residual_agrees_with_reference(
    kernels: tuple[str, str], activation: str, c_out: int
) -> None:
    block = Block(activation=activation, c_out=c_out, frames=90)
    assert_agrees_with_reference(block, torch.float32)
    assert_agrees_with_reference(replace(block, padding="causal", masks=False), torch.float64)


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["linear", "lrelu", "sigmoid", "tanh"])
@pytest.mark.parametrize("c_out", [2, 3], ids=["identity residual", "1x1 residual"])
def test_float64_gradients_pass_gradcheck(
    kernels: tuple[str, str], activation: str, c_out: int
) -> None:
    block = Block(2, 5, 2, 3, c_out, 3, 1, "causal", activation)
    tensors = block.tensors()
    names = [name for name in LEAVES if tensors[name] is not None]
    leaves = [t.requires_grad_() for n in names if (t := tensors[n]) is not None]

    def run(*values: Tensor) -> Tensor:
        given = tensors | dict(zip(names, values, strict=True))
        return ops.dilation_block(**given, **block.settings)

    with ops.forced("native"):
        assert gradcheck(run, leaves, atol=1e-6)


def test_an_empty_batch_gives_an_empty_result_and_zero_gradients(
    kernels: tuple[str, str],
) -> None:
    block = Block(batch=0)
    results = value_and_gradients(block, block.tensors(torch.float32), "native")
    assert results["y"].shape == (0, 40, 20)
    assert not any(results[name].any() for name in ("v0", "gain0", "bias0", "v1", "gain1"))


def test_without_gradients_the_value_is_the_same(kernels: tuple[str, str]) -> None:
    for block in draw_blocks(10, 3):
        tensors = block.tensors(torch.float32)
        with torch.no_grad():
            y = ops.dilation_block(**tensors, **block.settings)
        assert torch.equal(y.double(), value_and_gradients(block, tensors, "native")["y"])


@pytest.mark.parametrize("needed", [("x",), ("v0", "gain1"), ("residual_bias",)])
def test_only_the_gradients_asked_for_come(needed: tuple[str, ...]) -> None:
    block = Block()
    tensors = block.tensors(torch.float32)
    everything = value_and_gradients(block, tensors, "native" if native else "torch")
    leaves = {
        n: t.detach().requires_grad_(n in needed) for n, t in tensors.items() if t is not None
    }
    y = ops.dilation_block(**leaves, **block.settings)
    draw = torch.Generator().manual_seed(1)
    y.backward(torch.randn(y.shape, generator=draw, dtype=torch.float64).float())
    for name, leaf in leaves.items():
        assert (leaf.grad is not None) == (name in needed)
        if leaf.grad is not None:
            torch.testing.assert_close(leaf.grad.double(), everything[name])


@pytest.mark.parametrize(
    "view",
    [lambda x: x[:, 5:45], lambda x: x.transpose(1, 2).contiguous().transpose(1, 2)[:, :40]],
    ids=["slice in time", "channels first"],
)
def test_odd_strides_agree_with_reference(view: Callable[[Tensor], Tensor]) -> None:
    block = Block(frames=50)
    tensors = block.tensors(torch.float64)
    assert tensors["x"] is not None
    tensors["x"] = view(tensors["x"])
    copy = tensors | {"x": tensors["x"].contiguous()}
    y = ops.dilation_block(**tensors, **block.settings)
    with ops.forced("torch"):
        torch.testing.assert_close(y, ops.dilation_block(**copy, **block.settings))


def test_results_do_not_depend_on_the_number_of_threads(kernels: tuple[str, str]) -> None:
    threads = torch.get_num_threads()
    try:
        for block in [*draw_blocks(6, 5), Block(2, 700, 32, 32, 32, 9)]:
            results = []
            for n in (1, 2, 3):
                torch.set_num_threads(n)
                results.append(value_and_gradients(block, block.tensors(torch.float32), "native"))
            for other in results[1:]:
                assert all(torch.equal(results[0][name], other[name]) for name in other)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.slow
@pytest.mark.parametrize("grad", [False, True])
def test_compiles_without_a_break(grad: bool) -> None:
    block = Block()

    def run(tensors: Tensors) -> Tensor:
        return ops.dilation_block(**tensors, **block.settings) * 2

    results = []
    for function in (run, torch.compile(run, fullgraph=True, backend="aot_eager")):
        tensors = block.tensors(torch.float32)
        leaves = [t.requires_grad_(grad) for n in LEAVES if (t := tensors[n]) is not None]
        y = function(tensors)
        if grad:
            y.square().sum().backward()
        results.append([y.detach(), *(t.grad for t in leaves if t.grad is not None)])
    assert len(results[0]) == len(results[1]) == (10 if grad else 1)
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (
            {"x": torch.zeros(4, 6)},
            ValueError,
            r"x must be \(batch, .*\(4, 6\)",
        ),
        ({"v1": torch.zeros(4)}, ValueError, r"v1 must be \(channels out, .*\(4,\)"),
        ({"x": torch.zeros(2, 0, 6)}, ValueError, r"nothing to convolve: x is \(2, 0, 6\)"),
        ({"x": torch.zeros(2, 40, 7)}, ValueError, r"v0 must be \(16, 7, 5\).*\(16, 6, 5\)"),
        ({"gain0": torch.zeros(16)}, ValueError, r"gain0 must be \(16, 1, 1\).*\(16,\)"),
        ({"v1": torch.zeros(20, 16, 3)}, ValueError, r"v1 must be \(20, 16, 5\)"),
        ({"mask0": torch.zeros(2, 5)}, ValueError, r"mask0 must be \(2, 16\).*\(2, 5\)"),
        ({"residual_weight": None}, ValueError, "x has 6 channels and the block makes 20"),
        ({"bias1": torch.zeros(20).double()}, TypeError, "bias1 must be torch.float32, but it is"),
        ({"x": torch.zeros(2, 40, 6).long()}, TypeError, "must be floating point"),
        ({"dilation": 0}, ValueError, "dilation must be at least 1, but it is 0"),
        ({"padding": "full"}, ValueError, "padding must be 'same' or 'causal', but it is 'full'"),
        ({"padding": (1, 2)}, ValueError, "padding must be 'same' or 'causal'"),
        ({"activation": "lrel"}, ValueError, "did you mean 'lrelu'"),
    ],
)
def test_a_bad_argument_is_named(
    change: dict[str, Any], kind: type[Exception], message: str
) -> None:
    block = Block()
    with pytest.raises(kind, match=f"(?i){message}"):
        ops.dilation_block(**(block.tensors(torch.float32) | block.settings | change))
