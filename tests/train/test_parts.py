"""The log, the checkpoint file and the progress, each on its own."""

import io
import math
import random
import sys
import threading

import numpy as np
import pytest
import torch

from daart_fast.train import Logger, interruption
from daart_fast.train.checkpoint import (
    Checkpoint,
    get_rng_states,
    save_durably,
    seed_everything,
    set_rng_states,
)
from daart_fast.train.progress import Progress, handed_to

# ------------------------------------------------------------------------------ the log


def test_rows_are_on_file_as_soon_as_they_are_written(tmp_path):
    logger = Logger(tmp_path / "new" / "metrics.csv", ["epoch", "loss"])
    logger.write({"epoch": 1, "loss": 0.1})
    assert (tmp_path / "new" / "metrics.csv").read_text() == "epoch,loss\n1,0.1\n"


def test_numbers_are_read_back_as_they_were(tmp_path):
    numbers = np.random.default_rng(0).standard_normal(100) * 10.0 ** np.arange(-50, 50)
    logger = Logger(tmp_path / "metrics.csv", ["loss"])
    for number in numbers.tolist():
        logger.write({"loss": number})
    read = np.loadtxt(tmp_path / "metrics.csv", skiprows=1)
    np.testing.assert_array_equal(read, numbers)


def test_what_is_missing_stays_empty(tmp_path):
    logger = Logger(tmp_path / "metrics.csv", ["a", "b", "c", "d"])
    logger.write({"a": math.nan, "b": None, "d": 1})
    assert (tmp_path / "metrics.csv").read_text().splitlines()[1] == ",,,1"


def test_a_cell_without_a_column_is_an_error(tmp_path):
    with pytest.raises(KeyError, match="no column loss_foo"):
        Logger(tmp_path / "metrics.csv", ["loss"]).write({"loss_foo": 1.0})


def test_rows_after_the_checkpoint_are_cut_off(tmp_path):
    file = tmp_path / "metrics.csv"
    logger = Logger(file, ["epoch"])
    logger.write({"epoch": 1})
    size = logger.size
    logger.write({"epoch": 2})
    Logger(file, ["epoch"], keep=size).write({"epoch": 3})
    assert file.read_text() == "epoch\n1\n3\n"


def test_a_log_that_lost_rows_goes_on_and_says_so(tmp_path, caplog):
    Logger(tmp_path / "metrics.csv", ["epoch"], keep=100).write({"epoch": 3})
    assert (tmp_path / "metrics.csv").read_text() == "epoch\n3\n"
    assert "rows are missing" in caplog.text


def test_a_log_without_a_file_takes_rows_and_writes_nothing():
    logger = Logger(None, ["epoch"])
    logger.write({"epoch": 1})
    logger.sync()
    assert logger.size == 0


# ------------------------------------------------------------------------------ the checkpoint


def test_a_state_is_read_back_as_it_was(tmp_path):
    checkpoint = Checkpoint(tmp_path / "checkpoint.pt")
    state = {"weights": {"w": torch.arange(3.0)}, "epoch": 3, "loss": math.inf, "x": [None, (1, 2)]}
    checkpoint.write(state)
    read = checkpoint.read()
    assert torch.equal(read["weights"]["w"], state["weights"]["w"])
    assert {**read, "weights": 0} == {**state, "weights": 0}


def test_a_write_that_fails_leaves_the_state_before_it(tmp_path):
    checkpoint = Checkpoint(tmp_path / "checkpoint.pt")
    checkpoint.write({"epoch": 1})
    with pytest.raises(Exception, match="lambda"):
        save_durably({"epoch": lambda: 2}, tmp_path / "checkpoint.pt")
    assert checkpoint.read() == {"epoch": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_what_a_killed_process_left_half_written_is_removed(tmp_path):
    checkpoint = Checkpoint(tmp_path / "checkpoint.pt")
    checkpoint.write({"epoch": 1})
    (tmp_path / ".checkpoint.0123456789ab.pt").write_bytes(b"half")
    assert checkpoint.read() == {"epoch": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_code_in_a_checkpoint_is_not_run(tmp_path, caplog):
    torch.save({"epoch": torch.nn.Linear(1, 1)}, tmp_path / "checkpoint.pt")
    assert Checkpoint(tmp_path / "checkpoint.pt").read() is None
    assert "cannot be read" in caplog.text


def test_a_checkpoint_is_due_after_its_interval(tmp_path):
    assert Checkpoint(tmp_path / "checkpoint.pt", interval=0).due
    assert not Checkpoint(tmp_path / "checkpoint.pt", interval=60).due
    assert not Checkpoint(None, interval=0).due


def test_random_numbers_go_on_where_they_were(tmp_path):
    def draw():
        return torch.rand(3).tolist(), np.random.standard_normal(3).tolist(), random.random()

    seed_everything(3)
    draw()
    Checkpoint(tmp_path / "checkpoint.pt").write(get_rng_states())
    expected = draw()
    seed_everything(4)
    set_rng_states(Checkpoint(tmp_path / "checkpoint.pt").read())
    assert draw() == expected


# ------------------------------------------------------------------------------ the progress


class _Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_shows_a_bar_with_the_epoch_the_losses_and_the_time_left():
    terminal = _Terminal()
    progress = Progress(n_epochs=4, n_batches=10, stream=terminal)
    for _ in range(20):
        progress.step()
    progress.report(loss=0.12345, val_loss=2.5)
    progress.close()
    assert "\r" in terminal.getvalue()
    last = terminal.getvalue().split("\r")[-1]
    assert "epoch 1/4" in last and "loss=0.1235" in last and "val_loss=2.5" in last
    assert "20/50" in last and "<" in last


def test_elsewhere_there_are_plain_lines_and_no_flood():
    stream = io.StringIO()
    progress = Progress(n_epochs=999, n_batches=1, stream=stream)
    for _ in range(1000):
        progress.step()
        progress.report(loss=0.5)
    progress.close()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[-1].startswith("epoch 999/999  loss 0.5  [") and lines[-1].endswith("left]")
    assert "\r" not in stream.getvalue()


def test_lines_keep_coming_as_time_goes_by():
    stream = io.StringIO()
    progress = Progress(n_epochs=4, n_batches=1, stream=stream, every=0.0)
    progress.report(loss=0.5)
    for _ in range(5):
        progress.step()
    assert len(stream.getvalue().splitlines()) == 5


def test_a_listener_gets_the_progress_for_as_long_as_it_asked():
    stream, heard = io.StringIO(), []
    with handed_to(heard.append):
        progress = Progress(n_epochs=1, n_batches=2, stream=stream)
        progress.report(loss=0.5)
        progress.step()
    assert heard == [{"epoch": 0, "n_epochs": 1, "done": 0.25, "loss": 0.5}]
    assert stream.getvalue() == ""
    progress.close()
    assert stream.getvalue().startswith("epoch 0/1  loss 0.5")


def test_a_resumed_training_counts_from_where_it_goes_on():
    stream = io.StringIO()
    progress = Progress(n_epochs=9, n_batches=10, done=55, stream=stream)
    progress.report(loss=0.5)
    progress.step()
    assert stream.getvalue().startswith("epoch 5/9")


# ------------------------------------------------------------------------------ being asked to stop


def test_asking_to_stop_may_come_amid_asking_to_stop(monkeypatch):
    """As two signals at once do: the second's handler runs within the first's, in one thread."""
    monkeypatch.setattr(interruption, "_asked", False)

    def again(frame, event, argument):
        sys.settrace(None)
        interruption.ask()  # within every line that it runs
        sys.settrace(again)
        return again

    def ask():
        sys.settrace(again)
        interruption.ask()
        sys.settrace(None)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive() and interruption.asked()
