"""Files -> sessions -> sequences -> batches."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from daart_fast.data.cache import clear_cache
from daart_fast.data.sequences import compute_sequence_pad, compute_sequences, split_trials
from daart_fast.data.sessions import Session, load_session
from daart_fast.readers.feature_tables import load_feature_csv
from daart_fast.readers.labels import load_label_csv, load_label_pkl
from daart_fast.readers.marker_h5 import load_marker_h5
from daart_fast.readers.markers import load_marker_csv

if TYPE_CHECKING:  # the same names as in `_WITH_TORCH`, for editors and type checkers
    from daart_fast.data.dataset import SingleDataset
    from daart_fast.data.generator import DataGenerator

__all__ = [
    "DataGenerator",
    "Session",
    "SingleDataset",
    "clear_cache",
    "compute_sequence_pad",
    "compute_sequences",
    "load_feature_csv",
    "load_label_csv",
    "load_label_pkl",
    "load_marker_csv",
    "load_marker_h5",
    "load_session",
    "split_trials",
]

#: Where the names are that need torch, which takes seconds to import: who reads files may not.
_WITH_TORCH = {"DataGenerator": "generator", "SingleDataset": "dataset"}


def __getattr__(name: str) -> Any:
    if name not in _WITH_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WITH_TORCH[name]}"), name)
