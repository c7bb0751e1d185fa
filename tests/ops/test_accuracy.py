"""Errors of minimal filtering against float64: bounded by those of the direct method, every width.

The error of values and input gradients is taken relative to their spread about their mean in time:
a large mean would hide errors otherwise. Weight gradients have no time; theirs is relative to their
own size.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from daart_fast import ops
from daart_fast.ops.native import native

if native is None:
    pytest.skip("the native module is not built", allow_module_level=True)

WIDTHS = range(3, 34)
MOST = 10.0  # times the direct method's error


def spread(y: Tensor) -> float:
    return (y - y.mean(1, keepdim=True)).square().mean().sqrt().item()


def results(
    x: Tensor, weight: Tensor, grad: Tensor, dilation: int, conv: str, dtype: torch.dtype
) -> list[Tensor]:
    """y, dx, dweight in float64."""
    x, weight = (t.to(dtype, copy=True).requires_grad_() for t in (x, weight))
    with ops.forced("native", conv=conv):
        y = ops.dilated_conv1d(x, weight, None, dilation, "same")
        y.backward(grad.to(dtype))
    assert x.grad is not None and weight.grad is not None
    return [y.detach().double(), x.grad.double(), weight.grad.double()]


def errors(got: list[Tensor], exact: list[Tensor]) -> list[float]:
    sizes = [spread(exact[0]), spread(exact[1]), exact[2].square().mean().sqrt().item()]
    return [
        (a - b).square().mean().sqrt().item() / size
        for a, b, size in zip(got, exact, sizes, strict=True)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("mean", [0.0, 100.0], ids=["centred", "mean of 100 sd"])
@pytest.mark.parametrize("isa", native.isas())
def test_filtered_errors_are_at_most_ten_times_direct_ones_for_every_width(
    isa: str, mean: float
) -> None:
    draw = torch.Generator().manual_seed(0)
    for width in WIDTHS:
        for frames, dilation, channels in ((60, 1, 8), (300, 2, 32), (500, 3, 64), (1240, 1, 16)):
            x = torch.randn(2, frames, channels, generator=draw)
            x += mean * torch.randn(channels, generator=draw).sign()
            weight = torch.randn(channels, channels, width, generator=draw)
            weight /= (channels * width) ** 0.5
            case = (x, weight, torch.randn(2, frames, channels, generator=draw), dilation)
            with ops.forced(isa=isa):
                exact = results(*case, "direct", torch.float64)
                direct = errors(results(*case, "direct", torch.float32), exact)
                filtered = errors(results(*case, "filtered", torch.float32), exact)
            for name, mine, bound in zip(("y", "dx", "dweight"), filtered, direct, strict=True):
                where = f"{name} at width {width}, frames {frames}, channels {channels}"
                assert mine <= MOST * bound, f"{where}: {mine:.1e}, directly {bound:.1e}"


@pytest.mark.slow
@pytest.mark.parametrize("conv", ["direct", "filtered"])
@pytest.mark.parametrize("isa", native.isas())
def test_weight_gradients_stay_exact_up_to_50000_frames(isa: str, conv: str) -> None:
    draw = torch.Generator().manual_seed(0)
    for width, channels, frames in ((9, 32, 50_000), (3, 16, 50_000), (33, 16, 20_000)):
        x, grad = (torch.randn(1, frames, channels, generator=draw) for _ in range(2))
        weight = torch.randn(channels, channels, width, generator=draw)
        with ops.forced(isa=isa):
            exact = results(x, weight, grad, 2, "direct", torch.float64)
            error = errors(results(x, weight, grad, 2, conv, torch.float32), exact)[2]
        assert error < 3e-6, f"width {width}: {error:.1e}"
