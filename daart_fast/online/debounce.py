"""From probabilities to triggers that don't flicker."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from daart_fast.errors import ConfigError, DataError, did_you_mean

__all__ = ["Debounce", "Event", "Rule"]

#: Seconds, far less than a frame's, by which sums of times are off: 0.3 + 0.1 may be above 0.4.
ROUNDING = 1e-6


@dataclass(frozen=True)
class Rule:
    """When a behaviour counts as begun and as ended.

    Attributes
    ----------
    on, off
        it may begin where its probability reaches ``on``, and goes on until it falls below
        ``off`` (None: ``on`` too)
    minimum
        seconds for which it must have gone on before it counts: what ends sooner is no trigger
    refractory
        seconds after the end of one during which none begins
    """

    on: float = 0.5
    off: float | None = None
    minimum: float = 0.0
    refractory: float = 0.0

    def __post_init__(self) -> None:
        off = self.on if self.off is None else self.off
        if not 0 <= off <= self.on <= 1:
            raise ConfigError(f"expected 0 <= off <= on <= 1, got off {self.off}, on {self.on}")
        for name in ("minimum", "refractory"):
            seconds = getattr(self, name)
            if not 0 <= seconds < math.inf:
                raise ConfigError(f"expected {name} of 0 seconds or more, got {seconds}")

    @property
    def ends_below(self) -> float:
        """The probability below which it ends."""
        return self.on if self.off is None else self.off


class Event(NamedTuple):
    """A behaviour that begins (``on``) or ends, and the time in seconds at which that is known."""

    name: str
    on: bool
    time: float


class _Trigger:
    """One behaviour: idle, or since when it may have begun, or on."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.on = False
        self.since: float | None = None
        self.ready_at = -math.inf

    def update(self, time: float, probability: float) -> bool:
        """Take a frame's probability; return whether this changes ``on``."""
        rule = self.rule
        if probability < rule.ends_below:
            self.since = None
            if self.on:
                self.on, self.ready_at = False, time + rule.refractory
                return True
        elif not self.on:
            if self.since is None and probability >= rule.on:
                self.since = time
            if self.since is not None:
                earliest = max(self.since + rule.minimum, self.ready_at)
                self.on = time >= earliest - ROUNDING
                return self.on
        return False  # a probability that is NaN changes nothing


class Debounce:
    """Turns each frame's probabilities into the events that a rule for each behaviour makes.

    Parameters
    ----------
    names
        the C classes
    rules
        the behaviours to tell of, by class name

    Raises
    ------
    ConfigError
        a rule is for a class that there isn't
    """

    def __init__(self, names: Sequence[str], rules: Mapping[str, Rule]) -> None:
        for name in rules:
            if name not in names:
                raise ConfigError(
                    f"there is no class {name!r}{did_you_mean(name, names)}; "
                    f"expected one of {', '.join(names)}"
                )
        self.names, self.rules = list(names), dict(rules)
        self.reset()

    def reset(self) -> None:
        """Start over, with every behaviour off."""
        self._triggers = [
            (self.names.index(name), name, _Trigger(rule)) for name, rule in self.rules.items()
        ]
        self.time = -math.inf

    def update(self, time: float, probabilities: np.ndarray) -> list[Event]:
        """Take a frame.

        Parameters
        ----------
        time
            seconds, later than the frame before
        probabilities
            (C,)

        Raises
        ------
        DataError
            the time is not later, or there are not C probabilities; nothing has changed then
        """
        if not time > self.time:
            raise DataError(f"expected a time after {self.time:g} s, got {time:g} s")
        if len(probabilities) != len(self.names):
            raise DataError(f"expected {len(self.names)} probabilities, got {len(probabilities)}")
        self.time = time
        return [
            Event(name, trigger.on, time)
            for index, name, trigger in self._triggers
            if trigger.update(time, float(probabilities[index]))
        ]

    def active(self) -> list[str]:
        """Return the behaviours that are on."""
        return [name for _, name, trigger in self._triggers if trigger.on]
