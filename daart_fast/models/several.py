"""Work on several sessions at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

__all__ = ["several_at_a_time"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def several_at_a_time(work: Callable[[Item], Result], sessions: Sequence[Item]) -> Iterator[Result]:
    """Do some work for each session, for as many at a time as torch has threads.

    Sessions know nothing of each other, whereas threads that share one wait for each other at
    every layer: so each session has one thread, and is read and written while others are computed.
    A lone session has all threads, which may differ from one in rounding. The work must not change
    what others use (a model stays in its mode).

    Parameters
    ----------
    work
        What is done for one session.
    sessions
        The sessions, or what names them.

    Yields
    ------
    Result
        What comes of each session, in their order. No more than twice as many as there are threads
        are under way or wait to be taken.

    Raises
    ------
    Exception
        The first that any work raises, in the order of the sessions; those not yet begun are left.
    """
    n_threads = torch.get_num_threads()
    n_workers = min(n_threads, len(sessions))
    if n_workers <= 1:
        yield from map(work, sessions)
        return
    under_way: deque[Future[Result]] = deque()
    try:
        with ThreadPoolExecutor(
            n_workers, initializer=torch.set_num_threads, initargs=(1,)
        ) as workers:
            try:
                for session in sessions:
                    if len(under_way) == 2 * n_workers:
                        yield under_way.popleft().result()
                    under_way.append(workers.submit(work, session))
                while under_way:
                    yield under_way.popleft().result()
            finally:
                for future in under_way:
                    future.cancel()
    finally:
        torch.set_num_threads(n_threads)  # each worker's call is the default of new threads too
