"""What nobody may miss about the frames that are scored."""

from __future__ import annotations

import numpy as np
import pytest

from daart_fast.data.scored import Scored, label_cautions, one_class, scored_frames
from daart_fast.data.sessions import Session

NAMES = ["background", "walk", "groom"]


def session(labels: list[int] | None, weak: list[int] | None = None, n_frames: int = 4) -> Session:
    strong = None if labels is None else np.array(labels)
    heuristic = None if weak is None else np.array(weak)
    return Session("s", np.zeros((n_frames, 1)), ["x"], strong, heuristic, NAMES)


def test_frames_are_counted_by_hand_labels_and_else_by_heuristic_ones():
    found = scored_frames(
        {}, NAMES, [session([0, 1, 1, -100], [2, 2, 2, 2]), session([0, 0, 0, 2]), session(None)]
    )
    assert found == Scored(NAMES, [3, 2, 3], 8, 0)
    assert found.by_class == {"walk": 2, "groom": 3} and found.background == ("background", 3)


def test_where_no_class_is_ignored_the_background_is_scored():
    found = scored_frames({"ignore_class": -100}, NAMES, [session([0, 0, 1, 1])])
    assert found.by_class == {"background": 2, "walk": 2} and found.background == ("", 0)


def test_labels_of_several_behaviours_at_once_say_where_there_is_none():
    assert scored_frames({"classifier_type": "multibinary"}, NAMES, [session([0, 0, 1, 1])]) is None
    assert label_cautions(None) == []


def test_a_single_scored_class_makes_every_score_perfect():
    (said,) = label_cautions(Scored(NAMES, [9000, 1234, 0], 10234, 0))
    assert said.startswith("'walk' is the only class that is scored (1,234 frames)")
    assert "always says 'walk' has a perfect score. The 9,000 frames of 'background' are" in said


def test_a_single_class_without_a_background_needs_a_second_one():
    assert one_class(Scored(NAMES, [0, 10, 0], 10, 0)).endswith(
        "Labels of a second class are needed"
    )


@pytest.mark.parametrize(("n_scored", "cautious"), [(99, True), (100, False), (1000, False)])
def test_few_scored_frames_are_a_caution(n_scored, cautious):
    scored = Scored(NAMES, [1000 - n_scored, n_scored - 10, 10], 1000, 0)
    assert bool(label_cautions(scored)) == cautious and not one_class(scored)
