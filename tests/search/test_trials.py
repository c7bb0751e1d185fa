"""Trials: which sessions a fold holds out, and what the results folder knows of a trial."""

from __future__ import annotations

import zipfile
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from daart_fast.callbacks import MedianPruning, leave_note, validation_losses
from daart_fast.config import with_defaults
from daart_fast.errors import ConfigError
from daart_fast.io import export_hparams
from daart_fast.search.trials import FAILED, folds, label_of, look_up, searched_keys
from daart_fast.testtube import create_tt_experiment


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


@pytest.fixture
def pruning(tmp_path):
    """A function: a trial's loss, the others' losses by epoch -> whether it goes on."""

    def goes_on(epoch: int, loss: float, others: list[list[float]]) -> bool:
        for number, losses in enumerate(others, start=2):
            folder = tmp_path / f"version_{number}"
            folder.mkdir(exist_ok=True)
            rows = [f"{e},-1,{value}\n{e},0,0.001\n" for e, value in enumerate(losses)]
            (folder / "metrics.csv").write_text("epoch,dataset,val_loss\n" + "".join(rows))
            leave_note(tmp_path / "notes", number, folder)
        trainer = Namespace(curr_epoch=epoch, should_halt=False, folder=tmp_path)
        model = Namespace(hparams={})
        callback = MedianPruning(tmp_path / "notes", 1, epochs=2)
        shared = {"trainer": trainer, "model": model, "data_generator": None}
        callback.on_fit_start(**shared)
        callback.on_val_check(**shared, loss=loss)
        assert model.hparams.get("pruned_epoch") == (epoch if trainer.should_halt else None)
        return not trainer.should_halt

    return goes_on


def test_a_trial_above_the_median_of_the_others_best_stops(pruning):
    others = [[9, 1.0, 5.0], [9, 9, 2.0], [9, 9, 3.0, 0.1]]  # bests up to epoch 2: 1, 2, 3
    assert not pruning(2, 2.1, others)
    assert pruning(2, 2.0, others) and pruning(2, 1.5, others)


def test_no_trial_stops_before_its_time_or_where_few_have_come_so_far(pruning):
    others = [[9, 1.0, 1.0], [9, 1.0], [9, 1.0]]
    assert pruning(1, 5.0, others)  # too early
    assert pruning(2, 5.0, others)  # one other has come to epoch 2
    assert not pruning(2, 5.0, [*others, [9, 1.0, 1.0]])  # two have


def test_a_trial_that_has_not_started_has_no_losses(tmp_path):
    assert validation_losses(tmp_path) == {}


@pytest.mark.parametrize("part", ["2,-1,6e-", "2,-1,0.", "2,-1", "2"])
def test_of_a_row_that_is_just_being_written_nothing_is_read(tmp_path, part):
    (tmp_path / "metrics.csv").write_text("epoch,dataset,val_loss\n1,-1,0.75\n" + part)
    assert validation_losses(tmp_path) == {1: 0.75}
