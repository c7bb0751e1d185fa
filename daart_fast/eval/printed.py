"""A summary's scores on the terminal, and what nobody must miss about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from daart_fast.eval.splits import PRINTED, describe_split, split_title

__all__ = ["print_cautions", "print_scores"]

#: Sessions of a split that are listed one by one.
MOST_SESSIONS = 20

HEAD = ("frames", "macro-F1", "accuracy", "edit", "F1@0.25", "F1@0.50")
HEAD_OF_CLASSES = (
    "frames", "precision", "recall", "F1", "avg. prec.", "true bouts", "pred. bouts",
)  # fmt: skip


def print_scores(summary: Mapping[str, Any]) -> None:
    """Print the scores of each split, by session where it is whole; then by class; then cautions.

    Parameters
    ----------
    summary
        what `daart_fast.eval.summarise` returns
    """
    scores = {split: summary["scores"][split] for split in PRINTED if split in summary["scores"]}
    if scores:
        print(_line("", HEAD))
    for split, found in scores.items():
        _print_split(split, found, summary["sessions"])
    shown = next((split for split in scores if split != "train"), None)
    if shown is not None:
        whole = scores[shown]["whole_sessions"]
        print(_line(f"{split_title(shown, whole)}, by class", HEAD_OF_CLASSES))
        for name, by_class in scores[shown]["classes"].items():
            print(_line(f"  {name}", _cells_of_class(by_class)))
    print_cautions(summary)


def print_cautions(summary: Mapping[str, Any]) -> None:
    """Print the sentences that nobody must miss, under a heading."""
    if cautions := summary.get("cautions"):
        print("\nRead this first:", *(f"- {sentence}" for sentence in cautions), sep="\n")


def _print_split(split: str, found: Mapping[str, Any], sessions: Mapping[str, Any]) -> None:
    title = describe_split(split, found["whole_sessions"])
    alone = {
        name: session["scores"][split]
        for name, session in sessions.items()
        if split in session.get("scores", {})
    }
    if split == "train" or not found["whole_sessions"]:
        print(_line(title, _cells(found)))
        return
    print(title)
    listed = alone if len(alone) <= MOST_SESSIONS else {}
    for name, scores in listed.items():
        print(_line(f"  {name}", _cells(scores)))
    if len(alone) > 1:
        print(_line(f"  all {len(alone)} pooled", _cells(found)))
    if spread := (found["by_session"] or {}).get("macro_f1"):
        words = {"mean": "mean", "sd": "SD", "lowest": "lowest", "highest": "highest"}
        figures = ", ".join(f"{word} {spread[key]:.3f}" for key, word in words.items())
        print(f"  macro-F1 of the {len(alone)} videos: {figures}")


def _cells(scores: Mapping[str, Any]) -> list[str]:
    bouts = scores.get("segment_f1") or {}
    values = [scores.get(name) for name in ("macro_f1", "accuracy", "edit")]
    values += [bouts.get("0.25"), bouts.get("0.50")]
    return [str(scores["frames"]), *map(_number, values)]


def _cells_of_class(scores: Mapping[str, Any]) -> list[str]:
    names = ("precision", "recall", "f1", "average_precision")
    bouts = [scores[name] for name in ("true_bouts", "predicted_bouts")]
    counts = ["-" if one is None else f"{one['bouts']:.0f}" for one in bouts]
    return [str(scores["frames"]), *(_number(scores[name]) for name in names), *counts]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _line(title: str, cells: Any) -> str:
    """Return a line of a table; a title that is too wide has a line to itself."""
    rest = "".join(f"{cell:>12}" for cell in cells)
    return f"{title:<28}{rest}" if len(title) < 28 else f"{title}\n{'':<28}{rest}"
