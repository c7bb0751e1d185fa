"""Lists in a config file -> trials -> one result each."""

from daart_fast.search.arguments import fit_models, get_all_params
from daart_fast.search.search import Options, Search, run_trials

__all__ = ["Options", "Search", "fit_models", "get_all_params", "run_trials"]
