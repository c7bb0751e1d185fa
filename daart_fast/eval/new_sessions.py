"""Sessions that were predicted after training, with the hand labels that there are of them.

They stand where a `DataGenerator` stands for a model's own sessions, and need no inputs: scores,
pictures and the report are of probabilities and labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from daart_fast.config import split_ids, with_defaults
from daart_fast.data.description import describe
from daart_fast.data.sequences import (
    frames_of_windows,
    n_shared_windows,
    share_out,
    trial_splits_of,
)
from daart_fast.data.sessions import Session
from daart_fast.names import session_name

__all__ = [
    "NEW",
    "NewSession",
    "NewSessions",
    "frames_by_split",
    "name_in_training",
    "role_of",
    "trained_sessions",
]

#: the split of sessions that no training has seen
NEW = "new"


@dataclass(frozen=True)
class NewSession:
    """A session: its labels, and which of its frames each split holds.

    Attributes
    ----------
    session
        as long as its recording; it need not have channels
    splits
        (T,) bool by split; see `frames_by_split`
    """

    session: Session
    splits: Mapping[str, np.ndarray]

    @property
    def id(self) -> str:
        """The session's name."""
        return self.session.id

    def frames_of(self, split: str) -> np.ndarray:
        """Return (T,) bool: the frames of a split."""
        return self.splits.get(split, np.zeros(len(self.session), dtype=bool))


@dataclass(frozen=True)
class NewSessions:
    """Sessions in a folder of predictions.

    Attributes
    ----------
    folder
        holds their ``<sess_id>_states.npy``
    label_names
        the model's classes
    """

    folder: Path
    datasets: Sequence[NewSession]
    label_names: list[str]

    @property
    def ids(self) -> list[str]:
        """The sessions' names."""
        return [dataset.id for dataset in self.datasets]

    def description(self) -> dict[str, Any]:
        """Describe frames and labels, so that different ones can be recognised."""
        sessions = [dataset.session for dataset in self.datasets]
        names = {"class names": self.label_names, "channel names": [], "task names": []}
        return describe(sessions, [(session.mean32, session.scale) for session in sessions], names)


def trained_sessions(hparams: Mapping[str, Any]) -> list[str]:
    """List the sessions that a model's training had, those to train on first."""
    settings = with_defaults(hparams)
    keys = ("expt_ids", "expt_ids_val", "expt_ids_test")
    return list(dict.fromkeys(session for key in keys for session in split_ids(settings[key])))


def name_in_training(hparams: Mapping[str, Any], session: str) -> str | None:
    """Return what a model's training called a session, with a tracker's suffix or without it."""
    video = session_name(session)
    same = [name for name in trained_sessions(hparams) if session_name(name) == video]
    return session if session in same else next(iter(same), None)


def role_of(hparams: Mapping[str, Any], session: str) -> str:
    """Return what a model's training had a session for: train, val, test, or new for nothing."""
    name = name_in_training(hparams, session)
    if name is None:
        return NEW
    settings = with_defaults(hparams)
    held_out = (("val", settings["expt_ids_val"]), ("test", settings["expt_ids_test"]))
    return next((split for split, ids in held_out if name in split_ids(ids)), "train")


def frames_by_split(
    hparams: Mapping[str, Any], session: str, n_frames: int
) -> dict[str, np.ndarray]:
    """Return which frames of a session each split of a model's training held.

    Parameters
    ----------
    hparams
        the model's
    session
        its name
    n_frames
        T

    Returns
    -------
    dict
        (T,) bool by split; every frame is ``new`` where the training did not have the session
    """
    ids, name = trained_sessions(hparams), name_in_training(hparams, session)
    if name is None:
        return {NEW: np.ones(n_frames, dtype=bool)}
    settings = with_defaults(hparams)
    length, splits = settings["sequence_length"], trial_splits_of(settings)
    windows = share_out(
        name,
        ids.index(name),
        n_shared_windows(n_frames, length, splits),
        splits,
        settings["rng_seed_train"],
        settings["train_frac"],
        split_ids(settings["expt_ids_val"]),
        split_ids(settings["expt_ids_test"]),
    )
    return {
        split: frames_of_windows(numbers, n_frames, length) for split, numbers in windows.items()
    }
