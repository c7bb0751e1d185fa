"""Smoothing does what it says, against slow twins; what is learned is what the labels hold."""

from __future__ import annotations

from itertools import pairwise, product
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daart_fast.errors import ConfigError, DataError
from daart_fast.eval import bouts, choose_smoother, smoother_of
from daart_fast.eval.selection import _score
from daart_fast.eval.smoothing import (
    Smoother,
    _semi_markov,
    _viterbi,
    learn_durations,
    learn_transitions,
    log_durations,
    median,
    merge_bouts,
)
from daart_fast.experiment.check_settings import check_together


def certain(classes: str, n_classes: int = 3, sure: float = 0.8) -> np.ndarray:
    """Probabilities that are sure of one class a frame, a digit each."""
    states = np.full((len(classes), n_classes), (1 - sure) / (n_classes - 1))
    states[np.arange(len(classes)), [int(c) for c in classes]] = sure
    return states


def text(classes: np.ndarray) -> str:
    return "".join(map(str, classes))


# ------------------------------------------------------------------------------ bouts


@pytest.mark.parametrize(
    ("before", "n_frames", "after"),
    [
        ("0001000", 2, "0000000"),
        ("0001000", 1, "0001000"),
        ("00011000", 3, "00000000"),
        ("1000000", 2, "0000000"),  # at the ends too
        ("0000001", 2, "0000000"),
        ("01", 5, "11"),  # nothing longer is there: of two as likely the second is kept
        ("0", 5, "0"),
        ("0001011111", 2, "0000011111"),
    ],
)
def test_bouts_that_are_too_short_go_to_their_neighbours(before, n_frames, after):
    assert text(merge_bouts(certain(before), n_frames)) == after


def test_the_likelier_neighbour_takes_a_bout():
    states = certain("000211")
    states[3] = 0.1, 0.4, 0.5
    assert text(merge_bouts(states, 2)) == "000111"


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 10_000))
def test_no_bout_is_left_that_is_too_short_and_long_ones_stay_where_they_were(n, shortest, seed):
    states = np.random.default_rng(seed).dirichlet(np.ones(3), n)
    states = np.repeat(states, np.random.default_rng(seed).integers(1, 6, n), axis=0)
    smooth = merge_bouts(states, shortest)
    lengths = np.diff(bouts(smooth)[:, 1:], axis=1)
    assert (lengths >= shortest).all() or len(lengths) == 1
    for label, start, stop in bouts(states.argmax(1)):
        if stop - start >= shortest:
            assert (smooth[start:stop] == label).all()


# ------------------------------------------------------------------------------ median


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.integers(1, 50), st.integers(1, 20), st.integers(0, 10_000))
def test_the_running_median_is_that_of_each_window(n_frames, window, seed):
    draw = np.random.default_rng(seed)
    states = draw.dirichlet(np.ones(3), n_frames).round(draw.integers(1, 9))  # equal ones too
    half = window // 2
    for t, row in enumerate(median(states, window)):
        around = states[max(t - half, 0) : t + half + 1]
        np.testing.assert_allclose(row, np.median(around, axis=0), rtol=1e-12)


# ------------------------------------------------------------------------------ Viterbi


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(1, 3), st.integers(0, 10_000))
def test_viterbi_finds_the_best_of_all_paths(n_frames, n_classes, seed):
    draw = np.random.default_rng(seed)
    evidence = np.log(draw.dirichlet(np.ones(n_classes), n_frames))
    moves = np.log(draw.dirichlet(np.ones(n_classes), n_classes))

    def score(path) -> float:
        steps = sum(moves[a, b] for a, b in pairwise(path))
        return steps + sum(evidence[t, c] for t, c in enumerate(path))

    found = np.empty(n_frames, np.int64)
    _viterbi()(evidence, moves, found, np.empty(evidence.shape, np.int64))
    best = max(product(range(n_classes), repeat=n_frames), key=score)
    assert score(found) == pytest.approx(score(best))


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(st.integers(1, 7), st.integers(1, 3), st.integers(1, 4), st.integers(0, 10_000))
def test_semi_markov_finds_the_best_of_all_paths_and_durations(n_frames, n_classes, longest, seed):
    draw = np.random.default_rng(seed)
    evidence = np.log(draw.dirichlet(np.ones(n_classes), n_frames))
    moves = np.log(draw.dirichlet(np.ones(n_classes), n_classes))
    np.fill_diagonal(moves, -np.inf)
    ends = np.log(draw.uniform(0.05, 1, (n_classes, longest)))
    lasts, stays = np.log(draw.uniform(0.05, 0.9, (2, n_classes)))

    def of_length(c: int, n: int, cut: bool) -> float:
        if n <= longest:
            return 0.0 if cut else ends[c, n - 1]
        long = lasts[c] + (n - longest - 1) * stays[c]
        return long if cut else long + np.log(1 - np.exp(stays[c]))

    def score(path) -> float:
        found = bouts(np.array(path))
        total = sum(evidence[t, c] for t, c in enumerate(path))
        for i, (c, start, stop) in enumerate(found.tolist()):
            if i > 0:
                total += moves[found[i - 1, 0], c]
                total += of_length(c, stop - start, stop == n_frames)
        return total

    found = np.empty(n_frames, np.int64)
    _semi_markov()(evidence, moves, ends, lasts, stays, found)
    best = max(product(range(n_classes), repeat=n_frames), key=score)
    assert score(found) == pytest.approx(score(best))


def learned(method: str, **changes) -> Smoother:
    labels = [np.repeat([1, 2, 1, 2, 1], [20, 30, 25, 22, 20])]
    return Smoother(
        method,
        prior=[0.0, 0.5, 0.5],
        transitions=learn_transitions(labels, 3).tolist(),
        durations=learn_durations(labels, 3).tolist(),
        **changes,
    )


@pytest.mark.parametrize("method", ["hmm", "semi-markov"])
def test_flicker_is_taken_out_and_a_class_that_never_occurs_is_never_predicted(method):
    noisy = certain("1" * 20 + "2" + "1" * 10 + "0" * 3 + "1" * 10 + "2" * 30, sure=0.6)
    smooth = text(learned(method)(noisy))
    assert smooth == "1" * 44 + "2" * 30


@pytest.mark.parametrize("method", ["hmm", "semi-markov", "bouts", "median", None])
def test_any_length_of_session_can_be_smoothed(method):
    for n_frames in (1, 2, 3, 50):
        assert learned(method, n_frames=9)(certain("1" * n_frames)).tolist() == [1] * n_frames


def test_long_bouts_are_no_harder_to_believe_than_the_tail_of_their_durations():
    smooth = learned("semi-markov")(certain("1" * 3000 + "2" * 3000, sure=0.6))
    assert text(smooth) == "1" * 3000 + "2" * 3000


def test_several_behaviours_at_once_are_smoothed_each_by_itself():
    states = np.array([[0.9, 0.1], [0.9, 0.1], [0.1, 0.1], [0.9, 0.9]])
    smooth = Smoother("bouts", 2, multibinary=True)(states)
    assert smooth.tolist() == [[1, 0], [1, 0], [1, 0], [1, 0]]
    assert Smoother(multibinary=True)(states).tolist() == (states > 0.5).astype(int).tolist()


# ------------------------------------------------------------------------------ learning


def test_transitions_are_counted_between_labelled_frames():
    found = learn_transitions([np.array([1, 1, 1, 2, -100, 1])], 3)
    np.testing.assert_allclose(found[1], [1 / 6, 3 / 6, 2 / 6])
    np.testing.assert_allclose(found[2], [1 / 3] * 3)


def test_durations_are_those_of_bouts_that_labels_do_not_cut_off():
    track = np.repeat([1, 2, 1, 2, 1, 2, 1, -100, 2], [99, 10, 8, 10, 8, 10, 8, 5, 500])
    found = learn_durations([track], 4)
    assert found[2].tolist() == [np.log(10), 0.3]
    # class 1 has but two whole bouts, so those that are cut off count as well
    assert found[1, 0] == pytest.approx(np.log([99, 8, 8, 8]).mean())
    assert found[3].tolist() == found[1:3].mean(0).tolist()


def test_durations_without_any_bout_are_some_anyhow():
    assert np.isfinite(learn_durations([], 2)).all()


def test_durations_are_probabilities():
    ends, lasts, stays = log_durations(np.array([[np.log(20), 0.5], [np.log(900), 1.0]]), 1000)
    np.testing.assert_allclose(np.exp(ends).sum(1) + np.exp(lasts), 1, atol=1e-4)
    assert (np.exp(stays) < 1).all() and np.exp(ends).argmax(1)[0] == pytest.approx(15, abs=1)


# ------------------------------------------------------------------------------ choosing


def generator(labels: np.ndarray, train: slice, n_classes: int = 3):
    """A generator of one session, its frames for training and the rest for validation."""
    is_train = np.zeros(len(labels), bool)
    is_train[train] = True
    dataset = SimpleNamespace(
        id="s",
        session=SimpleNamespace(labels_strong=labels),
        frames_of=lambda split: is_train if split == "train" else ~is_train,
    )
    return SimpleNamespace(datasets=[dataset], label_names=list("abcd")[:n_classes])


LABELS = np.tile(np.repeat([1, 2], 30), 10)


def flickering(labels: np.ndarray) -> np.ndarray:
    """Mostly right; every eleventh frame is of the other class."""
    wrong = np.arange(len(labels)) % 11 == 0
    return certain(text(np.where(wrong, 3 - labels, labels)))


def test_off_is_the_default():
    chosen = choose_smoother({}, generator(LABELS, slice(300)), {"s": flickering(LABELS)})
    assert chosen == Smoother()


def test_the_length_is_taken_from_seconds_or_frames():
    def n_frames(**hparams) -> int:
        hparams = {"smoothing": "bouts", **hparams}
        return choose_smoother(hparams, generator(LABELS, slice(300)), {}).n_frames

    assert n_frames(smoothing_seconds=0.5, fps=30) == 15
    assert n_frames(smoothing_frames=4) == 4


@pytest.mark.parametrize("method", ["hmm", "semi-markov"])
def test_the_strength_may_be_given(method):
    hparams = {"smoothing": method, "smoothing_strength": 0.2}
    assert choose_smoother(hparams, generator(LABELS, slice(300)), {}).strength == 0.2


@pytest.mark.parametrize("method", ["bouts", "median", "hmm", "semi-markov", "auto"])
def test_what_is_left_open_is_chosen_on_validation_frames(method):
    states = flickering(LABELS)
    chosen = choose_smoother(
        {"smoothing": method, "fps": 30}, generator(LABELS, slice(300)), {"s": states}
    )
    assert chosen.method == method or method == "auto"
    assert (chosen(states) == LABELS).mean() > (states.argmax(1) == LABELS).mean()


def test_where_nothing_helps_auto_leaves_predictions_as_they_are():
    labels = np.tile([1, 2, 1], 100)
    chosen = choose_smoother(
        {"smoothing": "auto"}, generator(labels, slice(150)), {"s": certain(text(labels))}
    )
    assert chosen.method is None


def test_several_behaviours_are_chosen_for_on_the_mean_of_their_scores():
    labels = np.stack([LABELS == 1, LABELS == 2], axis=1).astype(float)
    states = flickering(LABELS)[:, 1:]
    hparams = {"smoothing": "auto", "classifier_type": "multibinary"}
    chosen = choose_smoother(hparams, generator(labels, slice(300), 2), {"s": states})
    assert chosen.method in ("bouts", "median") and chosen.multibinary


def test_it_makes_no_difference_which_class_a_false_alarm_is_of():
    def score_of(true_classes: tuple[int, int], alarm: int) -> float:
        labels = np.repeat(np.tile(true_classes, 4), 50)
        pred = np.where(np.arange(400) % 10 == 0, alarm, labels)
        states = np.eye(4)[pred]
        return _score(Smoother(), generator(labels, slice(0), 4), {"s": states}, 0)

    assert score_of((1, 2), 3) == pytest.approx(score_of((2, 3), 1))


@pytest.mark.parametrize("method", ["hmm", "semi-markov", "auto"])
def test_without_labels_to_learn_from_nothing_is_learned_and_that_is_told(method, caplog):
    labels = np.where(np.arange(600) < 300, -100, LABELS)
    states = {"s": flickering(LABELS)}
    chosen = choose_smoother({"smoothing": method}, generator(labels, slice(300)), states)
    assert chosen.method in (("bouts", "median") if method == "auto" else (None,))
    named = "hmm" if method == "auto" else method
    assert f"'smoothing' {named} learns from the hand labels of training frames" in caplog.text


def test_without_labels_to_choose_by_the_first_is_taken_and_that_is_told(caplog):
    labels = np.where(np.arange(600) < 300, LABELS, -100)
    hparams = {"smoothing": "bouts", "fps": 30}
    chosen = choose_smoother(hparams, generator(labels, slice(300)), {"s": flickering(LABELS)})
    assert chosen == Smoother("bouts", 3)
    assert "no validation frame has a hand label to choose 'smoothing' bouts by" in caplog.text


def test_a_model_that_has_no_file_is_not_smoothed(tmp_path, caplog):
    several = {"classifier_type": "multibinary"}
    assert smoother_of(tmp_path, several) == Smoother(multibinary=True)
    assert caplog.messages == []
    assert smoother_of(tmp_path, {"smoothing": "hmm"}) == Smoother()
    assert f"{tmp_path / 'smoothing.json'}: no such file" in caplog.text


def test_a_smoother_is_kept_in_a_file(tmp_path):
    smoother = learned("semi-markov", strength=0.3)
    smoother.save(tmp_path / "smoothing.json")
    assert smoother_of(tmp_path) == smoother
    assert smoother_of(tmp_path / "elsewhere") == smoother_of(None) == Smoother()
    (tmp_path / "smoothing.json").write_text("{]")
    with pytest.raises(DataError, match="expected a smoother's settings"):
        smoother_of(tmp_path)


@pytest.mark.parametrize(
    ("hparams", "said"),
    [
        ({"smoothing": "bouts", "smoothing_seconds": 1}, "'fps' is missing"),
        ({"smoothing": "hmm", "classifier_type": "multibinary"}, "multibinary has bouts and med"),
    ],
)
def test_settings_that_cannot_be_meant_are_told(hparams, said):
    with pytest.raises(ConfigError, match=said):
        check_together(hparams)


def test_probabilities_of_another_shape_are_refused():
    with pytest.raises(DataError, match="expected probabilities of shape"):
        Smoother()(np.ones(3))
    with pytest.raises(DataError, match="expected 3 classes, got 2"):
        learned("hmm")(np.ones((4, 2)))
