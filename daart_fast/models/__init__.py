"""Models: the segmenter, its backbones, ensembles, and prediction."""

from daart_fast.models.ensemble import Ensembler
from daart_fast.models.predict import export_states, predict_inputs, predict_session
from daart_fast.models.rnn import RNN
from daart_fast.models.segmenter import Segmenter
from daart_fast.models.tcn import DilatedTCN
from daart_fast.models.temporalmlp import TemporalMLP

__all__ = [
    "RNN",
    "DilatedTCN",
    "Ensembler",
    "Segmenter",
    "TemporalMLP",
    "export_states",
    "predict_inputs",
    "predict_session",
]
