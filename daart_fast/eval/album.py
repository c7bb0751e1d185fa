"""All pictures of a model's predictions, into its folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from daart_fast.eval.ethogram import plot_ethogram
from daart_fast.eval.pictures import plot_bout_lengths, plot_confusion, plot_reliability
from daart_fast.eval.selection import background_of, labels_on, smoother_of

if TYPE_CHECKING:
    from daart_fast.data import DataGenerator
    from daart_fast.eval.new_sessions import NewSessions

__all__ = ["draw_all", "split_shown"]


def split_shown(scores: Mapping[str, Any]) -> str | None:
    """Return which of a summary's scores stand for the model: of frames held out from training."""
    return next((split for split in ("new", "test", "val") if split in scores), None)


def draw_all(
    hparams: Mapping[str, Any],
    data_generator: DataGenerator | NewSessions,
    folder: str | os.PathLike[str],
    summary: Mapping[str, Any],
    states_dir: str | os.PathLike[str] | None = None,
) -> list[Path]:
    """Draw each session's ethogram, and confusion, bouts and reliability of the frames held out.

    Classes are smoothed as `folder` says, as in the tables. Of several behaviours at once nothing
    is drawn. Arguments are those of `daart_fast.eval.summarise`, and (`summary`) what it returns.
    Returns the files.
    """
    if hparams.get("classifier_type") == "multibinary":
        return []
    folder, names = Path(folder), data_generator.label_names
    background, fps = background_of(hparams), hparams.get("fps")
    files = []
    stored = folder if states_dir is None else Path(states_dir)
    states = {name: np.load(stored / f"{name}_states.npy") for name in data_generator.ids}
    smooth = smoother_of(folder)
    classes = {name: smooth(own) for name, own in states.items()}
    for dataset in data_generator.datasets:
        name, known = dataset.id, dataset.session.labels_strong
        files.append(folder / f"{name}_ethogram.png")
        plot_ethogram(states[name], names, known, fps, background, files[-1], classes=classes[name])
    split = split_shown(summary["scores"])
    if split is None:
        return files
    found = {dataset.id: labels_on(dataset, split) for dataset in data_generator.datasets}
    labels = {name: own for name, own in found.items() if own is not None}
    counts = {
        name: (own >= 0) & (own != (-1 if background is None else background))
        for name, own in labels.items()
    }
    tracks = {
        "hand labels": [np.where(counts[name], own, -1) for name, own in labels.items()],
        "predicted": [np.where(counts[name], classes[name], -1) for name in labels],
    }
    matrix = summary["scores"][split]["confusion"]
    plot_confusion(matrix, names, background, folder / "confusion.png")
    plot_bout_lengths(tracks, names, background, fps, folder / "bout_lengths.png")
    plot_reliability(
        np.concatenate(list(labels.values())),
        np.concatenate([states[name] for name in labels]),
        background,
        folder / "reliability.png",
    )
    return [*files, *(folder / f"{n}.png" for n in ("confusion", "bout_lengths", "reliability"))]
