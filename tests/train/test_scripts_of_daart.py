"""What scripts written for daart do with a training, its data and its callbacks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from daart_fast.api import Model
from daart_fast.data import DataGenerator
from daart_fast.errors import ConfigError, DataError
from daart_fast.eval import get_precision_recall, plot_training_curves
from daart_fast.models import Segmenter
from daart_fast.train import Trainer
from daart_fast.transforms import ZScore


def test_a_fit_by_itself_leaves_a_folder_that_a_model_is_read_from(project, training, tmp_path):
    one = training(project(max_epochs=1))
    one.fit()
    model = Model.from_dir(one.folder)
    assert model.config["label_names"] == one.generator.label_names
    states = model.predict(tmp_path / "data" / "features" / "s0.csv")
    assert states.shape == (300, 4)


class Plain:
    """A callback as daart takes it: any class with one hook."""

    def __init__(self):
        self.loggers, self.validations, self.due = [], [], []

    def on_epoch_end(self, data_generator, model, trainer, logger=None, **kwargs):
        self.loggers.append(logger)
        self.due = trainer.val_check_batch

    def on_val_check(self, trainer, **kwargs):
        self.validations.append(trainer.curr_batch)


@pytest.mark.parametrize("interval", [1, 2, 0.5, 1.5])
def test_a_callback_without_a_base_class_gets_logger_and_val_check_batch(
    project, training, interval
):
    callback = Plain()
    training(project(max_epochs=3, val_check_interval=interval), callback).fit()
    assert len(callback.loggers) == 4 and all(hasattr(x, "write") for x in callback.loggers)
    assert list(callback.due) == callback.validations


class Sets:
    """daart's way of annealing: into the model's hparams."""

    def __init__(self, key, value):
        self.key, self.value = key, value

    def on_epoch_start(self, model, **kwargs):
        model.hparams[self.key] = self.value


def test_a_weight_written_to_hparams_takes_effect(project, training, same_weights):
    def weights(pred, *callbacks):
        return training(project(max_epochs=2, lambda_pred=pred), *callbacks).fit().weights

    assert same_weights(weights(0.5), weights(2.0, Sets("lambda_pred", 0.5)))


def test_a_weight_of_a_head_that_is_not_there_is_an_error(project, training):
    one = training(project(max_epochs=2), Sets("lambda_pred", 0.5))
    with pytest.raises(ConfigError, match=r"hparams\['lambda_pred'\] was set to 0.5, but"):
        one.fit()


def test_generator_and_dataset_have_the_attributes_of_daart(project, training):
    generator = training(project()).generator
    dataset = generator.datasets[0]
    assert len(generator) == generator.n_datasets == 2
    assert generator.input_size == 4 and generator.feature_names == ["f0", "f1", "f2", "f3"]
    assert generator.batch_size == 2 and len(generator.signals) == 2
    assert generator.paths[1] == list(generator.datasets[1].paths.values())
    assert dataset.signals[0] == "markers" and dataset.transforms["markers"] is not None
    assert dataset.dtypes == {"markers": "float32", "labels_strong": "int64"}
    assert dataset.n_batches == {"train": 8, "val": 2, "test": 2}
    assert dataset.feature_names == generator.feature_names
    whole = dataset[None]
    assert whole["batch_idx"] is None and len(whole["markers"]) == len(dataset)
    torch.testing.assert_close(whole["markers"][3], dataset[3]["markers"])


def test_a_change_of_a_datasets_data_is_an_error_as_it_would_be_lost(project, training):
    dataset = training(project()).generator.datasets[0]
    with pytest.raises(DataError, match=r"copies, so a change there has no effect"):
        dataset.data["labels_weak"] = []
    with pytest.raises(DataError, match=r"copies"):
        dataset.data.update(markers=[])
    with pytest.raises(ValueError, match="read-only"):
        dataset.data["markers"][0][:] = 0
    with pytest.raises(TypeError):
        dataset.data["markers"][0] = np.zeros(3)


def test_the_losses_take_a_batch_of_the_shape_that_daart_gives(project, training):
    one = training(project(backbone="gru"))
    batch, _ = one.generator.next_batch("train")
    expected = one.model.losses(batch)
    as_daart = {**batch, "batch_idx": batch["batch_idx"][:, None]}
    assert one.model.losses(as_daart)["loss"] == expected["loss"]


def test_predict_labels_needs_no_sequence_length_in_hparams(project, training):
    one = training(project())
    del one.model.hparams["sequence_length"]  # as in the notebook of daart
    labels = one.model.predict_labels(one.generator)["labels"]
    assert [sum(map(len, session)) for session in labels] == [300, 300]


def test_a_missing_dropout_is_that_of_daart(project, training):
    one = training(project())
    del one.hparams["dropout"]
    assert type(one.model)(one.hparams).model["encoder"].blocks[0].dropout == 0.2


def test_the_steps_of_daarts_notebook(project, tmp_path):
    """Its cells in their order, on other data and with fewer epochs."""
    project()
    data = tmp_path / "data"
    hand = data / "labels-hand" / "s0.csv"
    generator = DataGenerator(
        ["s0"],
        [["markers", "labels_weak", "labels_strong"]],
        [[ZScore(), None, None]],
        [[str(data / "features" / "s0.csv"), str(hand), str(hand)]],
        batch_size=4,
        sequence_length=25,
        sequence_pad=4,
        trial_splits={"train_tr": 9, "val_tr": 1, "test_tr": 0, "gap_tr": 0},
        device="cpu",
    )
    batch, _ = generator.next_batch("train")
    assert batch["markers"].shape == (4, 33, 4) and len(batch["batch_idx"]) == 4
    hparams = {
        "backbone": "dtcn", "input_size": 4, "output_size": 4, "n_hid_layers": 1,
        "n_hid_units": 8, "n_lags": 2, "activation": "lrelu", "lambda_weak": 0.5,
        "lambda_strong": 1, "lambda_pred": 0.5, "sequence_pad": 4,
    }  # fmt: skip
    model = Segmenter(hparams)
    folder = tmp_path / "results"
    trainer = Trainer(
        learning_rate=1e-3, l2_reg=0, min_epochs=1, max_epochs=2, val_check_interval=1,
        rng_seed_train=0, enable_early_stop=False, early_stop_history=10, save_last_model=False,
    )  # fmt: skip
    trainer.fit(model, generator, save_path=str(folder))
    for dtype in ("train", "val"):
        file = folder / f"{dtype}_curves"
        plot_training_curves(
            str(folder / "metrics.csv"), dtype=dtype, save_file=str(file), format="png"
        )
        assert file.with_suffix(".png").is_file()
    predictions = model.predict_labels(generator)["labels"]
    states = np.argmax(np.vstack(predictions[0]), axis=1)
    truth = np.genfromtxt(hand, delimiter=",", dtype=int)[1:, 1:].argmax(1)
    scores = get_precision_recall(truth[: len(states)], states, background=0)
    assert len(states) == 300 and len(scores["precision"]) == 3
    again = Model.from_dir(folder)  # which daart cannot
    assert again.config["sequence_length"] == 25
    assert again.predict(data / "features" / "s0.csv").shape == (300, 4)
