"""The native convolution against its plain twin: values, gradients, odd inputs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from daart_fast import ops
from daart_fast.ops.native import native

from .conftest import Shape, draw_shapes

PLAIN = Shape(2, 50, 16, 32, 9, 2, "same", "lrelu", True)
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-11}


def convolve(
    shape: Shape, x: Tensor, weight: Tensor, bias: Tensor | None, backend: str = "native"
) -> Tensor:
    with ops.forced(backend):
        return ops.dilated_conv1d(x, weight, bias, shape.dilation, shape.padding, shape.activation)


def value_and_gradients(
    shape: Shape, inputs: tuple[Tensor, Tensor, Tensor | None], backend: str
) -> list[Tensor]:
    """The output, and the gradients of a random weighted sum of it, in float64."""
    leaves = [None if t is None else t.detach().requires_grad_() for t in inputs]
    y = convolve(shape, *leaves, backend=backend)
    draw = torch.Generator().manual_seed(1)
    y.backward(torch.randn(y.shape, generator=draw, dtype=torch.float64).to(y.dtype))
    return [y.detach().double(), *(t.grad.double() for t in leaves if t is not None)]


def assert_near(got: list[Tensor], expected: list[Tensor], tolerance: float) -> None:
    for name, a, b in zip(("y", "dx", "dweight", "dbias"), got, expected, strict=False):
        assert a.shape == b.shape
        if b.numel():
            error = (a - b).abs().max() / b.abs().max().clamp_min(1e-30)
            assert error < tolerance, f"{name}: {error:.1e}"


def assert_agrees_with_reference(
    shape: Shape, inputs: tuple[Tensor, Tensor, Tensor | None]
) -> None:
    # the reference's gradient of a relu may differ where an output is zero to rounding
    exact = tuple(None if t is None else t.double() for t in inputs)
    expected = value_and_gradients(shape, exact, "torch")
    got = value_and_gradients(shape, inputs, "native")
    assert_near(got, expected, TOLERANCE[inputs[0].dtype])


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_and_gradients_of_random_shapes_agree_with_reference(
    kernels: tuple[str, str], dtype: torch.dtype
) -> None:
    seed = ["avx512", "avx2", "generic", "neon"].index(kernels[0])
    for shape in draw_shapes(60, seed):
        assert_agrees_with_reference(shape, shape.tensors(dtype))


@pytest.mark.parametrize("activation", ["linear", "relu", "lrelu", "sigmoid", "tanh"])
@pytest.mark.parametrize("padding", ["same", "causal", (3, 11)])
def test_every_activation_and_padding_agrees_with_reference(
    kernels: tuple[str, str], activation: str, padding: str | tuple[int, int]
) -> None:
    shape = Shape(2, 75, 20, 32, 5, 3, padding, activation, True)
    assert_agrees_with_reference(shape, shape.tensors(torch.float32))


@pytest.mark.parametrize(
    "shape",
    [
        Shape(2, 1, 16, 32, 9, 1, "same", "lrelu", True),
        Shape(1, 5, 16, 32, 9, 4, "causal", "linear", True),
        Shape(2, 40, 1, 1, 9, 2, "same", "tanh", True),
        Shape(2, 7, 16, 16, 3, 50, "same", "linear", True),
        Shape(2, 7, 16, 16, 9, 1000, (8000, 0), "relu", False),
        Shape(1, 5, 8, 8, 3, 2, (0, 0), "linear", True),
        Shape(1, 300, 6, 32, 9, 1, (40, 70), "linear", True),
        Shape(3, 64, 130, 96, 3, 1, "same", "lrelu", True),
        Shape(2, 33, 48, 128, 1, 1, "same", "sigmoid", True),
    ],
    ids=[
        "one frame",
        "fewer frames than the taps span",
        "one channel",
        "dilation beyond the data",
        "only padding under most taps",
        "one frame left",
        "padding beyond the taps",
        "many channels",
        "width of one",
    ],
)
def test_corner_cases_agree_with_reference(kernels: tuple[str, str], shape: Shape) -> None:
    assert_agrees_with_reference(shape, shape.tensors(torch.float32))


def test_an_empty_batch_gives_an_empty_result_and_zero_gradients(
    kernels: tuple[str, str],
) -> None:
    y, dx, dweight, dbias = value_and_gradients(
        PLAIN, Shape(0, 50, 16, 32, 9, 2, "same", "lrelu", True).tensors(torch.float32), "native"
    )
    assert y.shape == (0, 50, 32)
    assert dx.shape == (0, 50, 16)
    assert not dweight.any() and not dbias.any()


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x[:, 5:-8],
        lambda x: x[1:],
        lambda x: x[:, ::2],
        lambda x: x[::2, 3:],
        lambda x: torch.stack((x, -x), 3)[..., 0],
        lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
        lambda x: x.transpose(1, 2).contiguous().transpose(1, 2),
        lambda x: x[:1].expand(3, -1, -1),
    ],
    ids=["time", "batch", "step", "both", "channels", "batch inside", "channels first", "expanded"],
)
def test_slices_and_odd_strides_agree_with_reference(
    kernels: tuple[str, str], view: Callable[[Tensor], Tensor]
) -> None:
    x, weight, bias = Shape(3, 90, 16, 32, 9, 2, "same", "lrelu", True).tensors(torch.float32)
    odd_weight = weight.transpose(0, 2).contiguous().transpose(0, 2)

    def run(x: Tensor, weight: Tensor, bias: Tensor | None, backend: str) -> list[Tensor]:
        x = x.detach().requires_grad_()
        weight = weight.detach().requires_grad_()
        y = convolve(PLAIN, view(x), weight, bias, backend)
        (y[:, ::3] * 2).sum().backward()
        assert x.grad is not None and weight.grad is not None
        return [y.detach().double(), x.grad.double(), weight.grad.double()]

    assert bias is not None
    expected = run(x.double(), weight.double(), bias.double(), "torch")
    assert_near(run(x, odd_weight, bias, "native"), expected, 1e-4)


@pytest.mark.parametrize(
    "needs", [(True, False, False), (False, True, False), (False, False, True)]
)
def test_only_the_gradients_asked_for_come(
    kernels: tuple[str, str], needs: tuple[bool, bool, bool]
) -> None:
    tensors = PLAIN.tensors(torch.float32)
    everything = value_and_gradients(PLAIN, tensors, "native")[1:]
    leaves = [
        t.detach().requires_grad_(n) for t, n in zip(tensors, needs, strict=True) if t is not None
    ]
    y = convolve(PLAIN, *leaves)
    draw = torch.Generator().manual_seed(1)
    y.backward(torch.randn(y.shape, generator=draw, dtype=torch.float64).float())
    for leaf, need, expected in zip(leaves, needs, everything, strict=True):
        assert (leaf.grad is not None) == need
        if leaf.grad is not None:
            assert torch.equal(leaf.grad.double(), expected)


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["linear", "lrelu", "sigmoid", "tanh"])
def test_float64_gradients_pass_gradcheck(kernels: tuple[str, str], activation: str) -> None:
    for shape in (
        Shape(2, 6, 3, 4, 3, 2, "causal", activation, True),
        Shape(1, 4, 2, 17, 2, 1, (2, 0), activation, False),
    ):
        inputs = [None if t is None else t.requires_grad_() for t in shape.tensors()]
        assert gradcheck(
            lambda *t, shape=shape: convolve(shape, *t), inputs, fast_mode=False, atol=1e-6
        )


def test_results_do_not_depend_on_the_number_of_threads(kernels: tuple[str, str]) -> None:
    threads = torch.get_num_threads()
    shapes = [*draw_shapes(10, 7), Shape(2, 1000, 32, 32, 9, 2, "same", "tanh", True)]
    try:
        for shape in shapes:
            results = []
            for n in (1, 2, 3):
                torch.set_num_threads(n)
                results.append(value_and_gradients(shape, shape.tensors(torch.float32), "native"))
            for other in results[1:]:
                assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))
    finally:
        torch.set_num_threads(threads)


def test_not_a_number_stays_where_it_was(kernels: tuple[str, str]) -> None:
    # filtering spreads one over its block of outputs; direct only over the taps that see it
    x, weight, bias = PLAIN.tensors(torch.float32)
    x[0, 20, 3] = float("nan")
    y = convolve(PLAIN, x, weight, bias)
    assert y[0, 20].isnan().all()
    assert not y[1].isnan().any()


@pytest.mark.skipif(native is None, reason="the native module is not built")
def test_automatic_choice_agrees_with_reference_wherever_it_falls() -> None:
    with ops.forced("native", conv="auto"):
        for shape in draw_shapes(40, 11):
            assert_agrees_with_reference(shape, shape.tensors(torch.float32))
