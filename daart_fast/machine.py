"""What this machine lacks for what it is asked to do: a GPU, or memory."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from daart_fast.errors import ConfigError

__all__ = ["check_device", "device_problem", "memory_asked_for", "naming_sizes"]

INSTALL = "https://pytorch.org/get-started/locally"

#: The keys that decide how much memory a training takes.
SIZES = ("n_hid_units", "n_hid_layers", "n_lags", "batch_size", "sequence_length")


def device_problem(device: str) -> str:
    """Return why nothing can run on a device (``cpu``, ``cuda``, ``cuda:1``); empty if it can."""
    if device == "cpu":
        return ""
    import torch

    if not torch.backends.cuda.is_built():
        return f"torch {torch.__version__} is built without CUDA"
    # no is_available(): it would fix CUDA_VISIBLE_DEVICES for the rest of this process
    found = torch.cuda.device_count()
    if int(device.partition(":")[2] or 0) < found:
        return ""
    if found:
        return f"torch finds {found} GPU{'s' * (found > 1)}, numbered from 0"
    if visible := os.environ.get("CUDA_VISIBLE_DEVICES"):
        return f"torch finds no GPU {visible} (gpus_vis, or CUDA_VISIBLE_DEVICES)"
    return "torch finds no GPU (does nvidia-smi list one?)"


def check_device(hparams: Mapping[str, Any]) -> None:
    """Refuse a device that this machine does not have.

    Raises
    ------
    ConfigError
        naming the key, the reason, and what to do
    """
    if why := device_problem(hparams["device"]):
        file = hparams.get("train_config")
        where = f" ({file}, or --device)" if file else ""
        raise ConfigError(
            f"'device' is {hparams['device']}{where}, but {why}; give --device cpu, or install "
            f"torch with CUDA: {INSTALL}"
        )


@contextmanager
def naming_sizes(hparams: Mapping[str, Any]) -> Iterator[None]:
    """Name the keys that decide how much memory is taken, where there is too little.

    Raises
    ------
    ConfigError
        in place of whatever torch or NumPy raises
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        asked = memory_asked_for(error)
        if asked is None:
            raise
        sizes = ", ".join(f"{name} {hparams[name]}" for name in SIZES if hparams.get(name))
        raise ConfigError(
            f"not enough memory: {asked} more were asked for; the sizes are {sizes}: "
            f"choose smaller ones, n_hid_units or batch_size first"
        ) from error


def memory_asked_for(error: BaseException) -> str | None:
    """Return how much memory there was not; None where an error is about something else."""
    text = str(error)
    if match := re.search(r"tried to allocate (\d+) bytes", text):  # torch, on the CPU
        return f"{int(match[1]) / 2**30:,.1f} GiB"
    # torch on a GPU, NumPy
    if match := re.search(r"(?:Tried|Unable) to allocate ([\d.]+ [KMGTP]?i?B)", text):
        return match[1]
    return "some bytes" if isinstance(error, MemoryError) else None
