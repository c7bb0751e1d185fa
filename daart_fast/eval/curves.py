"""Pictures of metrics.csv."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

from daart_fast.files import replacing

__all__ = ["load_metrics_csv_as_df", "plot_training_curves"]

#: What there is to draw, by its name in metrics.csv, with its title.
METRICS = {
    "loss": "loss",
    "loss_strong": "hand labels",
    "loss_weak": "weak labels",
    "loss_pred": "prediction",
    "loss_recon": "reconstruction",
    "loss_task": "tasks",
    "loss_kl": "KL divergence",
    "fc": "agreement with weak labels",
    "task_r2": "tasks, R2",
}
PREFIXES = {"train": "tr", "val": "val", "test": "test"}
# Okabe and Ito's colours, which colour-blind readers tell apart
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442")
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


def plot_training_curves(
    metrics_file: str | os.PathLike[str],
    dtype: str = "val",
    expt_ids: Sequence[str] | None = None,
    save_file: str | os.PathLike[str] | None = None,
    format: str = "pdf",
) -> None:
    """Draw each loss term over the epochs, however many or few there are.

    Parameters
    ----------
    metrics_file
        The metrics.csv of a training.
    dtype
        ``"train"``, ``"val"`` or ``"test"``.
    expt_ids
        The sessions' names; with several, each gets a line of its own beside that of all, unless
        there are too many to tell apart.
    save_file
        Where to write, without the file's extension; None writes nothing.
    format
        The extension: ``"png"``, ``"pdf"``, ...
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    data = load_metrics_csv_as_df(metrics_file, list(METRICS), expt_ids, test=dtype == "test")
    # several validations in one epoch stand side by side; an epoch's last one on its number
    data = data.assign(when=data["epoch"] - 1 + (data["batch"] + 1) / (data["batch"].max() + 1))
    data = data[data["dtype"] == dtype]
    metrics = [metric for metric in METRICS if (data["loss"] == metric).any()] or ["loss"]
    n_columns = min(len(metrics), 2)
    n_rows = math.ceil(len(metrics) / n_columns)
    figure = Figure(figsize=(5.0 * n_columns, 3.2 * n_rows), layout="constrained")
    FigureCanvasAgg(figure)  # draws without a screen, and leaves the user's pyplot alone
    panels = figure.subplots(n_rows, n_columns, squeeze=False).flat
    for panel, metric in zip(panels, metrics, strict=False):
        _draw(panel, data[data["loss"] == metric])
        panel.set_title(METRICS[metric])
        panel.set_xlabel("epoch")
    for panel in figure.axes[len(metrics) :]:
        panel.set_visible(False)
    lines, names = figure.axes[0].get_legend_handles_labels()
    if len(lines) > 1:
        figure.legend(lines, names, loc="outside lower center", ncols=min(len(lines), 4))
    if save_file is not None:
        with replacing(Path(f"{os.fspath(save_file)}.{format}")) as temporary:
            figure.savefig(temporary, dpi=150, format=format)


def _draw(panel: Any, data: pd.DataFrame) -> None:
    """Draw one metric: the sessions, if they are few, under the line of all."""
    sessions = [session for session in data["dataset"].unique() if session != "all"]
    for session, colour in zip(sessions, COLOURS, strict=False):
        if 1 < len(sessions) <= MOST_SESSIONS:
            rows = data[data["dataset"] == session]
            panel.plot(rows["when"], rows["val"], color=colour, linewidth=1, label=str(session))
    rows = data[data["dataset"] == "all"]
    marker = "o" if len(rows) < 3 else None  # a line needs two points to be seen
    panel.plot(rows["when"], rows["val"], color="black", linewidth=2, marker=marker, label="all")
    panel.spines[["top", "right"]].set_visible(False)
