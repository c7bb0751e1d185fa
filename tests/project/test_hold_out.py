"""Which whole sessions are held out of a training."""

from __future__ import annotations

import pytest

from daart_fast.project.hold_out import choose_held_out


def sessions(*classes: str) -> dict[str, set[str]]:
    """Sessions a, b, c, ... with the classes that occur in each, a letter a class."""
    return {chr(ord("a") + i): set(letters) for i, letters in enumerate(classes)}


@pytest.mark.parametrize(
    ("n", "held_out"),
    [(1, ""), (3, ""), (4, "ac"), (5, "ac"), (6, "ad"), (12, "ag"), (13, "aei"), (20, "afkp")],
)
def test_of_four_or_more_sessions_a_fifth_is_held_out_evenly_spaced(n, held_out):
    assert choose_held_out(sessions(*["xy"] * n)) == list(held_out)


def test_the_order_in_which_sessions_come_does_not_matter():
    some = sessions(*["xy"] * 7)
    assert choose_held_out(dict(reversed(some.items()))) == choose_held_out(some)


def test_conditions_that_begin_a_name_are_both_held_out():
    names = [f"{condition}_{i}" for condition in ("control", "drug") for i in range(5)]
    held_out = choose_held_out({name: ["x"] for name in names})
    assert [name.split("_")[0] for name in held_out] == ["control", "drug"]


def test_a_session_that_alone_shows_a_class_trains():
    held_out = choose_held_out(sessions("xyz", "xy", "xy", "xy", "xy", "xy"))
    assert held_out == ["b", "d"]


def test_a_class_is_never_held_out_whole():
    held_out = choose_held_out(sessions("xz", "x", "x", "xz", "x", "x"))
    assert held_out == ["b", "e"]  # a and d, the first choice, are the only ones with z


def test_classes_that_several_sessions_show_are_held_out_too_where_that_can_be():
    held_out = choose_held_out(sessions("x", "xz", "x", "x", "xz", "xz"))
    assert held_out == ["b", "e"]  # and not a and d, in which there is no z


def test_fewer_are_held_out_where_two_would_take_a_class_away():
    assert choose_held_out(sessions("p", "q", "px", "qx")) == ["c"]
    assert choose_held_out(sessions("v", "w", "x", "y")) == []


def test_sessions_in_which_nothing_is_scored_do_not_count():
    assert choose_held_out(sessions("x", "x", "x", "")) == []


@pytest.mark.parametrize("seed", range(30))
def test_training_keeps_every_class_whatever_occurs_where(seed):
    import random

    draw = random.Random(seed)
    some = sessions(*["".join(draw.sample("vwxyz", draw.randint(1, 3))) for _ in range(8)])
    held_out = choose_held_out(some)
    training = [classes for session, classes in some.items() if session not in held_out]
    assert set().union(*training) == set().union(*some.values())
    assert len(held_out) <= 2
