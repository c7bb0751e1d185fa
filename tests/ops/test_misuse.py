"""Tensors of another kind, and transformations of autograd: right, or an error that names them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from daart_fast import ops

X = torch.randn(2, 30, 5, generator=torch.Generator().manual_seed(0))
LABELS = torch.randint(0, 4, (2, 30), generator=torch.Generator().manual_seed(1))
HEAD = torch.randn(4, 5, generator=torch.Generator().manual_seed(2))
WEIGHT = torch.randn(6, 5, 3, generator=torch.Generator().manual_seed(3))
BLOCK = (
    torch.randn(5, 5, 3, generator=torch.Generator().manual_seed(4)),
    torch.ones(5, 1, 1),
    None,
    torch.randn(5, 5, 3, generator=torch.Generator().manual_seed(5)),
    torch.ones(5, 1, 1),
    *(None, None, None),
)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("weight", HEAD.double()),
        ("bias", torch.zeros(4, dtype=torch.float64)),
        ("class_weights", torch.ones(4, dtype=torch.float64)),
        ("labels", LABELS.int()),
        ("unless", LABELS.short()),
        ("compared", LABELS.int()),
        ("mask", torch.ones(2, 30)),
        ("mask", torch.ones(2, 30, dtype=torch.int64)),
    ],
)
def test_cross_entropy_names_what_has_another_dtype(name: str, value: Tensor) -> None:
    arguments: dict[str, Any] = {"weight": HEAD, "bias": None, "labels": LABELS, name: value}
    with pytest.raises(TypeError, match=f"{name} must be torch.*, but it is {value.dtype}"):
        ops.linear_cross_entropy(X, **arguments)


@pytest.mark.parametrize("change", [{"target": X.half()}, {"mask": torch.ones(2, 30)}])
def test_squared_error_names_what_has_another_dtype(change: dict[str, Tensor]) -> None:
    (name,) = change
    with pytest.raises(TypeError, match=f"{name} must be torch"):
        ops.squared_error(X, **{"target": X, **change})


def test_a_stack_names_masks_of_another_dtype() -> None:
    with pytest.raises(TypeError, match="masks must be torch.float32, but it is torch.float64"):
        ops.dilation_stack(X, [BLOCK], torch.ones(2, 10).double(), dilations=[1])


@pytest.mark.parametrize(
    "call",
    [
        lambda: ops.dilated_conv1d(X, WEIGHT.to("meta")),
        lambda: ops.dilation_block(X, BLOCK[0].to("meta"), *BLOCK[1:]),  # type: ignore[arg-type]
        lambda: ops.dilation_stack(X, [(BLOCK[0].to("meta"), *BLOCK[1:])], dilations=[1]),
        lambda: ops.linear_cross_entropy(X, HEAD.to("meta"), None, LABELS),
        lambda: ops.squared_error(X, X.to("meta")),
    ],
)
def test_a_tensor_elsewhere_is_named(call: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match="on meta"):
        call()


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "conv": lambda x: ops.dilated_conv1d(x, WEIGHT, activation="tanh"),
    "block": lambda x: ops.dilation_block(x, *BLOCK, activation="tanh"),
    "stack": lambda x: ops.dilation_stack(x, [BLOCK, BLOCK], dilations=[1, 2], activation="tanh"),
    "cross_entropy": lambda x: ops.linear_cross_entropy(x, HEAD, None, LABELS)[0],
    "squared_error": lambda x: ops.squared_error(x, 2 * X),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
def test_forward_mode_derivatives_are_right(name: str) -> None:
    function, tangent = FUNCTIONS[name], torch.ones_like(X)
    step = 1e-2
    right = (function(X + step * tangent) - function(X - step * tangent)) / (2 * step)
    _, found = torch.func.jvp(function, (X,), (tangent,))
    torch.testing.assert_close(found, right, atol=5e-3, rtol=5e-3)
    with torch.autograd.forward_ad.dual_level():
        dual = function(torch.autograd.forward_ad.make_dual(X, tangent))
        assert torch.equal(torch.autograd.forward_ad.unpack_dual(dual).tangent, found)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functional_gradients_are_those_of_backward(name: str) -> None:
    x = X.clone().requires_grad_()
    FUNCTIONS[name](x).sum().backward()
    found = torch.func.grad(lambda x: FUNCTIONS[name](x).sum())(X)
    torch.testing.assert_close(found, x.grad)


@pytest.mark.slow
def test_a_compiled_stack_takes_sessions_of_any_length() -> None:
    stack = torch.compile(FUNCTIONS["stack"], backend="aot_eager")
    for frames in (30, 12, 20):
        torch.testing.assert_close(stack(X[:, :frames]), FUNCTIONS["stack"](X[:, :frames]))
