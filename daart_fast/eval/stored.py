"""Whether probabilities and scores that are stored are those of the data as they are now."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from daart_fast.data.description import checksum
from daart_fast.data.sessions import signal_paths
from daart_fast.errors import DataError
from daart_fast.files import changed_at, checksum_of

if TYPE_CHECKING:
    from daart_fast.data import DataGenerator

__all__ = ["input_checksums", "same_folder", "scores_are_current", "states_are_current"]


def states_are_current(
    folder: Path,
    trained: Mapping[str, Any],
    hparams: Mapping[str, Any],
    data_generator: DataGenerator,
) -> bool:
    """Tell whether every frame of every session is predicted, from its inputs as they are now.

    Daart leaves the last frames out. A file of inputs that is newer than its session's states, or
    one in another folder, may hold anything.

    Parameters
    ----------
    folder
        the model's
    trained
        the model's hparams: states are of their ``data_dir``
    hparams
        with the ``data_dir`` that is looked at now
    data_generator
        the sessions there
    """
    if not same_folder(trained, hparams):
        return False
    for dataset in data_generator.datasets:
        path = folder / f"{dataset.id}_states.npy"
        if not path.is_file() or len(np.load(path, mmap_mode="r")) != len(dataset.session):
            return False
        # whoever made the generator has been warned of several files for the same input
        inputs = signal_paths(hparams, dataset.id, logging.debug)["markers"]
        if inputs is not None and changed_at(inputs) > path.stat().st_mtime_ns:
            return False
    return True


def scores_are_current(folder: Path, data_generator: DataGenerator) -> bool:
    """Tell whether ``summary.json`` is of these sessions' inputs and labels, if it says so."""
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    return bool(summary.get("data") == checksum(data_generator.description()))


def same_folder(trained: Mapping[str, Any], hparams: Mapping[str, Any]) -> bool:
    """Tell whether the ``data_dir`` of both is one folder, wherever it is linked from."""
    first, second = (Path(one.get("data_dir") or "") for one in (trained, hparams))
    return first.resolve() == second.resolve()


def input_checksums(hparams: Mapping[str, Any], sessions: Iterable[str]) -> dict[str, str]:
    """Return the checksum of each session's file of inputs, as far as the files are there."""
    found = {}
    for session in sessions if hparams.get("data_dir") else ():
        try:
            inputs = signal_paths(hparams, session, logging.debug)["markers"]
        except DataError:
            continue
        if inputs is not None:
            found[session] = checksum_of(inputs)
    return found
