"""Pictures of metrics.csv."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

from daart_fast.eval.figures import (
    ACCENT,
    COLUMN,
    INK,
    PAGE,
    drawing,
    legend_below,
    save,
    shortened,
)

__all__ = ["load_metrics_csv_as_df", "plot_curves", "plot_training_curves"]

#: What there is to draw, by its name in metrics.csv: its title, and what its axis is called.
METRICS = {
    "loss": ("all terms", "loss"),
    "loss_strong": ("hand labels", "cross-entropy"),
    "loss_weak": ("weak labels", "cross-entropy"),
    "loss_pred": ("prediction", "mean squared error"),
    "loss_recon": ("reconstruction", "mean squared error"),
    "loss_task": ("tasks", "mean squared error"),
    "loss_kl": ("encoding", "KL divergence (nats)"),
    "fc": ("agreement with weak labels", "share of frames"),
    "task_r2": ("tasks", "R\u00b2"),
}
PREFIXES = {"train": "tr", "val": "val", "test": "test"}
#: By split: its name, its colour, and the width of its line.
SPLITS = {
    "train": ("training", INK, 1.0),
    "val": ("validation", ACCENT, 1.6),
    "test": ("test", "#D55E00", 1.6),
}
#: Those of Okabe and Ito's colours, which colour-blind readers tell apart, that sessions get.
COLOURS = ("#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#F0E442")
MOST_SESSIONS = len(COLOURS)


def load_metrics_csv_as_df(
    metric_file: str | os.PathLike[str],
    metrics_list: Sequence[str],
    expt_ids: Sequence[str] | None = None,
    test: bool = False,
) -> pd.DataFrame:
    """Read metrics.csv, of daart or daart_fast, as one row for each number.

    Parameters
    ----------
    metric_file
        The csv.
    metrics_list
        Which metrics, without ``tr_``, ``val_`` or ``test_``; those it doesn't have are left out.
    expt_ids
        Names for the sessions; else they stay numbers.
    test
        Return the test split's numbers, and no others.

    Returns
    -------
    pandas.DataFrame
        Columns ``dataset`` (a session, or ``all``), ``dtype`` (train, val, test), ``epoch``,
        ``batch`` (of the epoch), ``loss`` (the metric's name), ``val`` (its value).
    """
    import pandas as pd

    table = pd.read_csv(metric_file)
    names: dict[Any, Any] = {-1: "all"}
    names |= {number: expt_id for number, expt_id in enumerate(expt_ids or ())}
    parts = []
    for dtype in ("test",) if test else ("val", "train"):
        for metric in metrics_list:
            column = f"{PREFIXES[dtype]}_{metric}"
            if column not in table:
                continue
            rows = table[table[column].notna()]
            part = {
                "dataset": [names.get(number, number) for number in rows["dataset"]],
                "dtype": dtype,
                "epoch": rows["epoch"].to_numpy(),
                "batch": rows["batch"].to_numpy(),
                "loss": metric,
                "val": rows[column].to_numpy(),
            }
            parts.append(pd.DataFrame(part))
    if not parts:
        return pd.DataFrame(columns=["dataset", "dtype", "epoch", "batch", "loss", "val"])
    return pd.concat(parts, ignore_index=True)


def plot_curves(
    metrics_file: str | os.PathLike[str],
    expt_ids: Sequence[str] | None = None,
    splits: Sequence[str] = ("train", "val"),
    save_file: str | os.PathLike[str] | None = None,
) -> Any:
    """Draw each loss term over the epochs, training and validation together.

    A term whose curves are those of another, as that of the hand labels is where nothing else is
    learned, is drawn once. A dotted line marks the epoch with the lowest validation loss, whose
    weights are kept.

    Parameters
    ----------
    metrics_file
        The metrics.csv of a training.
    expt_ids
        The sessions' names; where few have a curve, it is a thin line beside that of all.
    splits
        Which of ``"train"``, ``"val"`` and ``"test"`` to draw.
    save_file
        Where to write, with an extension that matplotlib knows.

    Returns
    -------
    matplotlib.figure.Figure
    """
    data = _over_time(metrics_file, expt_ids)
    best = _best(data)
    data = data[data["dtype"].isin(splits)]
    metrics = _different(data) or {"loss": METRICS["loss"][0]}
    n_columns = min(len(metrics), 2)
    n_rows = math.ceil(len(metrics) / n_columns)
    with drawing(COLUMN if n_columns == 1 else PAGE, 8 + 52 * n_rows) as figure:
        panels = figure.subplots(n_rows, n_columns, squeeze=False).flat
        for panel, (metric, title) in zip(panels, metrics.items(), strict=False):
            _draw(panel, data[data["loss"] == metric], splits)
            if best is not None:
                label = f"lowest validation loss: epoch {best:.4g}"
                panel.axvline(best, color=INK, linestyle=":", label=label)
            panel.set(title=title, xlabel="epoch", ylabel=METRICS[metric][1])
            panel.xaxis.get_major_locator().set_params(integer=True)
        for panel in figure.axes[len(metrics) :]:
            panel.set_visible(False)
        legend_below(figure, *figure.axes[0].get_legend_handles_labels())
        return save(figure, save_file)


def plot_training_curves(
    metrics_file: str | os.PathLike[str],
    dtype: str = "val",
    expt_ids: Sequence[str] | None = None,
    save_file: str | os.PathLike[str] | None = None,
    format: str = "pdf",
) -> None:
    """Draw the curves of one split, as daart's function of this name does; see `plot_curves`.

    Parameters
    ----------
    metrics_file
        The metrics.csv of a training.
    dtype
        ``"train"``, ``"val"`` or ``"test"``.
    expt_ids
        The sessions' names.
    save_file
        Where to write, without the file's extension; None writes nothing.
    format
        The extension: ``"png"``, ``"pdf"``, ...
    """
    file = None if save_file is None else f"{os.fspath(save_file)}.{format}"
    plot_curves(metrics_file, expt_ids, (dtype,), file)


def _over_time(
    metrics_file: str | os.PathLike[str], expt_ids: Sequence[str] | None
) -> pd.DataFrame:
    """Read every number, with the ``when`` in epochs at which it was taken."""
    import pandas as pd

    parts = [
        load_metrics_csv_as_df(metrics_file, list(METRICS), expt_ids, test=test)
        for test in (False, True)
    ]
    data = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    # several validations in one epoch stand side by side; an epoch's last one on its number
    return data.assign(when=data["epoch"] - 1 + (data["batch"] + 1) / (data["batch"].max() + 1))


def _best(data: pd.DataFrame) -> float | None:
    """Return when the validation loss was lowest; None where nothing was validated."""
    chosen = (data["dtype"] == "val") & (data["loss"] == "loss") & (data["dataset"] == "all")
    losses = data[chosen]
    if losses["val"].notna().sum() == 0:
        return None
    return float(losses["when"][losses["val"].idxmin()])


def _different(data: pd.DataFrame) -> dict[str, str]:
    """Return the metrics that are there, with their titles; those with equal curves are one."""
    curves: dict[str, tuple[float, ...]] = {}
    titles: dict[str, str] = {}
    for metric, (title, _) in METRICS.items():
        rows = data[data["loss"] == metric].sort_values(["dtype", "dataset", "when"])
        values = tuple(rows["val"])
        same = next((name for name, known in curves.items() if known == values), None)
        if values and same is None:
            curves[metric], titles[metric] = values, title
        elif values and same is not None:
            titles[same] = f"{titles[same]} = {title}"
    return titles


def _draw(panel: Any, data: pd.DataFrame, splits: Sequence[str]) -> None:
    """Draw one metric: the sessions, if they are few, under the lines of all."""
    sessions = [session for session in data["dataset"].unique() if session != "all"]
    if 1 < len(sessions) <= MOST_SESSIONS:
        names = shortened(list(map(str, sessions)))
        for session, name, colour in zip(sessions, names, COLOURS, strict=False):
            for split in splits:
                rows = data[(data["dataset"] == session) & (data["dtype"] == split)]
                label = name if len(splits) == 1 else f"{name} ({SPLITS[split][0]})"
                _line(panel, rows, label, color=colour, linewidth=0.7)
    for split in splits:
        rows = data[(data["dataset"] == "all") & (data["dtype"] == split)]
        name, colour, width = SPLITS[split]
        label = f"{name}, all sessions" if len(sessions) > 1 else name
        _line(panel, rows, label, color=colour, linewidth=width)


def _line(panel: Any, rows: pd.DataFrame, label: str, **style: Any) -> None:
    if len(rows):
        marker = "o" if len(rows) < 3 else None  # a line needs two points to be seen
        panel.plot(rows["when"], rows["val"], marker=marker, label=label, **style)
