"""Asking a training to stop where it can go on later.

A worker process is told to stop by another thread or by a signal. Neither may break off a training
amid a batch, so they only ask, and the trainer looks after each batch, writes its checkpoint and
raises `Interrupted`.
"""

from __future__ import annotations

import threading

__all__ = ["Interrupted", "ask", "asked"]


class Interrupted(KeyboardInterrupt):
    """The training stopped as it was asked to; its checkpoint is written."""


_asked = threading.Event()


def ask() -> None:
    """Ask every training of this process, now and later, to stop."""
    _asked.set()


def asked() -> bool:
    """Whether it was asked."""
    return _asked.is_set()
