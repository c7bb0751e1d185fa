"""The losses of a training step against their plain twins and torch's own, and where they end."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import gradcheck

from daart_fast import ops

REDUCTIONS = ("batch", "sequence")


def head(seed: int, dtype: torch.dtype = torch.float64, **sizes: int) -> dict[str, Any]:
    """Arguments of linear_cross_entropy of random sizes, all of them given or half of them."""
    draw = random.Random(seed)
    normal = torch.Generator().manual_seed(seed)
    b, t = sizes.get("batch", draw.randrange(4)), draw.randrange(1, 30)
    c, k = draw.choice([1, 3, 16, 17, 40]), draw.choice([1, 2, 6, 16, 19])
    first = draw.randrange(t + 1)

    def maybe(tensor: Tensor) -> Tensor | None:
        return tensor if draw.random() < 0.6 else None

    def labels() -> Tensor:
        return torch.randint(-2, k, (b, t), generator=normal)

    return {
        "x": torch.randn(b, t, c, generator=normal, dtype=dtype, requires_grad=True),
        "weight": torch.randn(k, c, generator=normal, dtype=dtype, requires_grad=True),
        "bias": torch.randn(k, generator=normal, dtype=dtype, requires_grad=True),
        "labels": labels(),
        "unless": maybe(labels()),
        "compared": maybe(labels()),
        "mask": maybe(torch.rand(b, t, generator=normal) < 0.7),
        "class_weights": maybe(torch.rand(k, generator=normal, dtype=dtype)),
        "ignored": draw.choice([-1, 0, 1]),
        "first": first,
        "frames": draw.randrange(t - first + 1),
        "reduce": draw.choice(REDUCTIONS),
    }


def error(seed: int, dtype: torch.dtype = torch.float64) -> dict[str, Any]:
    """Arguments of squared_error of random sizes."""
    draw = random.Random(seed)
    normal = torch.Generator().manual_seed(seed)
    b, t, n = draw.randrange(4), draw.randrange(1, 30), draw.choice([1, 3, 16, 17])
    target = torch.randn(b, t, n, generator=normal, dtype=dtype)
    target[torch.rand(target.shape, generator=normal) < 0.2] = torch.nan
    first = draw.randrange(t)
    ahead = draw.randrange(min(3, t - first))
    return {
        "prediction": torch.randn(b, t, n, generator=normal, dtype=dtype, requires_grad=True),
        "target": target,
        "mask": torch.rand(b, t, generator=normal) < 0.7 if draw.random() < 0.6 else None,
        "first": first,
        "frames": draw.randrange(t - first - ahead + 1),
        "ahead": ahead,
        "reduce": draw.choice(REDUCTIONS),
    }


def losses_and_gradients(function: Any, arguments: dict[str, Any]) -> list[Tensor]:
    """What a function returns, and the gradients of its loss where that is a number."""
    returned = function(**arguments)
    loss, *rest = returned if isinstance(returned, tuple) else (returned,)
    leaves = [v for v in arguments.values() if isinstance(v, Tensor) and v.requires_grad]
    upstream = torch.linspace(0.5, 2.0, loss.numel(), dtype=loss.dtype).view(loss.shape)
    total = (torch.where(loss.isnan(), 0.0, loss) * upstream).sum()
    gradients = torch.autograd.grad(total, leaves, materialize_grads=True)
    return [loss.detach(), *rest, *gradients]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(
    ("function", "make"), [(ops.linear_cross_entropy, head), (ops.squared_error, error)]
)
def test_native_values_and_gradients_are_those_of_the_twin(
    function: Any, make: Any, dtype: torch.dtype
) -> None:
    for seed in range(150):
        arguments = make(seed, dtype)
        with ops.forced("native"):
            native = losses_and_gradients(function, arguments)
        with ops.forced("torch"):
            twin = losses_and_gradients(function, arguments)
        for own, expected in zip(native, twin, strict=True):
            torch.testing.assert_close(own, expected, equal_nan=True)


@pytest.mark.parametrize("backend", ["native", "torch"])
def test_cross_entropy_is_torchs_weighted_mean(backend: str) -> None:
    arguments = head(3, batch=3) | {
        "unless": None,
        "compared": None,
        "mask": None,
        "class_weights": torch.rand(2, dtype=torch.float64),
        "weight": torch.randn(2, 3, dtype=torch.float64),
        "bias": None,
        "x": torch.randn(3, 7, 3, dtype=torch.float64),
        "labels": torch.randint(-1, 2, (3, 7)),
        "first": 0,
        "frames": None,
        "ignored": -1,
        "reduce": "batch",
    }
    logits = arguments["x"] @ arguments["weight"].T
    expected = F.cross_entropy(
        logits.flatten(0, 1),
        arguments["labels"].flatten(),
        arguments["class_weights"],
        ignore_index=-1,
    )
    with ops.forced(backend):
        loss, _ = ops.linear_cross_entropy(**arguments)
    torch.testing.assert_close(loss, expected)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 5])
def test_gradients_are_those_of_finite_differences(seed: int) -> None:
    arguments = head(seed, batch=2) | {"reduce": "batch"}

    def loss(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return ops.linear_cross_entropy(**arguments | {"x": x, "weight": weight, "bias": bias})[0]

    assert gradcheck(loss, (arguments["x"], arguments["weight"], arguments["bias"]))


@pytest.mark.parametrize("backend", ["native", "torch"])
def test_a_frame_counts_by_its_label_its_mask_and_the_other_labels(backend: str) -> None:
    x, weight = torch.zeros(1, 6, 1), torch.zeros(3, 1)
    arguments = {
        "labels": torch.tensor([[2, 2, 2, 0, -1, 2]]),
        "unless": torch.tensor([[0, 1, 0, 0, 0, -1]]),
        "compared": torch.tensor([[1, 0, -1, 2, 1, 1]]),
        "mask": torch.tensor([[True, True, False, True, True, True]]),
    }
    # only frames 0 and 5 count: their mean is over weights that are theirs alone
    weights = torch.tensor([0.0, 0.0, 1.0])
    with ops.forced(backend):
        loss, agreement = ops.linear_cross_entropy(
            x, weight, None, ignored=0, class_weights=weights, **arguments
        )
        assert loss.item() == pytest.approx(torch.tensor(3.0).log().item())
        # the likeliest of equals is the first, class 0; frames 0, 3, 4 and 5 are compared
        assert agreement.item() == 0.0
        changed = arguments | {"labels": torch.tensor([[2, 2, 2, 0, -1, -1]])}
        x[0, 5] = torch.nan
        unchanged, _ = ops.linear_cross_entropy(x, weight, None, ignored=0, **changed)
    assert unchanged.item() == pytest.approx(loss.item())


@pytest.mark.parametrize("backend", ["native", "torch"])
def test_nothing_to_score_is_zero_with_zero_gradient_or_nan_for_a_sequence(backend: str) -> None:
    arguments = head(7, batch=2)
    arguments |= {"mask": torch.zeros(arguments["labels"].shape, dtype=torch.bool)}
    with ops.forced(backend):
        loss, agreement = ops.linear_cross_entropy(**arguments | {"reduce": "batch"})
        loss.backward()
        by_sequence, _ = ops.linear_cross_entropy(**arguments | {"reduce": "sequence"})
    assert loss.item() == 0.0 and agreement.item() == 0.0
    assert not arguments["x"].grad.any() and not arguments["weight"].grad.any()
    assert by_sequence.isnan().all()


@pytest.mark.parametrize("backend", ["native", "torch"])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_logits_that_are_no_numbers_make_a_loss_that_is_none(backend: str, bad: float) -> None:
    x = torch.ones(1, 4, 2)
    x[0, 2, 0] = bad
    with ops.forced(backend):
        loss, _ = ops.linear_cross_entropy(
            x, torch.ones(3, 2), None, torch.zeros(1, 4, dtype=torch.int64)
        )
    assert loss.isnan()


def test_squared_error_leaves_out_frames_that_do_not_exist_and_missing_targets() -> None:
    predictions = torch.zeros(1, 3, 2, requires_grad=True)
    targets = torch.tensor([[[1.0, 3.0], [torch.nan, 2.0], [50.0, 50.0]]])
    mask = torch.tensor([[True, True, False]])
    loss = ops.squared_error(predictions, targets, mask)
    loss.backward()
    assert loss.item() == pytest.approx((1 + 9 + 4) / 3)
    assert predictions.grad.isfinite().all() and not predictions.grad[0, 2].any()


def test_a_label_beyond_the_classes_is_named() -> None:
    labels = torch.full((1, 4), 7)
    with ops.forced("native"), pytest.raises(IndexError, match="class 7.* only 3 classes"):
        ops.linear_cross_entropy(torch.ones(1, 4, 2), torch.ones(3, 2), None, labels)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"x": torch.ones(1, 4, 3)}, "x has 3 channels, but weight takes 2"),
        ({"labels": torch.zeros(1, 3)}, r"labels must be \(1, 4\)"),
        ({"mask": torch.ones(2, 4)}, r"mask must be \(1, 4\)"),
        ({"bias": torch.ones(4)}, r"bias must be \(3,\)"),
        ({"first": 2, "frames": 3}, "frames 2 to 5 are to be scored, but there are only 4"),
        ({"first": -1}, "frames -1"),
        ({"reduce": "mean"}, "reduce must be 'batch' or 'sequence'"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, Any], complaint: str) -> None:
    arguments = {
        "x": torch.ones(1, 4, 2),
        "weight": torch.ones(3, 2),
        "bias": None,
        "labels": torch.zeros(1, 4, dtype=torch.int64),
    }
    with pytest.raises(ValueError, match=complaint):
        ops.linear_cross_entropy(**arguments | change)
