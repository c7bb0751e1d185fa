"""Metrics and pictures of what was predicted and how training went."""

from daart_fast.eval.curves import load_metrics_csv_as_df, plot_training_curves
from daart_fast.eval.ethogram import plot_ethogram
from daart_fast.eval.metrics import (
    accuracy,
    average_precision,
    balanced_accuracy,
    confusion_matrix,
    get_precision_recall,
    int_over_union,
    macro_f1,
    mean_iou,
    run_lengths,
    weighted_f1,
)
from daart_fast.eval.pictures import (
    plot_bout_lengths,
    plot_confusion,
    plot_reliability,
    plot_search,
    reliability,
)
from daart_fast.eval.scores import score
from daart_fast.eval.segments import (
    bout_statistics,
    bouts,
    edit_score,
    segment_counts,
    segment_f1,
)
from daart_fast.eval.selection import choose_smoother, smoother_of
from daart_fast.eval.smoothing import Smoother
from daart_fast.eval.summary import describe_session, summarise, write_bouts, write_predictions

__all__ = [
    "Smoother",
    "accuracy",
    "average_precision",
    "balanced_accuracy",
    "bout_statistics",
    "bouts",
    "choose_smoother",
    "confusion_matrix",
    "describe_session",
    "edit_score",
    "get_precision_recall",
    "int_over_union",
    "load_metrics_csv_as_df",
    "macro_f1",
    "mean_iou",
    "plot_bout_lengths",
    "plot_confusion",
    "plot_ethogram",
    "plot_reliability",
    "plot_search",
    "plot_training_curves",
    "reliability",
    "run_lengths",
    "score",
    "segment_counts",
    "segment_f1",
    "smoother_of",
    "summarise",
    "weighted_f1",
    "write_bouts",
    "write_predictions",
]
