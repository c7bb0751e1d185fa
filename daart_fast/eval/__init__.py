"""Metrics and pictures of what was predicted and how training went."""

from daart_fast.eval.curves import load_metrics_csv_as_df, plot_training_curves
from daart_fast.eval.ethogram import plot_ethogram
from daart_fast.eval.metrics import (
    confusion_matrix,
    get_precision_recall,
    int_over_union,
    macro_f1,
    run_lengths,
)
from daart_fast.eval.sessions import score_sessions

__all__ = [
    "confusion_matrix",
    "get_precision_recall",
    "int_over_union",
    "load_metrics_csv_as_df",
    "macro_f1",
    "plot_ethogram",
    "plot_training_curves",
    "run_lengths",
    "score_sessions",
]
