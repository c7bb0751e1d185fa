"""Holding back Ctrl-C for a moment."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["ctrl_c_held_back"]


@contextmanager
def ctrl_c_held_back() -> Iterator[None]:
    """Let Ctrl-C wait until the block has ended, where it would tear apart what belongs together.

    Processes that are started meanwhile don't hear it, from their first moment on.
    """
    if threading.current_thread() is not threading.main_thread():  # which alone it interrupts
        with _masked():
            yield
        return
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        with _masked():
            yield
    finally:
        signal.signal(signal.SIGINT, before or signal.SIG_DFL)
    if pressed:
        signal.raise_signal(signal.SIGINT)


@contextmanager
def _masked() -> Iterator[None]:
    """Block Ctrl-C for this thread, and for processes, which inherit that."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
