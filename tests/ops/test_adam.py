"""Adam's native step against torch's."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from daart_fast import ops

SIZES = ((5,), (3, 7), (1,), (33, 2, 9), (70_000,))


def parameters(dtype: torch.dtype = torch.float32) -> list[Tensor]:
    draw = torch.Generator().manual_seed(0)
    return [torch.randn(size, generator=draw, dtype=dtype) for size in SIZES]


def train(optimizer: torch.optim.Optimizer, steps: int, seed: int = 0) -> None:
    """Steps with random gradients; the second parameter has none in every third step."""
    draw = torch.Generator().manual_seed(seed)
    for step in range(steps):
        for i, p in enumerate(optimizer.param_groups[0]["params"]):
            gradient = torch.randn(p.shape, generator=draw).to(p.dtype)
            p.grad = None if i == 1 and step % 3 == 0 else gradient
        optimizer.step()


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("threads", [1, 3])
def test_steps_are_torchs_to_rounding(weight_decay: float, threads: int) -> None:
    own, torchs = parameters(), parameters()
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        train(ops.Adam(own, 1e-2, weight_decay), 40)
    finally:
        torch.set_num_threads(before)
    train(torch.optim.Adam(torchs, 1e-2, weight_decay=weight_decay, amsgrad=True), 40)
    for mine, theirs in zip(own, torchs, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)


def test_either_goes_on_from_the_state_of_the_other() -> None:
    own, torchs = parameters(), parameters()
    first, second = ops.Adam(own, 1e-2), torch.optim.Adam(torchs, 1e-2, amsgrad=True)
    train(first, 5)
    train(second, 5)
    state = copy.deepcopy(first.state_dict())
    first.load_state_dict(copy.deepcopy(second.state_dict()))
    second.load_state_dict(state)
    train(first, 5, seed=1)
    train(second, 5, seed=1)
    for mine, theirs in zip(own, torchs, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)


def test_what_the_native_step_cannot_take_is_torchs() -> None:
    own, torchs = parameters(torch.float64), parameters(torch.float64)
    train(ops.Adam(own, 1e-2), 5)
    train(torch.optim.Adam(torchs, 1e-2, amsgrad=True), 5)
    for mine, theirs in zip(own, torchs, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_a_gradient_that_is_not_contiguous_is_taken_as_it_is_meant() -> None:
    own, torchs = torch.zeros(4, 6), torch.zeros(4, 6)
    optimizers = ops.Adam([own], 1e-2), torch.optim.Adam([torchs], 1e-2, amsgrad=True)
    for p, optimizer in zip((own, torchs), optimizers, strict=True):
        p.grad = torch.arange(24.0).view(6, 4).T
        optimizer.step()
    torch.testing.assert_close(own, torchs)


def test_a_gradient_that_is_no_number_is_not_forgotten() -> None:
    p = torch.zeros(20)
    optimizer = ops.Adam([p], 1e-2)
    p.grad = torch.full((20,), torch.nan)
    optimizer.step()
    p.grad = torch.ones(20)
    optimizer.step()
    assert p.isnan().all()


@pytest.mark.parametrize("name", ["exp_avg", "max_exp_avg_sq", "step"])
def test_a_state_of_other_parameters_is_refused(name: str) -> None:
    optimizer = ops.Adam(parameters(), 1e-2)
    train(optimizer, 1)
    state = copy.deepcopy(optimizer.state_dict())
    state["state"][4][name] = torch.zeros(3)
    with pytest.raises(ValueError, match=f"expected '{name}' of shape"):
        ops.Adam(parameters(), 1e-2).load_state_dict(state)


def test_a_state_without_its_settings_is_refused() -> None:
    optimizer = ops.Adam(parameters(), 1e-2)
    state = copy.deepcopy(optimizer.state_dict())
    del state["param_groups"][0]["weight_decay"]
    with pytest.raises(ValueError, match="expected 'weight_decay' to be a number"):
        optimizer.load_state_dict(state)


def test_a_state_whose_tensors_are_views_is_copied() -> None:
    own, torchs = parameters(), parameters()
    first = ops.Adam(own, 1e-2)
    train(first, 5)
    train(theirs := ops.Adam(torchs, 1e-2), 5)
    state = copy.deepcopy(first.state_dict())
    for averages in state["state"].values():
        mean = averages["exp_avg"]
        averages["exp_avg"] = torch.stack([mean, mean], -1)[..., 0]  # every other number
    first.load_state_dict(state)
    train(first, 5, seed=1)
    train(theirs, 5, seed=1)
    for mine, other in zip(own, torchs, strict=True):
        assert torch.equal(mine, other)


def twins(**settings: object) -> tuple[ops.Adam, torch.optim.Adam]:
    own, torchs = ops.Adam(parameters(), 1e-2), torch.optim.Adam(parameters(), 1e-2, amsgrad=True)
    for optimizer in (own, torchs):
        optimizer.param_groups[0].update(settings)
    return own, torchs


def assert_same(own: torch.optim.Optimizer, torchs: torch.optim.Optimizer) -> None:
    pairs = zip(own.param_groups[0]["params"], torchs.param_groups[0]["params"], strict=True)
    for mine, theirs in pairs:
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("how", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_a_copy_takes_steps(how: Callable[[ops.Adam], ops.Adam]) -> None:
    own, torchs = twins()
    train(own, 3)
    train(torchs, 3)
    twin = how(own)
    train(twin, 3, seed=1)
    train(torchs, 3, seed=1)
    assert_same(twin, torchs)


@pytest.mark.parametrize(
    "settings", [{"maximize": True}, {"decoupled_weight_decay": True, "weight_decay": 0.1}]
)
def test_other_settings_of_a_group_hold(settings: dict[str, object]) -> None:
    own, torchs = twins()
    train(own, 2)  # natively
    train(torchs, 2)
    for optimizer in (own, torchs):
        optimizer.param_groups[0].update(settings)
    train(own, 3, seed=1)
    train(torchs, 3, seed=1)
    assert_same(own, torchs)


def test_a_state_that_is_cleared_is_gone() -> None:
    own, torchs = twins()
    for optimizer in (own, torchs):
        train(optimizer, 3)
        optimizer.state.clear()
        train(optimizer, 3, seed=1)
    assert_same(own, torchs)


def test_a_parameter_that_shrinks_takes_its_rest_along() -> None:
    p = torch.ones(4096)
    whole = p.data
    optimizer = ops.Adam([p], 1e-2)
    train(optimizer, 1)
    p.data = whole[:5]
    optimizer.state.clear()
    rest = whole[5:].clone()
    train(optimizer, 1)
    assert torch.equal(whole[5:], rest)


def test_a_gradient_scaler_skips_a_step_without_numbers() -> None:
    p = torch.nn.Parameter(torch.ones(3))
    optimizer, scaler = ops.Adam([p], 1e-2), torch.amp.GradScaler("cpu")
    scaler.scale((p * torch.inf).sum()).backward()
    scaler.step(optimizer)
    assert torch.equal(p, torch.ones(3))


def test_a_graph_of_before_the_step_cannot_be_run() -> None:
    p = torch.nn.Parameter(torch.tensor([3.0]))
    optimizer = ops.Adam([p], 1.0)
    p.grad = torch.ones(1)
    loss = (p**2).sum()
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
