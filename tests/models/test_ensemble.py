"""Several models' answers, combined."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from daart_fast.errors import ConfigError
from daart_fast.models import Ensembler

LOGITS = np.random.default_rng(0).normal(0.0, 2.0, (3, 2, 50, 4))  # models, sequences, frames, C


class Answers:
    """A model that gives set logits to each sequence of one session."""

    def __init__(self, logits: np.ndarray, classifier_type: str = "multiclass") -> None:
        self.logits, self.classifier_type = logits, classifier_type
        self.hparams = {"output_size": logits.shape[-1]}

    def predict_labels(self, data_generator: Any, return_scores: bool) -> dict[str, Any]:
        assert return_scores
        return {"scores": [list(self.logits.astype(np.float32))]}

    probabilities: Any


@pytest.fixture
def ensemble(make_hparams: Callable[..., Any]) -> Callable[..., np.ndarray]:
    """A function that combines three models and returns (sequences, frames, C)."""
    from daart_fast.models import Segmenter

    def combine(logits: np.ndarray = LOGITS, kind: str = "multiclass", **how: Any) -> np.ndarray:
        models = []
        for own in logits:
            model = Answers(own, kind)
            # the real thing's way from logits to probabilities
            model.probabilities = Segmenter(make_hparams(classifier_type=kind)).probabilities
            models.append(model)
        (sequences,) = Ensembler(models).predict_labels(SimpleNamespace(), **how)["labels"]
        return np.stack(sequences)

    return combine


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


@pytest.mark.parametrize("weights", [None, [3.0, 0.0, 1.0], "entropy"])
@pytest.mark.parametrize("before", [False, True])
def test_failure_09_probabilities_sum_to_one_whatever_the_weights(ensemble, weights, before):
    combined = ensemble(weights=weights, combine_before_softmax=before)
    assert combined.shape == LOGITS.shape[1:] and combined.dtype == np.float32
    np.testing.assert_allclose(combined.sum(-1), 1.0, atol=1e-6)
    assert (combined >= 0).all()


def test_models_weigh_alike_unless_told_otherwise(ensemble):
    np.testing.assert_allclose(ensemble(), softmax(LOGITS).mean(0), atol=1e-6)
    np.testing.assert_allclose(
        ensemble(combine_before_softmax=True), softmax(LOGITS.mean(0)), atol=1e-6
    )


def test_given_weights_count_in_proportion(ensemble):
    expected = (3 * softmax(LOGITS[0]) + softmax(LOGITS[2])) / 4
    np.testing.assert_allclose(ensemble(weights=[3, 0, 1]), expected, atol=1e-6)


def test_a_model_weighs_the_less_the_more_it_hesitates_in_that_frame(ensemble):
    probabilities = softmax(LOGITS)
    entropy = -(probabilities * np.log(probabilities)).sum(-1, keepdims=True)
    weights = np.exp(-entropy) / np.exp(-entropy).sum(0)
    np.testing.assert_allclose(
        ensemble(weights="entropy"), (weights * probabilities).sum(0), atol=1e-6
    )


def test_a_model_that_is_certain_has_no_entropy_that_is_not_a_number(ensemble):
    certain = np.array(LOGITS)
    certain[0, :, :, 0] = 1e4
    assert np.isfinite(ensemble(certain, weights="entropy")).all()


def test_one_model_is_itself(ensemble):
    np.testing.assert_allclose(ensemble(LOGITS[:1]), softmax(LOGITS[0]), atol=1e-6)


def test_several_behaviours_at_once_stay_sigmoids(ensemble):
    combined = ensemble(kind="multibinary")
    np.testing.assert_allclose(combined, (1 / (1 + np.exp(-LOGITS))).mean(0), atol=1e-6)


# ------------------------------------------------------------------------------ bad input


def test_an_ensemble_of_none_is_refused():
    with pytest.raises(ConfigError, match="at least one model"):
        Ensembler([])


def test_models_of_other_classes_are_refused():
    with pytest.raises(ConfigError, match="one classifier_type and one output_size"):
        Ensembler([Answers(LOGITS[0]), Answers(LOGITS[0][..., :3])])


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("entropie", "None, an array or 'entropy', not 'entropie'"),
        ([1, 2], r"shape \(3,\), one for each model, not \(2,\)"),
        ([1, -1, 1], "must be >= 0"),
        ([0, 0, 0], "not all 0"),
        ([1, np.nan, 1], "must be >= 0"),
    ],
)
def test_weights_that_make_no_sense_are_refused(ensemble, weights, message):
    with pytest.raises(ValueError, match=message):
        ensemble(weights=weights)
