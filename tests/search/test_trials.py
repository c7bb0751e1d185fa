"""Trials: which sessions a fold holds out, and what the results folder knows of a trial."""

from __future__ import annotations

import zipfile
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from daart_fast.config import with_defaults
from daart_fast.errors import ConfigError
from daart_fast.experiment.claim import create_tt_experiment
from daart_fast.experiment.notes import best_losses
from daart_fast.experiment.stored import export_hparams
from daart_fast.search.trials import (
    FAILED,
    folds,
    label_of,
    look_up,
    loss_settings,
    searched_keys,
)
from daart_fast.train.callbacks import MedianPruning, collect_callbacks


def trial(**changes: Any) -> Namespace:
    base = {"expt_ids": "a;b;c;d;e", "data_dir": "data", "results_dir": "results"}
    return Namespace(**with_defaults({**base, **changes}))


def held_out(**changes: Any) -> list[str]:
    return [fold.expt_ids_test for fold in folds([trial(**changes)])]


def test_each_session_is_held_out_in_exactly_one_fold():
    assert held_out(cv_folds=2) == ["a;c;e", "b;d"]
    assert held_out(leave_one_session_out=True) == ["a", "b", "c", "d", "e"]
    assert held_out() == [None]


def test_sessions_held_out_anyway_or_without_labels_are_in_no_fold():
    given = {"cv_folds": 2, "expt_ids_test": "t;e", "expt_ids_val": "d"}
    assert held_out(**given) == ["t;e;a;c", "t;e;b"]
    assert held_out(leave_one_session_out=True, expt_ids_to_keep="a;b") == ["a", "b"]


def test_sessions_without_a_file_of_hand_labels_are_in_no_fold(tmp_path):
    for folder, sessions in (("markers", "abcde"), ("labels-hand", "bd")):
        (tmp_path / folder).mkdir()
        for session in sessions:
            (tmp_path / folder / f"{session}.csv").touch()
    made = folds([trial(data_dir=str(tmp_path), leave_one_session_out=True)])
    assert [fold.expt_ids_test for fold in made] == ["b", "d"]
    assert {fold.expt_ids for fold in made} == {"a;b;c;d;e"}  # they still train
    with pytest.raises(ConfigError, match="needs 3 sessions or more .* it has 2"):
        folds([trial(data_dir=str(tmp_path), cv_folds=3)])


def test_a_fold_is_a_trial_of_its_own():
    made = folds([trial(cv_folds=2)])
    assert [vars(fold) for fold in folds(made)] == [vars(fold) for fold in made]
    assert [fold.search_fold for fold in made] == [0, 1]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"cv_folds": 6}, "with 6 folds needs 6 sessions or more .* it has 5"),
        ({"cv_folds": 2, "leave_one_session_out": True}, "are both given: expected one"),
        ({"leave_one_session_out": True, "expt_ids": "a"}, "needs 2 sessions or more"),
    ],
)
def test_folds_that_cannot_be_are_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        folds([trial(**given)])


def test_a_trials_label_names_what_differs_and_its_fold():
    trials = folds([trial(n_lags=n, leave_one_session_out=True) for n in (1, 2)])
    keys = searched_keys(trials)
    assert keys == ["n_lags", "search_fold"]
    assert label_of(trials[6], keys) == "n_lags=2, fold=1"


# ------------------------------------------------------------------------------ look_up


def test_a_trial_is_new_interrupted_failed_or_finished(tmp_path):
    own = trial(results_dir=str(tmp_path / "results"))
    assert look_up(own).state == "new" and not (tmp_path / "results").exists()
    hparams, experiment = create_tt_experiment(dict(vars(own)))
    folder = Path(hparams["tt_version_dir"])
    assert (look_up(own).state, look_up(own).folder) == ("interrupted", folder)
    (folder / FAILED).write_text("Traceback\n  ...\nValueError: no\n")
    assert (look_up(own).state, look_up(own).error) == ("failed", "ValueError: no")
    (folder / FAILED).unlink()
    export_hparams({**hparams, "training_completed": True})
    assert look_up(own).state == "new"  # as long as there are no weights
    zipfile.ZipFile(folder / "best_val_model.pt", "w").close()
    assert look_up(own).state == "finished"
    assert look_up(trial(results_dir=own.results_dir, n_lags=9)).state == "new"
    experiment.close()


def test_a_failed_trial_that_is_taken_up_again_is_no_longer_marked_as_failed(tmp_path):
    own = trial(results_dir=str(tmp_path / "results"))
    hparams, experiment = create_tt_experiment(dict(vars(own)))
    (Path(hparams["tt_version_dir"]) / FAILED).touch()
    experiment.close()
    again, _ = create_tt_experiment(dict(vars(own)))
    assert again["tt_version_dir"] == hparams["tt_version_dir"]
    assert look_up(own).state == "interrupted"


# ------------------------------------------------------------------------------ pruning


class Trial:
    """A trial of a search as `MedianPruning` sees it: its log, and whether it is to stop."""

    def __init__(self, tmp_path: Path, number: int, *losses: float, last: int = 100) -> None:
        folder = tmp_path / f"version_{number}"
        folder.mkdir()
        self.log = folder / "metrics.csv"
        self.log.write_text("epoch,dataset,tr_loss,val_loss\n")
        self.trainer = Namespace(curr_epoch=-1, max_epochs=last, should_halt=False, folder=folder)
        self.model = Namespace(hparams={})
        self.callback = MedianPruning(tmp_path / "notes", number, epochs=2)
        self.call("on_fit_start")
        self.train(*losses)

    def call(self, hook: str) -> None:
        getattr(self.callback, hook)(trainer=self.trainer, model=self.model, data_generator=None)

    def validate(self, *losses: float) -> None:
        """Go on in the next epoch."""
        with open(self.log, "a") as file:
            for loss in losses:
                file.write(f"{self.trainer.curr_epoch + 1},0,,0.001\n")  # of a session: not read
                file.write(f"{self.trainer.curr_epoch + 1},-1,,{loss!r}\n")

    def train(self, *losses: float) -> None:
        """Train an epoch for each loss, to be validated at its end."""
        for loss in losses:
            self.validate(loss)
            self.trainer.curr_epoch += 1
            with open(self.log, "a") as file:
                file.write(f"{self.trainer.curr_epoch},-1,0.5,\n")

    def goes_on(self) -> bool:
        """Whether another epoch follows the last one trained."""
        self.call("on_epoch_end")
        pruned = self.model.hparams.get("pruned_epoch")
        assert pruned == (self.trainer.curr_epoch if self.trainer.should_halt else None)
        return not self.trainer.should_halt


@pytest.fixture
def others(tmp_path):
    """Three trials whose best losses up to epoch 2 are 1, 2 and 3."""
    Trial(tmp_path, 2, 9, 1.0, 5.0)
    Trial(tmp_path, 3, 9, 9, 2.0)
    Trial(tmp_path, 4, 9, 9, 3.0, 0.1)


@pytest.mark.usefixtures("others")
@pytest.mark.parametrize(("loss", "goes_on"), [(2.1, False), (2.0, True), (1.5, True)])
def test_a_trial_above_the_median_of_the_others_best_stops(tmp_path, loss, goes_on):
    assert Trial(tmp_path, 1, 9, 9, loss).goes_on() == goes_on


@pytest.mark.usefixtures("others")
def test_no_trial_stops_in_its_last_epoch(tmp_path):
    assert Trial(tmp_path, 1, 9, 9, 5.0, last=2).goes_on()


def test_no_trial_stops_before_its_time_or_where_few_have_come_so_far(tmp_path):
    for number, losses in ((2, [9, 1.0, 1.0]), (3, [9, 1.0]), (4, [9, 1.0])):
        Trial(tmp_path, number, *losses)
    own = Trial(tmp_path, 1, 9, 5.0)
    assert own.goes_on()  # too early
    own.train(5.0)
    assert own.goes_on()  # one other has come to epoch 2
    Trial(tmp_path, 5, 9, 1.0, 1.0)
    assert not own.goes_on()  # two have


def test_those_that_go_on_are_compared_with_those_stopped_before(tmp_path):
    """Or they would be halved in each epoch, until two are left."""
    running = [Trial(tmp_path, number) for number in range(8)]
    for epoch in range(6):
        for number, one in enumerate(running):  # in step: all train, then all look
            one.train(1 + number / 100 - epoch / 1000)
        running = [one for one in running if one.goes_on()]
    assert len(running) == 4


def test_trials_that_ended_early_count_with_their_best(tmp_path):
    for number in (2, 3):
        assert Trial(tmp_path, number, 9, 1.0, last=1).goes_on()
    assert not Trial(tmp_path, 1, 9, 5.0, 5.0).goes_on()


def test_a_trial_amid_an_epoch_has_not_come_to_its_end(tmp_path):
    for number in (2, 3):
        Trial(tmp_path, number, 9, 9).validate(1.0)
    assert Trial(tmp_path, 1, 9, 9, 5.0).goes_on()


def test_of_trials_that_are_alike_none_stops_however_often_they_are_validated(tmp_path):
    for number in range(3):
        own = Trial(tmp_path, number)
        for epoch in range(5):
            own.validate(9 - epoch, 8.7 - epoch, 8.5 - epoch)
            own.train(8.2 - epoch)
            assert own.goes_on()


def test_a_trial_alone_has_the_same_callbacks_and_nobody_to_compare_with(tmp_path):
    """So that a checkpoint of a search's trial is of use to it when it is called by itself."""
    alone = {"search_pruning": "median", "search_pruning_epochs": 2}
    in_search = {**alone, "search_notes": str(tmp_path / "notes"), "search_trial": 1}
    made = [collect_callbacks(hparams) for hparams in (alone, in_search)]
    assert [[type(one) for one in callbacks] for callbacks in made] == [[MedianPruning]] * 2
    for number in (2, 3):
        Trial(tmp_path, number, 9, 9, 1.0)
    own = Trial(tmp_path, 1)
    own.callback = made[0][0]
    own.train(9, 9, 9)
    assert own.goes_on()
    own.callback = made[1][0]
    assert not own.goes_on()


@pytest.mark.parametrize(
    ("first", "second", "comparable"),
    [
        ({"n_lags": 1}, {"n_lags": 2}, True),
        ({"learning_rate": 0.1, "dropout": 0}, {"learning_rate": 1, "dropout": 0.5}, True),
        ({"lambda_strong": 1}, {"lambda_strong": 2}, False),
        ({"weight_classes": True}, {"weight_classes": False}, False),
        ({"sequence_length": 100}, {"sequence_length": 200}, False),
        ({"search_fold": 0}, {"search_fold": 1}, False),
        ({"input_type": "markers"}, {"input_type": "features"}, True),
        (
            {"input_type": "markers", "lambda_pred": 1},
            {"input_type": "features", "lambda_pred": 1},
            False,
        ),
    ],
)
def test_losses_are_comparable_where_only_the_quality_of_a_model_changes_them(
    first, second, comparable
):
    assert (loss_settings(trial(**first)) == loss_settings(trial(**second))) == comparable


def test_a_trial_that_has_not_started_has_no_losses(tmp_path):
    assert best_losses(tmp_path) == {}


@pytest.mark.parametrize("part", ["2,-1,0.5,6e-", "2,-1,0.", "2,-1", "2"])
def test_of_a_row_that_is_just_being_written_nothing_is_read(tmp_path, part):
    rows = "epoch,dataset,tr_loss,val_loss\n1,-1,,0.75\n1,-1,0.5,\n"
    (tmp_path / "metrics.csv").write_text(rows + part)
    assert best_losses(tmp_path) == {1: 0.75}
