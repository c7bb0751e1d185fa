"""What nobody who reads a model's scores may miss, as sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from daart_fast.config import split_ids
from daart_fast.data.scored import label_cautions, scored_frames
from daart_fast.errors import some
from daart_fast.eval.new_sessions import NewSessions

if TYPE_CHECKING:
    from daart_fast.data import DataGenerator

__all__ = ["cautions_of"]


def cautions_of(
    hparams: Mapping[str, Any], generator: DataGenerator | NewSessions, scores: Mapping[str, Any]
) -> list[str]:
    """List the reasons why the scores of a model are less than they seem, those of labels first.

    Parameters
    ----------
    hparams
        the model's
    generator
        of the data that the model was trained with, or of new sessions
    scores
        by split, as in a summary
    """
    sessions = (dataset.session for dataset in generator.datasets)
    scored = scored_frames(hparams, generator.label_names, sessions)
    return [
        *label_cautions(scored),
        *_about_splits(hparams, generator, scores),
        *_about_classes(scores),
    ]


def _about_classes(scores: Mapping[str, Any]) -> list[str]:
    """Say where a class that no hand label shows lowers macro-F1, as it was predicted."""
    found = scores.get("new") or scores.get("test") or {}
    never = [
        name
        for name, own in found.get("classes", {}).items()
        if own.get("frames") == 0 and own.get("f1") == 0
    ]
    if not never:
        return []
    return [
        f"{some(never)}: predicted in scored frames of these videos, where no hand label shows "
        f"{'it' if len(never) == 1 else 'them'}; each counts as 0 in macro-F1"
    ]


def _about_splits(
    hparams: Mapping[str, Any], generator: DataGenerator | NewSessions, scores: Mapping[str, Any]
) -> list[str]:
    """Say where no score is of videos that no training has seen."""
    if isinstance(generator, NewSessions):
        return []
    if not scores:
        return ["no frame has a hand label that is scored, so there is no score"]
    if "test" in scores and scores["test"]["whole_sessions"]:
        return []
    if held_out := split_ids(hparams.get("expt_ids_test")):
        return [f"the held-out videos ({some(held_out)}) have no scored frames, so no score either"]
    labelled = sum(d.session.labels_strong is not None for d in generator.datasets)
    if labelled == 1:
        return [
            "only one video has hand labels, and the model was trained on it: no score says how "
            "good it is on new videos. That needs a second labelled video"
        ]
    if scores.get("val", {}).get("whole_sessions"):
        return [
            "no video was held out for testing: the validation videos were used to choose when to "
            "stop, so that their score is higher than that of new videos will be"
        ]
    return [
        "no video was held out: the scores are of videos that the model was trained on, and will "
        "be lower on new videos"
    ]
