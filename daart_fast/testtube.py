"""The steps of a fitting script, under the names by which daart's scripts import them.

Nothing in daart_fast imports this module.
"""

from daart_fast.experiment.claim import clean_tt_dir, create_tt_experiment, print_hparams
from daart_fast.search.arguments import get_all_params

__all__ = [
    "clean_tt_dir",
    "create_tt_experiment",
    "get_all_params",
    "print_hparams",
]
