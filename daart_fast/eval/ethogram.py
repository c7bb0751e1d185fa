"""A picture of who did what when: a strip for each class, with truth, prediction, probability."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from daart_fast.data.ignored import scored_labels
from daart_fast.errors import DataError
from daart_fast.eval.colours import class_colours
from daart_fast.eval.figures import (
    ACCENT,
    INK,
    PAGE,
    UNSCORED,
    drawing,
    legend_below,
    save,
    shortened,
    time_axis,
)

__all__ = ["plot_ethogram"]

#: Of the splits, in their order: trained on, validation, held out, new.
SPLIT_COLOURS = ("#999999", "#8FC3E8", ACCENT, ACCENT)
HAND_LABELS, NOT_SCORED = "hand labels", "not scored"
PREDICTED, PROBABILITY = "predicted", "probability"
#: Where in a class's strip, from 0 at its top to 1, each of them lies.
BANDS = {
    HAND_LABELS: (0.08, 0.33),
    NOT_SCORED: (0.08, 0.33),
    PREDICTED: (0.37, 0.62),
    PROBABILITY: (0.66, 0.92),
}
WITHOUT_LABELS = {PREDICTED: (0.08, 0.45), PROBABILITY: (0.5, 0.92)}
#: How opaque a probability is.
LIGHT = 0.5
#: A probability is drawn as its mean over so many spans at most, more than can be seen.
MOST_POINTS = 2000


def plot_ethogram(
    probabilities: ArrayLike,
    label_names: Sequence[str],
    labels: ArrayLike | None = None,
    fps: float | None = None,
    background: int | None = 0,
    save_file: str | os.PathLike[str] | None = None,
    classes: ArrayLike | None = None,
    title: str = "",
    splits: Mapping[str, np.ndarray] | None = None,
    first_frame: int = 0,
) -> Any:
    """Draw when each class is there by hand label and prediction, and how probable it is.

    Each class has a strip, so that a session of hours can be read. A bout that is narrower than a
    hair line is drawn as one.

    Parameters
    ----------
    probabilities
        (T, C), as in ``<sess_id>_states.npy``.
    label_names
        The C classes.
    labels
        (T,) integers, the true classes; negative or `background` where not scored, which is
        hatched. Multibinary: (T, C) of 0 and 1, NaN where not scored; all of a frame is hatched
        where `background` is 1.
    fps
        Frames a second: the axis then shows time.
    background
        The class that means 'not scored'.
    save_file
        Where to write, with an extension that matplotlib knows.
    classes
        (T,) integers, the predicted classes, as a `Smoother` returns them, or multibinary (T, C)
        of 0 and 1; None: the likeliest class of each frame.
    title
        Such as the session's name.
    splits
        By what they are called (``"frames trained on"``) which frames training had for training,
        validation and test, and which are new: (T,) bool in this order. They are drawn above.
    first_frame
        The number of the first frame in the file of inputs.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    DataError
        The lengths or the number of classes differ.
    """
    states = np.asarray(probabilities)
    if states.ndim != 2 or states.shape[1] != len(label_names):
        raise DataError(
            f"expected probabilities of shape (frames, {len(label_names)}), got {states.shape}"
        )
    given = states.argmax(1) if classes is None else np.asarray(classes)
    tracks = {PREDICTED: _by_class(given, states.shape, "classes")}
    if labels is not None:
        labels = np.asarray(labels)
        true = _by_class(labels, states.shape, "labels")
        if labels.ndim == 2:
            unscored = np.isnan(scored_labels(labels, background)).T
        else:
            unscored = (labels < 0) | (labels == background)
        tracks[NOT_SCORED] = np.broadcast_to(unscored, true.shape)
        tracks[HAND_LABELS] = true & ~unscored
    shown = [c for c in range(len(label_names)) if c != background]
    colours = class_colours(label_names, background)
    used = {
        name: (frames, colour)
        for (name, frames), colour in zip((splits or {}).items(), SPLIT_COLOURS, strict=False)
        if np.any(frames)
    }
    heights = [3.0] * bool(used) + [len(shown) * min(10.0, max(6.5, 70.0 / max(len(shown), 1)))]
    with drawing(PAGE, sum(heights) + 14) as figure:
        panels = figure.subplots(len(heights), sharex=True, height_ratios=heights, squeeze=False)
        *above, panel = panels.flat
        scale = 1.0 / (fps or 1.0)
        for top in above:
            _draw_splits(top, used, scale)
        _prepare(panel, [label_names[c] for c in shown])
        for row, c in enumerate(shown):
            strip = {kind: track[c] for kind, track in tracks.items()}
            _draw_strip(panel, row, strip, colours[c], scale, label_names[c])
            _draw_probability(panel, row, states[:, c], colours[c], scale, labels is not None)
        time_axis(panel, len(states), fps, first_frame)
        figure.axes[0].set_title(shortened([title], 90)[0], loc="left")
        kinds = [kind for kind in BANDS if kind in tracks and tracks[kind].any()]
        _explain(figure, kinds, [colours[c] for c in shown[:3]], used)
        return save(figure, save_file)


def _by_class(values: np.ndarray, shape: tuple[int, int], what: str) -> np.ndarray:
    """Return (C, T) bool: where each class is."""
    n_frames, n_classes = shape
    if values.shape == shape:
        return values.T == 1
    if values.shape != (n_frames,):
        raise DataError(f"expected {n_frames} {what}, one for each frame, got {values.shape}")
    return np.arange(n_classes)[:, None] == values


def _prepare(panel: Any, names: Sequence[str]) -> None:
    """Lay out a strip for each class, the first one on top."""
    panel.set_ylim(max(len(names), 1), 0)
    panel.set_yticks(np.arange(len(names)) + 0.5, shortened(names, 24))
    panel.tick_params("y", length=0)
    for row in range(1, len(names)):
        panel.axhline(row, color="#DDDDDD", linewidth=0.4)


def _draw_splits(panel: Any, splits: Mapping[str, tuple[np.ndarray, str]], scale: float) -> None:
    panel.set_axis_off()
    panel.set_ylim(0, 1)
    for name, (frames, colour) in splits.items():
        bars = panel.broken_barh(_spans(frames, scale), (0, 1), color=colour, linewidth=0)
        bars.set_gid(name)


def _draw_strip(
    panel: Any, row: int, tracks: Mapping[str, np.ndarray], colour: str, scale: float, name: str
) -> None:
    """Draw each run of frames as a bar, of hand labels and of predictions."""
    bands = BANDS if HAND_LABELS in tracks else WITHOUT_LABELS
    for kind, frames in tracks.items():
        top, bottom = bands[kind]
        spans, band = _spans(frames, scale), (row + top, bottom - top)
        style = _style_of(kind, colour)
        panel.broken_barh(spans, band, linewidth=0.25, **style).set_gid(f"{kind} {name}")


def _style_of(kind: str, colour: str) -> dict[str, Any]:
    if kind == NOT_SCORED:
        return {"facecolor": "#F2F2F2", "edgecolor": UNSCORED, "hatch": "//////"}
    return {"color": INK if kind == HAND_LABELS else colour}


def _spans(frames: np.ndarray, scale: float) -> list[tuple[float, float]]:
    """Return where each run of frames begins and how long it is."""
    edges = np.flatnonzero(np.diff(frames, prepend=False, append=False))
    starts, stops = edges[::2] * scale, edges[1::2] * scale
    return list(zip(starts.tolist(), (stops - starts).tolist(), strict=True))


def _draw_probability(
    panel: Any, row: int, probability: np.ndarray, colour: str, scale: float, labelled: bool
) -> None:
    """Draw a probability as an area: its mean over spans that are too short to be seen."""
    top, bottom = (BANDS if labelled else WITHOUT_LABELS)[PROBABILITY]
    n = len(probability)
    edges = np.linspace(0, n, min(n, MOST_POINTS) + 1).astype(int)
    sums = np.add.reduceat(probability.astype(float), edges[:-1]) if n else np.empty(0)
    heights = row + bottom - (bottom - top) * sums / np.diff(edges)
    panel.stairs(
        heights, edges * scale, baseline=row + bottom, fill=True, color=colour, alpha=LIGHT
    )


def _explain(
    figure: Any,
    kinds: Sequence[str],
    colours: Sequence[str],
    splits: Mapping[str, tuple[np.ndarray, str]],
) -> None:
    """Say below the picture what the bars are."""
    from matplotlib.legend_handler import HandlerTuple
    from matplotlib.patches import Patch

    handles: dict[str, Any] = {}
    for kind in kinds:
        if kind == PREDICTED:
            handles[kind] = tuple(Patch(color=colour) for colour in colours)
        else:
            handles[kind] = Patch(linewidth=0.25, **_style_of(kind, INK))
    handles[PROBABILITY] = tuple(
        Patch(color=colour, alpha=LIGHT, linewidth=0) for colour in colours
    )
    handles |= {name: Patch(color=colour) for name, (_, colour) in splits.items()}
    handler = {tuple: HandlerTuple(ndivide=None, pad=0)}
    legend_below(figure, list(handles.values()), list(handles), handler_map=handler)
