"""Progress: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from tqdm import tqdm

__all__ = ["Progress", "handed_to"]

#: Seconds from one report to a listener to the next, at least.
PAUSE = 0.5

_listener: Callable[[dict[str, float]], None] | None = None


@contextmanager
def handed_to(listener: Callable[[dict[str, float]], None]) -> Iterator[None]:
    """Hand the progress of this process's trainings to a function, instead of showing it.

    It is called with a dict: ``epoch``, ``n_epochs``, ``done`` (of the training, 0 to 1), and, once
    known, ``loss``, ``val_loss`` and ``best``.
    """
    global _listener
    before, _listener = _listener, listener
    try:
        yield
    finally:
        _listener = before


class Progress:
    """Shows the epoch, the losses and the time left.

    Parameters
    ----------
    n_epochs
        The last epoch; with epoch 0 there is one more.
    n_batches
        Batches of an epoch.
    done
        Batches done before, in a training that was resumed.
    stream
        Where to show it; stderr if None.
    every
        Seconds between two lines where the stream is no terminal.
    """

    ORDER = ("loss", "val_loss", "best")

    def __init__(
        self,
        n_epochs: int,
        n_batches: int,
        done: int = 0,
        stream: TextIO | None = None,
        every: float = 10.0,
    ) -> None:
        self.n_epochs, self.n_batches = n_epochs, n_batches
        self.done = self._first = done
        self.total = (n_epochs + 1) * n_batches
        self._stream = stream if stream is not None else sys.stderr
        self._every = every
        self._losses: dict[str, float] = {}
        self._start = time.monotonic()
        self._next = self._start  # the first report is shown at once
        self._shown = -1
        self._bar: tqdm | None = None
        if _listener is None and self._stream.isatty():
            self._bar = tqdm(
                total=self.total,
                initial=done,
                file=self._stream,
                unit="batch",
                desc=self._epoch,
                dynamic_ncols=True,
            )

    def step(self) -> None:
        """One more batch is done."""
        self.done += 1
        if self._bar is not None:
            self._bar.update()
        elif time.monotonic() >= self._next and self._losses:
            self._line()

    def report(self, **losses: float) -> None:
        """Show these (of `ORDER`) from now on, beside what was reported before."""
        shown = self._losses | losses
        self._losses = {name: shown[name] for name in sorted(shown, key=self.ORDER.index)}
        if self._bar is not None:
            self._bar.set_description(self._epoch, refresh=False)
            self._bar.set_postfix(
                {name: f"{loss:.4g}" for name, loss in self._losses.items()}, refresh=False
            )

    def close(self) -> None:
        """Show how far it came."""
        if self._bar is not None:
            self._bar.close()
        elif self._shown != self.done:
            self._line()

    @property
    def _epoch_number(self) -> int:
        # the batch that was done last belongs to this epoch
        return max(self.done - 1, 0) // max(self.n_batches, 1)

    @property
    def _epoch(self) -> str:
        return f"epoch {self._epoch_number}/{self.n_epochs}"

    def _line(self) -> None:
        now = time.monotonic()
        if _listener is not None:
            where = {"epoch": self._epoch_number, "n_epochs": self.n_epochs}
            _listener({**where, "done": self.done / max(self.total, 1), **self._losses})
            self._next = now + PAUSE
            return
        left = (now - self._start) / max(self.done - self._first, 1) * (self.total - self.done)
        losses = "".join(f"  {name} {loss:.4g}" for name, loss in self._losses.items())
        print(
            f"{self._epoch}{losses}  [{tqdm.format_interval(now - self._start)}, "
            f"at most {tqdm.format_interval(left)} left]",
            file=self._stream,
            flush=True,
        )
        self._shown = self.done
        self._next = now + self._every
