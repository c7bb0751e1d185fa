"""What a trial's job on Slurm leaves for those who wait for it. (On a real one: tests/slurm.)"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from daart_fast.search import slurm
from daart_fast.search.trials import Ended, Job, Outcome


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(3, SimpleNamespace(), log=tmp_path / "jobs" / "trial_3.log")


@pytest.fixture(autouse=True)
def the_process_as_it_was() -> Iterator[None]:
    before, n_threads = signal.getsignal(signal.SIGTERM), torch.get_num_threads()
    yield
    signal.signal(signal.SIGTERM, before)
    torch.set_num_threads(n_threads)


def test_an_outcome_comes_back_as_it_was(job: Job) -> None:
    outcome = Outcome("finished", {"f1": [0.5, None]}, folder="version_2", began=1.5, ended=2.25)
    slurm._write_outcome(job, outcome)
    assert slurm._read_outcome(job) == outcome


@pytest.mark.parametrize("result", [Path("a/b"), {("a", 1): 2}, {1, 2}])
def test_a_result_that_is_not_plain_comes_back_as_its_text(job: Job, result: Any) -> None:
    slurm._write_outcome(job, Outcome("finished", result))
    read = slurm._read_outcome(job)
    assert read is not None and read.status == "finished"
    assert read.result == (repr(result) if isinstance(result, dict) else str(result))


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"status": "finished", "code": 1}', "null"])
def test_what_is_no_outcome_has_not_arrived(job: Job, text: str) -> None:
    slurm._write_outcome(job, Outcome("finished"))
    slurm._outcome_file(job).write_text(text)
    assert slurm._read_outcome(job) is None


def test_a_job_writes_the_outcome_of_what_it_ran(job: Job) -> None:
    def fails(trial: Any) -> None:
        raise ValueError("no such session")

    slurm._Trial(fails, ())(job)
    read = slurm._read_outcome(job)
    assert read is not None
    assert (read.status, read.error) == ("failed", "ValueError: no such session")


def test_the_outcome_of_a_run_before_is_not_taken_for_that_of_this_one(job: Job) -> None:
    def interrupted(trial: Any) -> None:
        assert slurm._read_outcome(job) is None
        raise KeyboardInterrupt

    slurm._write_outcome(job, Outcome("finished"))
    with pytest.raises(SystemExit, match="trial 3 was interrupted"):
        slurm._Trial(interrupted, ())(job)
    assert slurm._read_outcome(job) is None
    assert json.loads(slurm._progress_file(job).read_text()) == {}


def test_a_job_that_left_the_queue_without_an_outcome_is_told_with_its_last_word(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm, "PATIENCE", 0.0)
    stderr = tmp_path / "7_2.err"
    stderr.write_text("a warning\nslurmstepd: error: Detected 1 oom_kill event\n")
    handle = SimpleNamespace(job_id="7_2", paths=SimpleNamespace(stderr=stderr))
    submitted = slurm._Submitted(job, handle)
    assert list(submitted.news(in_queue=True)) == list(submitted.news(in_queue=False)) == []
    (ended,) = submitted.news(in_queue=False)
    assert isinstance(ended, Ended) and ended.outcome.status == "failed"
    assert "without a result: slurmstepd: error: Detected 1 oom_kill event" in ended.outcome.error
    assert str(stderr) in ended.outcome.error
