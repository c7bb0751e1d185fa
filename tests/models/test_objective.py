"""All losses as one operation against the same in parts."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch import Tensor

from daart_fast.errors import ConfigError
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
        "activation": draw.choice(["relu", "lrelu", "tanh", "silu"]),
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


def by_autograd(model: Segmenter, batch: dict[str, Tensor]) -> dict[str, Tensor]:
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
    assert model.objective is not None and model.objective.can_place_gradients()
    together = at_once(model, batch)
    apart = by_autograd(model, batch)
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
    objective = model.objective
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


# ------------------------------------------------------------------- what it cannot take


def a_model(**hparams: Any) -> Segmenter:
    return Segmenter(
        {
            "backbone": "dtcn",
            "input_size": INPUTS,
            "output_size": CLASSES,
            "n_hid_layers": 2,
            "n_hid_units": 8,
            "n_lags": 2,
            "activation": "lrelu",
            "dropout": 0.0,
            "lambda_strong": 1,
            **hparams,
        }
    )


def a_batch() -> dict[str, Tensor]:
    normal = torch.Generator().manual_seed(0)
    return {
        "markers": torch.randn(2, 60, INPUTS, generator=normal),
        "labels_strong": torch.randint(0, CLASSES, (2, 60), generator=normal),
        "frame_mask": torch.ones(2, 60, dtype=torch.bool),
    }


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("markers", lambda x: x.double(), "parameter 0 must be torch.float64"),
        ("markers", lambda x: torch.cat([x, x], 2), r"parameter 0 must be \(8, 10, 5\)"),
        ("labels_strong", lambda x: x[:1], r"labels_strong must be \(2, 60\)"),
        ("labels_strong", lambda x: x.int(), "labels_strong must be torch.int64"),
        ("frame_mask", lambda x: x[:, :-1], r"mask must be \(2, 60\)"),
        ("frame_mask", lambda x: x.float(), "mask must be torch.bool"),
    ],
)
def test_a_batch_that_does_not_fit_is_refused(name: str, change: Any, message: str) -> None:
    batch = a_batch()
    with pytest.raises((TypeError, ValueError), match=message):
        a_model().losses_and_gradients({**batch, name: change(batch[name])})


def test_a_model_in_half_precision_or_with_too_few_class_weights_is_refused() -> None:
    with pytest.raises(TypeError, match="parameter 0 must be torch.float32"):
        a_model().half().losses_and_gradients(a_batch())
    with pytest.raises(ValueError, match=r"class_weights must be \(4,\)"):
        a_model(class_weights=[1, 2]).losses(a_batch())


def test_gradients_of_other_shapes_are_refused() -> None:
    model = a_model()
    made = model.objective
    assert made is not None
    made._gradients = [p[..., :1].clone() if p is not None else None for p in made._parameters()]
    made._gradient_addresses = [
        (p.data_ptr(), p.dtype) for p in made._parameters() if p is not None
    ]
    with pytest.raises(ValueError, match="gradient 0 must be"):
        model.losses_and_gradients(a_batch())


def test_a_head_put_in_later_is_the_one_that_trains() -> None:
    model, batch = a_model(), a_batch()
    model.losses_and_gradients(batch)
    model.model["classifier"] = torch.nn.Sequential(torch.nn.Linear(8, CLASSES))
    model.losses_and_gradients(batch)
    assert model.objective is not None
    new = model.model["classifier"].get_submodule("0").get_parameter("weight")
    assert new.grad is not None and new.grad.any()


@pytest.mark.parametrize("how", ["losses", "losses_and_gradients"])
def test_a_head_of_several_layers_trains(how: str) -> None:
    model, batch = a_model(), a_batch()
    linear = model.model["classifier"].get_submodule("dense(classification)_layer_00")
    torch.nn.utils.parametrizations.weight_norm(linear)
    terms = getattr(model, how)(batch)
    if how == "losses":
        terms["loss"].backward()
    assert all(p.grad is not None and p.grad.any() for p in linear.parameters())
    logits = model(batch["markers"])["labels"]
    first, frames = model._scored(60)
    right = torch.nn.functional.cross_entropy(
        logits.narrow(1, first, frames).flatten(0, 1),
        batch["labels_strong"].narrow(1, first, frames).flatten(),
        ignore_index=0,
    )
    torch.testing.assert_close(terms["loss_strong"].detach(), right.detach())


def test_a_weight_of_two_heads_gets_the_sum_of_their_gradients() -> None:
    model, batch = a_model(lambda_weak=1), a_batch()
    batch["labels_weak"] = batch["labels_strong"].flip(0)
    heads = [model.model[name].get_submodule("dense(classification)_layer_00")
             for name in ("classifier", "classifier_weak")]  # fmt: skip
    heads[0].weight = heads[1].weight
    model.losses(batch)["loss"].backward()
    right = heads[0].get_parameter("weight").grad
    model.losses_and_gradients(batch)
    torch.testing.assert_close(heads[0].get_parameter("weight").grad, right)


def test_layers_before_the_segmenter_are_trained() -> None:
    batch = a_batch()
    batch["markers"].requires_grad_()
    a_model().losses(batch)["loss"].backward()
    assert batch["markers"].grad is not None and batch["markers"].grad.any()


def test_a_batch_that_was_changed_before_backward_is_an_error() -> None:
    batch = a_batch()
    loss = a_model().losses(batch)["loss"]
    batch["markers"].zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


# ---------------------------------------------------------------- losses and gradients at once


def at_once(model: Segmenter, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    terms = model.losses_and_gradients(batch)
    return terms | {f"d{n}": p.grad for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_was_in_the_gradients_does_not_count(dtype: torch.dtype) -> None:
    for seed in range(10):
        model, batch = drawn(seed)
        model, batch["markers"] = model.to(dtype), batch["markers"].to(dtype)
        expected = by_autograd(model, batch)
        for p in model.parameters():
            p.grad = torch.full_like(p, torch.nan)
        found = at_once(model, batch)
        assert list(found) == list(expected)
        assert not any(value.requires_grad for value in found.values())
        tolerances = {"rtol": 1e-3, "atol": 1e-4} if dtype is torch.float32 else {}
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, equal_nan=True, **tolerances)


def drawn(seed: int) -> tuple[Segmenter, dict[str, Tensor]]:
    draw = random.Random(seed)
    model, batch = draw_model(draw), draw_batch(draw, seed)
    return model.eval(), batch  # no dropout


def test_a_parameter_that_is_not_trained_gets_no_gradient() -> None:
    model, batch = drawn(4)
    name, frozen = next(iter(model.named_parameters()))
    frozen.requires_grad = False
    expected = by_autograd(model, batch)
    found = at_once(model, batch)
    assert f"d{name}" not in found and list(found) == list(expected)
    assert frozen.grad is None


def test_who_hooks_into_a_gradient_is_called() -> None:
    model, batch = drawn(5)
    seen = []
    parameter = next(model.parameters())
    parameter.register_hook(seen.append)
    parameter.register_post_accumulate_grad_hook(seen.append)
    model.losses_and_gradients(batch)
    assert len(seen) == 2


class _Doubled(Segmenter):
    def losses(self, batch: Any, reduce: str = "batch") -> dict[str, Tensor]:
        return {name: 2 * term for name, term in super().losses(batch, reduce).items()}


def test_the_losses_of_a_subclass_are_what_is_trained_on() -> None:
    model, batch = drawn(6)
    once = {name: value.clone() for name, value in at_once(model, batch).items()}
    model.__class__ = _Doubled
    for name, value in at_once(model, batch).items():
        torch.testing.assert_close(value, 2 * once[name])


def test_gradients_follow_a_model_that_changes_its_numbers() -> None:
    model, batch = drawn(7)
    model.losses_and_gradients(batch)
    model.float()
    batch["markers"] = batch["markers"].float()
    model.losses_and_gradients(batch)
    assert all(p.grad is not None and p.grad.dtype is torch.float32 for p in model.parameters())


def test_parameters_may_lie_in_memory_as_they_like() -> None:
    model, batch = drawn(9)
    expected = {name: value.clone() for name, value in at_once(model, batch).items()}
    for p in model.parameters():
        if p.ndim == 3:
            p.data = p.data.transpose(0, 2).contiguous().transpose(0, 2)
    assert not all(p.is_contiguous() for p in model.parameters())
    for found in (at_once(model, batch), by_autograd(model, batch)):
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, equal_nan=True, msg=name)


def test_a_label_that_is_no_class_leaves_the_gradients_alone() -> None:
    model, batch = drawn(8)
    before = {name: value.clone() for name, value in at_once(model, batch).items()}
    head = "labels_strong" if "classifier" in model.model else "labels_weak"
    wrong = {**batch, head: torch.full_like(batch[head], CLASSES)}
    del wrong["frame_mask"]
    with pytest.raises(IndexError, match=f"class {CLASSES}"):
        model.losses_and_gradients(wrong)
    for name, p in model.named_parameters():
        assert p.grad is not None and torch.equal(p.grad, before[f"d{name}"])


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
        assert Segmenter(base | change).objective is None


@pytest.mark.parametrize("weights", [[1, -1, 1, 1], [1, float("nan"), 1, 1]])
def test_class_weights_are_numbers_from_zero_up(weights: list[float]) -> None:
    with pytest.raises(ConfigError, match="class_weights must be finite, 0 or more"):
        a_model(class_weights=weights)


@pytest.mark.parametrize("n_layers", [0, 65])
def test_a_network_of_too_many_or_no_layers_is_refused(n_layers: int) -> None:
    with pytest.raises(ConfigError, match="n_hid_layers must be at"):
        a_model(n_hid_layers=n_layers)
