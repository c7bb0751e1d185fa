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
from daart_fast.eval.figures import (
    ACCENT,
    COLUMN,
    FONT,
    INK,
    PAGE,
    drawing,
    heading,
    legend_below,
    save,
    shortened,
)
from daart_fast.eval.metrics import counted
from daart_fast.eval.segments import bouts
from daart_fast.experiment.stored import load_plain_yaml

__all__ = [
    "plot_bout_lengths",
    "plot_confusion",
    "plot_reliability",
    "plot_search",
    "plot_settings",
    "reliability",
]

PathLike = str | os.PathLike[str]

#: Lines of what is compared; markers, for a single point, that can be seen in one place.
STYLES: tuple[tuple[Any, str], ...] = (("-", "o"), ("--", "x"), (":", "+"), ("-.", "s"))

#: A bin of reliability with a smaller share of the frames is marked.
FEW_FRAMES = 0.01


def plot_confusion(
    matrix: ArrayLike,
    label_names: Sequence[str],
    background: int | None = 0,
    save_file: PathLike | None = None,
    title: str = "",
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
    title
        which frames the counts are of

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
    names = shortened(label_names, 20)
    most = max(len(columns), 1)
    width = COLUMN if most <= 4 else min(PAGE, 45 + 14.0 * most)
    cell = min(14.0, (width - 45) / most)  # millimetres
    with drawing(width, 42 + min(cell, 9.0) * len(rows)) as figure:
        panel = figure.subplots()
        image = panel.imshow(shares, cmap=_shades(), vmin=0, vmax=1, aspect="auto")
        _write_cells(panel, shown, shares, min(FONT, 0.45 * cell))
        panel.set_xticks(range(len(columns)), [names[c] for c in columns])
        _slant(panel, 30 if cell > 8 else 90)
        panel.set_yticks(range(len(rows)), [names[c] for c in rows])
        panel.tick_params(length=0)
        panel.set(xlabel="predicted", ylabel="hand label")
        heading(figure, title)
        figure.colorbar(image, label="share of the row's frames", shrink=0.9, aspect=25)
        return save(figure, save_file)


def _slant(panel: Any, degrees: float) -> None:
    """Turn the names below a panel, each ending at its tick."""
    for name in panel.get_xticklabels():
        name.set(rotation=degrees, rotation_mode="anchor", ha="right", va="center")


def _shades() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("shares", ["white", ACCENT])


def _write_cells(panel: Any, counts: np.ndarray, shares: np.ndarray, size: float) -> None:
    """Write share and count into each cell, as long as the text can be read."""
    if size < 3:
        return
    for i, j in np.ndindex(counts.shape):
        colour = "white" if shares[i, j] > 0.6 else "black"
        text = f"{shares[i, j]:.2f}\n{counts[i, j]:,}"
        panel.text(j, i, text, ha="center", va="center", color=colour, fontsize=size)


def plot_bout_lengths(
    classes: Mapping[str, Sequence[np.ndarray]],
    label_names: Sequence[str],
    background: int | None = 0,
    fps: float | None = None,
    save_file: PathLike | None = None,
    title: str = "",
) -> Any:
    """Draw how long the bouts of each class are, as cumulative distributions.

    Only whole sessions have bouts: those of pieces are cut where the pieces end.

    Parameters
    ----------
    classes
        by what they are (``"hand labels"``, ``"predicted"``) the sessions' (T,) integers, negative
        where a frame does not count; multibinary (T, C) of 0 and 1
    label_names, background, fps, save_file
        as for `plot_ethogram`
    title
        which sessions the bouts are of

    Returns
    -------
    matplotlib.figure.Figure
    """
    shown = [c for c in range(len(label_names)) if c != background]
    n_columns = max(min(len(shown), 3), 1)
    n_rows = max(-(-len(shown) // n_columns), 1)
    colours = class_colours(label_names, background)
    names = shortened(label_names, 30)
    lengths = {
        c: {name: _lengths(tracks, c, fps) for name, tracks in classes.items()} for c in shown
    }
    every = np.concatenate(
        [[], *(found for by_name in lengths.values() for found in by_name.values())]
    )
    with drawing(COLUMN if n_columns == 1 else PAGE, 10 + 48 * n_rows) as figure:
        panels = figure.subplots(n_rows, n_columns, squeeze=False, sharey=True)
        for panel, c in zip(panels.flat, shown, strict=False):
            _draw_lengths(panel, lengths[c], colours[c])
            numbers = ", ".join(f"{name} {len(found):,}" for name, found in lengths[c].items())
            panel.set_title(f"{names[c]}\nbouts: {numbers}")
            panel.set_xlabel("length of a bout (s)" if fps else "length of a bout (frames)")
            _logarithmic(panel, every)
        for panel in panels.flat[len(shown) :]:
            panel.set_visible(False)
        for panel in panels[:, 0]:
            panel.set(ylabel="share of bouts up to it", ylim=(0, 1.02))
        heading(figure, title)
        _explain_lines(figure, list(classes))
        return save(figure, save_file)


def _lengths(tracks: Sequence[np.ndarray], c: int, fps: float | None) -> np.ndarray:
    """Return how long a class's bouts are, sorted."""
    frames: list[int] = []
    for track in tracks:
        found = bouts(track if track.ndim == 1 else np.where(track[:, c] == 1, c, -1))
        frames += (found[:, 2] - found[:, 1])[found[:, 0] == c].tolist()
    return np.sort(frames) / float(fps or 1.0)


def _draw_lengths(panel: Any, lengths: Mapping[str, np.ndarray], colour: str) -> None:
    colours = (INK, *[colour] * (len(STYLES) - 1))
    for found, (style, marker), ink in zip(lengths.values(), STYLES, colours, strict=False):
        if len(found):
            shares = np.arange(1, len(found) + 1) / len(found)
            panel.step(
                found, shares, style, where="post", color=ink, fillstyle="none",
                marker=marker if len(found) == 1 else None,  # one point makes no line
            )  # fmt: skip


def _logarithmic(panel: Any, lengths: np.ndarray) -> None:
    """Make x logarithmic from the shortest to the longest of all bouts, with plain numbers."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    if not len(lengths):
        return
    first, last = lengths.min() / 1.2, lengths.max() * 1.2
    panel.set(xscale="log", xlim=(first, last))
    panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if last < 1000 * first else (1,)))
    panel.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    panel.xaxis.set_minor_formatter(NullFormatter())


def _explain_lines(figure: Any, names: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    colours = (INK, *["#777777"] * 3)
    handles = [
        Line2D([], [], color=colour, linestyle=style)
        for (style, _), colour, _ in zip(STYLES, colours, names, strict=False)
    ]
    if names:
        legend_below(figure, handles, names)


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
    bins = np.minimum((sure * n_bins).astype(int), n_bins - 1)
    frames = np.bincount(bins, minlength=n_bins)
    with np.errstate(invalid="ignore"):
        confidence = np.bincount(bins, sure, n_bins) / frames
        accuracy = np.bincount(bins, right, n_bins) / frames
    gaps = np.abs(np.nan_to_num(confidence - accuracy))
    error = float(np.average(gaps, weights=frames)) if frames.any() else float("nan")
    return confidence, accuracy, frames, error


def plot_reliability(
    labels: ArrayLike,
    probabilities: ArrayLike,
    background: int | None = 0,
    save_file: PathLike | None = None,
    title: str = "",
) -> Any:
    """Draw `reliability`: on the diagonal, predictions are right as often as they are sure.

    Whiskers are Wilson's 95% intervals. They take frames as independent of one another, which
    neighbouring frames are not: the truth is less certain than they say. A bin that holds under 1%
    of the frames is hollow.

    Parameters
    ----------
    labels, probabilities, background
        as for `reliability`
    save_file
        where to write, with an extension that matplotlib knows
    title
        which frames they are

    Returns
    -------
    matplotlib.figure.Figure
    """
    confidence, accuracy, frames, error = reliability(labels, probabilities, background)
    with drawing(COLUMN, 92) as figure:
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        top.plot([0, 1], [0, 1], color="#999999", label="as often right as sure")
        few = frames < FEW_FRAMES * frames.sum()
        for chosen, face, name in (
            (~few, ACCENT, "a bin of frames, 95% interval"),
            (few, "white", "under 1% of the frames"),
        ):
            chosen &= frames > 0
            if chosen.any():
                low, high = _wilson(accuracy[chosen], frames[chosen])
                top.errorbar(
                    confidence[chosen], accuracy[chosen],
                    [accuracy[chosen] - low, high - accuracy[chosen]],
                    fmt="o", color=ACCENT, markerfacecolor=face, elinewidth=0.8, label=name,
                )  # fmt: skip
        top.set(ylabel="share that is right", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        nothing = np.isnan(error)
        top.set_title("nothing to score" if nothing else f"expected calibration error {error:.3f}")
        bottom.bar(
            np.arange(len(frames)) / len(frames), frames, 1 / len(frames), align="edge",
            color=ACCENT, edgecolor="white", linewidth=0.4,
        )  # fmt: skip
        bottom.yaxis.set_major_formatter("{x:,.0f}")
        bottom.set_ylim(0, max(1, 1.05 * frames.max()))
        bottom.set(xlabel="probability of the likeliest class", ylabel="frames")
        heading(figure, title)
        legend_below(figure, *top.get_legend_handles_labels())
        return save(figure, save_file)


def _wilson(shares: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the 95% intervals of shares of n (Wilson 1927)."""
    z = 1.959964
    centre = (shares + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(shares * (1 - shares) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return np.minimum(centre - half, shares), np.maximum(centre + half, shares)


def plot_search(model_dirs: Sequence[PathLike], save_file: PathLike | None = None) -> Any:
    """Draw the score of each model of a search against each setting that differs among them.

    The score is macro-F1 on the validation frames, from each directory's ``summary.json``;
    directories without one are left out.

    Raises
    ------
    DataError
        no directory has a summary with a score
    """

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
    varied = [name for name in KEYS if _varies(name, [hparams for hparams, _ in models])]
    settings = [
        {name: hparams.get(name, KEYS[name].default) for name in varied or ["tt_experiment_name"]}
        for hparams, _ in models
    ]
    return plot_settings(settings, [score for _, score in models], "val_f1", save_file)


#: What the axis of a score is called.
SCORE_TITLES = {
    "val_f1": "macro-F1 (validation)",
    "val_loss": "loss (validation)",
    "test_f1": "macro-F1 (sessions held out)",
    "test_loss": "loss (sessions held out)",
}


def plot_settings(
    settings: Sequence[Mapping[str, Any]],
    scores: Sequence[float],
    score: str,
    save_file: PathLike | None = None,
) -> Any:
    """Draw a score against each setting: a dot for each model, and means with their spread.

    Parameters
    ----------
    settings
        of each model, with the same keys
    scores
        of each model
    score
        its name: ``val_f1``, ``val_loss``, ``test_f1`` or ``test_loss``
    save_file
        where to write, with an extension that matplotlib knows

    Returns
    -------
    matplotlib.figure.Figure
    """
    names = list(settings[0])
    n_columns = min(len(names), 3)
    n_rows = -(-len(names) // n_columns)
    with drawing(COLUMN if n_columns == 1 else PAGE, 8 + 55 * n_rows) as figure:
        panels = figure.subplots(n_rows, n_columns, squeeze=False, sharey=True)
        for panel, name in zip(panels.flat, names, strict=False):
            _draw_setting(panel, [str(one[name]) for one in settings], np.asarray(scores))
            panel.set_xlabel(READABLE.get(name, name.removeprefix("search_")))
        for panel in panels.flat[len(names) :]:
            panel.set_visible(False)
        for panel in panels[:, 0]:
            panel.set_ylabel(SCORE_TITLES.get(score, score))
        explained = {
            label: handle
            for panel in panels.flat
            for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
        }
        legend_below(figure, list(explained.values()), list(explained))
        return save(figure, save_file)


#: What a key is called below its panel, where its own name would not do.
READABLE = {"search_fold": "fold of sessions held out", "tt_experiment_name": "experiment"}


def _draw_setting(panel: Any, values: Sequence[str], scores: np.ndarray) -> None:
    """Draw dots over each value, side by side, with mean and standard deviation beside them."""
    ticks = sorted(set(values), key=_in_order)
    for x, tick in enumerate(ticks):
        group = scores[[value == tick for value in values]]
        places = x + 0.3 * (np.arange(len(group)) + 0.5) / len(group) - 0.2
        panel.plot(places, group, "o", color=ACCENT, alpha=0.6, label="one model")
        if len(group) > 1:
            panel.errorbar(
                x + 0.2, group.mean(), group.std(ddof=1), fmt="_", color=INK, capsize=2,
                markersize=6, elinewidth=0.8, label="mean and standard deviation",
            )  # fmt: skip
    names = shortened(ticks, 20)
    panel.set_xticks(range(len(names)), names)
    if sum(map(len, names)) > 40:
        _slant(panel, 30)
    panel.set_xlim(-0.5, len(ticks) - 0.5)


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
