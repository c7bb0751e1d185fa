"""Work on several sessions, or parts of one, at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

__all__ = ["parallel_map"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def parallel_map(work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """Do some work for each item, for as many at a time as torch has threads.

    Sessions and chunks are independent, whereas threads that share one wait for each other at every
    layer. So each item has one thread, and is read and written while other items are computed. A
    single item has all threads, which may change the rounding. The work must not change what other
    threads use (a model stays in its mode), and begins in torch's own modes: with gradients.

    Parameters
    ----------
    work
        What is done for one item.
    items
        The sessions or chunks, or what names them.

    Yields
    ------
    Result
        What comes of each item, in their order. No more than twice as many as there are threads
        are under way or wait to be taken.

    Raises
    ------
    Exception
        The first that any work raises, in the order of the items; those not yet begun are left.
    """
    n_threads = torch.get_num_threads()
    n_workers = min(n_threads, len(items))
    if n_workers <= 1:
        yield from map(work, items)
        return
    under_way: deque[Future[Result]] = deque()
    try:
        with ThreadPoolExecutor(
            n_workers, initializer=torch.set_num_threads, initargs=(1,)
        ) as workers:
            try:
                for item in items:
                    if len(under_way) == 2 * n_workers:
                        yield under_way.popleft().result()
                    under_way.append(workers.submit(work, item))
                while under_way:
                    yield under_way.popleft().result()
            finally:
                for future in under_way:
                    future.cancel()
    finally:
        torch.set_num_threads(n_threads)  # each worker's call is the default of new threads too
