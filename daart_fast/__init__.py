"""Segment animal behaviour in pose-estimation time series.

What a user needs is here, under ``import daart_fast as df``; a name brings its module, and torch
if that needs it, when it is first used. `fit_models` trains one model where every setting is a
single value, and searches where some are lists. (``df.train`` and ``df.search`` are packages.)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the same names as in `_HOMES`, for editors and type checkers
    from daart_fast.api import Model
    from daart_fast.config import load_config
    from daart_fast.data import Session, load_session
    from daart_fast.errors import ConfigError, DataError
    from daart_fast.eval import Smoother, plot_ethogram, score
    from daart_fast.online import Debounce, OnlineSegmenter, Rule
    from daart_fast.report import write_report
    from daart_fast.search import Search, fit_models

__version__ = "0.1.0"

__all__ = [
    "ConfigError",
    "DataError",
    "Debounce",
    "Model",
    "OnlineSegmenter",
    "Rule",
    "Search",
    "Session",
    "Smoother",
    "__version__",
    "fit_models",
    "load_config",
    "load_session",
    "plot_ethogram",
    "score",
    "write_report",
]

#: Which package a name comes from.
_HOMES = {
    "ConfigError": "errors",
    "DataError": "errors",
    "Debounce": "online",
    "Model": "api",
    "OnlineSegmenter": "online",
    "Rule": "online",
    "Search": "search",
    "Session": "data",
    "Smoother": "eval",
    "fit_models": "search",
    "load_config": "config",
    "load_session": "data",
    "plot_ethogram": "eval",
    "score": "eval",
    "write_report": "report",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value  # found directly from now on
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
