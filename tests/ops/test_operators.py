"""What torch asks of an operator: schema, shapes without data, compilation."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from daart_fast import ops
from daart_fast.ops.native import native

if native is None:
    pytest.skip("the native module is not built", allow_module_level=True)

X = torch.randn(2, 30, 8, generator=torch.Generator().manual_seed(0))
WEIGHT = torch.randn(16, 8, 3, generator=torch.Generator().manual_seed(1))
BIAS = torch.randn(16, generator=torch.Generator().manual_seed(2))


@pytest.mark.slow
def test_forward_operator_passes_opcheck() -> None:
    for bias in (None, BIAS):
        torch.library.opcheck(
            torch.ops.daart_fast.conv_forward.default, (X, WEIGHT, bias, 2, 2, 2, 2)
        )


@pytest.mark.slow
@pytest.mark.parametrize("needs", [(True, True, True), (False, True, False), (True, False, False)])
def test_backward_operator_passes_opcheck(needs: tuple[bool, bool, bool]) -> None:
    y = torch.ops.daart_fast.conv_forward.default(X, WEIGHT, BIAS, 2, 2, 2, 2)
    torch.library.opcheck(
        torch.ops.daart_fast.conv_backward.default,
        (torch.ones_like(y), X, WEIGHT, y, 2, 2, 2, *needs),
    )


def layer(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return ops.dilated_conv1d(x * 2, weight, bias, 2, "same", "lrelu") + 1


@pytest.mark.slow
@pytest.mark.parametrize("grad", [False, True])
def test_compiles_without_a_break(grad: bool) -> None:
    # "aot_eager" traces forward and backward, and needs no compiler
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    results = []
    for function in (layer, compiled):
        leaves = [t.clone().requires_grad_(grad) for t in (X, WEIGHT, BIAS)]
        y = function(*leaves)
        if grad:
            y.square().sum().backward()
        results.append([y.detach(), *(t.grad for t in leaves if t.grad is not None)])
    assert len(results[0]) == len(results[1]) == (4 if grad else 1)
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)


def test_shapes_are_known_without_data() -> None:
    meta = [t.to("meta") for t in (X, WEIGHT, BIAS)]
    y = torch.ops.daart_fast.conv_forward.default(*meta, 2, 0, 0, 0)
    assert y.shape == (2, 26, 16)


def test_a_second_derivative_is_refused() -> None:
    x = X.clone().requires_grad_()
    (dx,) = torch.autograd.grad(layer(x, WEIGHT, BIAS).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        dx.sum().backward()
