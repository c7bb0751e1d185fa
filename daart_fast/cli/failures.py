"""Going on with other sessions where one cannot be read."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from daart_fast.errors import DataError, some

__all__ = ["Failures"]


class Failures:
    """The sessions of a command that failed; each is told of at once, the others are worked on."""

    def __init__(self) -> None:
        self.sessions: list[str] = []

    @contextmanager
    def going_on(self, session: str) -> Iterator[None]:
        """Tell of a DataError and go on after the block; what hits every session is raised."""
        try:
            yield
        except DataError as error:
            self.add(session, error)

    def add(self, session: str, error: DataError) -> None:
        """Tell of a session's error."""
        self.sessions.append(session)
        print(f"daart-fast: error: {error}", file=sys.stderr, flush=True)

    def exit_code(self, n_sessions: int) -> int:
        """Return the command's exit code; say, at its end, how many of the sessions failed."""
        if self.sessions and n_sessions > 1:
            told = f"{len(self.sessions)} of {n_sessions} sessions failed: {some(self.sessions)}"
            print(f"daart-fast: error: {told}", file=sys.stderr)
        return 2 if self.sessions else 0
