"""Model folders and settings, under the names by which daart's scripts import them.

Nothing in daart_fast imports this module.
"""

from daart_fast.config import load_config
from daart_fast.experiment.folders import (
    export_expt_info_to_csv,
    get_expt_dir,
    get_model_dir,
    get_subdirs,
    make_dir_if_not_exists,
    read_expt_info_from_csv,
)
from daart_fast.experiment.identity import find_experiment, get_model_params
from daart_fast.experiment.stored import export_hparams

__all__ = [
    "export_expt_info_to_csv",
    "export_hparams",
    "find_experiment",
    "get_expt_dir",
    "get_model_dir",
    "get_model_params",
    "get_subdirs",
    "load_config",
    "make_dir_if_not_exists",
    "read_expt_info_from_csv",
]
