"""How far a command is with sessions of many frames: a bar in a terminal, lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import Any

__all__ = ["FrameProgress"]


class FrameProgress:
    """Shows how many frames of some sessions are done.

    In a terminal a bar of frames moves; how many there are in all is an estimate, until all
    sessions are read. Elsewhere a line about a session that takes long comes now and then.

    Parameters
    ----------
    n_sessions
        how many there are
    seconds
        between two such lines
    """

    def __init__(self, n_sessions: int, seconds: float = 30.0) -> None:
        from tqdm import tqdm

        self.n_sessions, self.seconds = n_sessions, seconds
        #: by session, frames done and frames in all
        self._frames: dict[str, tuple[int, int]] = {}
        self._lock, self._last = threading.Lock(), time.monotonic()
        # disable=None: no bar where the output is no terminal
        self._bar: Any = tqdm(total=1, unit="frame", unit_scale=True, desc="predict", disable=None)

    def __enter__(self) -> FrameProgress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.close()

    def update(self, session: str, done: int, frames: int) -> None:
        """Show that so many of a session's frames are done; several threads may say so at once."""
        with self._lock:
            self._frames[session] = (done, frames)
            totals = [total for _, total in self._frames.values()]
            self._bar.total = round(sum(totals) / len(totals) * self.n_sessions)
            self._bar.update(sum(known for known, _ in self._frames.values()) - self._bar.n)
            late = time.monotonic() - self._last > self.seconds
            if self._bar.disable and done < frames and late:
                self._last = time.monotonic()
                print(f"{session}: {done} of {frames} frames", file=sys.stderr, flush=True)

    def line(self, text: str) -> None:
        """Print a line that stays."""
        with self._bar.external_write_mode():
            print(text, flush=True)
