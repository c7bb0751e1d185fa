"""What is not scored: one rule for the loss, the scores and the pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from daart_fast.config import with_defaults
from daart_fast.names import BACKGROUND

__all__ = [
    "IGNORED",
    "ignored_class",
    "scored_labels",
]


IGNORED = -100  # the class label of a frame that is not scored


def ignored_class(hparams: Mapping[str, Any]) -> int:
    """Return the class whose frames are not scored; `IGNORED` where every labelled frame is.

    Of the columns of multibinary labels only one that is called background stands for frames that
    nobody scored: any other at ``ignore_class`` is a behaviour as the rest are. ``binary`` is
    softmax over two classes of which the first, its background, is scored too.
    """
    settings = with_defaults(hparams)
    ignored, kind = settings["ignore_class"], settings["classifier_type"]
    if ignored is None or kind == "binary":
        return IGNORED
    if kind == "multibinary":
        names = dict(enumerate(settings.get("label_names") or ()))
        return int(ignored) if names.get(ignored, "").lower() == BACKGROUND else IGNORED
    return int(ignored)


def scored_labels(labels: np.ndarray, background: int | None) -> np.ndarray:
    """Return multibinary labels (T, C) in which NaN stands for all that is not scored.

    Where the background is 1, nobody scored any of the behaviours; it is no behaviour itself.
    """
    if background is None:
        return labels
    scored = np.broadcast_to(labels[:, background, None] != 1, labels.shape).copy()
    scored[:, background] = False
    return np.where(scored, labels, np.nan)
