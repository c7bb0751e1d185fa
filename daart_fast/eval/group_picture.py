"""A picture of groups: a point for each animal, the mean beside it with its interval."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from daart_fast.eval.colours import COLOURS
from daart_fast.eval.figures import INK, PAGE, drawing, legend_below, save, shortened
from daart_fast.eval.groups import MEASURES

__all__ = ["plot_groups"]

ROW = 42.0  # millimetres
#: where a group's points and its mean lie, in shares of its room
ROOM, SPREAD, MEAN = 0.8, 0.45, 0.35


def plot_groups(
    rows: Sequence[Mapping[str, Any]],
    means: Sequence[Mapping[str, Any]],
    groups: Mapping[str, str],
    path: str | os.PathLike[str] | None = None,
) -> Any:
    """Draw each measure of each behaviour: every animal, and means with 95% intervals.

    Parameters
    ----------
    rows, means, groups
        of `daart_fast.eval.groups`: what was measured, summarised, and each animal's group
    path
        where to write; None: nowhere

    Returns
    -------
    matplotlib.figure.Figure
    """
    measures = [name for name in MEASURES if any(row["measure"] == name for row in rows)]
    classes = list(dict.fromkeys(row["class"] for row in rows))
    order = list(dict.fromkeys(groups.values()))
    with drawing(PAGE, ROW * len(measures)) as figure:
        panels = figure.subplots(len(measures), 1, squeeze=False, sharex=True)[:, 0]
        for panel, measure in zip(panels, measures, strict=True):
            own = [row for row in rows if row["measure"] == measure]
            summary = [row for row in means if row["measure"] == measure]
            handles = []
            for number, group in enumerate(order):
                drawn = [row for row in own if groups[row["animal"]] == group]
                mean = {row["class"]: row for row in summary if row["group"] == group}
                handles.append(_draw_group(panel, classes, (number, len(order)), drawn, mean))
            unit = own[0]["unit"]
            panel.set_ylabel(f"{measure.replace('_', ' ')}\n({unit})")
            panel.set_ylim(bottom=0)
            panel.set_xticks(range(len(classes)), shortened(classes, 16))
        legend_below(figure, handles, [_with_count(group, groups) for group in order])
        return save(figure, path)


def _with_count(group: str, groups: Mapping[str, str]) -> str:
    n = list(groups.values()).count(group)
    return f"{shortened([group], 30)[0]} ({n} animal{'s' * (n != 1)})"


def _draw_group(
    panel: Any,
    classes: Sequence[str],
    place: tuple[int, int],
    rows: Sequence[Mapping[str, Any]],
    means: Mapping[str, Mapping[str, Any]],
) -> Any:
    """Draw one group's animals and means, by class; return what stands for it in a legend.

    Its place is its number, and how many groups there are.
    """
    number, n_groups = place
    colour, width = COLOURS[number % len(COLOURS)], ROOM / n_groups
    handle = None
    for i, name in enumerate(classes):
        middle = i + (number + 0.5) * width - ROOM / 2
        found = [row["value"] for row in rows if row["class"] == name]
        values = [value for value in found if value is not None]
        offsets = (np.arange(len(values)) + 0.5) / max(len(values), 1) - 0.5
        points = middle + width * (SPREAD * offsets - (0.5 - MEAN) / 2)
        handle = panel.scatter(points, values, s=9, color=colour, alpha=0.75, linewidths=0)
        mean, at = means[name], middle + width * MEAN
        if mean["mean"] is not None:
            panel.plot(at, mean["mean"], marker="_", color=INK, markersize=6)
        if mean["low"] is not None:
            panel.vlines(at, mean["low"], mean["high"], color=INK, linewidth=1)
    return handle
