"""Writing beside the loop, so that a slow disk does not hold the training up."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from types import TracebackType

__all__ = ["Background"]


class Background:
    """Runs one job at a time in a thread; what a job raises is raised here, none is lost.

    As a context manager it waits for the job under way when the block ends, however it ends. If
    the block raises, that is what is seen, and a job's failure is only told of.
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    @property
    def busy(self) -> bool:
        """Whether a job is under way; raises what the last one raised."""
        if self._thread is not None and not self._thread.is_alive():
            self.wait()
        return self._thread is not None

    def start(self, job: Callable[[], None]) -> None:
        """Run a job, once the one under way has ended."""
        self.wait()
        self._thread = threading.Thread(target=self._run, args=(job,), name="daart_fast writer")
        self._thread.start()

    def wait(self) -> None:
        """Wait until no job is under way; raise what it raised."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _run(self, job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as error:  # whatever it is, it belongs to the thread that waits
            self._error = error

    def __enter__(self) -> Background:
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
