"""What a job on Slurm runs, and the files through which a trial's job reports.

They lie beside the trial's log, on the file system that all nodes share.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from daart_fast.files import replacing
from daart_fast.search.trials import Job, Outcome, attempt, output_to

__all__ = [
    "CommandRun",
    "TrialRun",
    "outcome_file",
    "progress_file",
    "read_outcome",
    "read_progress",
    "write_outcome",
    "write_progress",
]


class TrialRun:
    """What a job runs; submitit sends it there and calls it with its `Job`."""

    def __init__(self, function: Callable[..., Any], arguments: Sequence[Any]) -> None:
        self.function, self.arguments = function, arguments

    def __call__(self, job: Job) -> None:
        """Run the trial, and write what became of it beside its log."""
        import os

        import torch

        from daart_fast.train import interruption, progress

        torch.set_num_threads(int(os.environ.get("SLURM_CPUS_PER_TASK") or 1))
        signal.signal(signal.SIGTERM, lambda *_: interruption.ask())  # a preemption, a requeue
        outcome_file(job).unlink(missing_ok=True)  # it may be run a second time
        write_progress(job, {})
        with output_to(job.log), progress.handed_to(partial(write_progress, job)):
            outcome = attempt(self.function, job, self.arguments, "")
        if outcome.status == "interrupted":
            raise SystemExit(f"trial {job.number} was interrupted; its checkpoint is written")
        write_outcome(job, outcome)

    def checkpoint(self, job: Job) -> Any:
        """Tell submitit what to run when a job that runs out of time is put back: the same."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, job)


class CommandRun:
    """Runs a command of ``daart-fast`` as a job; one that is put back runs it again."""

    def __call__(self, words: Sequence[Any]) -> None:
        """Run the command of these words; a `CalledProcessError` where it fails."""
        command = [sys.executable, "-m", "daart_fast.cli", *map(str, words)]
        subprocess.run(command, check=True)

    def checkpoint(self, words: Sequence[Any]) -> Any:
        """Tell submitit what to run when a job that runs out of time is put back: the same."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, words)


def outcome_file(job: Job) -> Path:
    """Return where what became of a trial is written."""
    assert job.log is not None
    return job.log.with_suffix(".outcome.json")


def write_outcome(job: Job, outcome: Outcome) -> None:
    """Write what became of a trial, as text: submitit's own file is a pickle, which is not read."""
    try:
        text = json.dumps(vars(outcome), default=str)
    except (TypeError, ValueError):  # keys that are no names, or something that holds itself
        text = json.dumps(vars(outcome) | {"result": repr(outcome.result)})
    with replacing(outcome_file(job)) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_outcome(job: Job) -> Outcome | None:
    """Read what became of a trial; None where that has not arrived."""
    try:
        return Outcome(**json.loads(outcome_file(job).read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError):
        return None


def progress_file(job: Job) -> Path:
    """Return where a running trial writes how far it is."""
    assert job.log is not None
    return job.log.with_suffix(".progress.json")


def write_progress(job: Job, values: dict[str, float]) -> None:
    """Write how far a trial is: numbers by name."""
    with replacing(progress_file(job)) as temporary:
        temporary.write_text(json.dumps(values))


def read_progress(job: Job) -> dict[str, float] | None:
    """Return a running job's last report, {} before the first, None where it has not started."""
    try:
        return dict(json.loads(progress_file(job).read_text()))
    except (OSError, ValueError):
        return None
