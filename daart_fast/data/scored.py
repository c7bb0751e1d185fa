"""Which labelled frames are learned and scored, and what nobody must miss about them.

Class 0, the background, stands for frames that nobody looked at: they are neither learned nor
scored. Where it stands for frames in which somebody looked and saw nothing, scores say nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from daart_fast.config import with_defaults
from daart_fast.data.ignored import ignored_class
from daart_fast.data.sessions import LABEL_FOLDERS, Session
from daart_fast.readers.label_record import LABEL_RECORD

__all__ = ["Scored", "label_cautions", "old_background", "one_class", "scored_frames"]

#: The share of labelled sessions' frames below which too few are scored to go unsaid.
FEW = 0.1


@dataclass(frozen=True)
class Scored:
    """How many frames of the labelled sessions have each class.

    Attributes
    ----------
    names
        the classes
    counts
        frames of each class
    n_frames
        all frames of these sessions
    ignored
        the class that is neither learned nor scored; -100 where there is none
    """

    names: Sequence[str]
    counts: Sequence[int]
    n_frames: int
    ignored: int

    @property
    def by_class(self) -> dict[str, int]:
        """Frames of each class that is scored and occurs."""
        found = enumerate(zip(self.names, self.counts, strict=True))
        return {name: count for i, (name, count) in found if i != self.ignored and count}

    @property
    def background(self) -> tuple[str, int]:
        """The class that is not scored, and its frames; ``("", 0)`` where there is none."""
        if not 0 <= self.ignored < len(self.names):
            return "", 0
        return self.names[self.ignored], self.counts[self.ignored]


def scored_frames(
    hparams: Mapping[str, Any], names: Sequence[str], sessions: Iterable[Session]
) -> Scored | None:
    """Count the frames of each class, by hand labels, or by heuristic labels where those say none.

    Parameters
    ----------
    hparams
        ``classifier_type`` and ``ignore_class``
    names
        the classes
    sessions
        those without labels do not count

    Returns
    -------
    Scored or None
        None for several behaviours at once, as their labels say where none occurs
    """
    if with_defaults(hparams)["classifier_type"] == "multibinary" or not names:
        return None
    ignored = ignored_class({**hparams, "label_names": names})
    counts, n_frames = np.zeros(len(names), dtype=np.int64), 0
    for session in sessions:
        kinds = (session.labels_strong, session.labels_weak)
        labels = [kind for kind in kinds if kind is not None]
        if not labels:
            continue
        first, last = labels[0], labels[-1]
        shown = np.where((first >= 0) & (first != ignored), first, last)
        counts += np.bincount(shown[shown >= 0], minlength=len(names))
        n_frames += len(session)
    return Scored(names, counts.tolist(), n_frames, ignored)


def label_cautions(scored: Scored | None) -> list[str]:
    """List what nobody who reads a score must miss about the labels, as sentences.

    Parameters
    ----------
    scored
        see `scored_frames`
    """
    if scored is None:
        return []
    if sentence := one_class(scored):
        return [sentence]
    name, count = scored.background
    n_scored = sum(scored.by_class.values())
    if n_scored >= FEW * scored.n_frames:
        return []
    return [
        f"only {n_scored:,} of {scored.n_frames:,} frames ({n_scored / scored.n_frames:.1%}) are "
        f"scored. The {_unscored(name, count)}"
    ]


def one_class(scored: Scored) -> str:
    """Say why a score of a single class, or none, is worth nothing; ``""`` where there are more."""
    name, count = scored.background
    if not scored.by_class:
        return f"no frame is scored. The {_unscored(name, count)}" if count else ""
    if len(scored.by_class) > 1:
        return ""
    ((only, n_scored),) = scored.by_class.items()
    return (
        f"{only!r} is the only class that is scored ({n_scored:,} frames), so that a model that "
        f"always says {only!r} has a perfect score. "
        + (f"The {_unscored(name, count)}" if count else "Labels of a second class are needed")
    )


def _unscored(name: str, count: int) -> str:
    return (
        f"{count:,} frames of {name!r} are neither learned nor scored, as nobody looked at "
        f"them. If somebody did, convert the labels again with 'daart-fast convert-labels', which "
        f"makes a class of the frames between bouts (or set ignore_class: -100, to learn {name!r})"
    )


def old_background(folder: Path, scored: Scored | None) -> str:
    """Say that the background is not scored, where no record says that somebody decided so.

    Parameters
    ----------
    folder
        the project's, with labels-hand/ in it
    scored
        see `scored_frames`
    """
    labels = folder / LABEL_FOLDERS["labels_strong"]
    if scored is None or not scored.background[1] or (labels / LABEL_RECORD).is_file():
        return ""
    name, count = scored.background
    return f"{labels}: the {_unscored(name, count)}"
