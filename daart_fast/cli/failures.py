"""Going on with other sessions where one cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from daart_fast.errors import DataError, print_error, some

__all__ = ["Failures"]


class Failures:
    """The sessions of a command that failed; each is reported at once, and the rest go on."""

    def __init__(self) -> None:
        self.sessions: list[str] = []

    @contextmanager
    def going_on(self, session: str) -> Iterator[None]:
        """Report a DataError and go on after the block; what hits every session is raised."""
        try:
            yield
        except DataError as error:
            self.add(session, error)

    def add(self, session: str, error: DataError) -> None:
        """Report a session's error."""
        self.sessions.append(session)
        print_error(error)

    def exit_code(self, n_sessions: int) -> int:
        """Return the command's exit code; say, at its end, how many of the sessions failed."""
        if self.sessions and n_sessions > 1:
            n_failed = len(self.sessions)
            print_error(f"{n_failed} of {n_sessions} sessions failed: {some(self.sessions)}")
        return 2 if self.sessions else 0
