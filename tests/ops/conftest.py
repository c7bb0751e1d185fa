"""Every instruction set and method that this machine can run, and shapes drawn at random."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import torch

from daart_fast import ops
from daart_fast.activations import ACTIVATIONS
from daart_fast.ops.native import native

ISAS = native.isas() if native is not None else ()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for ``kernels`` runs on each instruction set, direct and filtered."""
    if "kernels" in metafunc.fixturenames:
        pairs = [(isa, conv) for isa in ISAS for conv in ("direct", "filtered")]
        skip = pytest.mark.skip(reason="the native module is not built")
        params = pairs or [pytest.param(("none", "none"), marks=skip)]
        metafunc.parametrize("kernels", params, ids=lambda pair: "-".join(pair), indirect=True)


@pytest.fixture
def kernels(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """Run the test on one instruction set by one method."""
    isa, conv = request.param
    with ops.forced("native", isa, conv):
        yield isa, conv


@dataclass(frozen=True)
class Shape:
    """One convolution."""

    batch: int
    frames: int
    c_in: int
    c_out: int
    width: int
    dilation: int
    padding: str | tuple[int, int]
    activation: str
    bias: bool

    def tensors(
        self, dtype: torch.dtype = torch.float64, seed: int = 0
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """x, weight and bias of a usual size."""
        draw = torch.Generator().manual_seed(seed)
        x = torch.randn(self.batch, self.frames, self.c_in, generator=draw, dtype=torch.float64)
        weight = (
            torch.randn(self.c_out, self.c_in, self.width, generator=draw, dtype=torch.float64)
            / (self.c_in * self.width) ** 0.5
        )
        bias = torch.randn(self.c_out, generator=draw, dtype=torch.float64)
        return x.to(dtype), weight.to(dtype), bias.to(dtype) if self.bias else None


def draw_shapes(n: int, seed: int) -> list[Shape]:
    """Shapes small and odd, among them ones shorter than their own reach."""
    draw = random.Random(seed)
    shapes = []
    while len(shapes) < n:
        width, dilation = draw.choice([1, 2, 3, 4, 5, 7, 9, 12, 17, 33]), draw.choice([1, 2, 3, 8])
        span = dilation * (width - 1)
        pads = (draw.randrange(span + 4), draw.randrange(span + 4))
        shape = Shape(
            batch=draw.choice([1, 2, 3]),
            frames=draw.choice([1, 2, 7, 30, 61, 130]),
            c_in=draw.choice([1, 3, 5, 16, 17, 20, 33, 64]),
            c_out=draw.choice([1, 2, 6, 16, 19, 32, 40, 64]),
            width=width,
            dilation=dilation,
            padding=draw.choice(["same", "causal", pads]),
            activation=draw.choice(list(ACTIVATIONS)),
            bias=draw.random() < 0.5,
        )
        if shape.padding != pads or shape.frames + sum(pads) > span:
            shapes.append(shape)
    return shapes
