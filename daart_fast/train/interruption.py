"""Asking a training to stop where it can go on later.

A worker process is asked to stop by another thread or by a signal. Neither may break off a training
within a batch, so they only ask, and the trainer looks after each batch, writes its checkpoint and
raises `Interrupted`.
"""

from __future__ import annotations

__all__ = ["Interrupted", "ask", "asked"]


class Interrupted(KeyboardInterrupt):
    """The training stopped as it was asked to; its checkpoint is written."""


# no threading.Event: its lock would wait for ever where a signal comes during another's handler
_asked = False


def ask() -> None:
    """Ask every training of this process, now and later, to stop."""
    global _asked
    _asked = True


def asked() -> bool:
    """Whether it was asked."""
    return _asked
