"""From hparams to data and callbacks, under the names by which daart's scripts import them.

Nothing in daart_fast imports this module.
"""

from daart_fast.data.from_config import build_data_generator
from daart_fast.train.callbacks import collect_callbacks

__all__ = [
    "build_data_generator",
    "collect_callbacks",
]
