"""The worker's side of a pool: a process that runs one trial after another."""

from __future__ import annotations

import faulthandler
import queue
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from multiprocessing.reduction import ForkingPickler
from typing import Any

from daart_fast.search.trials import Ended, Job, Outcome, Progressed, attempt, output_to

__all__ = ["serve", "unpacked"]


def serve(
    connection: Any,
    function: Callable[..., Any],
    arguments: Sequence[Any],
    n_threads: int,
    name: str,
) -> None:
    """Run the trials that come through a connection until it closes, or None comes.

    Parameters
    ----------
    connection
        Sends `Job`, and gets what the parent shows: `Progressed`, `Ended`.
    function, arguments
        Called as ``function(trial, *arguments)``.
    n_threads
        This process's share of the cores.
    name
        The worker's, for the summary.
    """
    import torch

    from daart_fast.train import progress

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches us too; the parent sees to it
    faulthandler.enable()  # a crash of native code leaves its stack in the trial's log
    torch.set_num_threads(n_threads)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    jobs: queue.SimpleQueue[Job | Exception | None] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(connection, jobs), daemon=True).start()
    while (job := jobs.get()) is not None:
        if isinstance(job, Exception):
            raise job  # which ends this process, and fails the trial alone
        with output_to(job.log), progress.handed_to(partial(_report, connection, job.number)):
            outcome = attempt(function, job, arguments, name)
        if not _send(connection, Ended(job.number, packed(outcome))):
            return


def _listen(connection: Any, jobs: queue.SimpleQueue[Job | Exception | None]) -> None:
    """Pass the parent's jobs on; when it says so, or is gone, have the training stop.

    A job that cannot be read is passed on as its error.
    """
    from daart_fast.train import interruption

    last: Exception | None = None
    try:
        while (job := connection.recv()) is not None:
            jobs.put(job)
    except (EOFError, ConnectionError):
        pass
    except Exception as error:
        last = error
    interruption.ask()
    jobs.put(last)


def _report(connection: Any, number: int, values: dict[str, float]) -> None:
    _send(connection, Progressed(number, values))


def _send(connection: Any, event: Progressed | Ended) -> bool:
    """Send an event; return whether the parent is still there."""
    try:
        connection.send(event)
    except OSError:
        return False
    return True


def packed(outcome: Outcome) -> Outcome:
    """Pickle an outcome's result, for its way to the parent.

    It may be anything: its own errors are not to be taken for those of the connection. A trial
    whose result cannot be sent is finished all the same.
    """
    try:
        message = ForkingPickler.dumps(outcome.result)
    except Exception as error:
        result = f"{type(outcome.result).__name__}, which cannot be sent: {error}"
        message = ForkingPickler.dumps(result)
    return replace(outcome, result=bytes(message))


def unpacked(outcome: Outcome) -> Outcome:
    """Undo `packed`, in the parent; a result that cannot be read here is described in words."""
    try:
        return replace(outcome, result=ForkingPickler.loads(outcome.result))
    except Exception as error:
        return replace(outcome, result=f"a result that cannot be read here: {error}")
