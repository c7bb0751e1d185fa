"""What a training leaves, and what it must not do on the way."""

import logging
import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from daart_fast.config import DERIVED, KEYS
from daart_fast.errors import ConfigError
from daart_fast.models import Segmenter
from daart_fast.train import DivergedError, Trainer
from daart_fast.train.callbacks import BaseCallback
from daart_fast.train.validation import ALL, evaluate


def read_metrics(training):
    return pd.read_csv(training.folder / "metrics.csv")


def of_all(table, column):
    """A column's values over all sessions together, in order."""
    return table[(table["dataset"] == ALL) & table[column].notna()][column].to_numpy()


# ------------------------------------------------------------------------------ the arguments


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("max_epoch", "'max_epoch' (did you mean 'max_epochs'?)"),
        ("callback", "'callback' (did you mean 'callbacks'?)"),
        ("model_type", "'model_type' (it is called 'backbone' now)"),
        ("xyz", "'xyz'"),
    ],
)
def test_an_argument_that_is_no_key_is_refused(name, hint):
    with pytest.raises(ConfigError) as error:
        Trainer(**{name: 3})
    assert str(error.value) == f"Trainer: there is no key {hint}"


def test_all_hparams_of_a_model_can_be_passed():
    hparams = {name: key.default for name, key in KEYS.items()} | dict.fromkeys(DERIVED)
    hparams["optimize_parallel"] = print  # as test-tube leaves it in a script's namespace
    assert Trainer(**hparams).max_epochs == KEYS["max_epochs"].default


# ------------------------------------------------------------------------------ the epochs


def test_epoch_0_evaluates_and_does_not_update(project, training, same_weights):
    untrained = training(project(max_epochs=0, trial_splits="5;1;0;0"))
    before = untrained.weights
    untrained.fit()
    assert same_weights(before, untrained.weights)
    assert read_metrics(untrained)["epoch"].tolist() == [0]


def test_training_lowers_the_loss(project, training):
    losses = of_all(read_metrics(training(project(max_epochs=8)).fit()), "val_loss")
    assert len(losses) == 8
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize(("interval", "epochs"), [(0.5, [1, 1, 2, 2, 3, 3]), (2, [2, 3]), (9, [3])])
def test_validation_comes_at_the_interval_asked_for_and_at_the_end(
    project, training, interval, epochs
):
    table = read_metrics(training(project(val_check_interval=interval)).fit())
    rows = table[(table["dataset"] == ALL) & table["val_loss"].notna()]
    assert rows["epoch"].tolist() == epochs


@pytest.mark.slow
def test_the_same_seeds_give_the_same_weights(project, training, same_weights):
    hparams = project(variational=True)
    first, second = (training(hparams, name=name).fit() for name in ("first", "second"))
    assert same_weights(first.weights, second.weights)
    assert first.metrics == second.metrics


def test_another_seed_gives_other_weights(project, training, same_weights):
    first = training(project(rng_seed_train=0), name="first").fit()
    second = training(project(rng_seed_train=1), name="second").fit()
    assert not same_weights(first.weights, second.weights)


# ------------------------------------------------------------------------------ how it ends


def test_a_training_says_when_it_stopped_early_and_whose_weights_are_kept(project, training):
    early = {"enable_early_stop": True, "early_stop_history": 2, "max_epochs": 200}
    trainer = training(project(learning_rate=1e-9, **early), _Scale(2, 3.0)).fit().trainer
    assert trainer.ending == (
        "stopped at epoch 3 of 200: the validation loss has not fallen for 2 epochs; the weights "
        "of epoch 1 are kept"
    )


def test_a_training_of_full_length_says_whose_weights_are_kept(project, training):
    trainer = training(project()).fit().trainer
    assert trainer.ending.startswith("trained for 3 epochs; the weights of epoch ")


# ------------------------------------------------------------------------------ the best model


class _Scale(BaseCallback):
    """Multiplies the weights when an epoch starts."""

    def __init__(self, epoch, factor):
        self.epoch, self.factor = epoch, factor

    def on_epoch_start(self, *, trainer, model, **kwargs):
        if trainer.curr_epoch == self.epoch:
            with torch.no_grad():
                for weight in model.parameters():
                    weight.mul_(self.factor)


def test_the_weights_that_validate_best_are_kept_and_written(project, training, same_weights):
    worsen = _Scale(epoch=5, factor=30.0)
    fitted = training(project(max_epochs=5), worsen, save_last_model=True).fit()
    losses = of_all(read_metrics(fitted), "val_loss")
    assert losses.argmin() < 4
    assert fitted.hparams["best_val_epoch"] == losses.argmin() + 1
    assert evaluate(fitted.model, fitted.generator, "val")[ALL]["loss"] == pytest.approx(
        losses.min(), rel=1e-6
    )
    best, last = (
        torch.load(fitted.folder / f"{name}.pt", weights_only=True)
        for name in ("best_val_model", "last_model")
    )
    assert same_weights(best, fitted.weights)
    assert not same_weights(last, fitted.weights)


def test_the_last_weights_are_written_only_if_asked_for(project, training):
    fitted = training(project()).fit()
    assert not (fitted.folder / "last_model.pt").exists()
    assert fitted.hparams["training_completed"] is True


def test_without_a_folder_nothing_is_written(project, training, tmp_path, monkeypatch):
    hparams = project(plot_train_curves=True)
    unsaved = training(hparams, save_last_model=True)
    unsaved.folder = None
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    unsaved.fit()
    assert list((tmp_path / "empty").iterdir()) == []
    assert not (tmp_path / "model").exists()


# ------------------------------------------------------------------------------ validation


def test_failure_02_a_validation_batch_without_hand_labels_does_not_spoil_the_loss(
    project, training
):
    # windows 4 and 10 of each session validate; the second session has no labels in either
    hparams = project((slice(None), slice(0, 90)), batch_size=1)
    fitted = training(hparams).fit()
    table = read_metrics(fitted)
    assert np.isfinite(of_all(table, "val_loss")).all()
    assert table[table["dataset"] == 1]["val_loss"].isna().all()
    assert np.isfinite(of_all(table, "tr_loss")).all()
    assert fitted.hparams["best_val_epoch"] >= 1


def test_failure_02_validation_without_any_label_neither_stops_training_nor_loses_the_model(
    project, training, same_weights, caplog
):
    hparams = project((slice(0, 90),), enable_early_stop=True, early_stop_history=1, max_epochs=4)
    fitted = training(hparams, save_last_model=True).fit()
    assert read_metrics(fitted)["epoch"].max() == 4
    assert "has the validation split any scored frame" in caplog.text
    best, last = (
        torch.load(fitted.folder / f"{name}.pt", weights_only=True)
        for name in ("best_val_model", "last_model")
    )
    assert same_weights(best, last)


def test_failure_02_batches_whose_classes_weigh_nothing_leave_the_weights_whole(project, training):
    sparse = training(project((slice(0, 25), slice(275, 300)), batch_size=1, max_epochs=2)).fit()
    assert all(bool(value.isfinite().all()) for value in sparse.weights.values())


def test_the_validation_loss_does_not_depend_on_the_batch_size(project, training):
    hparams = project((slice(0, 200), slice(0, 110)))
    losses = []
    for batch_size in (1, 3, 8):
        parts = training({**hparams, "batch_size": batch_size})
        losses.append(evaluate(parts.model, parts.generator, "val")[ALL]["loss"])
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-5)


def test_the_validation_loss_is_the_mean_over_labelled_sequences_of_each_ones_mean(
    project, training
):
    parts = training(project((slice(0, 200), slice(0, 110)), batch_size=1))
    parts.model.eval()
    parts.generator.reset_iterators("val")
    losses = []
    for _ in range(parts.generator.n_tot_batches["val"]):
        batch, sessions = parts.generator.next_batch("val")
        for row in range(len(sessions)):
            one = {name: values[row : row + 1] for name, values in batch.items()}
            if (one["labels_strong"] > 0).any():
                losses.append(parts.model.training_step(one, accumulate_grad=False)["loss"])
    scores = evaluate(parts.model, parts.generator, "val")
    assert scores[ALL]["loss"] == pytest.approx(np.mean(losses), rel=1e-5)


def test_the_loss_is_the_weighted_sum_of_the_logged_terms(project, training):
    hparams = project((slice(0, 200), None), lambda_strong=2.0, lambda_pred=0.5)
    scores = evaluate(*(getattr(training(hparams), part) for part in ("model", "generator")), "val")
    terms = scores[ALL]
    assert terms["loss"] == pytest.approx(2.0 * terms["loss_strong"] + 0.5 * terms["loss_pred"])


@pytest.mark.parametrize("epoch", [1, 50, 200])
def test_validation_losses_compare_between_epochs_as_the_kl_divergence_is_no_part_of_them(
    project, training, epoch
):
    parts = training(project(variational=True, lambda_pred=0.5))
    parts.model.on_epoch_start(epoch)
    terms = evaluate(parts.model, parts.generator, "val")[ALL]
    assert terms["loss"] == pytest.approx(terms["loss_strong"] + 0.5 * terms["loss_pred"])
    assert terms["loss_kl"] > 0 and terms["kl_weight"] == pytest.approx(parts.model.kl_weight)


# ------------------------------------------------------------------------------ metrics.csv


class _Recording(Segmenter):
    """Remembers the training losses it gave."""

    def losses(self, batch, reduce="batch"):
        terms = super().losses(batch, reduce)
        if reduce == "batch":
            self.seen.append(float(terms["loss"].detach()))
        return terms


def test_failure_10_the_logged_training_loss_is_the_mean_over_the_batches(project, training):
    recorded = training(project(batch_size=4, max_epochs=2))
    recorded.model.__class__ = _Recording
    recorded.model.seen = []
    recorded.fit()
    n_batches = recorded.generator.n_tot_batches["train"]
    means = np.reshape(recorded.model.seen, (3, n_batches)).mean(1)
    assert of_all(read_metrics(recorded), "tr_loss") == pytest.approx(means, rel=1e-6)


def test_the_columns_are_daarts_and_all_there_from_the_start(project, training):
    header = training(project(lambda_pred=1.0, max_epochs=0)).fit().metrics.splitlines()[0]
    terms = ["loss", "loss_strong", "loss_pred"]
    assert set(header.split(",")) == {
        *("epoch", "batch", "trial", "dataset", "best_val_epoch"),
        *(f"{prefix}_{term}" for prefix in ("tr", "val", "test") for term in terms),
    }


def test_there_are_no_columns_for_splits_that_are_empty(project, training):
    assert "test_loss" not in training(project(trial_splits="5;1;0;0", max_epochs=0)).fit().metrics


def test_each_session_has_its_own_row(project, training):
    table = read_metrics(training(project(max_epochs=1)).fit())
    rows = table[table["val_loss"].notna()].set_index("dataset")["val_loss"]
    assert sorted(rows.index) == [ALL, 0, 1]
    assert rows[ALL] == pytest.approx((rows[0] + rows[1]) / 2)


class _Reader(BaseCallback):
    """Reads metrics.csv at the end of each epoch."""

    def __init__(self):
        self.versions = []

    def on_epoch_end(self, *, trainer, **kwargs):
        self.versions.append((trainer.folder / "metrics.csv").read_bytes())


def test_failure_13_rows_are_appended_and_earlier_ones_left_as_they_are(project, training):
    reader = _Reader()
    fitted = training(project(max_epochs=4), reader).fit()
    assert len(reader.versions) == 5
    for before, after in zip(reader.versions, reader.versions[1:], strict=False):
        assert after.startswith(before) and len(after) > len(before)
        assert after.endswith(b"\n")
    assert (fitted.folder / "metrics.csv").read_bytes().startswith(reader.versions[-1])


class _HostCopies(TorchDispatchMode):
    """Counts how often a value is read off a tensor."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


def test_failure_13_no_loss_is_copied_to_the_host_within_a_step(project, training):
    parts = training(project(lambda_pred=1.0))
    parts.trainer.prepare(parts.model, parts.generator, None)
    parts.generator.reset_iterators("train")
    with _HostCopies() as copies:
        for _ in range(3):
            batch, _ = parts.generator.next_batch("train")
            parts.trainer.add(parts.trainer.step(batch))
    assert copies.count == 0


# ------------------------------------------------------------------------------ tests, pictures


def test_failure_06_a_test_split_is_evaluated_at_the_end(project, training):
    fitted = training(project(max_epochs=2)).fit()
    table = read_metrics(fitted)
    losses = table[table["test_loss"].notna()].set_index("dataset")["test_loss"]
    assert sorted(losses.index) == [ALL, 0, 1]
    assert losses[ALL] == pytest.approx(
        evaluate(fitted.model, fitted.generator, "test")[ALL]["loss"], rel=1e-6
    )


@pytest.mark.slow
@pytest.mark.parametrize("max_epochs", [0, 1, 2])
def test_failure_06_curves_are_drawn_however_few_epochs_there_are(project, training, max_epochs):
    fitted = training(project(max_epochs=max_epochs, plot_train_curves=True)).fit()
    assert (fitted.folder / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_curves_are_written_in_the_formats_asked_for(project, training):
    hparams = project(max_epochs=1, plot_train_curves=True)
    fitted = training(hparams, picture_format="pdf;svg").fit()
    assert (fitted.folder / "curves.pdf").read_bytes().startswith(b"%PDF")
    assert b"<svg" in (fitted.folder / "curves.svg").read_bytes()
    assert not (fitted.folder / "curves.png").exists()


def test_no_curves_are_drawn_unless_asked_for(project, training):
    fitted = training(project(max_epochs=1)).fit()
    assert not list(fitted.folder.glob("*.png"))


# ------------------------------------------------------------------------------ what goes wrong


def test_a_diverging_loss_ends_the_training_with_the_best_weights(project, training, caplog):
    spoilt = training(project(max_epochs=6), _Scale(epoch=3, factor=math.inf), save_last_model=True)
    with caplog.at_level(logging.WARNING):
        spoilt.fit()
    assert "the training loss became nan in epoch 3" in caplog.text
    assert "learning_rate" in caplog.text
    assert spoilt.hparams["best_val_epoch"] in (1, 2)
    assert read_metrics(spoilt)["epoch"].max() == 3
    assert all(bool(value.isfinite().all()) for value in spoilt.weights.values())
    assert not (spoilt.folder / "last_model.pt").exists()


def test_a_loss_that_diverges_before_any_validation_is_an_error_that_says_so(project, training):
    with pytest.raises(
        DivergedError, match="the training loss became nan in epoch 1 .*loss_strong"
    ):
        training(project(), _Scale(epoch=1, factor=math.inf)).fit()


class _Fail(BaseCallback):
    def on_epoch_start(self, *, trainer, **kwargs):
        if trainer.curr_epoch == 1:
            raise ZeroDivisionError("of my own making")


def test_failure_01_an_error_within_training_is_the_users_to_see(project, training):
    with pytest.raises(ZeroDivisionError, match="of my own making"):
        training(project(), _Fail()).fit()


# ------------------------------------------------------------------------------ callbacks


class _Diary(BaseCallback):
    def __init__(self):
        self.entries = []

    def on_fit_start(self, **kwargs):
        self.entries.append("fit")

    def on_epoch_start(self, *, trainer, **kwargs):
        self.entries.append(f"start {trainer.curr_epoch}")

    def on_val_check(self, *, trainer, loss, **kwargs):
        assert math.isfinite(loss)
        self.entries.append(f"val {trainer.curr_epoch}")

    def on_epoch_end(self, *, trainer, **kwargs):
        self.entries.append(f"end {trainer.curr_epoch}")


def test_callbacks_are_called_at_the_moments_their_names_say(project, training):
    diary = _Diary()
    training(project(max_epochs=1), diary).fit()
    assert diary.entries == ["fit", "start 0", "end 0", "start 1", "val 1", "end 1"]


class _Halt(BaseCallback):
    """Written as for daart: one hook, these names."""

    def on_epoch_end(self, data_generator, model, trainer, **kwargs):
        trainer.should_halt = trainer.curr_epoch == 2


def test_a_callback_can_end_the_training(project, training):
    fitted = training(project(max_epochs=9), _Halt()).fit()
    assert read_metrics(fitted)["epoch"].max() == 2
    assert fitted.hparams["training_completed"] is True
