"""What a trial's job on Slurm leaves for those who wait for it. (On a real one: tests/slurm.)"""

from __future__ import annotations

import _thread
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from daart_fast.search import slurm, slurm_job
from daart_fast.search.submitted import submissions_of
from daart_fast.search.trials import Ended, Job, Outcome


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(3, SimpleNamespace(), log=tmp_path / "jobs" / "trial_3.log")


@pytest.fixture(autouse=True)
def the_process_as_it_was() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    n_threads = torch.get_num_threads()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it is ignored
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    torch.set_num_threads(n_threads)


def test_an_outcome_comes_back_as_it_was(job: Job) -> None:
    outcome = Outcome("finished", {"f1": [0.5, None]}, folder="version_2", began=1.5, ended=2.25)
    slurm_job.write_outcome(job, outcome)
    assert slurm_job.read_outcome(job) == outcome


@pytest.mark.parametrize("result", [Path("a/b"), {("a", 1): 2}, {1, 2}])
def test_a_result_that_is_not_plain_comes_back_as_its_text(job: Job, result: Any) -> None:
    slurm_job.write_outcome(job, Outcome("finished", result))
    read = slurm_job.read_outcome(job)
    assert read is not None and read.status == "finished"
    assert read.result == (repr(result) if isinstance(result, dict) else str(result))


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"status": "finished", "code": 1}', "null"])
def test_what_is_no_outcome_has_not_arrived(job: Job, text: str) -> None:
    slurm_job.write_outcome(job, Outcome("finished"))
    slurm_job.outcome_file(job).write_text(text)
    assert slurm_job.read_outcome(job) is None


def test_a_job_writes_the_outcome_of_what_it_ran(job: Job) -> None:
    def fails(trial: Any) -> None:
        raise ValueError("no such session")

    slurm_job.TrialRun(fails, ())(job)
    read = slurm_job.read_outcome(job)
    assert read is not None
    assert (read.status, read.error) == ("failed", "ValueError: no such session")


def test_the_outcome_of_a_run_before_is_not_taken_for_that_of_this_one(job: Job) -> None:
    def interrupted(trial: Any) -> None:
        assert slurm_job.read_outcome(job) is None
        raise KeyboardInterrupt

    slurm_job.write_outcome(job, Outcome("finished"))
    with pytest.raises(SystemExit, match="trial 3 was interrupted"):
        slurm_job.TrialRun(interrupted, ())(job)
    assert slurm_job.read_outcome(job) is None
    assert json.loads(slurm_job.progress_file(job).read_text()) == {}


def test_a_job_that_left_the_queue_without_an_outcome_is_told_with_its_last_word(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm, "PATIENCE", 0.0)
    stderr = tmp_path / "7_2.err"
    stderr.write_text("a warning\nslurmstepd: error: Detected 1 oom_kill event\n")
    handle = SimpleNamespace(job_id="7_2", paths=SimpleNamespace(stderr=stderr))
    submitted = slurm.SubmittedJob(job, handle)
    assert list(submitted.poll(waits=True)) == list(submitted.poll(waits=False)) == []
    (ended,) = submitted.poll(waits=False)
    assert isinstance(ended, Ended) and ended.outcome.status == "failed"
    assert "without a result: slurmstepd: error: Detected 1 oom_kill event" in ended.outcome.error
    assert str(stderr) in ended.outcome.error


def test_jobs_are_noted_though_ctrl_c_comes_while_they_are_submitted(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Executor:
        def map_array(self, trial: Any, jobs: list[Job]) -> list[Any]:
            signal.raise_signal(signal.SIGINT)
            _thread.interrupt_main()  # as where a thread that has not blocked it gets it
            child = "import signal; print(signal.SIGINT in signal.pthread_sigmask(0, []))"
            blocked = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True)
            assert blocked.stdout == "True\n"  # sbatch does not hear it either
            return [SimpleNamespace(job_id="7_0")]

    monkeypatch.setattr(slurm, "executor_of", lambda *_: Executor())
    search = tmp_path / "search_0"
    with pytest.raises(KeyboardInterrupt):
        list(slurm.on_slurm(len, [job], {}, search, wait=False))
    assert submissions_of([job], tmp_path)[3].job_id == "7_0"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
