"""Running trials as jobs of a Slurm cluster, through submitit.

All trials are one job array. A job that is preempted, requeued or runs out of time is started
again by Slurm, finds its version folder, and goes on from the checkpoint there: whatever a trial
leaves on the shared file system is all that it needs.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from daart_fast.errors import ConfigError
from daart_fast.files import folder_lock
from daart_fast.search.ctrl_c import ctrl_c_held_back
from daart_fast.search.slurm_job import TrialRun, read_outcome, read_progress
from daart_fast.search.submitted import note_submissions, submissions_of
from daart_fast.search.trials import Ended, Event, Events, Job, Outcome, Progressed, Started

__all__ = ["SubmittedJob", "executor_of", "in_queue", "on_slurm"]

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
    executor = executor_of(settings, folder / "jobs")
    with folder_lock(folder.parent):  # another call would submit the same trials
        submitted = _in_queue_already(jobs, folder.parent)
        known = [one.job.number for one in submitted]
        if new := [job for job in jobs if job.number not in known]:
            with ctrl_c_held_back():  # a job without a note would be submitted again
                handles = executor.map_array(TrialRun(function, arguments), new)
                new_jobs = [
                    SubmittedJob(job, handle) for job, handle in zip(new, handles, strict=True)
                ]
                notes = [(one.job, one.handle.job_id, folder / "jobs") for one in new_jobs]
                note_submissions(folder, notes)
            submitted += new_jobs
    if not wait:
        for one in submitted:
            yield Ended(one.job.number, Outcome("submitted", result=one.name, place=one.name))
        return
    while submitted:
        queue = in_queue([one.handle.job_id for one in submitted])
        for one in submitted:
            yield from one.poll(one.handle.job_id in queue)
        submitted = [one for one in submitted if not one.ended]
        time.sleep(LOOK if submitted else 0)


class SubmittedJob:
    """A trial's job, as seen from where it was submitted: through the queue and the files."""

    def __init__(self, job: Job, handle: Any) -> None:
        self.job, self.handle = job, handle
        self.name = f"job {handle.job_id}"
        self.started = self.ended = False
        self._gone: float | None = None

    def poll(self, waits: bool) -> Iterator[Event]:
        """Return what is new since the last look."""
        values = read_progress(self.job)
        if values is not None and not self.started:
            self.started = True
            yield Started(self.job.number, self.name)
        if values:
            yield Progressed(self.job.number, values)
        outcome = read_outcome(self.job) or self._lost(waits)
        if outcome is not None:
            self.ended, outcome.place = True, self.name
            yield Ended(self.job.number, outcome)

    def _lost(self, waits: bool) -> Outcome | None:
        """Give a job up that has left the queue some time ago without a result."""
        if waits:
            self._gone = None
        elif self._gone is None:
            self._gone = time.monotonic()
        elif time.monotonic() - self._gone > PATIENCE:
            stderr = self.handle.paths.stderr
            said = f": {last}" if (last := _last_line(stderr)) else " (cancelled?)"
            return Outcome("failed", error=f"{self.name} ended without a result{said}; {stderr}")
        return None


def executor_of(settings: Mapping[str, Any], folder: Path) -> Any:
    """Return what submits jobs with a config's ``slurm:`` part; its files go into `folder`."""
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


def _in_queue_already(jobs: Sequence[Job], searches: Path) -> list[SubmittedJob]:
    """Find the trials that wait or run since another call."""
    from submitit import SlurmJob

    before = submissions_of(jobs, searches)
    queue = in_queue([one.job_id for one in before.values()]) if before else set()
    found = []
    for job in jobs:
        if (one := before.get(job.number)) and one.job_id in queue:
            job.log = Path(one.log)
            found.append(SubmittedJob(job, SlurmJob(one.folder, one.job_id)))
    if found:
        names = ", ".join(str(one.job.number) for one in found)
        print(f"in the queue already, and not submitted again: trial {names}", file=sys.stderr)
    return found


def in_queue(job_ids: Sequence[str]) -> set[str]:
    """Which of these jobs wait or run; all of them where the queue cannot be asked right now."""
    ids = set(job_ids)
    arrays = sorted({name.split("_")[0] for name in ids})
    command = ["squeue", "--noheader", "--array", "--format=%i", f"--jobs={','.join(arrays)}"]
    asked = subprocess.run(command, capture_output=True, text=True)
    if asked.returncode and "Invalid job id" not in asked.stderr:
        return ids
    return ids & set(asked.stdout.split())


def _last_line(path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1] if lines else ""
