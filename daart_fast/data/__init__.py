"""Files -> sessions -> sequences -> batches."""

from daart_fast.data.cache import clear_cache
from daart_fast.data.dataset import SingleDataset
from daart_fast.data.generator import DataGenerator
from daart_fast.data.sequences import compute_sequence_pad, compute_sequences, split_trials
from daart_fast.data.sessions import Session, load_session
from daart_fast.readers.feature_tables import load_feature_csv
from daart_fast.readers.labels import load_label_csv, load_label_pkl
from daart_fast.readers.markers import load_marker_csv, load_marker_h5

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
