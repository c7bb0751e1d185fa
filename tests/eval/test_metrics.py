"""Metrics agree with their definitions, and with scikit-learn's where it has them."""

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    f1_score,
    jaccard_score,
    precision_score,
    recall_score,
)

from daart_fast.errors import DataError
from daart_fast.eval import (
    accuracy,
    average_precision,
    balanced_accuracy,
    confusion_matrix,
    get_precision_recall,
    int_over_union,
    macro_f1,
    mean_iou,
    run_lengths,
    weighted_f1,
)


@pytest.fixture(params=range(20))
def labelled(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    """True and predicted classes of some frames, unlabelled and background ones among them."""
    draw = np.random.default_rng(request.param)
    true = draw.choice([-100, 0, 1, 2, 3], size=200)
    true[:3] = 1, 2, 3
    return true, np.where(draw.random(200) < 0.6, np.maximum(true, 0), draw.integers(0, 4, 200))


def test_precision_recall_and_f1_are_those_of_scikit_learn(labelled):
    true, pred = labelled
    scored = true > 0
    result = get_precision_recall(true, pred)
    for name, score in [
        ("precision", precision_score),
        ("recall", recall_score),
        ("f1", f1_score),
    ]:
        expected = score(
            true[scored], pred[scored], labels=[1, 2, 3], average=None, zero_division=0
        )
        np.testing.assert_allclose(result[name], expected)


def test_without_a_background_class_zero_is_scored_like_any_other(labelled):
    true, pred = labelled
    kept = true >= 0
    for background in (None, -100):
        np.testing.assert_allclose(
            get_precision_recall(true, pred, background=background)["f1"],
            f1_score(true[kept], pred[kept], labels=range(4), average=None),
        )


def test_macro_f1_is_the_mean_over_the_scored_classes(labelled):
    true, pred = labelled
    scored = true > 0
    assert macro_f1(true, pred) == pytest.approx(
        f1_score(true[scored], pred[scored], labels=[1, 2, 3], average="macro")
    )


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (weighted_f1, lambda t, p: f1_score(t, p, labels=[1, 2, 3], average="weighted")),
        (accuracy, accuracy_score),
        (mean_iou, lambda t, p: jaccard_score(t, p, labels=[1, 2, 3], average="macro")),
    ],
)
def test_other_means_are_those_of_scikit_learn(labelled, ours, theirs):
    true, pred = labelled
    scored = true > 0
    assert ours(true, pred) == pytest.approx(theirs(true[scored], pred[scored]))
    assert np.isnan(ours([0, -100], [1, 1]))


@pytest.mark.filterwarnings("ignore:y_pred contains classes")
def test_balanced_accuracy_is_that_of_scikit_learn(labelled):
    true, pred = labelled
    expected = balanced_accuracy_score(true[true > 0], pred[true > 0])
    assert balanced_accuracy(true, pred) == pytest.approx(expected)
    assert np.isnan(balanced_accuracy([0], [1]))


@pytest.mark.parametrize("digits", [8, 1])  # one digit: many frames of equal probability
def test_average_precision_is_that_of_scikit_learn(labelled, digits):
    true, _ = labelled
    states = np.random.default_rng(0).dirichlet(np.ones(4), len(true)).round(digits)
    found = average_precision(true, states)
    kept = true > 0
    expected = [average_precision_score(true[kept] == c, states[kept, c]) for c in (1, 2, 3)]
    np.testing.assert_allclose(found[1:], expected)
    assert np.isnan(found[0])


def test_unlabelled_and_ignored_frames_never_count(labelled):
    true, pred = labelled
    garbled = np.where(true > 0, pred, 3 - pred)
    assert macro_f1(true, pred) == macro_f1(true, garbled)
    np.testing.assert_array_equal(confusion_matrix(true, pred), confusion_matrix(true, garbled))
    assert confusion_matrix(true, pred).sum() == (true > 0).sum()


def test_a_class_that_never_occurs_does_not_lower_the_mean():
    assert macro_f1([1, 1, 3, 3], [1, 1, 3, 3], n_classes=3) == 1.0


def test_a_class_predicted_but_never_true_lowers_the_mean():
    assert macro_f1([1, 1, 1, 1], [1, 1, 2, 2], n_classes=2) == pytest.approx(
        (2 * 2 / (2 + 4) + 0) / 2
    )
    assert macro_f1([1, 1, 1, 1], [1, 1, 2, 2]) == macro_f1([2, 2, 2, 2], [2, 2, 1, 1])


def test_classes_beyond_the_highest_true_one_are_returned_if_their_number_is_given():
    result = get_precision_recall([1, 1], [1, 0], n_classes=3)
    np.testing.assert_allclose(result["recall"], [0.5, 0, 0])
    np.testing.assert_allclose(result["precision"], [1, 0, 0])


def test_no_frame_that_counts_gives_no_score():
    assert np.isnan(macro_f1([0, -100], [1, 1]))
    assert get_precision_recall([0, -100], [1, 1])["f1"].size == 0


def test_a_confusion_matrix_has_true_classes_in_rows():
    matrix = confusion_matrix([1, 1, 2], [1, 2, 2])
    np.testing.assert_array_equal(matrix, [[0, 0, 0], [0, 1, 1], [0, 0, 1]])


def test_intersection_over_union_of_each_value():
    assert int_over_union([0, 0, 1, 2], [0, 1, 1, 3]) == {0: 0.5, 1: 0.5, 2: 0.0, 3: 0.0}


def test_intersection_over_union_leaves_unlabelled_frames_out():
    assert int_over_union([1, 1, -100], [1, -100, 1]) == {1: 1.0}


def test_run_lengths_lists_the_bouts_of_each_value():
    bouts = run_lengths([1, 1, 1, 0, 0, 4, 4, 4, 4, 4, 4, 0, 1, 1, 1, 1])
    assert bouts == {0: [2, 1], 1: [3, 4], 2: [], 3: [], 4: [6]}


def test_unlabelled_frames_end_a_bout_and_are_none():
    assert run_lengths([1, 1, -100, 1]) == {0: [], 1: [2, 1]}


def test_no_frames_have_no_bouts():
    assert run_lengths([]) == {}


@pytest.mark.parametrize(
    ("true", "pred", "message"),
    [
        ([1, 2], [1], "got 1 for 2 labels"),
        ([[1]], [[1]], r"one class a frame, got an array of shape \(1, 1\)"),
        ([1.5], [1], "true_classes: expected integers, got 1.5"),
        ([1], [-1], "expected classes from 0 to 1, got -1 to 1"),
    ],
)
def test_what_is_no_class_is_named(true, pred, message):
    with pytest.raises(DataError, match=message):
        confusion_matrix(true, pred)


def test_more_classes_than_said_are_named():
    with pytest.raises(DataError, match="expected classes from 0 to 1, got 0 to 5"):
        confusion_matrix([1, 5], [1, 1], n_classes=2)
