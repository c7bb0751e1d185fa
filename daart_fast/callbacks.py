"""Callbacks of a training, under the names by which daart's scripts import them.

Nothing in daart_fast imports this module.
"""

from daart_fast.train.callbacks import UPS, AnnealHparam, BaseCallback, EarlyStopping, PseudoLabels

__all__ = [
    "UPS",
    "AnnealHparam",
    "BaseCallback",
    "EarlyStopping",
    "PseudoLabels",
]
