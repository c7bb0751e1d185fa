"""Lists in a config file -> trials -> one result each."""

from daart_fast.search.arguments import get_all_params, run
from daart_fast.search.search import Options, Search, run_trials

__all__ = ["Options", "Search", "get_all_params", "run", "run_trials"]
