"""Writes beside the loop: they hold nothing up, none overlap, and what goes wrong is seen."""

import errno
import threading
from concurrent.futures import wait

import pytest
import torch

from daart_fast.train import checkpoint, trainer
from daart_fast.train.background import Background
from daart_fast.train.callbacks import BaseCallback
from daart_fast.train.checkpoint import Checkpoint, snapshot

PATIENCE = 30  # seconds: a test that waits longer fails


def fail():
    raise OSError(errno.ENOSPC, "No space left on device")


# ------------------------------------------------------------------------------ the thread


def test_a_job_runs_beside_the_one_who_asked_for_it():
    background, let_go, done = Background(), threading.Event(), []
    background.start(lambda: done.append(let_go.wait(PATIENCE)))
    assert background.busy
    assert done == []
    let_go.set()
    background.wait()
    assert done == [True]
    assert not background.busy


def test_a_block_has_its_thread_from_the_start(monkeypatch):
    """Thread.start waits for ever where memory runs out meanwhile."""
    with Background() as background:
        monkeypatch.delattr(threading.Thread, "start")
        background.start(list)


def test_jobs_do_not_overlap_and_keep_their_order():
    background, running, seen = Background(), [], []

    def job(number):
        running.append(number)
        seen.append(list(running))
        running.remove(number)

    for number in range(20):
        background.start(lambda number=number: job(number))
    background.wait()
    assert seen == [[number] for number in range(20)]


@pytest.mark.parametrize("look", [Background.wait, lambda b: b.start(list), lambda b: b.busy])
def test_what_a_job_raises_is_raised_once_where_it_is_looked_for(look):
    background = Background()
    background.start(fail)
    wait([background._job])
    with pytest.raises(OSError, match="No space left"):
        look(background)
    background.wait()


def test_a_block_ends_with_its_jobs_failure():
    with pytest.raises(OSError, match="No space left"), Background() as background:
        background.start(fail)


def test_a_block_that_raises_shows_its_own_error_and_tells_of_the_jobs(caplog):
    with pytest.raises(ValueError, match="first"), Background() as background:
        background.start(fail)
        raise ValueError("first")
    assert "could not be written" in caplog.text
    assert "No space left" in caplog.text


def test_a_job_that_an_interrupt_broke_the_wait_for_is_waited_for_and_told_of(monkeypatch, caplog):
    let_go, wait_for_lock = threading.Event(), threading.Condition.wait

    def fail_later():
        assert let_go.wait(PATIENCE)
        fail()

    def interrupted(lock, timeout=None):
        if threading.current_thread() is not threading.main_thread():
            return wait_for_lock(lock, timeout)
        monkeypatch.undo()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Background() as background:
        background.start(fail_later)
        monkeypatch.setattr(threading.Condition, "wait", interrupted)  # futures use it
        try:
            background.wait()
        finally:
            let_go.set()
    assert "could not be written" in caplog.text


def test_a_snapshot_does_not_change_with_what_it_was_taken_of():
    weights, state = torch.ones(2), {"a": [1.5], "b": (None, {"c": "d"})}
    taken = snapshot({"weights": weights, **state})
    weights += 1
    state["a"].append(2)
    assert taken["weights"].tolist() == [1, 1]
    assert {**taken, "weights": 0} == {"weights": 0, "a": [1.5], "b": (None, {"c": "d"})}


# ------------------------------------------------------------------------------ a training


@pytest.fixture
def eager(monkeypatch):
    """Checkpoints follow one another as fast as they can be written, beside the loop."""
    monkeypatch.setattr(Checkpoint, "PATIENCE", 0)
    return {"checkpoint_interval": 1e-9}


class _AtEpoch(BaseCallback):
    """Calls a function when an epoch starts."""

    def __init__(self, epoch, function):
        self.epoch, self.function = epoch, function

    def on_epoch_start(self, *, trainer, **kwargs):
        if trainer.curr_epoch == self.epoch:
            self.function()


def test_a_write_that_takes_long_does_not_hold_the_training_up(
    project, training, eager, monkeypatch
):
    let_go, waited = threading.Event(), []
    save = checkpoint.save_durably

    def slow(state, file):
        if not let_go.is_set():
            waited.append(let_go.wait(PATIENCE))
        save(state, file)

    monkeypatch.setattr(checkpoint, "save_durably", slow)
    training(project(), _AtEpoch(2, let_go.set), **eager).fit()
    assert waited == [True]  # begun before epoch 2, and only one


@pytest.mark.slow
def test_a_training_cut_short_beside_a_write_ends_bit_for_bit_where_the_unbroken_one_does(
    project, training, same_weights, eager
):
    hparams = project(max_epochs=4, variational=True)
    unbroken = training(hparams, name="unbroken").fit()
    for epoch in (1, 3):
        with pytest.raises(KeyboardInterrupt):
            training(hparams, _AtEpoch(epoch, _interrupt), name="broken", **eager).fit()
    resumed = training(hparams, _AtEpoch(-1, _interrupt), name="broken").fit()
    assert same_weights(resumed.weights, unbroken.weights)
    assert resumed.metrics == unbroken.metrics


def _interrupt():
    raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.parametrize("file", ["best_val_model.pt", "checkpoint.pt"])
def test_a_write_that_fails_ends_the_training_with_its_error(
    project, training, same_weights, eager, monkeypatch, file
):
    hparams = project(max_epochs=200)
    epochs = []

    def full(state, path):
        if path.name == file:
            fail()
        save(state, path)

    save = checkpoint.save_durably
    count = _AtEpoch(-1, None)
    count.on_epoch_start = lambda trainer, **kwargs: epochs.append(trainer.curr_epoch)
    with monkeypatch.context() as patch:
        for module in (checkpoint, trainer):
            patch.setattr(module, "save_durably", full)
        with pytest.raises(OSError, match="No space left"):
            training(hparams, count, **eager).fit()
    assert max(epochs) < 200  # at once, not at the end
    short = project(max_epochs=max(epochs) + 1)
    resumed = training(short, count).fit()
    unbroken = training(short, count, name="unbroken").fit()
    assert same_weights(resumed.weights, unbroken.weights)
    assert resumed.metrics == unbroken.metrics
