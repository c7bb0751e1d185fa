"""All losses as one operation against the same in parts."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch import Tensor

from daart_fast import ops
from daart_fast.models import Segmenter
from daart_fast.models import objective as whole
from daart_fast.models import tcn as parts

INPUTS, CLASSES = 5, 4


def draw_model(draw: random.Random) -> Segmenter:
    """A segmenter of random settings, in float64."""
    lags = draw.choice([1, 2])
    layers = draw.choice([1, 2, 3])
    heads = draw.sample(["strong", "weak", "pred", "recon"], draw.choice([1, 2, 4]))
    hparams: dict[str, Any] = {
        "backbone": "dtcn",
        "input_size": INPUTS,
        "output_size": CLASSES,
        "n_hid_layers": layers,
        "n_hid_units": draw.choice([5, 16]),
        "n_lags": lags,
        "activation": draw.choice(["relu", "lrelu", "tanh"]),
        "causal": draw.random() < 0.4,
        # daart's padding, or less than the network sees
        "sequence_pad": draw.choice([2 * lags * (2**layers - 1), 1, 0]),
        "ignore_class": draw.choice([0, 1, -1]),
        "class_weights": [0.5, 1.0, 0.0, 2.0] if draw.random() < 0.4 else None,
        "dropout": draw.choice([0.0, 0.3]),
        **{f"lambda_{name}": draw.choice([0.3, 1.0]) for name in heads},
    }
    return Segmenter(hparams).double()


def draw_batch(draw: random.Random, seed: int) -> dict[str, Tensor]:
    normal = torch.Generator().manual_seed(seed)
    shape = (draw.choice([1, 3]), draw.choice([70, 90]))
    batch = {
        "markers": torch.randn(*shape, INPUTS, generator=normal, dtype=torch.float64),
        "labels_strong": torch.randint(-1, CLASSES, shape, generator=normal),
        "labels_weak": torch.randint(-1, CLASSES, shape, generator=normal),
        "frame_mask": torch.rand(shape, generator=normal) < 0.8,
    }
    for name in ("labels_strong", "labels_weak", "frame_mask"):
        if draw.random() < 0.2:
            del batch[name]
    return batch


def a_fixed_mask(x: Tensor, n_channels: int, p: float) -> Tensor | None:
    """A mask that is always the same."""
    if p == 0.0:
        return None
    return torch.tensor([0.0, 1.25, 1.5], dtype=x.dtype)[torch.arange(n_channels) % 3].repeat(
        x.shape[0], 1
    )


def losses_and_gradients(model: Segmenter, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    model.zero_grad()
    terms = model.losses(batch)
    terms["loss"].backward()
    gradients = {f"d{n}": p.grad for n, p in model.named_parameters() if p.grad is not None}
    return {name: value.detach() for name, value in terms.items()} | gradients


@pytest.mark.parametrize("seed", range(40))
def test_losses_and_gradients_are_those_of_the_parts(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(seed)
    model, batch = draw_model(draw), draw_batch(draw, seed)
    # the whole draws masks for all stacks at once, the parts for each in turn
    monkeypatch.setattr(parts, "dropout_mask", a_fixed_mask)
    monkeypatch.setattr(whole.Objective, "_dropout_masks", stack_by_stack)
    together = losses_and_gradients(model, batch)
    assert model._objective is not None and ops.can_take_objective(batch["markers"])
    model._objective = None
    apart = losses_and_gradients(model, batch)
    assert list(together) == list(apart)
    for name, value in together.items():
        torch.testing.assert_close(value, apart[name], msg=lambda text, n=name: f"{n}: {text}")


def stack_by_stack(self: whole.Objective, x: Tensor, p: float) -> tuple[Tensor | None, ...]:
    masks = [a_fixed_mask(x, n, p) for n in self._dropped]
    heads = [name for name in ("predictor", "decoder") if name in self.network.heads]
    by_head = dict(zip(heads, masks[1:], strict=True))
    return masks[0], by_head.get("predictor"), by_head.get("decoder")


def test_dropout_drops_each_stack_by_its_own_masks() -> None:
    draw = random.Random(0)
    model = draw_model(draw)
    while not {"predictor", "decoder"} <= model.model.keys():
        model = draw_model(draw)
    objective = model._objective
    assert objective is not None
    x = torch.zeros(3, 5, INPUTS)
    masks = objective._dropout_masks(x, 0.3)
    sizes = [3 * n for n in objective._dropped]
    assert [m.numel() for m in masks if m is not None] == sizes
    values = torch.cat([m for m in masks if m is not None]).unique()
    torch.testing.assert_close(values, torch.tensor([0.0, 1 / 0.7]))


def test_a_graph_that_is_kept_keeps_what_it_needs() -> None:
    draw = random.Random(1)
    model, batch = draw_model(draw), draw_batch(draw, 1)
    parameters = list(model.parameters())
    loss = model.losses(batch)["loss"]
    first = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    model.losses({**batch, "markers": 2 * batch["markers"]})["loss"].backward()
    again = torch.autograd.grad(loss, parameters, allow_unused=True)
    for one, other in zip(first, again, strict=True):
        torch.testing.assert_close(one, other)


def test_a_copy_of_a_model_trains_its_own_weights() -> None:
    import copy

    draw = random.Random(2)
    model, batch = draw_model(draw), draw_batch(draw, 2)
    twin = copy.deepcopy(model)
    twin.losses(batch)["loss"].backward()
    assert all(p.grad is None for p in model.parameters())
    assert any(p.grad is not None and p.grad.any() for p in twin.parameters())


def test_models_that_it_does_not_know_go_in_parts() -> None:
    base = {
        "input_size": INPUTS,
        "output_size": CLASSES,
        "n_hid_layers": 1,
        "n_hid_units": 8,
        "n_lags": 1,
        "activation": "lrelu",
        "lambda_strong": 1.0,
    }
    for change in (
        {"backbone": "lstm"},
        {"backbone": "dtcn", "variational": True},
        {"backbone": "dtcn", "classifier_type": "multibinary"},
        {"backbone": "dtcn", "lambda_task": 1.0, "task_size": 2},
    ):
        assert Segmenter(base | change)._objective is None
