"""Data that changed after a model was trained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daart_fast.data.from_config import data_files
from daart_fast.errors import DataError, some
from daart_fast.experiment.stored import best_weights
from daart_fast.files import changed_at

__all__ = [
    "tell_of_newer_data",
]


def tell_of_newer_data(hparams: Mapping[str, Any], folder: Path) -> None:
    """Name the files of data that are newer than a finished model of these settings."""
    weights = best_weights(folder)
    if weights is None or not hparams.get("data_dir"):
        return
    try:
        files = data_files(hparams)
    except DataError:  # data that are gone hold no news
        return
    finished = changed_at(weights)
    if newer := [str(path) for path in files if changed_at(path) > finished]:
        print(
            f"{some(newer)}: newer than the model in {folder}; to train on what is there now, "
            f"write another 'tt_experiment_name' into {hparams.get('model_config', 'model.yaml')}, "
            f"or move the model's folder away"
        )
