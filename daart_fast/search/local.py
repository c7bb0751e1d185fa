"""Running trials on this machine: in this process, or in a pool of worker processes.

A pool's workers are spawned, not forked: a process that has threads cannot be forked safely, and
torch, OpenMP and CUDA have threads. They live as long as the search, so that each pays for
importing torch once. Nothing here waits for a fixed time.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from typing import Any

from daart_fast.errors import ConfigError
from daart_fast.search.ctrl_c import ctrl_c_held_back
from daart_fast.search.trials import Ended, Event, Events, Job, Outcome, Started, attempt
from daart_fast.search.worker import serve, unpacked

__all__ = [
    "WorkerSlot",
    "run_in_pool",
    "run_in_process",
    "slots_on_cpu",
    "slots_on_gpus",
    "spawn_problem",
]

#: Seconds that workers have to write their checkpoints when they are asked to stop.
GRACE = 15.0

#: What bounds the threads of the libraries that read it when they are loaded.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True)
class WorkerSlot:
    """Where one trial at a time can run."""

    name: str
    #: how many cores it may use
    n_threads: int
    #: what the function gets besides the trial
    arguments: tuple[Any, ...] = ()
    #: the process's own environment variables
    environment: dict[str, str] = field(default_factory=dict)


def n_cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def slots_on_cpu(n_workers: int) -> list[WorkerSlot]:
    """Share the cores out among so many workers."""
    share = max(1, n_cores() // n_workers)
    return [
        WorkerSlot(f"worker {i}", share, environment=_threads(share))
        for i in range(1, n_workers + 1)
    ]


def slots_on_gpus(gpu_ids: Sequence[str], per_gpu: int = 1) -> list[WorkerSlot]:
    """Make `per_gpu` slots on each GPU.

    Each process sees only its own, which is why every trial's device is plain ``cuda``. As in
    daart, the function gets the GPU's id as a second argument.

    Parameters
    ----------
    gpu_ids
        Numbers, counted among those that CUDA_VISIBLE_DEVICES leaves where it is set; "0,1" is
        one place that has both.
    per_gpu
        How many trials share a GPU.
    """
    share = max(1, n_cores() // (len(gpu_ids) * per_gpu))
    return [
        WorkerSlot(
            f"GPU {gpu}" + (f" ({i} of {per_gpu})" if per_gpu > 1 else ""),
            share,
            (gpu,),
            {**_threads(share), "CUDA_VISIBLE_DEVICES": _visible(gpu)},
        )
        for i in range(1, per_gpu + 1)
        for gpu in gpu_ids
    ]


def _threads(share: int) -> dict[str, str]:
    """Set the share, or what the user has set where that is less."""
    limits = {}
    for name in THREADS:
        given = os.environ.get(name, "")
        limits[name] = str(min(share, int(given)) if given.isdigit() and int(given) else share)
    return limits


def _visible(gpu: str) -> str:
    given = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    devices = given.split(",") if given else []
    chosen = []
    for number in gpu.split(","):
        counted = bool(devices) and number.isdigit()
        if counted and int(number) >= len(devices):
            raise ConfigError(
                f"gpus_vis names GPU {number}, but CUDA_VISIBLE_DEVICES={given} leaves "
                f"{len(devices)}, counted from 0"
            )
        chosen.append(devices[int(number)] if counted else number)
    return ",".join(chosen)


def spawn_problem(function: Callable[..., Any]) -> str:
    """Return why a new process could not import a function; empty if it could."""
    if function.__module__ == "__main__":
        main = sys.modules["__main__"]
        if getattr(main, "__file__", None) is None and getattr(main, "__spec__", None) is None:
            return f"{function.__qualname__} was typed in, and is in no file"
    try:
        pickle.dumps(function)
    except Exception as error:
        return str(error)
    return ""


# --------------------------------------------------------------------------------------------
# in this process
# --------------------------------------------------------------------------------------------
def run_in_process(function: Callable[..., Any], jobs: Sequence[Job], slot: WorkerSlot) -> Events:
    """Run the trials in this process, one after another; their output stays on the terminal."""
    gpu = slot.environment.get("CUDA_VISIBLE_DEVICES")
    with environment({"CUDA_VISIBLE_DEVICES": gpu} if gpu else {}):
        for job in jobs:
            yield Started(job.number, "this process")
            outcome = attempt(function, job, slot.arguments, "this process")
            yield Ended(job.number, outcome)
            if outcome.status == "interrupted":
                raise KeyboardInterrupt


# --------------------------------------------------------------------------------------------
# in a pool
# --------------------------------------------------------------------------------------------
def run_in_pool(
    function: Callable[..., Any], jobs: Sequence[Job], slots: Sequence[WorkerSlot]
) -> Events:
    """Run the trials in worker processes, one for each slot, as long as there are trials.

    A worker that dies takes its trial with it, no more: another takes its place. If the caller
    stops listening (Ctrl-C), the workers write their checkpoints and end.
    """
    waiting = deque(jobs)
    workers: list[_Worker] = []
    try:
        for slot in slots[: len(jobs)]:
            workers.append(_Worker(function, slot))
            yield workers[-1].give(waiting.popleft())
        while busy := [worker for worker in workers if worker.job is not None]:
            wait([handle for worker in busy for handle in worker.handles])
            for worker in busy:
                for event in worker.events():
                    # the next trial first: showing what happened can wait
                    started = None
                    if isinstance(event, Ended) and waiting and worker.alive:
                        started = worker.give(waiting.popleft())
                    yield event
                    if started:
                        yield started
            for i, worker in enumerate(workers):
                if not worker.alive and waiting:
                    workers[i] = _Worker(function, worker.slot)
                    yield workers[i].give(waiting.popleft())
    finally:
        _stop(workers)


class _Worker:
    """The parent's side of a worker process."""

    def __init__(self, function: Callable[..., Any], slot: WorkerSlot) -> None:
        context = multiprocessing.get_context("spawn")
        self.slot, self.alive = slot, True
        self.job: Job | None = None
        self.connection, theirs = context.Pipe()
        arguments = (theirs, function, slot.arguments, slot.n_threads, slot.name)
        self.process = context.Process(target=serve, args=arguments, name=slot.name)
        with ctrl_c_held_back(), environment(slot.environment):
            self.process.start()
        theirs.close()  # so that the worker's end closes with the worker

    @property
    def handles(self) -> list[Any]:
        """What to wait for: that it sends something, or ends."""
        return [self.connection, self.process.sentinel]

    def give(self, job: Job) -> Started:
        self.job = job
        with suppress(OSError):  # it is dead, which `events` will tell
            self.connection.send(job)
        return Started(job.number, self.slot.name)

    def events(self) -> Iterator[Event]:
        """Return what it has sent since, and, if it is dead, what became of its trial."""
        alive = self.process.is_alive()  # asked first: what it sent before its death is read
        try:
            while self.connection.poll():
                event = self.connection.recv()
                if isinstance(event, Ended):
                    self.job, event = None, Ended(event.number, unpacked(event.outcome))
                yield event
        except (EOFError, OSError):
            alive = False
        if alive:
            return
        self.process.join()
        self.alive = False
        if self.job is not None:
            number, self.job = self.job.number, None
            outcome = Outcome("failed", error=_how_it_died(self.process.exitcode))
            outcome.place, outcome.ended = self.slot.name, time.time()
            yield Ended(number, outcome)

    def dismiss(self) -> None:
        """Tell it to stop; a training writes its checkpoint first."""
        with suppress(OSError):
            self.connection.send(None)


def _how_it_died(code: int | None) -> str:
    if code is None or code >= 0:
        return f"its process ended with exit code {code}"
    name = signal.Signals(-code).name if -code in list(signal.Signals) else ""
    hint = ": was the memory short?" if name == "SIGKILL" else ""
    return f"its process was killed by signal {-code} ({name}){hint}"


def _stop(workers: Sequence[_Worker]) -> None:
    """End the workers: those at work get some time, or none if Ctrl-C is pressed once more."""
    for worker in workers:
        worker.dismiss()
    deadline = time.monotonic() + GRACE
    try:
        for worker in workers:
            while worker.process.is_alive() and time.monotonic() < deadline:
                # what it still sends is read, as a full pipe would hold it up
                if worker.connection in wait(worker.handles, timeout=1.0):
                    with suppress(EOFError, OSError):
                        worker.connection.recv()
                        continue
                    worker.process.join(deadline - time.monotonic())
    finally:
        for worker in workers:
            if worker.process.is_alive():
                worker.process.kill()
            worker.process.join()
            worker.connection.close()


@contextmanager
def environment(values: dict[str, str]) -> Iterator[None]:
    """Set variables for the processes started meanwhile."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
