"""All pictures of a model's predictions, into its folder."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from daart_fast.config import with_defaults
from daart_fast.data.ignored import scored_labels
from daart_fast.eval.ethogram import plot_ethogram
from daart_fast.eval.figures import remove, write
from daart_fast.eval.pictures import plot_bout_lengths, plot_confusion, plot_reliability
from daart_fast.eval.selection import background_of, labels_on, smoother_of
from daart_fast.eval.splits import split_title
from daart_fast.eval.summary import SPLITS

if TYPE_CHECKING:
    from daart_fast.data import DataGenerator
    from daart_fast.eval.new_sessions import NewSessions

__all__ = ["draw_all", "split_shown"]

#: The pictures that belong to the scores of a split.
SCORED = ("confusion", "bout_lengths", "reliability")


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

    Classes are smoothed as `folder` says, as in the tables. Of several behaviours at once there is
    neither confusion nor reliability; of pieces of videos there are no lengths of bouts. A picture
    that an earlier call drew, and that does not belong to these scores, is removed.

    Parameters
    ----------
    hparams, data_generator, folder, states_dir
        as for `daart_fast.eval.summarise`; ``picture_format`` says as what to write
    summary
        what `daart_fast.eval.summarise` returned

    Returns
    -------
    list of Path
        the files
    """
    folder, names = Path(folder), data_generator.label_names
    settings = with_defaults(hparams)
    background = background_of(hparams, names)
    fps, formats = settings["fps"], settings["picture_format"]
    stored = folder if states_dir is None else Path(states_dir)
    states = {name: np.load(stored / f"{name}_states.npy") for name in data_generator.ids}
    smooth = smoother_of(folder, hparams)
    classes = {name: smooth(probabilities) for name, probabilities in states.items()}
    files = []
    for dataset in data_generator.datasets:
        figure = plot_ethogram(
            states[dataset.id], names, dataset.session.labels_strong, fps, background,
            classes=classes[dataset.id], title=dataset.id, splits=_splits_of(dataset),
            first_frame=dataset.session.first_frame,
        )  # fmt: skip
        files += write(figure, folder / f"{dataset.id}_ethogram", formats)
    split = split_shown(summary["scores"])
    figures: dict[str, Any] = {}
    if split is not None:
        found = {dataset.id: labels_on(dataset, split) for dataset in data_generator.datasets}
        tracks = {
            name: (labels, states[name], classes[name])
            for name, labels in found.items()
            if labels is not None
        }
        scores = summary["scores"][split]
        figures = _of_scores(scores, split, list(tracks.values()), names, background, fps)
    for name in SCORED:
        if name in figures:
            files += write(figures[name], folder / name, formats)
        else:
            remove(folder / name)
    return files


def _splits_of(dataset: Any) -> dict[str, np.ndarray]:
    """Return which of a session's frames each split of the training holds, by its title."""
    frames = {split: dataset.frames_of(split) for split in SPLITS}
    return {split_title(split, bool(held.all())): held for split, held in frames.items()}


def _of_scores(
    scores: Mapping[str, Any],
    split: str,
    tracks: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]],
    names: Sequence[str],
    background: int | None,
    fps: float | None,
) -> dict[str, Any]:
    """Draw what belongs to the scores of a split.

    Parameters
    ----------
    scores
        of the split
    split
        its name
    tracks
        labels, probabilities and classes of each of its sessions
    names, background, fps
        as for `plot_ethogram`
    """
    title = _title(scores, split, len(tracks))
    figures = {}
    if scores["whole_sessions"]:
        masked = [_counted_frames(labels, classes, background) for labels, _, classes in tracks]
        pairs = {
            "hand labels": [true for true, _ in masked],
            "predicted": [predicted for _, predicted in masked],
        }
        figures["bout_lengths"] = plot_bout_lengths(pairs, names, background, fps, title=title)
    else:
        logging.warning(
            f"bout_lengths: not drawn, as {split_title(split, False)} cut bouts where they end "
            f"(expt_ids_test holds whole sessions out)"
        )
    if "confusion" in scores:  # one behaviour at a time
        figures["confusion"] = plot_confusion(scores["confusion"], names, background, title=title)
        labels, probabilities = (np.concatenate([track[i] for track in tracks]) for i in (0, 1))
        figures["reliability"] = plot_reliability(labels, probabilities, background, title=title)
    return figures


def _title(scores: Mapping[str, Any], split: str, n_sessions: int) -> str:
    """Return which frames scores are of, how many, and of how many sessions."""
    whole = scores["whole_sessions"]
    sessions = f"{n_sessions} session{'s' * (n_sessions != 1)}"
    return f"{split_title(split, whole)}: {scores['frames']:,} frames of {sessions}"


def _counted_frames(
    labels: np.ndarray, classes: np.ndarray, background: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and classes of the frames that count; elsewhere -1, or 0 of each behaviour."""
    if labels.ndim == 2:
        known = ~np.isnan(scored_labels(labels, background))
        return np.where(known, labels, 0), np.where(known, classes, 0)
    counts = (labels >= 0) & (labels != (-1 if background is None else background))
    return np.where(counts, labels, -1), np.where(counts, classes, -1)
