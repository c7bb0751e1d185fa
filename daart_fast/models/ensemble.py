"""Ensembles: several models' answers to one question, combined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from daart_fast.errors import ConfigError

if TYPE_CHECKING:
    from daart_fast.models.segmenter import Segmenter

__all__ = ["Ensembler"]


class Ensembler:
    """Combines the predictions of models that share their classes and their sequences.

    Parameters
    ----------
    models
        Segmenters of one classifier_type.
    """

    def __init__(self, models: Sequence[Segmenter]) -> None:
        self.models = list(models)
        self.n_models = len(self.models)
        if not self.models:
            raise ConfigError("an ensemble needs at least one model")
        kinds = {(m.classifier_type, m.hparams["output_size"]) for m in self.models}
        if len(kinds) > 1:
            raise ConfigError(
                "an ensemble's models must have one classifier_type and one output_size, "
                f"not {sorted(kinds)}"
            )

    def predict_labels(
        self,
        data_generator: Any,
        combine_before_softmax: bool = False,
        weights: ArrayLike | str | None = None,
    ) -> dict[str, list[list[np.ndarray]]]:
        """Average the models' predictions of every sequence of every session.

        Parameters
        ----------
        data_generator
            A `DataGenerator`.
        combine_before_softmax
            True averages the logits and takes the softmax of the average; False averages the
            probabilities.
        weights
            None weighs all models equally. An array (n_models,) of numbers >= 0 weighs them as
            given, scaled to sum to 1. ``"entropy"`` weighs them again in each frame, in proportion
            to ``exp(-H)``, H being the entropy in nats of the model's own probabilities there: a
            model's weight falls as it hesitates, inversely to the number of classes that it
            effectively hesitates between (its perplexity).

        Returns
        -------
        dict
            ``labels``: probabilities (frames, C), for each session and sequence. They sum to 1
            in every frame, whatever the weights (multibinary ones need not).
        """
        answers = [m.predict_labels(data_generator, return_scores=True) for m in self.models]
        fixed = self._fixed_weights(weights)
        labels = [
            [
                self._combine(np.stack(scores), fixed, combine_before_softmax)
                for scores in zip(*sessions, strict=True)
            ]
            for sessions in zip(*(answer["scores"] for answer in answers), strict=True)
        ]
        return {"labels": labels}

    def _fixed_weights(self, weights: ArrayLike | str | None) -> np.ndarray | None:
        """Return (n_models,) weights that sum to 1; None stands for weights by entropy."""
        if weights is None:
            return np.full(self.n_models, 1.0 / self.n_models)
        if isinstance(weights, str):
            if weights != "entropy":
                raise ValueError(f"weights must be None, an array or 'entropy', not '{weights}'")
            return None
        given = np.asarray(weights, dtype=np.float64)
        if given.shape != (self.n_models,):
            raise ValueError(
                f"weights must have shape ({self.n_models},), one for each model, not {given.shape}"
            )
        if not (np.isfinite(given).all() and (given >= 0).all() and given.sum() > 0):
            raise ValueError(f"weights must be >= 0 and not all 0, got {given.tolist()}")
        return given / given.sum()

    def _combine(
        self, scores: np.ndarray, fixed: np.ndarray | None, before_softmax: bool
    ) -> np.ndarray:
        """Combine logits (n_models, frames, C) into probabilities (frames, C)."""
        logits = torch.from_numpy(scores).double()
        probabilities = self.models[0].probabilities(logits)
        if fixed is None:
            weights = torch.softmax(-self._entropy(logits), dim=0)[..., None]
        else:
            weights = torch.from_numpy(fixed)[:, None, None]
        if before_softmax:
            combined = self.models[0].probabilities((weights * logits).sum(0))
        else:
            combined = (weights * probabilities).sum(0)
        return combined.float().numpy()

    def _entropy(self, logits: torch.Tensor) -> torch.Tensor:
        """Entropy in nats of each model's answer to each frame; sigmoids' are summed."""
        if self.models[0].classifier_type == "multibinary":
            logits = torch.stack([logits, torch.zeros_like(logits)], dim=-1)
            return _softmax_entropy(logits).sum(-1)
        return _softmax_entropy(logits)


def _softmax_entropy(logits: torch.Tensor) -> torch.Tensor:
    log_p = torch.log_softmax(logits, dim=-1)
    return -(log_p.exp() * log_p).sum(-1)
