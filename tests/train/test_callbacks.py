"""Early stopping, annealing, pseudo-labels: what they do, and what they leave alone."""

import copy
import math

import numpy as np
import pytest
import torch
import yaml

from daart_fast.errors import ConfigError
from daart_fast.models import Segmenter
from daart_fast.models.predict import predict_inputs
from daart_fast.train.callbacks import (
    UPS,
    AnnealHparam,
    BaseCallback,
    EarlyStopping,
    PseudoLabels,
    collect_callbacks,
)

SEMI = {
    "semi_supervised_algo": "pseudo_labels",
    "lambda_weak": 0.5,
    "prob_threshold": 0.4,
    "anneal_start": 1,
    "anneal_end": 2,
}

# ------------------------------------------------------------------------------ early stopping


class _Trainer:
    """As much of a trainer as early stopping looks at."""

    def __init__(self, min_epochs=0):
        self.min_epochs, self.curr_epoch, self.should_halt = min_epochs, 0, False


def epochs_until_stop(losses, min_epochs=0, **kwargs):
    stopping, trainer = EarlyStopping(**kwargs), _Trainer(min_epochs)
    for epoch, loss in enumerate(losses, start=1):
        trainer.curr_epoch = epoch
        stopping.on_val_check(trainer=trainer, model=None, data_generator=None, loss=loss)
        if trainer.should_halt:
            return epoch
    return None


def test_training_stops_after_so_many_validations_without_a_better_loss():
    assert epochs_until_stop([5, 4, 4, 4.5, 4, 3], patience=3) == 5
    assert epochs_until_stop([5, 4, 4, 4.5, 3, 3], patience=3) is None


def test_training_goes_on_past_the_least_number_of_epochs():
    assert epochs_until_stop([1, 2, 2, 2, 2, 2], patience=2, min_epochs=4) == 5


def test_a_loss_must_be_lower_by_delta_to_count_as_better():
    assert epochs_until_stop([5, 4.95, 4.93], patience=2, delta=0.1) == 3


def test_failure_02_a_validation_without_anything_to_score_is_not_held_against_the_model():
    assert epochs_until_stop([math.nan] * 9, patience=2) is None
    assert epochs_until_stop([1.0, math.nan, math.nan, 0.5, 0.6, 0.7], patience=2) == 6


def test_training_stops_early_and_keeps_the_best_weights(project, training):
    # steps too small to change a float32 weight: the first validation stays the best
    settings = {"learning_rate": 1e-12, "enable_early_stop": True, "early_stop_history": 3}
    fitted = training(project(max_epochs=50, **settings)).fit()
    assert fitted.trainer.curr_epoch - 1 == 4
    assert fitted.hparams["best_val_epoch"] == 1


def fit_again(parts, other):
    """Fit other's model and data with the trainer of a training that has ended."""
    parts.trainer.fit(other.model, other.generator, other.folder)
    return parts.trainer


def test_a_trainer_that_stopped_early_trains_the_next_model_as_long(project, training):
    settings = {"learning_rate": 1e-12, "enable_early_stop": True, "early_stop_history": 3}
    hparams = project(max_epochs=50, **settings)
    fitted = training(hparams).fit()
    epochs = fitted.trainer.curr_epoch
    assert fit_again(fitted, training(hparams, name="again")).curr_epoch == epochs


# ------------------------------------------------------------------------------ annealing


def test_a_weight_rises_on_a_line_between_two_epochs():
    anneal = AnnealHparam({"lambda_weak": 2.0}, "lambda_weak", epoch_start=2, epoch_end=6)
    assert [anneal.value(epoch) for epoch in range(9)] == [0, 0, 0, 0.5, 1, 1.5, 2, 2, 2]


def test_a_weight_may_start_above_zero():
    anneal = AnnealHparam({"lambda_pred": 2.0}, "lambda_pred", 2, 4, val_start=1.0)
    assert [anneal.value(epoch) for epoch in range(5)] == [1, 1, 1, 1.5, 2]


def test_a_weight_may_rise_at_once():
    anneal = AnnealHparam({"lambda_weak": 2.0}, "lambda_weak", 3, 3)
    assert [anneal.value(epoch) for epoch in range(5)] == [0, 0, 0, 2, 2]


def test_annealing_backwards_or_something_else_is_refused():
    with pytest.raises(ConfigError, match=r"starts in epoch 5, after its end \(4\)"):
        AnnealHparam({"lambda_weak": 2.0}, "lambda_weak", 5, 4)
    with pytest.raises(ConfigError, match="did you mean 'lambda_weak'"):
        AnnealHparam({"lambda_weak": 2.0}, "lambda_week", 1, 4)


class _Weights(BaseCallback):
    """Notes the weight of the weak loss in each epoch."""

    def __init__(self):
        self.seen = []

    def on_epoch_end(self, *, model, **kwargs):
        self.seen.append(model.loss_weights["weak"])


def test_failure_11_annealing_leaves_hparams_as_they_were(project, training):
    hparams = project((slice(None), None), **{**SEMI, "anneal_end": 3, "max_epochs": 4})
    notes = _Weights()
    parts = training(hparams, notes)
    before = copy.deepcopy(parts.hparams)
    parts.fit()
    assert notes.seen == [0, 0, 0.25, 0.5, 0.5]
    added = {"best_val_epoch", "training_completed"}
    assert {key: value for key, value in parts.hparams.items() if key not in added} == before


def test_failure_11_a_model_stopped_while_annealing_can_be_loaded_again(
    project, training, same_weights
):
    hparams = project((slice(None), None), **{**SEMI, "anneal_start": 20, "anneal_end": 30})
    fitted = training(hparams).fit()
    saved = yaml.safe_load(yaml.safe_dump(fitted.hparams))
    assert saved["lambda_weak"] == 0.5
    model = Segmenter(saved)
    model.load_parameters_from_file(fitted.folder / "best_val_model.pt")
    assert same_weights(model.state_dict(), fitted.weights)


# ------------------------------------------------------------------------------ pseudo-labels


@pytest.fixture
def parts(project, training):
    """A trained model, and sessions of which the second has no hand labels at all."""
    return training(project((slice(None), None), max_epochs=5)).fit()


def inputs_of(parts, session):
    return parts.generator.datasets[session].normalised_inputs()


def test_a_pseudo_label_is_the_likeliest_class_where_it_is_likely_enough(parts):
    inputs = inputs_of(parts, 1)
    probabilities = predict_inputs(parts.model, inputs)["labels"]
    labels = PseudoLabels(prob_threshold=0.6).label(parts.model, inputs)
    sure = probabilities.max(1) >= 0.6
    assert 0 < sure.sum() < len(sure)
    np.testing.assert_array_equal(labels[sure], probabilities.argmax(1)[sure])
    assert (labels[~sure] == -100).all()
    assert labels.dtype == np.int64


def start_epoch(callback, parts, epoch):
    parts.trainer.curr_epoch = epoch
    callback.on_epoch_start(
        trainer=parts.trainer, model=parts.model, data_generator=parts.generator
    )


def all_batches(parts, dtype):
    parts.generator.reset_iterators(dtype)
    for _ in range(parts.generator.n_tot_batches[dtype]):
        batch, sessions = parts.generator.next_batch(dtype)
        yield {name: value.clone() for name, value in batch.items()}, sessions


@pytest.mark.parametrize("callback", [PseudoLabels, UPS])
def test_sessions_without_hand_labels_get_pseudo_labels_in_training(parts, callback):
    start_epoch(callback(prob_threshold=0.4, epoch_start=1), parts, epoch=1)
    found = 0
    for batch, sessions in all_batches(parts, "train"):
        labels = batch["labels_weak"][[session == 1 for session in sessions]]
        found += int((labels > 0).sum())
    assert found > 0


@pytest.mark.parametrize("callback", [PseudoLabels, UPS])
def test_failure_10_pseudo_labels_never_enter_validation(parts, callback):
    def seen():
        return [
            batch.get("labels_weak", torch.tensor(-100))
            for dtype in ("val", "test")
            for batch, _ in all_batches(parts, dtype)
        ]

    start_epoch(callback(prob_threshold=0.1, epoch_start=1), parts, epoch=1)
    assert all((labels == -100).all() for labels in seen())


def test_pseudo_labels_begin_with_their_epoch(parts):
    callback = PseudoLabels(prob_threshold=0.1, epoch_start=3)
    start_epoch(callback, parts, epoch=2)
    assert not any(
        (b.get("labels_weak", torch.tensor(-100)) >= 0).any()
        for b, _ in all_batches(parts, "train")
    )
    start_epoch(callback, parts, epoch=3)
    assert any((b["labels_weak"] >= 0).any() for b, _ in all_batches(parts, "train"))


class _PseudoLabelled(BaseCallback):
    """Notes the epochs at whose end the first session has pseudo-labels."""

    def __init__(self):
        self.epochs = []

    def on_epoch_end(self, *, trainer, data_generator, **kwargs):
        if data_generator.datasets[0].pseudo_labels is not None:
            self.epochs.append(trainer.curr_epoch)


def test_the_pseudo_labels_of_one_training_are_none_of_the_next(project, training):
    notes = _PseudoLabelled()
    hparams = project(max_epochs=3)
    fitted = training(hparams, PseudoLabels(0.1, epoch_start=2), notes).fit()
    fit_again(fitted, training(hparams, name="again"))
    assert notes.epochs == [2, 3, 2, 3]


def test_making_pseudo_labels_leaves_the_model_as_it_was(parts, same_weights):
    before, mode = parts.weights, parts.model.training
    start_epoch(UPS(prob_threshold=0.1, epoch_start=0), parts, epoch=1)
    assert same_weights(before, parts.weights)
    assert parts.model.training is mode


@pytest.mark.parametrize("algorithm", ["pseudo_labels", "ups"])
def test_failure_09_semi_supervised_training_runs_and_learns_from_the_labels(
    project, training, same_weights, algorithm
):
    hparams = project(
        (slice(None), None), **{**SEMI, "semi_supervised_algo": algorithm, "max_epochs": 4}
    )
    fitted = training(hparams).fit()
    header, *rows = [line.split(",") for line in fitted.metrics.splitlines()]
    weak = header.index("tr_loss_weak")
    losses = [float(row[weak]) for row in rows if row[weak]]
    assert losses[0] == 0.0 < losses[-1]  # there are none in epoch 0
    # the weak head learns from them alone
    initial = Segmenter(fitted.hparams).state_dict()
    name = next(name for name in initial if name.startswith("model.classifier_weak"))
    assert not torch.equal(initial[name], fitted.weights[name])


# ------------------------------------------------------------------------------ UPS


def test_ups_labels_where_the_mean_is_high_and_the_spread_over_dropout_small(parts):
    inputs = inputs_of(parts, 1)
    torch.manual_seed(0)
    passes = np.stack(
        [predict_inputs(parts.model, inputs, mode="train")["labels"] for _ in range(10)]
    ).astype(float)
    mean, spread = passes.mean(0), passes.std(0, ddof=1)
    likeliest, rows = mean.argmax(1), np.arange(len(mean))
    sure = (mean[rows, likeliest] >= 0.5) & (spread[rows, likeliest] <= 0.05)
    torch.manual_seed(0)
    labels = UPS(prob_threshold=0.5, variance_threshold=0.05).label(parts.model, inputs)
    assert 0 < sure.sum() < len(sure)
    np.testing.assert_array_equal(labels, np.where(sure, likeliest, -100))


def test_ups_is_the_stricter_the_lower_its_threshold(parts):
    counts = []
    for threshold in (0.0, 0.02, 0.1, 1.0):
        torch.manual_seed(0)
        labels = UPS(0.4, variance_threshold=threshold).label(parts.model, inputs_of(parts, 1))
        counts.append(int((labels >= 0).sum()))
    assert counts == sorted(counts)
    assert counts[0] == 0 < counts[-1]


def test_ups_without_dropout_is_plain_pseudo_labels_and_says_so(project, training, caplog):
    hparams = project((slice(None), None), **{**SEMI, "semi_supervised_algo": "ups", "dropout": 0})
    fitted = training(hparams).fit()
    assert "has no dropout" in caplog.text
    inputs = inputs_of(fitted, 1)
    np.testing.assert_array_equal(
        UPS(0.5, 0.05).label(fitted.model, inputs), PseudoLabels(0.5).label(fitted.model, inputs)
    )


def test_ups_with_several_behaviours_labels_absence_too():
    """Negative labels are plain targets where each behaviour has a sigmoid of its own."""

    class Model:
        classifier_type = "multibinary"

    probabilities = np.array([[0.95, 0.05, 0.5], [0.95, 0.02, 0.01]])
    certain = np.array([[True, True, True], [False, False, True]])
    labels = UPS(prob_threshold=0.9)._choose(Model(), probabilities, certain)
    np.testing.assert_array_equal(labels, [[1, 0, np.nan], [np.nan, np.nan, 0]])


@pytest.mark.parametrize(
    "labels",
    [
        np.array([-100, 3, 0, 120, -100], dtype=np.int64),
        np.array([-100, 3, 0, 300, -100], dtype=np.int64),
        np.array([[0, 1], [np.nan, 1]], dtype=np.float32),
    ],
)
def test_pseudo_labels_come_back_from_a_checkpoint_as_they_were(labels):
    restored = PseudoLabels._unpack(PseudoLabels._pack(labels))
    np.testing.assert_array_equal(restored, labels)
    assert restored.dtype == labels.dtype


# ------------------------------------------------------------------------------ collecting


def test_the_callbacks_are_those_that_hparams_ask_for():
    def kinds(**hparams):
        return [type(callback) for callback in collect_callbacks({"lambda_weak": 1, **hparams})]

    assert kinds() == []
    assert kinds(enable_early_stop=True) == [EarlyStopping]
    assert kinds(semi_supervised_algo="pseudo_labels") == [AnnealHparam, PseudoLabels]
    assert kinds(semi_supervised_algo="ups", enable_early_stop=True) == [
        *(EarlyStopping, AnnealHparam, UPS)
    ]


def test_the_callbacks_take_their_settings_from_hparams():
    stopping, anneal, ups = collect_callbacks(
        {
            **{"enable_early_stop": True, "early_stop_history": 7, "min_epochs": 99},
            **{"semi_supervised_algo": "ups", "lambda_weak": 3, "anneal_start": 4},
            **{"anneal_end": 9, "prob_threshold": 0.8, "variance_threshold": 0.01},
        }
    )
    assert stopping.patience == 7
    assert (anneal.key, anneal.epoch_start, anneal.epoch_end, anneal.val_end) == (
        *("lambda_weak", 4, 9, 3.0),
    )
    assert (ups.epoch_start, ups.prob_threshold, ups.variance_threshold) == (4, 0.8, 0.01)


def test_an_unknown_algorithm_is_named():
    with pytest.raises(ConfigError, match="did you mean 'pseudo_labels'"):
        collect_callbacks({"semi_supervised_algo": "pseudo_label"})


@pytest.mark.parametrize(
    ("settings", "warning"),
    [
        ({"lambda_weak": 0}, "has no effect, as lambda_weak"),
        ({"max_epochs": 30}, "training may end after epoch 30"),
        ({"enable_early_stop": True, "min_epochs": 10}, "training may end after epoch 10"),
    ],
)
def test_settings_that_leave_an_algorithm_little_to_do_are_told_of(settings, warning, caplog):
    base = {"semi_supervised_algo": "ups", "lambda_weak": 1, "max_epochs": 500, "anneal_end": 50}
    collect_callbacks({**base, **settings})
    assert warning in caplog.text
