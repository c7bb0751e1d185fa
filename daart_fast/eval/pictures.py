"""Pictures of scores: confusion, lengths of bouts, reliability, and what a search found."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from daart_fast.config import IDS, KEYS
from daart_fast.errors import DataError
from daart_fast.eval.colours import class_colours
from daart_fast.eval.metrics import counted
from daart_fast.eval.segments import bouts
from daart_fast.files import replacing

__all__ = [
    "plot_bout_lengths",
    "plot_confusion",
    "plot_reliability",
    "plot_search",
    "reliability",
]

PathLike = str | os.PathLike[str]

#: Lines of what is compared; markers, for a single point, that are told apart in one place.
STYLES = (("-", "o"), ("--", "x"), (":", "+"), ("-.", "s"))


def _figure(width: float, height: float) -> Any:
    """Return a figure that draws without a screen and leaves the user's pyplot alone."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _saved(figure: Any, save_file: PathLike | None) -> Any:
    if save_file is not None:
        with replacing(save_file) as temporary:
            figure.savefig(temporary, dpi=150)
    return figure


def plot_confusion(
    matrix: ArrayLike,
    label_names: Sequence[str],
    background: int | None = 0,
    save_file: PathLike | None = None,
) -> Any:
    """Draw a confusion matrix: each row's shares as shades, with the frames written in.

    Parameters
    ----------
    matrix
        (C, C) counts as `confusion_matrix` returns them: rows true, columns predicted
    label_names
        the C classes
    background
        the class that is not scored: it has no row, and a column only if it was predicted
    save_file
        where to write, with an extension that matplotlib knows

    Returns
    -------
    matplotlib.figure.Figure
    """
    counts = np.asarray(matrix)
    if counts.shape != (len(label_names),) * 2:
        raise DataError(f"expected counts of {len(label_names)} classes, got shape {counts.shape}")
    rows = [c for c in range(len(label_names)) if c != background]
    columns = [c for c in range(len(label_names)) if c != background or counts[:, c].any()]
    shown = counts[np.ix_(rows, columns)]
    shares = shown / np.maximum(shown.sum(1, keepdims=True), 1)
    figure = _figure(2.2 + 0.9 * len(columns), 1.4 + 0.7 * len(rows))
    panel = figure.subplots()
    panel.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for i, j in np.ndindex(shown.shape):
        colour = "white" if shares[i, j] > 0.6 else "black"
        text = f"{shares[i, j]:.2f}\n{shown[i, j]:,}"
        panel.text(j, i, text, ha="center", va="center", color=colour, fontsize=8)
    panel.set_xticks(
        range(len(columns)), [label_names[c] for c in columns], rotation=30, ha="right"
    )
    panel.set_yticks(range(len(rows)), [label_names[c] for c in rows])
    panel.set(xlabel="predicted", ylabel="true")
    return _saved(figure, save_file)


def plot_bout_lengths(
    classes: Mapping[str, Sequence[np.ndarray]],
    label_names: Sequence[str],
    background: int | None = 0,
    fps: float | None = None,
    save_file: PathLike | None = None,
) -> Any:
    """Draw how long the bouts of each class are, as cumulative distributions.

    Parameters
    ----------
    classes
        by what they are (``"hand labels"``, ``"predicted"``) the sessions' (T,) integers, negative
        where a frame does not count
    label_names, background, fps, save_file
        as for `plot_ethogram`
    """
    shown = [c for c in range(len(label_names)) if c != background]
    n_columns = min(len(shown), 3)
    n_rows = -(-len(shown) // n_columns) if shown else 1
    figure = _figure(3.2 * max(n_columns, 1), 2.6 * n_rows + 0.4)
    panels = figure.subplots(n_rows, max(n_columns, 1), squeeze=False).flat
    colours = class_colours(label_names, background)
    found = {
        name: np.concatenate([np.empty((0, 3), np.int64), *map(bouts, tracks)])
        for name, tracks in classes.items()
    }
    for panel, c in zip(panels, shown, strict=False):
        for (name, every), (style, marker) in zip(found.items(), STYLES, strict=False):
            own = every[every[:, 0] == c]
            lengths = np.sort((own[:, 2] - own[:, 1]) / float(fps or 1.0))
            if len(lengths):
                shares = np.arange(1, len(lengths) + 1) / len(lengths)
                panel.step(
                    lengths, shares, style, where="post", label=f"{name} ({len(lengths)})",
                    color=colours[c], fillstyle="none",
                    marker=marker if len(lengths) == 1 else None,  # one point makes no line
                )  # fmt: skip
        if panel.lines:
            panel.set_xscale("log")
            panel.legend(fontsize=7, frameon=False)
        panel.set(title=label_names[c], ylim=(0, 1.02))
        panel.set_xlabel("seconds" if fps else "frames")
        panel.spines[["top", "right"]].set_visible(False)
    for panel in figure.axes[len(shown) :]:
        panel.set_visible(False)
    figure.axes[0].set_ylabel("share of bouts up to this length")
    return _saved(figure, save_file)


def reliability(
    labels: ArrayLike, probabilities: ArrayLike, background: int | None = 0, n_bins: int = 10
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Compare how sure predictions are with how often they are right.

    Parameters
    ----------
    labels
        (T,) integers, negative where not labelled
    probabilities
        (T, C)
    background
        the class that is not scored
    n_bins
        of equal width, from 0 to 1

    Returns
    -------
    confidence, accuracy : (n_bins,) float64
        means over the frames whose highest probability lies in each bin, NaN for an empty bin
    frames : (n_bins,) int64
    error : float
        the expected calibration error: their difference, weighed by the frames (Guo et al. 2017,
        On calibration of modern neural networks); NaN where no frame counts
    """
    states = np.asarray(probabilities, dtype=np.float64)
    true, pred, counts = counted(labels, states.argmax(1), background)
    sure, right = states.max(1)[counts], (true == pred)[counts]
    place = np.minimum((sure * n_bins).astype(int), n_bins - 1)
    frames = np.bincount(place, minlength=n_bins)
    with np.errstate(invalid="ignore"):
        confidence = np.bincount(place, sure, n_bins) / frames
        accuracy = np.bincount(place, right, n_bins) / frames
    gaps = np.abs(np.nan_to_num(confidence - accuracy))
    error = float(np.average(gaps, weights=frames)) if frames.any() else float("nan")
    return confidence, accuracy, frames, error


def plot_reliability(
    labels: ArrayLike,
    probabilities: ArrayLike,
    background: int | None = 0,
    save_file: PathLike | None = None,
) -> Any:
    """Draw `reliability`: on the diagonal, predictions are right as often as they are sure."""
    confidence, accuracy, frames, error = reliability(labels, probabilities, background)
    figure = _figure(3.6, 4.0)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    top.plot([0, 1], [0, 1], color="#999999", linewidth=1)
    known = frames > 0
    top.plot(confidence[known], accuracy[known], "o-", color="#332288")
    top.set(ylabel="share that is right", xlim=(0, 1), ylim=(0, 1))
    title = "nothing to score" if np.isnan(error) else f"expected calibration error {error:.3f}"
    top.set_title(title, fontsize=9)
    bottom.bar(np.arange(len(frames)) / len(frames), frames, 1 / len(frames), align="edge")
    bottom.set(xlabel="probability of the likeliest class", ylabel="frames")
    for panel in (top, bottom):
        panel.spines[["top", "right"]].set_visible(False)
    return _saved(figure, save_file)


def plot_search(model_dirs: Sequence[PathLike], save_file: PathLike | None = None) -> Any:
    """Draw the score of each model of a search against each setting that differs among them.

    The score is macro-F1 on the validation frames, from each directory's ``summary.json``;
    directories without one are left out.

    Raises
    ------
    DataError
        no directory has a summary with a score
    """
    from daart_fast.io import load_plain_yaml

    models = []
    for folder in map(Path, model_dirs):
        if (folder / "summary.json").is_file():
            summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
            score = summary["scores"].get("val", {}).get("macro_f1")
            hparams = load_plain_yaml((folder / "hparams.yaml").read_text(encoding="utf-8"))
            if score is not None:
                models.append((hparams, float(score)))
    if not models:
        raise DataError(
            "expected model directories with a summary.json that has a score of validation frames, "
            f"found none among {len(model_dirs)}; daart-fast evaluate writes it"
        )
    settings = [hparams for hparams, _ in models]
    scores = np.array([score for _, score in models])
    varied = [name for name in KEYS if _varies(name, settings)] or ["tt_experiment_name"]
    n_columns = min(len(varied), 4)
    n_rows = -(-len(varied) // n_columns)
    figure = _figure(2.8 * n_columns + 0.6, 2.6 * n_rows + 0.3)
    panels = figure.subplots(n_rows, n_columns, squeeze=False, sharey=True)
    for panel, name in zip(panels.flat, varied, strict=False):
        values = [str(hparams.get(name, KEYS[name].default)) for hparams in settings]
        ticks = sorted(set(values), key=_in_order)
        panel.plot(
            [ticks.index(value) for value in values], scores, "o", color="#332288", alpha=0.7
        )
        panel.set_xticks(range(len(ticks)), ticks)
        panel.set(xlabel=name, xlim=(-0.5, len(ticks) - 0.5))
        panel.spines[["top", "right"]].set_visible(False)
    for panel in panels.flat[len(varied) :]:
        panel.set_visible(False)
    for panel in panels[:, 0]:
        panel.set_ylabel("macro-F1 (validation)")
    return _saved(figure, save_file)


def _varies(name: str, settings: Sequence[Mapping[str, Any]]) -> bool:
    key = KEYS[name]
    values = {str(hparams.get(name, key.default)) for hparams in settings}
    return len(values) > 1 and key.kind is not IDS and not key.neutral


def _in_order(text: str) -> tuple[float, str]:
    """Numbers by their size, then text."""
    try:
        return float(text), text
    except ValueError:
        return float("inf"), text
