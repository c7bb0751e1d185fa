"""What a search found: a table of its trials, a picture, the best of them."""

from __future__ import annotations

import csv
import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daart_fast.config import split_ids
from daart_fast.eval.figures import write
from daart_fast.eval.pictures import plot_settings
from daart_fast.experiment.stored import load_plain_yaml, read_metrics
from daart_fast.files import replacing

__all__ = [
    "HELD_OUT_SCORES",
    "SCORES",
    "Row",
    "best_of",
    "best_setting",
    "draw",
    "read_row",
    "score_of",
    "settings_table",
    "without",
    "write_table",
]

#: Scores that a trial may have, the first that all have being the one to choose by, and whether
#: more is better. A loss depends on what weighs its terms; F1 doesn't.
SCORES = {"val_f1": True, "val_loss": False}
HELD_OUT_SCORES = {"test_f1": True, "test_loss": False}

Cell = str | int | float | None


@dataclass
class Row:
    """A trial's line of the summary."""

    number: int
    status: str
    #: values of the searched keys
    settings: dict[str, Any]
    #: what came of it: val_loss, val_f1, test_loss, ...
    results: dict[str, Cell]
    folder: str | None

    def number_of(self, score: str) -> float:
        """Return a score; NaN where there is none."""
        value = self.results.get(score)
        return math.nan if value is None else float(value)

    @property
    def setting(self) -> dict[str, Any]:
        """The values of the searched keys, without the fold."""
        return {name: value for name, value in self.settings.items() if name != "search_fold"}

    def cells(self) -> dict[str, Any]:
        """Return the whole line, by column."""
        settings = {name.removeprefix("search_"): value for name, value in self.settings.items()}
        whole = {"trial": self.number, **settings, "status": self.status, **self.results}
        return {**whole, "folder": self.folder}


def read_row(
    number: int, status: str, settings: dict[str, Any], folder: str | None, held_out: Sequence[str]
) -> Row:
    """Read from a version folder what came of a trial.

    Parameters
    ----------
    number, status, settings, folder
        The trial's.
    held_out
        The sessions that cross-validation has held out; empty without it.
    """
    results: dict[str, Cell] = {}
    if folder is not None and (Path(folder) / "hparams.yaml").is_file():
        text = (Path(folder) / "hparams.yaml").read_text(encoding="utf-8")
        results = _losses(load_plain_yaml(text), read_metrics(folder), held_out)
        results |= _f1_scores(_summary(Path(folder)), held_out)
    return Row(number, status, settings, results, folder)


def _summary(folder: Path) -> dict[str, Any]:
    """Read what `daart_fast.eval.summarise` has left, if the trial's function has called it."""
    try:
        found: dict[str, Any] = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    except OSError:
        return {}
    return found


def _losses(
    hparams: Mapping[str, Any], metrics: list[dict[str, str]], held_out: Sequence[str]
) -> dict[str, Cell]:
    ids = dict.fromkeys(
        session
        for name in ("expt_ids", "expt_ids_val", "expt_ids_test")
        for session in split_ids(hparams.get(name))
    )
    numbers = {str(i) for i, session in enumerate(ids) if session in held_out} or {"-1"}
    return {
        "val_loss": min(_column(metrics, "val_loss", {"-1"}), default=None),
        "test_loss": _mean(_column(metrics, "test_loss", numbers)),
        "best_val_epoch": hparams.get("best_val_epoch"),
        "epochs": max((int(row["epoch"]) for row in metrics), default=None),
        "pruned_epoch": hparams.get("pruned_epoch"),
    }


def _f1_scores(summary: Mapping[str, Any], held_out: Sequence[str]) -> dict[str, Cell]:
    """Return macro-F1 over all sessions pooled; of a fold, the mean over those it holds out."""

    def of(scores: Mapping[str, Any], split: str) -> float | None:
        f1: float | None = scores.get(split, {}).get("macro_f1")
        return f1

    scores = summary.get("scores", {})
    test = of(scores, "test")
    if held_out:
        sessions = summary.get("sessions", {})
        single = [of(sessions.get(name, {}).get("scores", {}), "test") for name in held_out]
        test = _mean(f1 for f1 in single if f1 is not None)
    return {"val_f1": of(scores, "val"), "test_f1": test}


def _column(metrics: list[dict[str, str]], name: str, datasets: set[str]) -> list[float]:
    return [float(row[name]) for row in metrics if row.get(name) and row["dataset"] in datasets]


def _mean(values: Iterable[float]) -> float | None:
    values = list(values)
    return statistics.fmean(values) if values else None


def score_of(rows: Sequence[Row], held_out: bool = False) -> tuple[str, bool] | None:
    """Name the score that trials are compared by, and whether more of it is better."""
    if any(row.status == "finished" for row in rows):
        for name, more in (HELD_OUT_SCORES if held_out else SCORES).items():
            if not without(rows, name):
                return name, more
    return None


def without(rows: Sequence[Row], score: str) -> list[int]:
    """Return the numbers of the finished trials that have no such score."""
    finished = [row for row in rows if row.status == "finished"]
    return [row.number for row in finished if row.results.get(score) is None]


def best_of(rows: Sequence[Row], score: str, more: bool) -> Row:
    """Return the finished trial with the best score."""
    finished = [row for row in rows if row.status == "finished"]
    return (max if more else min)(finished, key=lambda row: row.number_of(score))


def settings_table(rows: Sequence[Row], score: str) -> list[dict[str, Any]]:
    """Average a score over the folds of each setting.

    Returns
    -------
    list of dict
        The setting, ``folds`` (how many are finished), ``mean``, ``spread`` (the standard deviation
        between folds), ``lowest`` and ``highest``, in the order of the trials.
    """
    groups: dict[str, tuple[dict[str, Any], list[float]]] = {}
    for row in rows:
        values = groups.setdefault(str(row.setting), (row.setting, []))[1]
        if row.status == "finished" and not math.isnan(row.number_of(score)):
            values.append(row.number_of(score))
    return [
        {
            **setting,
            "folds": len(values),
            "mean": statistics.fmean(values) if values else None,
            "spread": statistics.stdev(values) if len(values) > 1 else None,
            "lowest": min(values, default=None),
            "highest": max(values, default=None),
        }
        for setting, values in groups.values()
    ]


def best_setting(table: Sequence[dict[str, Any]], more: bool) -> dict[str, Any]:
    """Return the line of `settings_table` with the best mean, of those with the most folds.

    Folds are not equally hard: a mean over some of them cannot be compared with one over all.
    """
    most = max(line["folds"] for line in table)
    complete = [line for line in table if line["folds"] == most]
    return (max if more else min)(complete, key=lambda line: line["mean"])


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a csv whose columns are the keys of the first row and whatever the others add."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def draw(path: Path, rows: Sequence[Row], score: str, formats: str = "png") -> list[Path]:
    """Draw the score of finished trials by each searched key; return the files.

    Parameters
    ----------
    path
        The files, without their extension.
    rows
        The trials.
    score
        The column to draw.
    formats
        As ``picture_format`` in a config.
    """

    finished = [row for row in rows if row.status == "finished"]
    scores = [row.number_of(score) for row in finished]
    return write(plot_settings([row.settings for row in finished], scores, score), path, formats)
