"""A training that is cut short, at whatever moment, ends where it would have ended."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from daart_fast.errors import DataError
from daart_fast.train import interruption
from daart_fast.train.callbacks import BaseCallback

SEMI = {
    "semi_supervised_algo": "ups",
    "lambda_weak": 0.5,
    "lambda_pred": 0.5,
    "variational": True,
    "prob_threshold": 0.4,
    "anneal_start": 1,
    "anneal_end": 3,
    "enable_early_stop": True,
    "early_stop_history": 2,
    "val_check_interval": 0.5,
}


class Interrupted(BaseException):
    """What Ctrl-C is to Python."""


def interrupt(training, after):
    """Make the generator fail at its so-many-th batch, of whatever split."""
    next_batch = training.generator.next_batch
    left = [after]

    def failing(dtype):
        left[0] -= 1
        if left[0] == 0:
            raise Interrupted
        return next_batch(dtype)

    training.generator.next_batch = failing
    return training


# Of 8 training batches, 1 validation and 1 test batch, the moments lie in epoch 0, at its end,
# within an epoch, in its first and second validation, in the last epoch and in the test split.
MOMENTS = [1, 4, 8, 9, 11, 13, 14, 17, 18, 20, 26, 33]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "after"),
    [({}, after) for after in (*MOMENTS, 36)] + [(SEMI, after) for after in (*MOMENTS, 38, 39)],
)
def test_failure_14_an_interrupted_training_ends_bit_for_bit_where_the_unbroken_one_does(
    project, training, same_weights, settings, after
):
    hparams = project((slice(None), None), **settings)
    unbroken = training(hparams, name="unbroken").fit()
    with pytest.raises(Interrupted):
        interrupt(training(hparams, name="broken", checkpoint_interval=0), after).fit()
    resumed = training(hparams, name="broken").fit()
    assert same_weights(resumed.weights, unbroken.weights)
    assert resumed.metrics == unbroken.metrics
    assert resumed.hparams["best_val_epoch"] == unbroken.hparams["best_val_epoch"]


@pytest.mark.slow
def test_a_training_may_be_interrupted_again_and_again(project, training, same_weights):
    hparams = project()
    unbroken = training(hparams, name="unbroken").fit()
    for after in (5, 8, 3, 9):
        with pytest.raises(Interrupted):
            interrupt(training(hparams, name="broken", checkpoint_interval=0), after).fit()
    resumed = training(hparams, name="broken").fit()
    assert same_weights(resumed.weights, unbroken.weights)
    assert resumed.metrics == unbroken.metrics


KILLED = """
import json, sys
sys.path.insert(0, sys.argv[3])
from pathlib import Path
from conftest import Training
Training(json.loads(sys.argv[1]), Path(sys.argv[2]), checkpoint_interval=0).fit()
"""


@pytest.mark.slow
def test_failure_14_a_killed_process_leaves_a_folder_that_resumes(
    project, training, same_weights, tmp_path
):
    hparams = project(max_epochs=300)
    folder = tmp_path / "killed"
    arguments = [json.dumps(hparams), str(folder), str(Path(__file__).parent)]
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, *arguments],
        cwd=tmp_path,  # in the checkout, its own folder would come before the built package
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 60
    while not (folder / "checkpoint.pt").exists() and time.monotonic() < deadline:
        assert process.poll() is None, process.stderr.read().decode()
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)  # it writes after every batch, so perhaps within a write
    process.wait()
    process.stderr.close()
    # the many epochs were only there to give time to kill it
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    short = {**hparams, "max_epochs": state["progress"]["curr_epoch"] + 1}
    resumed = training(short, name="killed").fit()
    unbroken = training(short, name="unbroken").fit()
    assert same_weights(resumed.weights, unbroken.weights)
    assert resumed.metrics == unbroken.metrics
    assert not list(folder.glob(".checkpoint*"))


class _Count(BaseCallback):
    """Counts the epochs that start, and those that end."""

    def __init__(self):
        self.epochs, self.ended = [], []

    def on_epoch_start(self, *, trainer, **kwargs):
        self.epochs.append(trainer.curr_epoch)

    def on_epoch_end(self, *, trainer, **kwargs):
        self.ended.append(trainer.curr_epoch)


def test_with_nothing_to_resume_from_training_starts_afresh(project, training):
    count = _Count()
    training(project(max_epochs=1), count).fit()
    assert count.epochs == [0, 1]


@pytest.mark.slow
def test_without_resume_training_starts_over(project, training):
    hparams = project(max_epochs=2)
    with pytest.raises(Interrupted):
        interrupt(training(hparams, _Count(), checkpoint_interval=0), 20).fit()
    count = _Count()
    fitted = training(hparams, count, resume=False).fit()
    assert count.epochs == [0, 1, 2]
    assert fitted.metrics.count("epoch,batch") == 1
    assert fitted.metrics.splitlines()[1].startswith("0,")


def test_a_finished_training_is_not_repeated(project, training, same_weights):
    hparams = project(max_epochs=2)
    first = training(hparams, _Count()).fit()
    count = _Count()
    again = training(hparams, count).fit()
    assert count.epochs == []
    assert same_weights(first.weights, again.weights)
    assert again.hparams["training_completed"] is True
    assert again.hparams["best_val_epoch"] == first.hparams["best_val_epoch"]
    assert again.metrics == first.metrics


def test_the_checkpoint_of_a_finished_training_is_small(project, training):
    fitted = training(project(max_epochs=1)).fit()
    assert (fitted.folder / "checkpoint.pt").stat().st_size < 4000


def test_a_damaged_checkpoint_is_told_of_and_training_starts_afresh(project, training, caplog):
    hparams = project(max_epochs=1)
    with pytest.raises(Interrupted):
        interrupt(training(hparams, _Count(), checkpoint_interval=0), 11).fit()
    file = training(hparams).folder / "checkpoint.pt"
    file.write_bytes(file.read_bytes()[:1000])
    count = _Count()
    training(hparams, count).fit()
    assert count.epochs == [0, 1]
    assert "checkpoint.pt: cannot be read, so training starts over" in caplog.text


@pytest.mark.parametrize("change", [{"n_hid_units": 4}, {"batch_size": 3}, {"learning_rate": 0.5}])
def test_a_checkpoint_of_other_settings_is_told_of_and_not_used(project, training, caplog, change):
    hparams = project(max_epochs=1)
    with pytest.raises(Interrupted):
        interrupt(training(hparams, _Count(), checkpoint_interval=0), 11).fit()
    count = _Count()
    training({**hparams, **change}, count).fit()
    assert count.epochs == [0, 1]
    assert "belongs to a training with another" in caplog.text
    assert next(iter(change)) in caplog.text


@pytest.mark.parametrize("change", [{"max_epochs": 2}, {"lambda_strong": 0.5}])
def test_a_training_of_other_settings_in_the_same_folder_is_not_taken_for_finished(
    project, training, change
):
    hparams = project(max_epochs=1)
    training(hparams).fit()
    count = _Count()
    training({**hparams, **change}, count).fit()
    assert count.epochs[:2] == [0, 1]


@pytest.mark.slow
def test_a_training_that_goes_on_may_be_made_longer(project, training, same_weights):
    with pytest.raises(Interrupted):
        interrupt(training(project(max_epochs=2), checkpoint_interval=0), 20).fit()
    longer = project(max_epochs=4)
    resumed = training(longer).fit()
    assert same_weights(resumed.weights, training(longer, name="unbroken").fit().weights)


class _Halt(BaseCallback):
    """Ends the training at the first validation of an epoch; may have it interrupted at once."""

    def __init__(self, epoch, interrupted=False):
        self.epoch, self.interrupted = epoch, interrupted

    def on_val_check(self, *, trainer, **kwargs):
        if trainer.curr_epoch == self.epoch:
            trainer.should_halt = True
            if self.interrupted:
                interruption.ask()


@pytest.mark.parametrize("interval", [0.5, 1.0])
def test_failure_14_a_training_interrupted_as_it_was_about_to_end_logs_its_last_epoch(
    project, training, same_weights, monkeypatch, interval
):
    hparams = project(val_check_interval=interval)
    unbroken = training(hparams, _Halt(2), _Count(), name="unbroken").fit()
    with monkeypatch.context() as patch:
        patch.setattr(interruption, "_asked", False)
        with pytest.raises(interruption.Interrupted):
            training(hparams, _Halt(2, interrupted=True), _Count(), name="broken").fit()
    count = _Count()
    resumed = training(hparams, _Halt(2), count, name="broken").fit()
    assert resumed.metrics == unbroken.metrics
    assert same_weights(resumed.weights, unbroken.weights)
    assert (count.epochs, count.ended) == ([], [2])


@pytest.mark.slow
@pytest.mark.parametrize("first", ["within its search", "alone"])
def test_a_searchs_trial_goes_on_alone_and_within_its_search(
    project, training, same_weights, tmp_path, caplog, first
):
    hparams = project((slice(None), None), **SEMI, search_pruning="median")
    (tmp_path / "notes").mkdir()
    search = {"search_notes": str(tmp_path / "notes"), "search_trial": 0}
    unbroken = training(hparams, name="unbroken").fit()
    then, now = (search, {}) if first == "within its search" else ({}, search)
    with pytest.raises(Interrupted):
        interrupt(training({**hparams, **then}, name="broken", checkpoint_interval=0), 26).fit()
    with caplog.at_level("INFO"):
        resumed = training({**hparams, **now}, name="broken").fit()
    assert "going on in epoch" in caplog.text
    assert same_weights(resumed.weights, unbroken.weights)
    assert resumed.metrics == unbroken.metrics


# ------------------------------------------------------------------------------ other data


def edit(file, change):
    """Rewrite a csv row by row: the header is row 0, cells are text."""
    rows = [line.split(",") for line in file.read_text().splitlines()]
    file.write_text("\n".join(",".join(row) for row in change(rows)) + "\n")


def swap_two_classes(rows):
    return [rows[0], *([i, a, c, b, d] for i, a, b, c, d in rows[1:])]


def name_them_in_another_order(rows):
    return [[i, a, c, b, d] for i, a, b, c, d in rows]


def leave_ten_frames_out(rows):
    return rows[:-10]


def change_one_frame(rows):
    return [*rows[:151], [rows[151][0], "3", "3", "3", "3"], *rows[152:]]


@pytest.fixture
def broken(project, training):
    """A training that was cut short: its hparams."""
    hparams = project()
    with pytest.raises(Interrupted):
        interrupt(training(hparams, checkpoint_interval=0), 20).fit()
    return hparams


def refusal(training, hparams):
    with pytest.raises(DataError) as caught:
        training(hparams).fit()
    return str(caught.value)


@pytest.mark.slow
def test_a_resumed_training_refuses_other_labels(broken, training, tmp_path):
    edit(tmp_path / "data/labels-hand/s1.csv", swap_two_classes)
    message = refusal(training, broken)
    assert message.startswith(f"{tmp_path / 'model' / 'checkpoint.pt'}: expected the data")
    assert "session s1 has other hand labels." in message and "s0" not in message
    assert f"or delete the folder {tmp_path / 'model'} to start from the beginning" in message


@pytest.mark.slow
def test_a_resumed_training_refuses_classes_in_another_order(broken, training, tmp_path):
    for session in ("s0", "s1"):
        edit(tmp_path / f"data/labels-hand/{session}.csv", name_them_in_another_order)
    message = refusal(training, broken)
    assert "the class names were background, rest, walk, groom and are background, walk" in message


@pytest.mark.slow
@pytest.mark.parametrize("normalization", ["session", "train"])
def test_a_resumed_training_refuses_other_markers(project, training, tmp_path, normalization):
    hparams = project(normalization=normalization)
    with pytest.raises(Interrupted):
        interrupt(training(hparams, checkpoint_interval=0), 20).fit()
    edit(tmp_path / "data/features/s0.csv", change_one_frame)
    message = refusal(training, hparams)
    assert "session s0 has other markers." in message and "s1" not in message


@pytest.mark.slow
def test_a_resumed_training_refuses_channels_of_other_names(broken, training, tmp_path):
    for session in ("s0", "s1"):
        file = tmp_path / f"data/features/{session}.csv"
        file.write_text(file.read_text().replace("f3", "g3"))
    message = refusal(training, broken)
    assert "the channel names were f0, f1, f2, f3 and are f0, f1, f2, g3." in message


@pytest.mark.slow
def test_a_resumed_training_refuses_another_number_of_frames(broken, training, tmp_path):
    for kind in ("features", "labels-hand"):
        edit(tmp_path / f"data/{kind}/s1.csv", leave_ten_frames_out)
    assert "session s1 had 300 frames and has 290." in refusal(training, broken)


@pytest.mark.slow
def test_a_resumed_training_refuses_a_class_more(broken, training, tmp_path):
    for session in ("s0", "s1"):
        edit(
            tmp_path / f"data/labels-hand/{session}.csv",
            lambda rows: [[*rows[0], "jump"], *([*row, "0"] for row in rows[1:])],
        )
    assert "groom and are background, rest, walk, groom, jump" in refusal(training, broken)


def test_a_training_that_had_ended_refuses_other_labels_too(project, training, tmp_path):
    hparams = project()
    training(hparams).fit()
    edit(tmp_path / "data/labels-hand/s1.csv", swap_two_classes)
    assert "session s1 has other hand labels." in refusal(training, hparams)


@pytest.mark.slow
def test_once_the_labels_are_back_the_training_goes_on(broken, training, same_weights, tmp_path):
    file = tmp_path / "data/labels-hand/s1.csv"
    text = file.read_text()
    edit(file, swap_two_classes)
    refusal(training, broken)
    file.write_text(text)
    resumed = training(broken).fit()
    assert same_weights(resumed.weights, training(broken, name="unbroken").fit().weights)


@pytest.mark.slow
def test_a_project_that_was_copied_goes_on(broken, training, same_weights, tmp_path, caplog):
    unbroken = training(broken, name="unbroken").fit()
    shutil.copytree(tmp_path / "data", tmp_path / "copy")
    with caplog.at_level("INFO"):
        resumed = training({**broken, "data_dir": str(tmp_path / "copy")}).fit()
    assert "going on in epoch 2" in caplog.text
    assert same_weights(resumed.weights, unbroken.weights)


@pytest.mark.slow
def test_a_training_of_other_settings_begins_anew_on_other_data(broken, training, tmp_path):
    edit(tmp_path / "data/labels-hand/s1.csv", swap_two_classes)
    count = _Count()
    training({**broken, "learning_rate": 0.5}, count).fit()
    assert count.epochs[0] == 0


def test_checkpoints_are_written_no_more_often_than_asked_for(project, training):
    hparams = project(max_epochs=1)
    with pytest.raises(Interrupted):
        interrupt(training(hparams, checkpoint_interval=3600), 15).fit()
    assert not (training(hparams).folder / "checkpoint.pt").exists()


@pytest.mark.slow
def test_a_checkpoint_of_which_one_byte_has_changed_is_not_gone_on_from(
    project, training, same_weights, caplog
):
    hparams = project()
    unbroken = training(hparams, name="unbroken").fit()
    with pytest.raises(Interrupted):
        interrupt(training(hparams, name="broken", checkpoint_interval=0), 20).fit()
    file = training(hparams, name="broken").folder / "checkpoint.pt"
    state = torch.load(file, weights_only=True)
    weights = next(iter(state["model"].values())).numpy().tobytes()
    data = bytearray(file.read_bytes())
    data[data.index(weights)] ^= 1  # torch.load would take it
    file.write_bytes(data)
    torch.load(file, weights_only=True)
    resumed = training(hparams, name="broken").fit()
    assert "cannot be read, so training starts over: the checksum" in caplog.text
    assert same_weights(resumed.weights, unbroken.weights)


def _drop(key):
    return lambda state: state.pop(key)


CHANGES = {
    "no progress": _drop("progress"),
    "no optimiser": _drop("optimizer"),
    "epoch": lambda state: state["progress"].update(curr_epoch=-(10**9)),
    "batch": lambda state: state["progress"].update(epoch_batch=10**9),
    "weights": lambda state: state["model"].popitem(),
    "best weights": lambda state: state["best_weights"].popitem(),
    "random state": lambda state: state["rng"].update(python=(3, (-1,) * 625, None)),
    "averages": lambda state: state["optimizer"]["state"][0].update(exp_avg=torch.zeros(1)),
    "fingerprint": lambda state: state.update(fingerprint=3),
    "data": lambda state: state.update(data={"class names": 3}),
    "sums": lambda state: state.update(sums=torch.zeros(99)),
}


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_checkpoint_that_somebody_changed_is_refused_by_its_name(project, training, change):
    hparams = project()
    with pytest.raises(Interrupted):
        interrupt(training(hparams, checkpoint_interval=0), 20).fit()
    file = training(hparams).folder / "checkpoint.pt"
    state = torch.load(file, weights_only=True)
    change(state)
    torch.save(state, file)
    with pytest.raises(DataError) as caught:
        training(hparams).fit()
    assert str(caught.value).startswith(f"{file}: no training can go on from it")
    training(hparams, resume=False).fit()
