"""A stack of residual blocks against the blocks in turn: values, gradients, complaints."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from daart_fast import ops
from daart_fast.activations import ACTIVATIONS
from daart_fast.ops.native import native
from daart_fast.ops.operators_stack import saved_size
from daart_fast.ops.stack import stack_layers

Stack = dict[str, Any]


def stack(seed: int, dtype: torch.dtype = torch.float64, frames: int | None = None) -> Stack:
    """Arguments of dilation_stack of random sizes."""
    draw = random.Random(seed)
    normal = torch.Generator().manual_seed(seed)

    def leaf(*shape: int) -> Tensor:
        return torch.randn(shape, generator=normal, dtype=dtype).requires_grad_()

    b, t = draw.choice([1, 2, 3]), frames or draw.choice([1, 7, 30, 90])
    width, bias = draw.choice([1, 3, 4, 9]), draw.random() < 0.7
    n_blocks, c_in = draw.choice([1, 2, 3]), draw.choice([3, 16, 20])
    x = leaf(b, t, c_in)
    blocks, n_masks = [], 0
    for _ in range(n_blocks):
        hidden = draw.choice([5, 16, 32])
        out = draw.choice([c_in, 16, 33])
        blocks.append(
            (
                *(leaf(hidden, c_in, width), leaf(hidden, 1, 1), leaf(hidden) if bias else None),
                *(leaf(out, hidden, width), leaf(out, 1, 1), leaf(out) if bias else None),
                *((None, None) if out == c_in else (leaf(out, c_in, 1), leaf(out))),
            )
        )
        c_in, n_masks = out, n_masks + hidden + out
    first = draw.randrange(t)
    masks = (torch.rand(b, n_masks, generator=normal, dtype=dtype) < 0.7) / 0.7
    return {
        "x": x,
        "blocks": blocks,
        "masks": masks.to(dtype) if draw.random() < 0.6 else None,
        "dilations": [2 ** draw.randrange(3) for _ in blocks],
        "padding": draw.choice(["same", "causal"]),
        "activation": draw.choice(list(ACTIVATIONS)),
        "first": first,
        "frames": draw.randrange(1, t - first + 1),
    }


def leaves(arguments: Stack) -> list[Tensor]:
    return [arguments["x"], *(t for block in arguments["blocks"] for t in block if t is not None)]


def values_and_gradients(arguments: Stack) -> list[Tensor]:
    y = ops.dilation_stack(**arguments)
    upstream = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view(y.shape)
    return [y.detach(), *torch.autograd.grad(y, leaves(arguments), upstream)]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_values_and_gradients_are_those_of_the_blocks_in_turn(dtype: torch.dtype) -> None:
    tolerances = {} if dtype is torch.float64 else {"rtol": 1e-3, "atol": 2e-4}
    for seed in range(60):
        arguments = stack(seed, dtype)
        with ops.forced("native"):
            native = values_and_gradients(arguments)
        with ops.forced("torch"):
            twin = values_and_gradients(arguments)
        for own, expected in zip(native, twin, strict=True):
            scale = max(expected.abs().max().item(), 1.0)
            torch.testing.assert_close(own / scale, expected / scale, **tolerances)


def test_without_gradients_the_values_are_the_same() -> None:
    for seed in range(10):
        arguments = stack(seed)
        expected = ops.dilation_stack(**arguments)
        with torch.no_grad():
            assert torch.equal(ops.dilation_stack(**arguments), expected)


@pytest.mark.parametrize("seed", [0, 3, 4])
def test_gradients_are_those_of_finite_differences(seed: int) -> None:
    arguments = stack(seed, frames=9) | {"activation": "tanh"}
    x, blocks = arguments["x"], arguments["blocks"]

    def run(x: Tensor, *parameters: Tensor) -> Tensor:
        rest = iter(parameters)
        changed = [tuple(None if t is None else next(rest) for t in block) for block in blocks]
        return ops.dilation_stack(**arguments | {"x": x, "blocks": changed})

    assert gradcheck(run, (x, *leaves(arguments)[1:]), fast_mode=True)


def test_a_gradient_that_is_not_asked_for_is_not_given() -> None:
    arguments = stack(1)
    arguments["x"] = arguments["x"].detach()
    ops.dilation_stack(**arguments).sum().backward()
    assert arguments["x"].grad is None
    assert all(p.grad is not None for p in leaves(arguments)[1:])


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"first": 5, "frames": 3}, "frames 5 to 8 are wanted, but x has 7"),
        ({"frames": 0}, "frames 0 to 0"),
        ({"padding": "valid"}, "padding must be 'same' or 'causal'"),
        ({"dilations": []}, "1 blocks and 0 dilations"),
        ({"dilations": [0]}, "dilation must be at least 1"),
        ({"x": torch.zeros(1, 7, 3)}, r"block 0's v0 must be \(5, 3, 3\)"),
        ({"masks": torch.zeros(1, 3)}, r"masks must be \(1, 9\)"),
    ],
)
def test_what_does_not_fit_is_named(change: Stack, complaint: str) -> None:
    block = (
        *(torch.ones(5, 4, 3), torch.ones(5, 1, 1), None),
        *(torch.ones(4, 5, 3), torch.ones(4, 1, 1), None),
        *(None, None),
    )
    arguments = {"x": torch.zeros(1, 7, 4), "blocks": [block], "dilations": [1]}
    with pytest.raises(ValueError, match=complaint):
        ops.dilation_stack(**arguments | change)


@pytest.mark.slow
def test_torch_compile_takes_it_whole() -> None:
    arguments = stack(0, torch.float32)
    compiled = torch.compile(ops.dilation_stack, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(**arguments), ops.dilation_stack(**arguments))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_operators_pass_opcheck(seed: int) -> None:
    x, parameters, *settings = operands(seed)
    operators = torch.ops.daart_fast
    for keep in (False, True):
        torch.library.opcheck(operators.stack_forward.default, (x, parameters, *settings, keep))
    y, saved = operators.stack_forward.default(x, parameters, *settings, True)
    masks, layers, activation, first, _ = settings
    for needs in ((True, True), (False, True), (True, False)):
        arguments = (torch.ones_like(y), x, parameters, masks, y, saved, layers, activation, first)
        torch.library.opcheck(operators.stack_backward.default, (*arguments, *needs))


def operands(seed: int) -> list[Any]:
    """What ``stack_forward`` gets for a random stack, but for its last argument."""
    arguments = stack(seed)
    x, blocks, masks = (arguments[name] for name in ("x", "blocks", "masks"))
    layers = stack_layers(x, blocks, masks, arguments["dilations"], arguments["padding"])
    parameters = [None if p is None else p.detach() for block in blocks for p in block]
    first, frames = arguments["first"], arguments["frames"]
    return [x.detach(), parameters, masks, layers, 2, first, frames]


@pytest.mark.parametrize("seed", range(40))
def test_what_a_compiler_counts_is_what_is_kept(seed: int) -> None:
    assert native is not None
    x, _, _, layers, _, first, frames = operands(seed)
    for activation in range(len(native.activations)):
        kept = saved_size(x, layers, activation, first, frames)
        sizes = native.StackSizes(*x.shape, first, frames)
        assert kept == native.stack_saved(sizes, layers, activation)


@pytest.mark.slow
def test_what_is_compiled_for_any_number_of_frames_trains() -> None:
    arguments = stack(0) | {"first": 0, "frames": None}
    compiled = torch.compile(ops.dilation_stack, fullgraph=True, backend="aot_eager", dynamic=True)
    for _ in range(3):
        arguments["x"] = torch.cat([arguments["x"].detach(), arguments["x"].detach()[:, :5]], 1)
        results = []
        for function in (ops.dilation_stack, compiled):
            y = function(**arguments)
            results.append([y, *torch.autograd.grad(y.square().sum(), leaves(arguments)[1:])])
        for ours, right in zip(*results, strict=True):
            torch.testing.assert_close(ours, right)
