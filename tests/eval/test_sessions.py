"""Scores of the states in a folder, session by session."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from daart_fast.eval import score_sessions


@pytest.fixture
def scored(tmp_path):
    """A function that writes states and scores them on the second half of the frames."""

    def score(labels, states):
        np.save(tmp_path / "s_states.npy", states)
        frames = np.arange(len(states)) >= len(states) // 2
        dataset = SimpleNamespace(
            id="s", session=SimpleNamespace(labels_strong=labels), frames_of=lambda split: frames
        )
        return score_sessions(SimpleNamespace(datasets=[dataset]), tmp_path)

    return score


def test_the_frames_of_the_split_alone_are_scored(scored):
    labels = np.array([1, 1, 1, 1, 2, 2, 1, 1])
    right = np.eye(3)[[2, 2, 2, 2, 2, 2, 1, 1]]  # wrong in the first half alone
    assert scored(labels, right) == {"s": 1.0}


def test_background_and_unlabelled_frames_do_not_count(scored):
    labels = np.array([0, 0, 0, 0, 0, -100, 1, 2])
    assert scored(labels, np.eye(3)[[0, 0, 0, 0, 1, 2, 1, 2]]) == {"s": 1.0}


def test_several_behaviours_at_once_are_scored_each_by_itself(scored):
    labels = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [np.nan, 0.0]])
    states = np.array([[0.0, 0.0], [0.0, 0.0], [0.1, 0.9], [0.9, 0.9]])
    # the first behaviour occurs nowhere; of the second, one of two found is true
    assert scored(labels, states) == {"s": pytest.approx(2 / 3)}


def test_a_session_with_nothing_to_score_is_left_out(scored):
    assert scored(None, np.eye(3)) == {}
    assert scored(np.zeros(4, int), np.eye(3)[[1, 1, 1, 1]]) == {}
