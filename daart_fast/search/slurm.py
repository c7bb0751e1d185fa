"""Running trials as jobs of a Slurm cluster, through submitit.

All trials are one job array. A job that is preempted, requeued or runs out of time is started
again by Slurm, finds its version folder, and goes on from the checkpoint there: whatever a trial
leaves on the shared file system is all that it needs.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from daart_fast.errors import ConfigError
from daart_fast.files import folder_lock, replacing
from daart_fast.search.ctrl_c import ctrl_c_held_back
from daart_fast.search.submitted import note_submissions, submissions_of
from daart_fast.search.trials import (
    Ended,
    Event,
    Events,
    Job,
    Outcome,
    Progressed,
    Started,
    attempt,
    output_to,
)

__all__ = ["on_slurm"]

#: Seconds between two looks at the queue, and how long a result may take over a shared file system.
LOOK, PATIENCE = 2.0, 20.0

#: How often a job that runs out of time is put back into the queue.
MAX_TIMEOUTS = 100

#: From the ``slurm:`` part of a config to submitit's names.
NAMES = {
    "partition": "partition",
    "memory": "mem",
    "gpus": "gpus_per_node",
    "cpus": "cpus_per_task",
    "constraint": "constraint",
    "account": "account",
    "qos": "qos",
    "at_once": "array_parallelism",
    "time": "time",
    "setup": "setup",
}
DEFAULTS = {"time": 240, "cpus": 1}


def on_slurm(
    function: Callable[..., Any],
    jobs: Sequence[Job],
    settings: Mapping[str, Any],
    folder: Path,
    wait: bool,
    arguments: Sequence[Any] = (),
) -> Events:
    """Submit the trials as one job array, and, if asked to wait, tell what becomes of them.

    A trial whose job is in the queue already, since another call of the same search, is not
    submitted again: that job is what is reported.

    Parameters
    ----------
    function
        Called with each trial, in its job.
    jobs
        The trials.
    settings
        The config's ``slurm:`` part.
    folder
        The search's folder, which all nodes must see. Slurm's files go into ``jobs`` inside.
    wait
        Whether to wait until all have ended. If the caller stops listening, the jobs go on.
    arguments
        What the function gets besides the trial.
    """
    executor = _executor(settings, folder / "jobs")
    with folder_lock(folder.parent):  # another call would submit the same trials
        submitted = _in_queue_already(jobs, folder.parent)
        known = [one.job.number for one in submitted]
        if new := [job for job in jobs if job.number not in known]:
            with ctrl_c_held_back():  # a job without a note would be submitted again
                handles = executor.map_array(_Trial(function, arguments), new)
                new_jobs = [
                    _Submitted(job, handle) for job, handle in zip(new, handles, strict=True)
                ]
                notes = [(one.job, one.handle.job_id, folder / "jobs") for one in new_jobs]
                note_submissions(folder, notes)
            submitted += new_jobs
    if not wait:
        for one in submitted:
            yield Ended(one.job.number, Outcome("submitted", result=one.name, place=one.name))
        return
    while submitted:
        in_queue = _in_queue([one.handle.job_id for one in submitted])
        for one in submitted:
            yield from one.news(one.handle.job_id in in_queue)
        submitted = [one for one in submitted if not one.ended]
        time.sleep(LOOK if submitted else 0)


class _Submitted:
    """A trial's job, as seen from where it was submitted: through the queue and the files."""

    def __init__(self, job: Job, handle: Any) -> None:
        self.job, self.handle = job, handle
        self.name = f"job {handle.job_id}"
        self.started = self.ended = False
        self._gone: float | None = None

    def news(self, in_queue: bool) -> Iterator[Event]:
        """Return what is new since the last look."""
        values = _read_progress(self.job)
        if values is not None and not self.started:
            self.started = True
            yield Started(self.job.number, self.name)
        if values:
            yield Progressed(self.job.number, values)
        outcome = _read_outcome(self.job) or self._lost(in_queue)
        if outcome is not None:
            self.ended, outcome.place = True, self.name
            yield Ended(self.job.number, outcome)

    def _lost(self, in_queue: bool) -> Outcome | None:
        """Give a job up that has left the queue some time ago without a result."""
        if in_queue:
            self._gone = None
        elif self._gone is None:
            self._gone = time.monotonic()
        elif time.monotonic() - self._gone > PATIENCE:
            stderr = self.handle.paths.stderr
            said = f": {last}" if (last := _last_line(stderr)) else " (cancelled?)"
            return Outcome("failed", error=f"{self.name} ended without a result{said}; {stderr}")
        return None


class _Trial:
    """What a job runs; submitit sends it there and calls it with its `Job`."""

    def __init__(self, function: Callable[..., Any], arguments: Sequence[Any]) -> None:
        self.function, self.arguments = function, arguments

    def __call__(self, job: Job) -> None:
        import os

        import torch

        from daart_fast.train import interruption, progress

        torch.set_num_threads(int(os.environ.get("SLURM_CPUS_PER_TASK") or 1))
        signal.signal(signal.SIGTERM, lambda *_: interruption.ask())  # a preemption, a requeue
        _outcome_file(job).unlink(missing_ok=True)  # it may be run a second time
        _write_progress(job, {})
        with output_to(job.log), progress.handed_to(partial(_write_progress, job)):
            outcome = attempt(self.function, job, self.arguments, "")
        if outcome.status == "interrupted":
            raise SystemExit(f"trial {job.number} was interrupted; its checkpoint is written")
        _write_outcome(job, outcome)

    def checkpoint(self, job: Job) -> Any:
        """Tell submitit what to run when a job that runs out of time is put back: the same."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, job)


def _executor(settings: Mapping[str, Any], folder: Path) -> Any:
    try:
        import submitit
    except ImportError:
        raise ConfigError(
            "executor 'slurm' needs the package submitit: pip install 'daart_fast[slurm]'"
        ) from None
    try:
        executor = submitit.SlurmExecutor(folder, max_num_timeout=MAX_TIMEOUTS)
    except RuntimeError:
        raise ConfigError(
            "executor 'slurm' needs Slurm's commands (sbatch, srun, squeue), which are not here: "
            "is this a machine of the cluster?"
        ) from None
    given = {**DEFAULTS, **settings}
    parameters = {NAMES[name]: value for name, value in given.items() if value != 0}
    if "mem" in parameters:
        parameters["mem"] = f"{round(parameters['mem'] * 1024)}M"
    # threads that outnumber the job's cores would wait for each other
    parameters["setup"] = [
        "export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}",
        *parameters.get("setup", []),
    ]
    # a warning before the time is up, in which to go back to the queue
    delay = max(5, min(90, given["time"] * 60 // 4))
    executor.update_parameters(
        job_name="daart_fast",
        signal_delay_s=delay,
        additional_parameters={"requeue": True},
        **parameters,
    )
    return executor


def _in_queue_already(jobs: Sequence[Job], searches: Path) -> list[_Submitted]:
    """Find the trials that wait or run since another call."""
    from submitit import SlurmJob

    before = submissions_of(jobs, searches)
    in_queue = _in_queue([one.job_id for one in before.values()]) if before else set()
    found = []
    for job in jobs:
        if (one := before.get(job.number)) and one.job_id in in_queue:
            job.log = Path(one.log)
            found.append(_Submitted(job, SlurmJob(one.folder, one.job_id)))
    if found:
        names = ", ".join(str(one.job.number) for one in found)
        print(f"in the queue already, and not submitted again: trial {names}", file=sys.stderr)
    return found


def _in_queue(job_ids: Sequence[str]) -> set[str]:
    """Which of these jobs wait or run; all of them where the queue cannot be asked right now."""
    ids = set(job_ids)
    arrays = sorted({name.split("_")[0] for name in ids})
    command = ["squeue", "--noheader", "--array", "--format=%i", f"--jobs={','.join(arrays)}"]
    asked = subprocess.run(command, capture_output=True, text=True)
    if asked.returncode and "Invalid job id" not in asked.stderr:
        return ids
    return ids & set(asked.stdout.split())


def _outcome_file(job: Job) -> Path:
    assert job.log is not None
    return job.log.with_suffix(".outcome.json")


def _write_outcome(job: Job, outcome: Outcome) -> None:
    """Write what became of a trial, as text: submitit's own file is a pickle, which is not read."""
    try:
        text = json.dumps(vars(outcome), default=str)
    except (TypeError, ValueError):  # keys that are no names, or something that holds itself
        text = json.dumps(vars(outcome) | {"result": repr(outcome.result)})
    with replacing(_outcome_file(job)) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _read_outcome(job: Job) -> Outcome | None:
    """Read what became of a trial; None where that has not arrived."""
    try:
        return Outcome(**json.loads(_outcome_file(job).read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError):
        return None


def _last_line(path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1] if lines else ""


def _progress_file(job: Job) -> Path:
    assert job.log is not None
    return job.log.with_suffix(".progress.json")


def _write_progress(job: Job, values: dict[str, float]) -> None:
    with replacing(_progress_file(job)) as temporary:
        temporary.write_text(json.dumps(values))


def _read_progress(job: Job) -> dict[str, float] | None:
    """Return a running job's last report, {} before the first, None where it has not started."""
    try:
        return dict(json.loads(_progress_file(job).read_text()))
    except (OSError, ValueError):
        return None
