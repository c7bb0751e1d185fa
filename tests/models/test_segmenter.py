"""The segmenter: its heads, its losses, and how it is trained."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from daart_fast.backbones import BACKBONES
from daart_fast.data.ignored import IGNORED
from daart_fast.errors import ConfigError, DataError
from daart_fast.models import Segmenter

Make = Callable[..., dict[str, Any]]
MakeBatch = Callable[..., dict[str, Tensor]]
EVERYTHING = {
    "lambda_weak": 0.5,
    "lambda_pred": 1,
    "lambda_recon": 0.2,
    "lambda_task": 2,
    "task_size": 2,
    "variational": True,
}


def padded(hparams: dict[str, Any]) -> slice:
    """The frames of a centred window that are no padding."""
    return slice(hparams["sequence_pad"], hparams["sequence_pad"] + hparams["sequence_length"])


# ------------------------------------------------------------------------------ construction


def test_heads_are_those_that_are_weighted(make_hparams: Make) -> None:
    assert set(Segmenter(make_hparams()).model) == {"encoder", "classifier"}
    assert set(Segmenter(make_hparams(lambda_strong=0, lambda_recon=1)).model) == {
        "encoder",
        "decoder",
    }
    everything = {"classifier_weak", "predictor", "decoder", "task_predictor"}
    latents = {"latent_mean", "latent_logvar"}
    model = Segmenter(make_hparams(**EVERYTHING))
    assert set(model.model) == {"encoder", "classifier"} | everything | latents


def test_a_weak_head_waits_for_an_annealed_weight(make_hparams: Make) -> None:
    hparams = make_hparams(semi_supervised_algo="pseudo_labels", lambda_weak=0)
    assert "classifier_weak" in Segmenter(hparams).model
    assert "classifier_weak" not in Segmenter(make_hparams(semi_supervised_algo=None)).model


def test_one_seed_gives_one_model_and_leaves_torchs_generator(make_hparams: Make) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, same = Segmenter(make_hparams()), Segmenter(make_hparams())
    other = Segmenter(make_hparams(rng_seed_model=1))
    assert torch.equal(torch.get_rng_state(), before)
    weights = [
        m.state_dict()["model.encoder.model.tcn_block_01.conv0.weight_v"]
        for m in (one, same, other)
    ]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_hparams_are_kept_and_not_written_to(make_hparams: Make, make_batch: MakeBatch) -> None:
    hparams = make_hparams(**EVERYTHING)
    before = copy.deepcopy(hparams)
    model = Segmenter(hparams)
    model.on_epoch_start(3)
    model.training_step(make_batch(hparams))
    assert model.hparams is hparams and hparams == before


def test_an_unknown_backbone_or_classifier_is_named(make_hparams: Make) -> None:
    with pytest.raises(ConfigError, match=r"not 'dtnc' \(did you mean 'dtcn'\?\)"):
        Segmenter(make_hparams(backbone="dtnc", sequence_pad=0))
    with pytest.raises(ConfigError, match=r"not 'multiclas' \(did you mean 'multiclass'\?\)"):
        Segmenter(make_hparams(classifier_type="multiclas"))


def test_printing_names_the_parts(make_hparams: Make) -> None:
    text = str(Segmenter(make_hparams(**EVERYTHING)))
    assert text.startswith("DTCN architecture\n")
    assert all(name in text for name in ("Encoder", "Predictor", "Latent mean", "tcn_block_00"))


def test_printing_lists_each_layer_once(make_hparams: Make) -> None:
    lines = [line for line in str(Segmenter(make_hparams())).splitlines() if "tcn_block_00" in line]
    names = [line.split(":")[0].strip() for line in lines]
    assert names[:2] == ["tcn_block_00.conv0", "tcn_block_00.conv1"]
    assert not any("conv1d_layer" in name for name in names)


# ------------------------------------------------------------------------------ outputs


@pytest.mark.parametrize("backbone", BACKBONES)
def test_outputs_have_the_shapes_promised(make_hparams: Make, backbone: str) -> None:
    out = Segmenter(make_hparams(backbone=backbone, **EVERYTHING))(torch.randn(2, 40, 3))
    assert {name: tuple(value.shape) for name, value in out.items()} == {
        "labels": (2, 40, 4),
        "labels_weak": (2, 40, 4),
        "reconstruction": (2, 40, 3),
        "prediction": (2, 40, 3),
        "task_prediction": (2, 40, 2),
        **dict.fromkeys(("embedding", "latent_mean", "latent_logvar", "sample"), (2, 40, 5)),
    }


def test_outputs_that_are_not_configured_are_none(make_hparams: Make) -> None:
    out = Segmenter(make_hparams())(torch.randn(2, 40, 3))
    absent = {"labels_weak", "reconstruction", "prediction", "task_prediction", "latent_logvar"}
    assert {name for name, value in out.items() if value is None} == absent


def test_failure_09_latents_are_sampled_in_training_and_are_the_mean_otherwise(
    make_hparams: Make,
) -> None:
    model = Segmenter(make_hparams(variational=True))
    x = torch.randn(2, 40, 3)
    out = model(x)
    assert not torch.equal(out["sample"], out["latent_mean"])
    out, again = model.eval()(x), model(x)
    assert torch.equal(out["sample"], out["latent_mean"])
    assert torch.equal(out["labels"], again["labels"])


def test_failure_09_a_sample_spreads_by_half_the_log_variance(make_hparams: Make) -> None:
    model = Segmenter(make_hparams(variational=True))
    x = torch.randn(1, 40, 3).expand(4000, -1, -1)
    with torch.no_grad():
        out = model(x)
    spread = (out["sample"] - out["latent_mean"])[:, 20].std(0)
    assert torch.allclose(spread, torch.exp(out["latent_logvar"][0, 20] / 2), rtol=0.06)


@pytest.mark.parametrize("backbone", ["dtcn", "temporal-mlp"])
@pytest.mark.parametrize("causal", [False, True])
def test_what_a_window_says_does_not_depend_on_where_it_is_cut(
    make_hparams: Make, backbone: str, causal: bool
) -> None:
    hparams = make_hparams(backbone=backbone, causal=causal)
    model = Segmenter(hparams).eval()
    pad, length = hparams["sequence_pad"], hparams["sequence_length"]
    before, after = (2 * pad, 0) if causal else (pad, pad)
    session = torch.randn(1, 200, 3)
    window = session[:, 90 - before : 90 + length + after]
    with torch.no_grad():
        inside = model(window)["labels"][:, before : before + length]
        whole = model(session)["labels"][:, 90 : 90 + length]
    assert torch.allclose(inside, whole, atol=1e-5)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_causal_model_does_not_see_the_future(make_hparams: Make, backbone: str) -> None:
    model = Segmenter(make_hparams(backbone=backbone, causal=True)).eval()
    x = torch.randn(1, 100, 3)
    changed = x.clone()
    changed[:, 50:] += 1.0
    with torch.no_grad():
        a, b = model(x)["labels"], model(changed)["labels"]
    assert torch.equal(a[:, :50], b[:, :50])
    assert not torch.allclose(a[:, 50], b[:, 50])


# ------------------------------------------------------------------------------ losses


@pytest.mark.parametrize("backbone", BACKBONES)
def test_gradients_reach_every_parameter(
    make_hparams: Make, make_batch: MakeBatch, backbone: str
) -> None:
    hparams = make_hparams(backbone=backbone, bidirectional=True, dropout=0.1, **EVERYTHING)
    batch = make_batch(hparams)
    batch["labels_strong"][0] = IGNORED  # else the weak head has nothing to learn from
    model = Segmenter(hparams)
    model.training_step(batch)
    dead = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert dead == []


def test_losses_are_the_terms_configured_and_their_weighted_sum(
    make_hparams: Make, make_batch: MakeBatch
) -> None:
    hparams = make_hparams(**EVERYTHING)
    model = Segmenter(hparams)
    model.on_epoch_start(31)
    batch = make_batch(hparams)
    batch["labels_strong"][0] = IGNORED
    terms = {name: value.item() for name, value in model.losses(batch).items()}
    expected = (
        terms["loss_strong"]
        + 0.5 * terms["loss_weak"]
        + terms["loss_pred"]
        + 0.2 * terms["loss_recon"]
        + 2 * terms["loss_task"]
        + 0.3 * terms["loss_kl"]
    )
    assert terms["loss"] == pytest.approx(expected, rel=1e-5)
    assert terms["kl_weight"] == pytest.approx(0.3)
    assert set(terms) >= {"fc", "task_r2"}
    assert set(Segmenter(make_hparams()).losses(batch)) == {"loss", "loss_strong"}


def test_annealing_changes_the_loss_through_loss_weights(
    make_hparams: Make, make_batch: MakeBatch
) -> None:
    hparams = make_hparams(lambda_pred=1)
    model, batch = Segmenter(hparams), make_batch(hparams)
    model.loss_weights["pred"] = 0.0
    terms = model.losses(batch)
    assert torch.equal(terms["loss"], terms["loss_strong"]) and terms["loss_pred"] > 0


def test_terms_are_computed_inside_the_padding(make_hparams: Make, make_batch: MakeBatch) -> None:
    hparams = make_hparams(lambda_pred=1, lambda_recon=1, variational=True)
    model, batch = Segmenter(hparams).eval(), make_batch(hparams)
    inside = padded(hparams)
    out = {k: v[:, inside] for k, v in model(batch["markers"]).items() if v is not None}
    x, y = batch["markers"][:, inside], batch["labels_strong"][:, inside]
    mean, logvar = out["latent_mean"], out["latent_logvar"]
    expected = {
        "loss_strong": torch.nn.functional.cross_entropy(out["labels"].flatten(0, 1), y.flatten()),
        "loss_pred": (out["prediction"][:, :-1] - x[:, 1:]).square().mean(),
        "loss_recon": (out["reconstruction"] - x).square().mean(),
        "loss_kl": (mean**2 + logvar.exp() - 1 - logvar).sum(-1).mean(),  # twice the divergence
    }
    terms = model.losses(batch)
    for name, value in expected.items():
        assert torch.allclose(terms[name], value), name


def test_a_causal_models_padding_is_all_on_the_left(
    make_hparams: Make, make_batch: MakeBatch
) -> None:
    hparams = make_hparams(causal=True)
    model, batch = Segmenter(hparams), make_batch(hparams)
    before = model.losses(batch)["loss"]
    batch["labels_strong"][:, : 2 * hparams["sequence_pad"]] = IGNORED
    assert torch.equal(model.losses(batch)["loss"], before)
    batch["labels_strong"][:, -1] = IGNORED
    assert not torch.equal(model.losses(batch)["loss"], before)


def test_frames_that_do_not_exist_never_count(make_hparams: Make, make_batch: MakeBatch) -> None:
    hparams = make_hparams(backbone="temporal-mlp", **{**EVERYTHING, "variational": False})
    model, batch = Segmenter(hparams), make_batch(hparams)
    batch["labels_strong"][:, :15] = IGNORED
    batch["frame_mask"][:, -12:] = False  # the padding after the window, and 4 frames inside it
    terms = model.losses(batch)
    for name in ("labels_strong", "labels_weak"):
        batch[name][:, -12:] = torch.randint(1, 4, (3, 12))
    batch["tasks"][:, -12:] = 1e6
    changed = model.losses(batch)
    assert {name: value.item() for name, value in changed.items()} == pytest.approx(
        {name: value.item() for name, value in terms.items()}
    )


def test_the_last_real_frame_has_no_next_one_to_predict(
    make_hparams: Make, make_batch: MakeBatch
) -> None:
    hparams = make_hparams(lambda_strong=0, lambda_pred=1, n_lags=0, n_hid_layers=1)
    batch = make_batch(hparams, n_sequences=1)
    batch["frame_mask"][:, 10:] = False
    model = Segmenter(hparams)
    out = model(batch["markers"])["prediction"]
    expected = (out[:, :9] - batch["markers"][:, 1:10]).square().mean()
    assert torch.allclose(model.losses(batch)["loss_pred"], expected)


def test_weak_labels_teach_only_where_no_hand_label_is_scored(
    make_hparams: Make, make_batch: MakeBatch
) -> None:
    hparams = make_hparams(lambda_weak=1)
    model, batch = Segmenter(hparams), make_batch(hparams)
    assert model.losses(batch)["loss_weak"] == 0.0
    inside = padded(hparams)
    batch["labels_strong"][0, inside] = IGNORED
    batch["labels_strong"][1, inside] = 0  # background: not scored either
    weak = model(batch["markers"])["labels_weak"][:2, inside]
    expected = torch.nn.functional.cross_entropy(
        weak.flatten(0, 1), batch["labels_weak"][:2, inside].flatten()
    )
    assert torch.allclose(model.losses(batch)["loss_weak"], expected)


def test_failure_09_weak_labels_alone_are_enough(make_hparams: Make, make_batch: MakeBatch) -> None:
    hparams = make_hparams(lambda_strong=0, lambda_weak=1)
    batch = make_batch(hparams)
    del batch["labels_strong"]
    terms = Segmenter(hparams).training_step(batch)
    assert terms["loss"] == terms["loss_weak"] > 0


def test_fc_is_the_accuracy_of_the_hand_label_head_on_weak_labels(
    make_hparams: Make, make_batch: MakeBatch
) -> None:
    hparams = make_hparams(lambda_weak=1)
    model, batch = Segmenter(hparams), make_batch(hparams)
    inside = padded(hparams)
    batch["labels_weak"][:, ::3] = 0  # background is not scored
    weak = batch["labels_weak"][:, inside]
    hits = model(batch["markers"])["labels"][:, inside].argmax(-1) == weak
    expected = hits[weak > 0].float().mean()
    assert torch.allclose(model.losses(batch)["fc"], expected)


def test_the_background_is_scored_if_nothing_is_ignored(
    make_hparams: Make, make_batch: MakeBatch
) -> None:
    hparams = make_hparams()
    batch = make_batch(hparams)
    batch["labels_strong"].zero_()
    assert Segmenter(hparams).losses(batch)["loss"] == 0.0
    assert Segmenter({**hparams, "ignore_class": IGNORED}).losses(batch)["loss"] > 0
    assert Segmenter({**hparams, "classifier_type": "binary"}).losses(batch)["loss"] > 0


def test_class_weights_weigh_the_frames(make_hparams: Make, make_batch: MakeBatch) -> None:
    weights = [0.0, 1.0, 5.0, 0.5]
    hparams = make_hparams(class_weights=weights)
    model, batch = Segmenter(hparams), make_batch(hparams)
    inside = padded(hparams)
    logits = model(batch["markers"])["labels"][:, inside].flatten(0, 1)
    expected = torch.nn.functional.cross_entropy(
        logits, batch["labels_strong"][:, inside].flatten(), torch.tensor(weights)
    )
    assert torch.allclose(model.losses(batch)["loss"], expected)
    assert model.state_dict()["class_loss.weight"].tolist() == weights


@pytest.mark.parametrize("classifier_type", ["multiclass", "binary", "multibinary"])
@pytest.mark.parametrize("case", ["no labels", "no labels at all", "weights of zero"])
def test_nothing_to_score_is_zero_loss_and_zero_gradient(
    make_hparams: Make, make_batch: MakeBatch, classifier_type: str, case: str
) -> None:
    weights = [0.0] * 4 if case == "weights of zero" else None
    hparams = make_hparams(classifier_type=classifier_type, class_weights=weights, lambda_weak=1)
    batch = make_batch(hparams)
    for name in ("labels_strong", "labels_weak"):
        if classifier_type == "multibinary":
            batch[name] = torch.zeros(*batch[name].shape, 4)
        if case == "no labels":
            missing = torch.nan if classifier_type == "multibinary" else IGNORED
            batch[name] = torch.full_like(batch[name], missing)
        if case == "no labels at all":
            del batch[name]
    model = Segmenter(hparams)
    terms = model.training_step(batch)
    assert {terms[name] for name in ("loss", "loss_strong", "loss_weak")} == {0.0}
    assert all(not p.grad.any() for p in model.parameters())


def test_no_hand_label_leaves_the_other_losses_alone(
    make_hparams: Make, make_batch: MakeBatch
) -> None:
    hparams = make_hparams(lambda_pred=1)
    batch = make_batch(hparams)
    batch["labels_strong"].fill_(IGNORED)
    terms = Segmenter(hparams).training_step(batch)
    assert terms["loss"] == terms["loss_pred"] > 0


def test_missing_tasks_are_not_scored(make_hparams: Make, make_batch: MakeBatch) -> None:
    hparams = make_hparams(lambda_task=1, task_size=2)
    model, batch = Segmenter(hparams), make_batch(hparams)
    batch["tasks"][:, ::2, 0] = torch.nan
    terms = model.training_step(batch)
    assert np.isfinite(list(terms.values())).all() and terms["task_r2"] < 1
    assert all(p.grad.isfinite().all() for p in model.parameters())
    del batch["tasks"]
    assert model.training_step(batch)["loss_task"] == 0.0


def test_failure_09_multibinary_scores_each_behaviour_by_its_own_sigmoid(
    make_hparams: Make, make_batch: MakeBatch
) -> None:
    hparams = make_hparams(classifier_type="multibinary", ignore_class=IGNORED)
    model, batch = Segmenter(hparams), make_batch(hparams)
    labels = (torch.rand(*batch["markers"].shape[:2], 4) > 0.5).float()
    labels[0] = torch.nan
    batch["labels_strong"] = labels
    inside = padded(hparams)
    logits = model(batch["markers"])["labels"][1:, inside]
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels[1:, inside])
    assert torch.allclose(model.losses(batch)["loss_strong"], expected)


@pytest.mark.parametrize(
    ("first", "frames_count"), [("background", [False, False, True]), ("groom", [True] * 3)]
)
def test_multibinary_leaves_out_frames_of_the_background_but_of_no_behaviour(
    make_hparams: Make, make_batch: MakeBatch, first: str, frames_count: list[bool]
) -> None:
    names = [first, "rear", "rest", "walk"]
    hparams = make_hparams(classifier_type="multibinary", label_names=names, ignore_class=0)
    model, batch = Segmenter(hparams), make_batch(hparams)
    labels = torch.zeros(*batch["markers"].shape[:2], 4)
    labels[..., 1:3] = 1.0
    labels[:2, :, 0] = 1.0
    batch["labels_strong"] = labels
    by_sequence = model.losses(batch, reduce="sequence")["loss_strong"]
    assert by_sequence.isfinite().tolist() == frames_count


@pytest.mark.parametrize("ignored", [None, -1, IGNORED])
@pytest.mark.parametrize("classifier_type", ["multiclass", "binary", "multibinary"])
def test_no_class_need_be_ignored(
    make_hparams: Make, make_batch: MakeBatch, classifier_type: str, ignored: int | None
) -> None:
    hparams = make_hparams(
        classifier_type=classifier_type,
        ignore_class=ignored,
        label_names=["background", "rear", "rest", "walk"],
    )
    batch = make_batch(hparams)
    batch["labels_strong"].zero_()
    if classifier_type == "multibinary":
        batch["labels_strong"] = torch.ones(*batch["labels_strong"].shape, 4)
    by_sequence = Segmenter(hparams).losses(batch, reduce="sequence")["loss_strong"]
    assert by_sequence.isfinite().all()


def test_losses_by_sequence_are_those_of_each_sequence_alone(
    make_hparams: Make, make_batch: MakeBatch
) -> None:
    hparams = make_hparams(**EVERYTHING)
    model, batch = Segmenter(hparams).eval(), make_batch(hparams)
    batch["labels_strong"][0] = IGNORED
    together = model.losses(batch, reduce="sequence")
    for i in range(3):
        alone = model.losses({k: v[i : i + 1] for k, v in batch.items()})
        for name, value in together.items():
            assert value.shape == (3,)
            if not value[i].isnan():
                assert torch.allclose(value[i], alone[name], atol=1e-5), name
    assert together["loss_strong"].isnan().tolist() == [True, False, False]
    assert together["loss_weak"].isnan().tolist() == [False, True, True]
    assert together["loss"].isfinite().all()


def test_a_sequence_with_nothing_at_all_to_score_has_no_loss(
    make_hparams: Make, make_batch: MakeBatch
) -> None:
    hparams = make_hparams()
    batch = make_batch(hparams)
    batch["labels_strong"][1] = IGNORED
    loss = Segmenter(hparams).losses(batch, reduce="sequence")["loss"]
    assert loss.isnan().tolist() == [False, True, False]


def test_a_loss_that_diverged_shows(make_hparams: Make, make_batch: MakeBatch) -> None:
    hparams = make_hparams(lambda_weak=1)
    model = Segmenter(hparams)
    with torch.no_grad():
        model.model["classifier"][0].bias.fill_(torch.nan)
    assert model.losses(make_batch(hparams))["loss"].isnan()


def test_a_model_with_nothing_to_learn_says_so(make_hparams: Make, make_batch: MakeBatch) -> None:
    hparams = make_hparams(lambda_strong=0)
    with pytest.raises(ConfigError, match="every lambda_ key is 0"):
        Segmenter(hparams).losses(make_batch(hparams))


def test_the_weight_of_the_kl_divergence_grows_over_100_epochs(make_hparams: Make) -> None:
    model = Segmenter(make_hparams(variational=True))
    weights = [model.kl_weight]
    for epoch in (0, 1, 12, 101, 500):
        model.on_epoch_start(epoch)
        weights.append(model.kl_weight)
    assert weights == [1.0, 0.0, 0.0, 0.11, 1.0, 1.0]


# ------------------------------------------------------------------------------ training


def test_a_training_step_adds_gradients_only_if_asked(
    make_hparams: Make, make_batch: MakeBatch
) -> None:
    hparams = make_hparams(lambda_pred=1)
    model, batch = Segmenter(hparams), make_batch(hparams)
    without = model.training_step(batch, accumulate_grad=False)
    assert all(p.grad is None for p in model.parameters())
    assert model.training_step(batch) == without
    assert all(isinstance(value, float) for value in without.values())
    once = [p.grad.clone() for p in model.parameters()]
    model.training_step(batch)
    assert all(
        torch.allclose(p.grad, 2 * g, rtol=1e-4, atol=1e-7)
        for p, g in zip(model.parameters(), once, strict=True)
    )


@pytest.mark.slow
@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_model_learns(make_hparams: Make, make_batch: MakeBatch, backbone: str) -> None:
    hparams = make_hparams(backbone=backbone, n_hid_units=16)
    model, batch = Segmenter(hparams), make_batch(hparams, n_sequences=4)
    batch["labels_strong"] = 1 + (batch["markers"].sum(-1) > 0).long()
    optimizer = torch.optim.Adam(model.get_parameters(), lr=0.01)
    for _ in range(80):
        optimizer.zero_grad()
        model.training_step(batch)
        optimizer.step()
    assert model.training_step(batch)["loss"] < 0.3


def test_a_copy_is_a_model_of_its_own(make_hparams: Make) -> None:
    model = Segmenter(make_hparams())
    twin = copy.deepcopy(model)
    block = twin.model["encoder"].model[0]
    assert block.conv0 is block.block["conv1d_layer_0"]
    assert block.conv0.weight_v is not model.model["encoder"].model[0].conv0.weight_v


def test_weights_of_another_backbone_or_size_come_back_exactly(
    make_hparams: Make, tmp_path: Any
) -> None:
    for backbone in BACKBONES:
        hparams = make_hparams(backbone=backbone, **EVERYTHING)
        model = Segmenter(hparams)
        model.save(tmp_path / "weights.pt")
        loaded = Segmenter({**hparams, "rng_seed_model": 7})
        loaded.load_parameters_from_file(tmp_path / "weights.pt")
        saved = model.state_dict()
        assert all(torch.equal(v, saved[k]) for k, v in loaded.state_dict().items())


def test_the_task_head_is_that_of_daart(make_hparams):
    model = Segmenter(make_hparams(lambda_task=1, task_size=2))
    head = {n: tuple(w.shape) for n, w in model.state_dict().items() if "task_predictor" in n}
    assert head == {
        "model.task_predictor.dense_layer_00.weight": (5, 5),
        "model.task_predictor.dense_layer_00.bias": (5,),
        "model.task_predictor.dense_layer_01.weight": (2, 5),
        "model.task_predictor.dense_layer_01.bias": (2,),
    }
    x = torch.randn(1, 7, 5)
    layers = model.model["task_predictor"]
    hidden = torch.nn.functional.leaky_relu(layers[0](x), 0.05)
    torch.testing.assert_close(layers(x), layers[2](hidden))


def test_daart_refuses_the_weights_of_a_causal_model(make_hparams):
    causal = Segmenter(make_hparams(causal=True))
    as_daart = Segmenter(make_hparams(causal=False))  # which knows no causal models
    with pytest.raises(DataError, match=r'Unexpected key\(s\) in state_dict: "causal"'):
        as_daart.load_parameters(causal.state_dict())
    without_a_mark = {n: w for n, w in causal.state_dict().items() if n != "causal"}
    causal.load_parameters(without_a_mark)
    assert set(causal.state_dict()) - set(as_daart.state_dict()) == {"causal"}
