"""How the frames of a score are called."""

from __future__ import annotations

import pytest

from daart_fast.eval.splits import PRINTED, describe_split, split_title


@pytest.mark.parametrize(
    ("split", "whole", "title"),
    [
        ("test", True, "held-out videos"),
        ("test", False, "held-out pieces of training videos"),
        ("val", True, "validation videos"),
        ("val", False, "pieces of training videos"),
        ("train", False, "frames trained on"),
        ("new", True, "new videos"),
    ],
)
def test_frames_are_called_what_they_are(split, whole, title):
    assert split_title(split, whole) == title
    assert describe_split(split, whole).startswith(f"{title} (")


def test_no_title_stands_for_two_kinds_of_frames():
    titles = {(s, whole): split_title(s, whole) for s in PRINTED for whole in (True, False)}
    shared = [key for key in titles if list(titles.values()).count(titles[key]) > 1]
    assert {split for split, _ in shared} == {"new", "train"}  # whole or not, these are the same
