"""Notes that the trials of a search leave each other: which folder each one writes to."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from daart_fast.experiment.stored import read_metrics
from daart_fast.files import replacing

__all__ = [
    "best_losses",
    "leave_note",
]


def leave_note(
    notes: str | os.PathLike[str], trial: int, folder: str | os.PathLike[str], ended: bool
) -> None:
    """Note a trial's folder, and whether it trains no more, for the others of its search."""
    with replacing(Path(notes) / str(trial)) as temporary:
        note = {"folder": os.fspath(folder), "ended": ended}
        temporary.write_text(json.dumps(note), encoding="utf-8")


def read_note(file: Path) -> dict[str, Any]:
    """Read what `leave_note` wrote."""
    return dict(json.loads(file.read_text(encoding="utf-8")))


def best_losses(folder: str | os.PathLike[str]) -> dict[int, float]:
    """Read from a ``metrics.csv`` the best validation loss up to the end of each epoch.

    Of epochs that are over, which the row of their training losses tells; infinite before the
    first validation.
    """
    losses, best = {}, math.inf
    for row in read_metrics(folder):
        if row["dataset"] != "-1":
            continue  # of a single session
        if row.get("val_loss"):
            best = min(best, float(row["val_loss"]))
        if row.get("tr_loss"):
            losses[int(row["epoch"])] = best
    return losses
