"""Metrics of bouts: worked by hand, and against slow implementations of the definitions."""

from __future__ import annotations

from functools import cache
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daart_fast.errors import DataError
from daart_fast.eval import (
    bout_statistics,
    bouts,
    edit_score,
    segment_counts,
    segment_f1,
)


def frames(text: str) -> list[int]:
    """One class a letter: A is 1, B is 2, ...; '.' is the background, '?' unlabelled."""
    return [{".": 0, "?": -100}.get(letter, ord(letter) - ord("A") + 1) for letter in text]


# ------------------------------------------------------------------------------ by hand


@pytest.mark.parametrize(
    ("true", "pred", "edit"),
    [
        ("AAAABBBB", "AAAABBBB", 1.0),
        ("AAAABBBB", "ABBBBBBB", 1.0),  # the order is right, however long the bouts are
        ("AAAABBBB", "AABBAABB", 1 - 2 / 4),  # AB against ABAB: two to take out
        ("AAAABBBB", "BBBBAAAA", 1 - 2 / 2),  # AB against BA
        ("AABBCC", "AACCCC", 1 - 1 / 3),  # ABC against AC
        ("AABBCC", "AA..CC", 1 - 1 / 3),  # predicted background is no bout
        ("AAAAAA", "......", 0.0),
        ("AA..BB", "AAAABB", 1.0),  # frames labelled background do not count
        ("AA??AA", "AAAAAA", 1.0),  # an unlabelled frame ends the bout, in both
        ("AAAA??BB", "AACCCCBB", 1 - 1 / 3),  # AB against ACB
    ],
)
def test_the_edit_score_compares_the_order_of_bouts(true, pred, edit):
    assert edit_score(frames(true), frames(pred)) == pytest.approx(edit)


@pytest.mark.parametrize(
    ("true", "pred", "overlap", "hits_errors_misses"),
    [
        ("AAAABBBB", "AAAABBBB", 1.0, (2, 0, 0)),
        ("AAAABBBB", "AABBAABB", 0.5, (2, 2, 0)),  # the outer halves reach 2/4, exactly enough
        ("AAAABBBB", "AABBAABB", 0.51, (0, 4, 2)),
        ("AAAAAAAA", "AAA.AAAA", 0.25, (1, 1, 0)),  # one true bout is found once: 3/8 takes it
        ("AAAAAAAA", "AAA.AAAA", 0.50, (1, 1, 0)),  # 3/8 is an error, 4/8 a hit
        ("AAAABBBB", "AAAAAABB", 0.50, (2, 0, 0)),  # 4/6 and 2/4
        ("AAAABBBB", "AAAAAABB", 0.60, (1, 1, 1)),
        ("AABBAA", "AAAAAA", 0.25, (1, 0, 2)),  # one long bout finds but one of the two
        ("AA??AA", "AAAAAA", 0.50, (2, 0, 0)),  # cut in two by what is not labelled
        ("AA..AA", "AABBAA", 0.50, (2, 0, 0)),
    ],
)
def test_a_bout_is_found_where_enough_of_it_overlaps(true, pred, overlap, hits_errors_misses):
    counts = segment_counts(frames(true), frames(pred), overlap).sum(0)
    assert tuple(counts) == hits_errors_misses
    hits, errors, misses = hits_errors_misses
    expected = 2 * hits / (2 * hits + errors + misses)
    assert segment_f1(frames(true), frames(pred), overlap) == pytest.approx(expected)


def test_bouts_are_counted_by_class():
    counts = segment_counts(frames("AABBCC"), frames("AACCCC"), 0.5)
    assert counts.tolist() == [[0, 0, 0], [1, 0, 0], [0, 0, 1], [1, 0, 0]]


def test_without_a_background_class_zero_has_bouts_like_any_other():
    assert edit_score([0, 0, 1], [0, 1, 1], background=None) == 1.0
    assert segment_f1([0, 0, 1, 1], [0, 0, 1, 1], 0.5, background=-100) == 1.0


def test_nothing_to_score_is_no_number():
    for true in ("....", "????"):
        assert np.isnan(edit_score(frames(true), frames("AABB")))
        assert np.isnan(segment_f1(frames(true), frames("AABB"), 0.5))
    assert np.isnan(edit_score([], []))


def test_bouts_have_a_class_a_start_and_a_stop():
    assert bouts(frames("AA?BB.A")).tolist() == [
        [1, 0, 2],
        [2, 3, 5],
        [0, 5, 6],
        [1, 6, 7],
    ]
    assert bouts([], background=0).shape == (0, 3)


def test_bouts_are_counted_and_timed():
    none, walk, groom = bout_statistics(frames("AA.AAAABB"), 3, fps=2)
    assert none["bouts"] == 1 and none["mean"] == 0.5
    assert walk == {
        "bouts": 2, "total": 3.0, "mean": 1.5, "median": 1.5, "shortest": 1.0, "longest": 2.0
    }  # fmt: skip
    assert groom["longest"] == 1.0
    (none,) = bout_statistics([1, 1], 1)
    assert none["bouts"] == 0 and np.isnan(none["mean"])


def test_frames_that_do_not_count_end_a_bout():
    (_, walk) = bout_statistics([1, 1, 1], 2, counts=[True, False, True])
    assert walk["bouts"] == 2 and walk["total"] == 2


@pytest.mark.parametrize("overlap", [0, -1, 1.5])
def test_an_overlap_that_is_no_share_is_refused(overlap):
    with pytest.raises(ValueError, match="above 0, up to 1"):
        segment_f1([1], [1], overlap)


def test_lengths_must_agree():
    with pytest.raises(DataError, match="got 1 for 2 labels"):
        edit_score([1, 1], [1])


# ------------------------------------------------------------------------------ slow twins


def slow_bouts(true: list[int], pred: list[int], background: int | None):
    """[(class, frames)] of both, by grouping frame by frame."""
    out: tuple[list, list] = ([], [])
    for which, found in zip((true, pred), out, strict=True):
        blank = [t < 0 or t == background for t in true]
        cells = [None if blank[i] else which[i] for i in range(len(true))]
        for label, group in groupby(range(len(true)), key=lambda i: cells[i]):
            if label is not None and label != background:
                found.append((label, set(group)))
    return out


def slow_edit(true, pred, background):
    first, second = ([label for label, _ in found] for found in slow_bouts(true, pred, background))
    if not first and not second:
        return float("nan")

    @cache
    def distance(i: int, j: int) -> int:
        if i == 0 or j == 0:
            return i + j
        same = first[i - 1] == second[j - 1]
        return min(
            distance(i - 1, j - 1) + (not same), distance(i - 1, j) + 1, distance(i, j - 1) + 1
        )

    return 1 - distance(len(first), len(second)) / max(len(first), len(second))


def slow_counts(true, pred, overlap, background):
    first, second = slow_bouts(true, pred, background)
    free = [True] * len(first)
    hits = errors = 0
    for label, own in second:
        ratios = [
            len(own & other) / len(own | other) if kind == label else 0.0 for kind, other in first
        ]
        best = int(np.argmax(ratios)) if ratios else -1
        if ratios and ratios[best] >= overlap and free[best]:
            free[best], hits = False, hits + 1
        else:
            errors += 1
    return hits, errors, sum(free)


@st.composite
def sequences(draw):
    """Labels and predictions with bouts, of up to 4 classes; some frames unlabelled."""
    runs = st.lists(st.tuples(st.sampled_from([-100, 0, 1, 2, 3]), st.integers(1, 6)), max_size=12)
    true = [label for label, n in draw(runs) for _ in range(n)]
    changed = draw(st.lists(st.integers(-1, 3), min_size=len(true), max_size=len(true)))
    keep = draw(st.booleans())
    pred = [max(t, 0) if keep and c < 2 else max(c, 0) for t, c in zip(true, changed, strict=True)]
    return true, pred


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(sequences(), st.sampled_from([0, None, 2]))
def test_the_edit_score_is_the_levenshtein_distance(both, background):
    found, expected = edit_score(*both, background), slow_edit(*both, background)
    assert found == pytest.approx(expected, nan_ok=True)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(sequences(), st.sampled_from([0, None, 2]), st.sampled_from([0.1, 0.25, 0.5, 1.0]))
def test_bouts_are_matched_as_sets_of_frames(both, background, overlap):
    found = segment_counts(*both, overlap, background).sum(0)
    assert tuple(found) == slow_counts(*both, overlap, background)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(sequences(), st.data())
def test_frames_that_are_not_scored_never_count(both, data):
    true, pred = both
    other = [
        data.draw(st.integers(0, 3)) if t in (0, -100) else p
        for t, p in zip(true, pred, strict=True)
    ]
    assert edit_score(true, pred) == pytest.approx(edit_score(true, other), nan_ok=True)
    assert segment_f1(true, pred, 0.25) == pytest.approx(segment_f1(true, other, 0.25), nan_ok=True)


def test_a_million_frames_in_pieces_take_seconds_at_most():
    draw = np.random.default_rng(0)
    true = np.repeat(draw.integers(1, 5, 10_000), 100)
    pred = np.where(draw.random(len(true)) < 0.9, true, draw.integers(1, 5, len(true)))
    assert 0 < segment_f1(true, pred, 0.1) < 1
    assert 0 < edit_score(true[:200_000], pred[:200_000]) < 1
