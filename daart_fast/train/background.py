"""Writing beside the loop, so that a slow disk does not hold the training up."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import TracebackType

__all__ = ["Background"]


class Background:
    """Runs one job at a time in a thread; what a job raises is raised here, none is lost.

    As a context manager it waits for the job under way when the block ends, however it ends. If
    the block raises, that is what is seen, and a job's failure is only logged.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "daart_fast writer")
        self._job: Future[None] | None = None

    @property
    def busy(self) -> bool:
        """Whether a job is under way; raises what the last one raised."""
        if self._job is not None and self._job.done():
            self.wait()
        return self._job is not None

    def start(self, job: Callable[[], None]) -> None:
        """Run a job, once the one under way has ended."""
        self.wait()
        self._job = self._thread.submit(job)

    def wait(self) -> None:
        """Wait until no job is under way; raise what it raised."""
        if self._job is not None:
            job = self._job
            wait([job])  # an interrupt here leaves the job, to be waited for when the block ends
            self._job = None
            job.result()

    def __enter__(self) -> Background:
        # the thread is made here: Python may wait without end for one that it has no memory for
        self._thread.submit(int).result()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.wait()
        except Exception as failure:
            if error is None:
                raise
            logging.warning(f"the last checkpoint could not be written: {failure}")
        finally:
            self._thread.shutdown()
