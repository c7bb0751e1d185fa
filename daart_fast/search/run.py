"""Running trials: each gives a result, or a traceback."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["run_trials"]


def run_trials(
    train_function: Callable[[Any], Any], trials: Sequence[Any]
) -> list[tuple[Any, Any]]:
    """Call the function with each trial, one after another.

    A trial that raises prints its traceback, and the others go on.

    Parameters
    ----------
    train_function
        Takes a trial, a namespace of all keys.
    trials
        What test-tube has made of the config files.

    Returns
    -------
    list of (trial, result)
        The result is None where the trial failed.
    """
    results: list[tuple[Any, Any]] = []
    for number, trial in enumerate(trials, start=1):
        if len(trials) > 1:
            print(f"--- trial {number} of {len(trials)}", flush=True)
        try:
            results.append((trial, train_function(trial)))
        except Exception:
            print(f"trial {number} of {len(trials)} failed:", file=sys.stderr)
            traceback.print_exc()
            results.append((trial, None))
    failed = sum(result is None for _, result in results)
    if failed and len(trials) > 1:
        print(f"{failed} of {len(trials)} trials failed", file=sys.stderr)
    return results
