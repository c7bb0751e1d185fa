"""Which smoothing suits a model: learned from its training labels, chosen on validation frames."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from daart_fast.config import with_defaults
from daart_fast.data.ignored import ignored_class, scored_labels
from daart_fast.errors import ConfigError
from daart_fast.eval.metrics import macro_f1
from daart_fast.eval.scores import behaviour_labels
from daart_fast.eval.segments import f1_of, segment_counts
from daart_fast.eval.smoothing import METHODS, Smoother, learn_durations, learn_transitions

if TYPE_CHECKING:
    from daart_fast.data import DataGenerator
    from daart_fast.eval.new_sessions import NewSessions

__all__ = ["SMOOTHER_FILE", "background_of", "choose_smoother", "labels_on", "smoother_of"]

#: Where a model's directory keeps how its predictions are smoothed.
SMOOTHER_FILE = "smoothing.json"

#: What is tried where the config leaves it open: lengths in seconds, or in frames without fps.
SECONDS = (0.1, 0.2, 0.4, 0.8, 1.6)
FRAMES = (3, 7, 15, 31, 61)
STRENGTHS = (1.0, 0.3, 0.1, 0.03)


def background_of(hparams: Mapping[str, Any], label_names: Sequence[str]) -> int | None:
    """Return the class that neither loss nor scores count; None where every labelled frame does."""
    ignored = ignored_class({**hparams, "label_names": label_names})
    return ignored if ignored >= 0 else None


def smoother_of(
    model_dir: str | os.PathLike[str] | None, hparams: Mapping[str, Any] | None = None
) -> Smoother:
    """Return how a model directory's predictions are smoothed; not at all where it doesn't say.

    Of a model's hparams, which are needed where it may not say, it is taken whether several
    behaviours occur at once.
    """
    path = None if model_dir is None else Path(model_dir) / SMOOTHER_FILE
    if path is not None and path.is_file():
        return Smoother.load(path)
    settings = with_defaults(hparams or {})
    if settings["smoothing"] is not None:
        logging.warning(
            f"{path}: no such file; expected it where smoothing is {settings['smoothing']!r}: "
            f"predictions are not smoothed ('daart-fast evaluate' makes the file)"
        )
    return Smoother(multibinary=settings["classifier_type"] == "multibinary")


def choose_smoother(
    hparams: Mapping[str, Any],
    data_generator: DataGenerator | NewSessions,
    states: Mapping[str, np.ndarray],
) -> Smoother:
    """Make the smoother that hparams ask for.

    Transitions and durations are learned from the hand labels of training frames. Where the
    method (``smoothing: auto``), a length or a strength is left open, that with the best score on
    the validation frames is taken: the mean of macro-F1 and of F1 over bouts at an intersection
    over union of 0.25. No smoothing is among what ``auto`` tries; of equals the first is taken.
    Where there are no hand labels to learn from, or to choose by, a warning says so.

    Parameters
    ----------
    hparams
        ``smoothing``, ``smoothing_seconds``, ``smoothing_frames``, ``smoothing_strength``, ``fps``,
        ``ignore_class``, ``weight_classes``, ``classifier_type``.
    data_generator
        What the model was trained with.
    states
        (T, C) probabilities by session.
    """
    settings = with_defaults(hparams)
    candidates = list(_candidates(settings, data_generator))
    if len(candidates) == 1:
        return candidates[0]
    background = background_of(settings, data_generator.label_names)
    scores = [_score(one, data_generator, states, background) for one in candidates]
    chosen = candidates[int(np.argmax(np.nan_to_num(scores, nan=-1.0)))]
    if np.isnan(scores).all():
        logging.warning(
            f"no validation frame has a hand label to choose 'smoothing' {settings['smoothing']} "
            f"by: the first of what is tried is taken, {chosen.method or 'none'} (n_frames "
            f"{chosen.n_frames}, strength {chosen.strength})"
        )
    return chosen


def _candidates(
    settings: Mapping[str, Any], generator: DataGenerator | NewSessions
) -> Iterator[Smoother]:
    several = settings["classifier_type"] == "multibinary"
    wanted = settings["smoothing"]
    methods: tuple[str, ...] = () if wanted is None else (wanted,)
    if wanted == "auto":
        methods = METHODS[:2] if several else METHODS
    if wanted in (None, "auto"):
        yield Smoother(multibinary=several)
    for method in methods:
        if method in ("bouts", "median"):
            for n_frames in _lengths(settings):
                yield Smoother(method, n_frames, multibinary=several)
        elif (learned := _learned(settings, generator)) is None:
            logging.warning(
                f"'smoothing' {method} learns from the hand labels of training frames, and there "
                f"are none: predictions are left as they are"
            )
            yield Smoother(multibinary=several)
        else:
            given = settings["smoothing_strength"]
            for strength in STRENGTHS if given is None else (given,):
                yield Smoother(method, strength=strength, **learned)


def _lengths(settings: Mapping[str, Any]) -> list[int]:
    """Return what lengths to try, in frames."""
    if settings["smoothing_frames"]:
        return [int(settings["smoothing_frames"])]
    if settings["smoothing_seconds"]:
        if not settings["fps"]:
            raise ConfigError("'fps' is missing: 'smoothing_seconds' is in seconds")
        return [max(1, round(settings["smoothing_seconds"] * settings["fps"]))]
    if settings["fps"]:
        return sorted({max(1, round(seconds * settings["fps"])) for seconds in SECONDS})
    return list(FRAMES)


def _learned(
    settings: Mapping[str, Any], generator: DataGenerator | NewSessions
) -> dict[str, Any] | None:
    """Return transitions, durations and class shares of the training labels; None without any."""
    n_classes = len(generator.label_names)
    found = (labels_on(dataset, "train") for dataset in generator.datasets)
    tracks = [track for track in found if track is not None]
    counts = np.zeros(n_classes)
    for track in tracks:
        counts += np.bincount(track[track >= 0], minlength=n_classes)
    if (background := background_of(settings, generator.label_names)) is not None:
        counts[background] = 0
    if not counts.any():
        return None
    if settings["weight_classes"]:  # training saw each class as often as the others
        counts = (counts > 0).astype(float)
    return {
        "prior": (counts / counts.sum()).tolist(),
        "transitions": learn_transitions(tracks, n_classes).tolist(),
        "durations": learn_durations(tracks, n_classes).tolist(),
    }


def labels_on(dataset: Any, split: str) -> np.ndarray | None:
    """Return hand labels (T,), -100 outside of a split; multibinary (T, C), NaN outside."""
    labels, frames = dataset.session.labels_strong, dataset.frames_of(split)
    if labels is None or not frames.any():
        return None
    if labels.ndim == 2:
        return np.where(frames[:, None], labels, np.nan)
    return np.where(frames, labels, -100)


def _score(
    smoother: Smoother,
    generator: DataGenerator | NewSessions,
    states: Mapping[str, np.ndarray],
    background: int | None,
) -> float:
    """Mean of macro-F1 and of bouts' F1 on the validation frames.

    Of several behaviours the mean over them; that one is absent then is a class as well.
    """
    true, pred = [], []
    for dataset in generator.datasets:
        labels = labels_on(dataset, "val")
        if labels is not None:
            true.append(labels)
            pred.append(smoother(states[dataset.id]))
    if not true:
        return float("nan")
    if true[0].ndim == 2:
        true = [scored_labels(labels, background) for labels in true]
        columns = [c for c in range(true[0].shape[1]) if c != background]
        pairs = [
            ([behaviour_labels(t[:, c]) for t in true], [p[:, c] for p in pred]) for c in columns
        ]
        return float(np.nanmean([_score_of(t, p, None, 2) for t, p in pairs]))
    return _score_of(true, pred, background, len(generator.label_names))


def _score_of(true: list, pred: list, background: int | None, n_classes: int) -> float:
    counts = sum(
        segment_counts(t, p, 0.25, background, n_classes) for t, p in zip(true, pred, strict=True)
    )
    n_scored = n_classes - (background is not None)
    frames = macro_f1(np.concatenate(true), np.concatenate(pred), background, n_scored)
    return 0.5 * (frames + f1_of(np.asarray(counts).sum(0)))
