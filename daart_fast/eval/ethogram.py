"""A picture of who did what when: predicted behaviour, and the truth above it where it is known."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from daart_fast.errors import DataError
from daart_fast.eval.colours import class_colours
from daart_fast.files import replacing

__all__ = ["plot_ethogram"]


def plot_ethogram(
    probabilities: ArrayLike,
    label_names: Sequence[str],
    labels: ArrayLike | None = None,
    fps: float | None = None,
    background: int | None = 0,
    save_file: str | os.PathLike[str] | None = None,
    classes: ArrayLike | None = None,
) -> Any:
    """Draw the probabilities of each class over time, the predicted class, and the truth.

    Parameters
    ----------
    probabilities
        (T, C), as in ``<sess_id>_states.npy``.
    label_names
        The C classes.
    labels
        (T,) integers, the true classes; negative or `background` where not scored, which stays
        blank.
    fps
        Frames a second: the axis then shows seconds.
    background
        The class that means 'not scored'.
    save_file
        Where to write, with an extension that matplotlib knows.
    classes
        (T,) integers, the predicted classes, as a `Smoother` returns them of one behaviour a
        frame; None: the likeliest class of each frame.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    DataError
        The lengths or the number of classes differ.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    states = np.asarray(probabilities)
    if states.ndim != 2 or states.shape[1] != len(label_names):
        raise DataError(
            f"expected probabilities of shape (frames, {len(label_names)}), got {states.shape}"
        )
    rows = {}
    if labels is not None:
        true = _one_a_frame(labels, len(states), "labels")
        rows["hand labels"] = np.where(true == background, -1, true)
    given = states.argmax(1) if classes is None else classes
    rows["predicted"] = _one_a_frame(given, len(states), "classes")

    figure = Figure(figsize=(10.0, 1.6 + 0.5 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)  # draws without a screen, and leaves the user's pyplot alone
    heights = [0.35] * len(rows) + [1.0]
    *strips, bottom = figure.subplots(len(rows) + 1, 1, sharex=True, height_ratios=heights)
    colours = class_colours(label_names, background)
    unit = fps or 1.0
    for panel, (title, row) in zip(strips, rows.items(), strict=True):
        _draw_bouts(panel, row, colours, unit)
        panel.set_ylabel(title, rotation=0, ha="right", va="center")
    shown = [i for i in range(len(label_names)) if i != background]
    time = np.arange(len(states)) / unit
    for i in shown:
        bottom.plot(time, states[:, i], color=colours[i], linewidth=1, label=label_names[i])
    bottom.set(ylabel="probability", ylim=(0, 1), xlim=(0, len(states) / unit))
    bottom.set_xlabel("seconds" if fps else "frame")
    bottom.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=min(len(shown), 7), frameon=False)
    if save_file is not None:
        with replacing(Path(save_file)) as temporary:
            figure.savefig(temporary, dpi=150)
    return figure


def _one_a_frame(values: ArrayLike, n_frames: int, what: str) -> np.ndarray:
    found = np.asarray(values)
    if found.shape != (n_frames,):
        raise DataError(f"expected {n_frames} {what}, one for each frame, got {found.shape}")
    return found


def _draw_bouts(panel: Any, classes: np.ndarray, colours: Sequence[str], unit: float) -> None:
    """Draw each run of one class as a bar; negative ones stay blank."""
    starts = np.flatnonzero(np.diff(classes, prepend=classes[0] - 1))
    stops = np.append(starts[1:], len(classes))
    for value in np.unique(classes[classes >= 0]).tolist():
        own = classes[starts] == value
        spans = np.stack([starts[own], stops[own] - starts[own]], axis=1) / unit
        panel.broken_barh(spans.tolist(), (0, 1), color=colours[value], linewidth=0)
    panel.set(yticks=[], ylim=(0, 1))
    panel.spines[:].set_visible(False)
    panel.tick_params(bottom=False)
