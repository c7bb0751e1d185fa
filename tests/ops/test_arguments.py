"""Complaints say what was expected and what came."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from daart_fast import ops

GOOD: dict[str, Any] = {
    "x": torch.zeros(2, 10, 4),
    "weight": torch.zeros(6, 4, 3),
    "bias": torch.zeros(6),
    "dilation": 2,
    "padding": "same",
    "activation": "relu",
}


@pytest.mark.parametrize("backend", ["native", "torch"])
@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (
            {"x": torch.zeros(10, 4)},
            ValueError,
            r"x must be \(batch, frames, channels\), but its shape is \(10, 4\)",
        ),
        ({"weight": torch.zeros(6, 4)}, ValueError, r"weight must be \(channels out, .*\(6, 4\)"),
        ({"weight": torch.zeros(6, 5, 3)}, ValueError, "x has 4 channels, but weight takes 5"),
        ({"weight": torch.zeros(6, 4, 0)}, ValueError, r"no elements: its shape is \(6, 4, 0\)"),
        ({"bias": torch.zeros(5)}, ValueError, r"bias must be \(6,\), but its shape is \(5,\)"),
        (
            {"x": torch.zeros(2, 10, 4, dtype=torch.int64)},
            TypeError,
            "must be floating point, but it is torch.int64",
        ),
        (
            {"weight": torch.zeros(6, 4, 3).double()},
            TypeError,
            "weight must be torch.float32, but it is torch.float64",
        ),
        (
            {"bias": torch.zeros(6).double()},
            TypeError,
            "bias must be torch.float32, but it is torch.float64",
        ),
        ({"dilation": 0}, ValueError, "dilation must be at least 1, but it is 0"),
        ({"activation": "sigmoids"}, ValueError, "activation must be one of .*'sigmoids'.*sigmoid"),
        ({"padding": "full"}, ValueError, "padding must be 'same', 'causal' or .*'full'"),
        ({"padding": (1, 2, 3)}, ValueError, r"padding must be 'same', .*\(1, 2, 3\)"),
        ({"padding": (-1, 2)}, ValueError, r"must not be negative, but it is \(-1, 2\)"),
        ({"x": torch.zeros(2, 0, 4)}, ValueError, "no frame is left: 0 frames"),
        (
            {"x": torch.zeros(2, 3, 4), "padding": (0, 0)},
            ValueError,
            "3 frames with padding 0 \\+ 0, width 3 and dilation 2 give -1 frames",
        ),
    ],
)
def test_a_bad_argument_is_named(
    backend: str, change: dict[str, Any], kind: type[Exception], message: str
) -> None:
    if backend == "native":
        pytest.importorskip("daart_fast._native")
    with ops.forced(backend), pytest.raises(kind, match=message):
        ops.dilated_conv1d(**(GOOD | change))


def test_the_good_arguments_are_good() -> None:
    assert ops.dilated_conv1d(**GOOD).shape == (2, 10, 6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_other_floating_dtypes_go_through_pytorch(dtype: torch.dtype) -> None:
    cast = {k: v.to(dtype) for k, v in GOOD.items() if isinstance(v, torch.Tensor)}
    assert ops.dilated_conv1d(**(GOOD | cast)).dtype == dtype


def test_a_padding_beyond_every_size_is_an_error_not_a_crash() -> None:
    pytest.importorskip("daart_fast._native")
    with ops.forced("native"), pytest.raises(ValueError, match="2\\^40"):
        ops.dilated_conv1d(GOOD["x"], GOOD["weight"], None, dilation=2**41)
