"""Checkpoints: what an interrupted training goes on from."""

from __future__ import annotations

import logging
import os
import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from daart_fast.files import check_archive, replacing

__all__ = [
    "Checkpoint",
    "get_rng_states",
    "save_durably",
    "seed_everything",
    "set_rng_states",
    "snapshot",
]


class Checkpoint:
    """One file that always holds a complete state, replaced every so often.

    A new state is written under another name, brought to the disk, and renamed: whenever the
    process or the machine stops, the file holds the old state or the new.

    Parameters
    ----------
    file
        Where to write. None: never write.
    interval
        Seconds from one write to the next, at least.
    """

    #: A write that takes long is followed by a wait so many times as long.
    PATIENCE = 50

    def __init__(self, file: str | os.PathLike[str] | None, interval: float = 10.0) -> None:
        self.file = Path(file) if file is not None else None
        self.interval = interval
        self._next = time.monotonic() + interval if file is not None else float("inf")

    @property
    def due(self) -> bool:
        """Whether it is time to write again."""
        return time.monotonic() >= self._next

    def write(self, state: dict[str, Any]) -> None:
        """Replace the file: tensors, numbers, strings, and lists, tuples and dicts of them."""
        if self.file is None:
            return
        start = time.monotonic()
        save_durably(state, self.file)
        end = time.monotonic()
        # an interval of 0 is for tests, which want every step
        wait = max(self.interval, self.PATIENCE * (end - start)) if self.interval else 0.0
        self._next = end + wait

    def read(self) -> dict[str, Any] | None:
        """Return the last state, on the CPU, or None where there is none that can be read."""
        if self.file is None:
            return None
        for leftover in self.file.parent.glob(f".{self.file.stem}.*{self.file.suffix}"):
            leftover.unlink(missing_ok=True)  # of a process that was killed while it wrote
        if not self.file.is_file():
            return None
        try:
            check_archive(self.file)
            state = torch.load(self.file, map_location="cpu", weights_only=True)
        except Exception as error:  # a zip error, an unpickling error, an end of file: all the same
            logging.warning(f"{self.file}: cannot be read, so training starts over: {error}")
            return None
        return state if isinstance(state, dict) else None


def save_durably(state: Any, file: Path) -> None:
    """Like ``torch.save``, but `file` holds all of it or what it held before, come what may.

    Its folder is not made: where it is gone, so is the disk that it was on.
    """
    if not file.parent.is_dir():
        raise FileNotFoundError(f"{file.parent}: the folder is gone")
    with replacing(file) as temporary, open(temporary, "wb") as stream:
        torch.save(state, stream)
        stream.flush()
        os.fsync(stream.fileno())


def snapshot(state: Any) -> Any:
    """Copy a state, its tensors to the CPU: what happens to the original does not change it."""
    if isinstance(state, Tensor):
        return state.detach().to("cpu", copy=True)
    if isinstance(state, Mapping):
        return {name: snapshot(value) for name, value in state.items()}
    if isinstance(state, (list, tuple)):
        return type(state)(map(snapshot, state))
    return state


def get_rng_states() -> dict[str, Any]:
    """Return the states of torch's, NumPy's and Python's global random generators."""
    numpy_state: Any = np.random.get_state()
    name, keys, *rest = numpy_state
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": (name, keys.tolist(), *rest),
        "python": random.getstate(),
    }


def set_rng_states(states: dict[str, Any]) -> None:
    """Set what `get_rng_states` returned; GPUs only where their number is the same."""
    torch.set_rng_state(states["torch"])
    if torch.cuda.is_available() and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))
    random.setstate(states["python"])


def seed_everything(seed: int) -> None:
    """Seed torch's, NumPy's and Python's global random generators."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)
