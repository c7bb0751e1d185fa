"""What the user sees while a search runs: all of it in one place."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from typing import TextIO

from daart_fast.search.trials import Ended, Event, Job, Outcome, Progressed, Started

__all__ = ["Display", "duration"]


class Display:
    """Shows trials done, trials running with epoch and losses, and the time left.

    On a terminal a few lines at its bottom are kept up to date; elsewhere a line is printed when a
    trial starts or ends, and one about the whole now and then.

    Parameters
    ----------
    jobs
        The trials to be run.
    n_trials
        All trials of the search, those that need not be run among them.
    stream
        Where to show it; stderr if None.
    every
        Seconds between two lines about the whole, where the stream is no terminal.
    quiet
        The trials print to the terminal themselves: show only where they start and end.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        n_trials: int,
        stream: TextIO | None = None,
        every: float = 30.0,
        quiet: bool = False,
    ) -> None:
        self._jobs = {job.number: job for job in jobs}
        self.n_trials, self._every, self._quiet = n_trials, every, quiet
        self._stream = stream if stream is not None else sys.stderr
        self._live = self._stream.isatty() and not quiet
        self._running: dict[int, tuple[str, dict[str, float]]] = {}
        self.done = self.failed = 0
        self._start = time.monotonic()
        self._next = self._start + (0.0 if self._live else every)
        self._drawn = 0

    def show(self, event: Event) -> None:
        """Show that something happened."""
        if isinstance(event, Started):
            self._running[event.number] = (event.place, {})
            if not self._live:
                self._line(self._sentence(event.number, f"starts on {event.place}"))
        elif isinstance(event, Progressed) and event.number in self._running:
            self._running[event.number] = (self._running[event.number][0], event.values)
        elif isinstance(event, Ended):
            _, values = self._running.pop(event.number, ("", {}))
            self.done += 1
            self.failed += event.outcome.status == "failed"
            self._line(self._end(event.number, event.outcome, values))
        if time.monotonic() >= self._next:
            self._refresh()

    def close(self) -> None:
        """Take away what is kept up to date."""
        self._erase()
        self._stream.flush()

    # ------------------------------------------------------------------------- words

    def _sentence(self, number: int, verb: str) -> str:
        label = self._jobs[number].label
        return f"trial {number} of {self.n_trials} {verb}" + (f" ({label})" if label else "")

    def _end(self, number: int, outcome: Outcome, values: dict[str, float]) -> str:
        if outcome.status == "failed":
            log = self._jobs[number].log
            where = f"\n    Traceback and output: {log}" if log else ""
            return f"{self._sentence(number, 'failed')}: {outcome.error}{where}"
        if outcome.status == "finished":
            text = self._sentence(number, f"took {duration(outcome.ended - outcome.began)}")
            return text + (
                f", best validation loss {values['best']:.4g}" if "best" in values else ""
            )
        return self._sentence(number, outcome.status) + f": {outcome.result or ''}".rstrip(": ")

    def _whole(self) -> str:
        parts = [f"{self.done} of {len(self._jobs)} trials done", f"{len(self._running)} running"]
        if self.failed:
            parts.append(f"{self.failed} failed")
        if (left := self.seconds_left()) is not None:
            parts.append(f"about {duration(left)} left")
        return ", ".join(parts)

    def seconds_left(self) -> float | None:
        """Estimate it from the part that is done; None before there is any."""
        done = self.done + sum(values.get("done", 0.0) for _, values in self._running.values())
        spent = time.monotonic() - self._start
        return spent * (len(self._jobs) - done) / done if done > 0 else None

    def _one(self, number: int) -> str:
        place, values = self._running[number]
        text = f"trial {number}"
        if "epoch" in values:
            text += f": epoch {values['epoch']:.0f} of {values['n_epochs']:.0f}"
        for name, words in (("val_loss", "validation loss"), ("best", "best")):
            if name in values:
                text += f", {words} {values[name]:.4g}"
        label = self._jobs[number].label
        return f"{text}  ({place}{'; ' if label else ''}{label})"

    # ------------------------------------------------------------------------- drawing

    def _line(self, text: str) -> None:
        """Print a line that stays."""
        self._erase()
        print(text, file=self._stream, flush=True)
        if self._live:
            self._refresh()

    def _refresh(self) -> None:
        if self._quiet:
            return
        self._erase()
        lines = [self._whole(), *(f"  {self._one(number)}" for number in sorted(self._running))]
        if self._live:
            width = shutil.get_terminal_size().columns - 1
            lines = [line[:width] for line in lines]
            self._drawn = len(lines)
        else:
            lines = ["; ".join(line.strip() for line in lines)]
        print(*lines, sep="\n", file=self._stream, flush=True)
        self._next = time.monotonic() + (0.2 if self._live else self._every)

    def _erase(self) -> None:
        if self._drawn:
            self._stream.write(f"\x1b[{self._drawn}A\x1b[J")  # up, and clear what is below
            self._drawn = 0


def duration(seconds: float) -> str:
    """Spell a time: 8 s, 3:20, 1:02:45."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, hours = whole // 60 % 60, whole // 3600
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
