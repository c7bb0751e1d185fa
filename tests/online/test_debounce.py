"""Triggers: hysteresis, minimum durations, refractory times."""

from __future__ import annotations

import numpy as np
import pytest

from daart_fast.errors import ConfigError, DataError
from daart_fast.online import Debounce, Event, Rule


def events_of(
    rule: Rule, probabilities: np.ndarray, fps: float, first: int = 0
) -> list[tuple[bool, int]]:
    """Begins and ends, with the frames at which they were known, from frame ``first`` on."""
    debounce = Debounce(["rest", "groom"], {"groom": rule})
    found = []
    for t, p in enumerate(probabilities):
        found += [(e.on, t) for e in debounce.update((first + t) / fps, np.array([1 - p, p]))]
    return found


def twin(
    rule: Rule, probabilities: np.ndarray, minimum: int, refractory: int
) -> list[tuple[bool, int]]:
    """The same from the whole recording: bouts by hysteresis, those too short or early cut.

    ``minimum`` and ``refractory`` are the rule's, in frames.
    """
    off = rule.on if rule.off is None else rule.off
    bouts, start = [], None
    for t, p in enumerate([*probabilities, -1.0]):
        if start is None and p >= rule.on:
            start = t
        elif start is not None and p < off:
            bouts.append((start, t))
            start = None
    found, ready = [], 0
    for start, stop in bouts:
        known = max(start + minimum, ready)
        if known < stop:
            found += [(True, known), (False, stop)]
            ready = stop + refractory
    return [(on, t) for on, t in found if t < len(probabilities)]


@pytest.mark.parametrize("seed", range(40))
def test_events_are_those_of_the_whole_recording(seed):
    draw = np.random.default_rng(seed)
    on, fps = draw.uniform(0.3, 0.9), draw.choice([10, 25, 30, 50, 100, 200])
    minimum, refractory = (int(draw.choice(frames)) for frames in ([0, 1, 3], [0, 2, 5, 30]))
    rule = Rule(
        on=on,
        off=draw.choice([None, on * draw.random()]),
        minimum=minimum / fps,
        refractory=refractory / fps,
    )
    steps = draw.normal(0, 0.2, 500).cumsum()
    probabilities = 0.5 + 0.5 * np.sin(steps + draw.normal(0, 0.3, 500))
    found = events_of(rule, probabilities, fps, first=draw.integers(10**6))
    assert found == twin(rule, probabilities, minimum, refractory)
    assert len(found) > 0


@pytest.mark.parametrize(("fps", "minimum"), [(30, 0.1), (10, 0.2), (100, 0.05), (25, 0.2)])
def test_what_has_gone_on_for_just_the_minimum_counts_whenever_it_began(fps, minimum):
    frames = round(minimum * fps)
    for first in range(2000):
        lasting = events_of(Rule(minimum=minimum), np.ones(frames + 1), fps, first)
        assert lasting == [(True, frames)]


def test_each_class_has_its_own_rule():
    debounce = Debounce(["rest", "groom", "rear"], {"rear": Rule(0.6), "groom": Rule(0.4, 0.2)})
    assert debounce.update(0.0, np.array([0.1, 0.5, 0.4])) == [Event("groom", True, 0.0)]
    assert debounce.update(0.1, np.array([0.1, 0.3, 0.6])) == [Event("rear", True, 0.1)]
    assert debounce.active() == ["rear", "groom"]
    debounce.reset()
    assert debounce.active() == []


def test_a_probability_that_is_none_changes_nothing():
    debounce = Debounce(["a"], {"a": Rule(0.5)})
    debounce.update(0, np.array([0.7]))
    assert debounce.update(1, np.array([np.nan])) == []
    assert debounce.active() == ["a"]


def test_time_goes_forwards():
    debounce = Debounce(["a"], {"a": Rule(0.5)})
    debounce.update(1, np.array([0.7]))
    for time in (1, 0.5, float("nan")):
        with pytest.raises(DataError, match="expected a time after 1 s"):
            debounce.update(time, np.array([0.1]))
    with pytest.raises(DataError, match="expected 1 probabilities, got 2"):
        debounce.update(2, np.array([0.1, 0.9]))
    assert debounce.active() == ["a"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"on": 0.4, "off": 0.5}, "off <= on"),
        ({"on": 1.5}, "on <= 1"),
        ({"minimum": -1}, "minimum of 0 seconds or more"),
        ({"refractory": float("nan")}, "refractory of 0 seconds or more"),
    ],
)
def test_rules_that_make_no_sense(settings, words):
    with pytest.raises(ConfigError, match=words):
        Rule(**settings)


def test_a_class_that_there_is_not():
    with pytest.raises(ConfigError, match="no class 'grom'.*did you mean 'groom'"):
        Debounce(["rest", "groom"], {"grom": Rule()})
