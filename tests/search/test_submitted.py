"""A trial whose job is in Slurm's queue is not submitted again. (tests/slurm has a real queue.)"""

from __future__ import annotations

import threading
from argparse import Namespace
from types import SimpleNamespace

import pytest

from daart_fast.config import with_defaults
from daart_fast.search import slurm
from daart_fast.search.trials import Job

pytest.importorskip("submitit", reason="submitit is not installed (the extra 'slurm')")


class Queue:
    """Stands for sbatch and squeue: an array a call, whose jobs stay until they are taken out."""

    def __init__(self):
        self.jobs, self.arrays = set(), 0

    def map_array(self, function, jobs):
        self.arrays += 1
        ids = [f"{self.arrays}_{i}" for i in range(len(jobs))]
        self.jobs |= set(ids)
        return [SimpleNamespace(job_id=name, paths=None) for name in ids]


@pytest.fixture
def submit(monkeypatch, tmp_path):
    """A function that searches over learning rates; it returns each trial's job."""
    queue = Queue()
    monkeypatch.setattr(slurm, "executor_of", lambda settings, folder: queue)
    monkeypatch.setattr(slurm, "in_queue", lambda ids: queue.jobs & set(ids))

    def call(*rates, **settings):
        folder = tmp_path / f"search_{len(list(tmp_path.glob('search_*')))}"
        folder.mkdir()
        jobs = []
        for i, rate in enumerate(rates, start=1):
            trial = Namespace(**with_defaults({"learning_rate": rate, **settings}))
            jobs.append(Job(i, trial, log=folder / f"trial_{i}.log"))
        events = slurm.on_slurm(print, jobs, {}, folder, wait=False)
        places = {event.number: event.outcome.place for event in events}
        return [places[job.number] for job in jobs], [job.log.parent.name for job in jobs]

    call.queue = queue
    return call


def test_what_waits_is_left_alone_and_its_own_log_is_looked_at(submit):
    assert submit(0.1, 0.2) == (["job 1_0", "job 1_1"], ["search_0", "search_0"])
    assert submit(0.1, 0.2) == (["job 1_0", "job 1_1"], ["search_0", "search_0"])
    assert submit.queue.arrays == 1


@pytest.mark.slow
def test_a_call_amid_another_waits_until_that_has_submitted(submit, monkeypatch):
    found = []
    other = threading.Thread(target=lambda: found.append(submit(0.1)))
    map_array = submit.queue.map_array

    def map_slowly(function, jobs):
        other.start()
        other.join(0.5)
        assert other.is_alive()
        return map_array(function, jobs)

    monkeypatch.setattr(submit.queue, "map_array", map_slowly)
    submitted = submit(0.1)
    other.join()
    assert found == [submitted] and submit.queue.arrays == 1


def test_trials_are_told_by_their_parameters_whatever_their_number(submit, capsys):
    submit(0.1, 0.2)
    places, _ = submit(0.3, 0.2, plot_train_curves=False)  # which doesn't change the model
    assert places == ["job 2_0", "job 1_1"]
    assert "not submitted again: trial 2\n" in capsys.readouterr().err
    assert submit(0.1, max_epochs=7)[0] == ["job 3_0"]


def test_what_has_left_the_queue_unfinished_is_submitted_again(submit):
    submit(0.1, 0.2)
    submit.queue.jobs.remove("1_0")
    assert submit(0.1, 0.2) == (["job 2_0", "job 1_1"], ["search_1", "search_0"])
    assert submit(0.1, 0.2) == (["job 2_0", "job 1_1"], ["search_1", "search_0"])


def test_trials_of_other_data_are_other_trials(submit):
    assert submit(0.1, data_dir="/data/first")[0] == ["job 1_0"]
    assert submit(0.1, data_dir="/data/second")[0] == ["job 2_0"]
    assert submit(0.1, data_dir="/data/first")[0] == ["job 1_0"]
