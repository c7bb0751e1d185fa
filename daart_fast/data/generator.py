"""Batches of sequences, drawn from several sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from daart_fast.data.batches import Batch, HostBatches, Make
from daart_fast.data.dataset import SingleDataset
from daart_fast.data.description import describe
from daart_fast.data.device import ResidentSessions, StreamedBatches, batches_on
from daart_fast.data.sequences import SPLITS, n_shared_windows, share_out
from daart_fast.data.sessions import Reader, Session
from daart_fast.data.transforms import Transform
from daart_fast.errors import ConfigError, DataError
from daart_fast.readers.inputs import read_inputs

__all__ = ["DataGenerator"]

#: Validation and test batches hold so many frames: scores do not depend on it, speed does.
EVALUATION_FRAMES = 16_384
DEFAULT_SPLITS = {"train_tr": 8, "val_tr": 1, "test_tr": 1, "gap_tr": 0}


class DataGenerator:
    """Shares the sequences of some sessions out to training, validation and test, and batches them.

    A training batch holds `batch_size` sequences of any sessions, drawn in a new order each round;
    validation and test batches come in a fixed order, and hold as many as make good use of the
    machine. The last batch of a round may be smaller.

    What `next_batch` returns is overwritten by its next call for the same split: clone what should
    stay. On a CUDA device the sessions are uploaded once, where they fit, and batches are gathered
    there; else they are streamed to it (see `daart_fast.data.device`).

    Parameters
    ----------
    ids_list
        The sessions' names.
    signals_list, transforms_list, paths_list
        For each session a list: see `SingleDataset`. Where a session has no file for a signal,
        its path is None.
    device
        Where batches go.
    as_numpy
        Whether batches are arrays instead of tensors.
    rng_seed
        Seeds the splits and the order of training sequences.
    trial_splits
        ``'train;val;test;gap'``, or a dict with ``train_tr``, ``val_tr``, ``test_tr``, ``gap_tr``:
        sequences of each block.
    train_frac
        Up to 1: the fraction of each session's training sequences that is used, at least one;
        above 1: so many of them.
    sequence_length, batch_size, sequence_pad
        Frames of a sequence, sequences of a batch, neighbours shown on each side.
    num_workers
        Ignored; it is kept for daart's scripts. Batches are gathered in this process, faster than
        worker processes could send them.
    pin_memory
        Whether batches are gathered in pinned memory; on a CUDA device they always are.
    input_type
        Ignored; it is kept for daart's scripts. A file itself shows what it holds.
    causal, classifier_type, likelihood_threshold, read, cache
        See `SingleDataset`.
    ids_val, ids_test
        Sessions among `ids_list` that are held out whole, for validation and test. The others
        then give no sequences to that split.
    normalization
        ``"session"``: by each session's own mean and spread; ``"train"``: by those of all sessions
        that train.

    Attributes
    ----------
    ids : list of str
    datasets : list of SingleDataset
    n_datasets : int
    signals, transforms, paths, batch_size
        As given.
    n_tot_batches : dict
        Batches of a round, by split.
    batch_ratios : (n_datasets,) float64
        Each session's share of the training sequences.
    training_sessions : list of int
        The indices of the sessions that have training sequences.
    input_names, label_names, task_names : list of str
    source : HostBatches, ResidentSessions, StreamedBatches or None
        What gathers batches; None before the first.

    Raises
    ------
    ConfigError
        A session is listed twice, or is held out twice.
    DataError
        A file cannot be read, or sessions do not fit each other.
    """

    def __init__(
        self,
        ids_list: Sequence[str],
        signals_list: Sequence[Sequence[str]],
        transforms_list: Sequence[Sequence[Transform | None]],
        paths_list: Sequence[Sequence[str | Path | None]],
        device: str = "cpu",
        as_numpy: bool = False,
        rng_seed: int = 0,
        trial_splits: str | Mapping[str, int] | None = None,
        train_frac: float = 1.0,
        sequence_length: int = 500,
        batch_size: int = 1,
        num_workers: int = 0,
        pin_memory: bool = False,
        sequence_pad: int = 0,
        input_type: str = "markers",
        *,
        causal: bool = False,
        classifier_type: str = "multiclass",
        likelihood_threshold: float = 0.0,
        ids_val: Sequence[str] = (),
        ids_test: Sequence[str] = (),
        normalization: str = "session",
        read: Reader = read_inputs,
        cache: Path | None = None,
    ) -> None:
        self.ids = _each_once(ids_list)
        self.device, self.as_numpy, self.rng_seed = device, as_numpy, rng_seed
        self.datasets = [
            SingleDataset(
                *parts,
                device=device,
                as_numpy=as_numpy,
                sequence_length=sequence_length,
                sequence_pad=sequence_pad,
                causal=causal,
                classifier_type=classifier_type,
                likelihood_threshold=likelihood_threshold,
                read=read,
                cache=cache,
            )
            for parts in zip(self.ids, signals_list, transforms_list, paths_list, strict=True)
        ]
        self.n_datasets = len(self.datasets)
        self.signals, self.transforms, self.paths = signals_list, transforms_list, paths_list
        _fit_together(self.datasets)
        self.input_names = self.datasets[0].session.input_names
        self.label_names = next((d.label_names for d in self.datasets if d.label_names), [])
        self.task_names = next(
            (d.session.task_names for d in self.datasets if d.session.task_names), []
        )

        self._share_out(trial_splits or DEFAULT_SPLITS, set(ids_val), set(ids_test), train_frac)
        self._scales = [(d.session.mean32, d.session.scale) for d in self.datasets]
        if normalization == "train":
            self._normalise_by_training_sessions()
        self._plan_rounds(batch_size, sequence_length + 2 * sequence_pad)
        self._pin = pin_memory or torch.device(device).type == "cuda"
        self.source: HostBatches | ResidentSessions | StreamedBatches | None = None

    def __len__(self) -> int:
        """How many sessions there are, as in daart; `n_tot_batches` counts batches."""
        return self.n_datasets

    @property
    def input_size(self) -> int:
        """How many channels the inputs have."""
        return len(self.input_names)

    @property
    def feature_names(self) -> list[str]:
        """The channels of the inputs, as daart calls them."""
        return self.input_names

    def __repr__(self) -> str:
        lines = [f"DataGenerator of {self.n_datasets} sessions, {self.n_tot_batches} batches"]
        for dataset in self.datasets:
            parts = ", ".join(f"{len(dataset.batch_idxs[split])} {split}" for split in SPLITS)
            lines.append(f"    {dataset.id}: {len(dataset.session)} frames, sequences: {parts}")
        return "\n".join(lines)

    # ---------------------------------------------------------------------------- construction

    def _share_out(
        self,
        trial_splits: str | Mapping[str, int],
        ids_val: set[str],
        ids_test: set[str],
        train_frac: float,
    ) -> None:
        """Set each dataset's ``batch_idxs``, and each one's share of the training sequences."""
        if both := sorted(ids_val & ids_test):
            raise ConfigError(f"{', '.join(both)}: held out both for validation and for test")
        for name in sorted((ids_val | ids_test) - set(self.ids)):
            raise ConfigError(f"session {name} is held out, but is not in the list of sessions")
        for number, dataset in enumerate(self.datasets):
            dataset.batch_idxs = share_out(
                dataset.id,
                number,
                n_shared_windows(len(dataset.session), dataset.sequence_length, trial_splits),
                trial_splits,
                self.rng_seed,
                train_frac,
                ids_val,
                ids_test,
            )
        counts = np.array([len(d.batch_idxs["train"]) for d in self.datasets], dtype=np.float64)
        self.batch_ratios = counts / max(counts.sum(), 1.0)
        self.training_sessions = np.flatnonzero(counts).tolist()

    def _normalise_by_training_sessions(self) -> None:
        """Give every session the mean and spread of all frames of the sessions that train.

        A session counts by its frames, those before a channel's first value among them.
        """
        sessions = [self.datasets[i].session for i in self.training_sessions]
        if not sessions:
            return
        weights = np.array([len(session) for session in sessions], dtype=np.float64)
        means = np.stack([session.mean for session in sessions])
        squares = np.stack([session.std**2 + session.mean**2 for session in sessions])
        mean = np.average(means, axis=0, weights=weights)
        # about the common mean first, so that a large mean costs no digits
        variance = np.average(squares - 2 * mean * means + mean**2, axis=0, weights=weights)
        self.normalise_by(mean, np.sqrt(np.maximum(variance, 0)))

    def normalise_by(self, mean: np.ndarray, std: np.ndarray) -> None:
        """Give every session this mean and spread, (N,) both, as of the training of a model."""
        for dataset in self.datasets:
            dataset.session = dataset.session.normalised_by(mean, std)

    def _plan_rounds(self, batch_size: int, window: int) -> None:
        """Set how the sequences of each split, `window` frames as they are shown, are batched."""
        full = max(batch_size, EVALUATION_FRAMES // window)
        self.batch_size = batch_size
        self.batch_sizes = {"train": batch_size, "val": full, "test": full}
        self.n_tot_batches, self._rounds = {}, {}
        for split in SPLITS:
            members = self._members_of(split)
            self.n_tot_batches[split] = -(-len(members) // self.batch_sizes[split])
            self._rounds[split] = _Round(members, self.rng_seed if split == "train" else None)

    def _members_of(self, split: str) -> np.ndarray:
        """(n, 2) session and sequence numbers."""
        parts = [
            np.stack([np.full(len(numbers), index), numbers], axis=1)
            for index, numbers in enumerate(d.batch_idxs[split] for d in self.datasets)
        ]
        return np.concatenate(parts).astype(np.int64)

    # ---------------------------------------------------------------------------- batches

    def reset_iterators(self, dtype: str) -> None:
        """Begin a new round of ``"train"``, ``"val"`` or ``"test"`` batches, or of ``"all"``."""
        for split in SPLITS if dtype == "all" else (dtype,):
            self._rounds[split].begin()

    def next_batch(self, dtype: str) -> tuple[dict[str, Any], list[int]]:
        """Return the next batch of a split; after the last one a new round begins.

        Returns
        -------
        batch : dict
            (B, W, ...) tensors, described in docs/architecture.md. Overwritten by the next call
            for the same split.
        sessions : list of int
            The index of the session that each sequence is from.

        Raises
        ------
        DataError
            The split has no sequences.
        """
        if self.n_tot_batches[dtype] == 0:
            raise DataError(f"no sequences in the split '{dtype}'")
        make, inputs, sessions = self.next_inputs(dtype)
        batch = make(inputs)
        if self.as_numpy:
            return {name: values.numpy() for name, values in batch.items()}, sessions
        return batch, sessions

    def next_inputs(self, dtype: str) -> tuple[Make, Batch, list[int]]:
        """Like `next_batch`, but leave it to the caller to make the batch.

        Returns
        -------
        make, inputs, sessions
            ``make(inputs)`` is the batch, and may be called with other tensors of the same shapes
            too. On an accelerator that holds the sessions, ``inputs`` only says which windows to
            gather there; elsewhere it is the batch.
        """
        if self.n_tot_batches[dtype] == 0:
            raise DataError(f"no sequences in the split '{dtype}'")
        if self.source is None:
            self.source = self._make_source()
        order, part = self._rounds[dtype].take(self.batch_sizes[dtype])
        make, inputs = self.source.inputs(dtype, order, part)
        return make, inputs, order[part, 0].tolist()

    def _make_source(self) -> HostBatches | ResidentSessions | StreamedBatches:
        device = torch.device(self.device)
        if device.type == "cuda" and not self.as_numpy:
            return batches_on(device, self.datasets, self.batch_sizes)
        return HostBatches(self.datasets, self.batch_sizes, self._pin)

    # ---------------------------------------------------------------------------- labels

    def count_class_examples(self) -> np.ndarray:
        """Count the hand-labelled training frames of each class, the background among them.

        Returns
        -------
        (n_classes,) int64; frames of validation and test sequences don't count.
        """
        counts = np.zeros(len(self.label_names), dtype=np.int64)
        for dataset in self.datasets:
            labels = dataset.session.labels_strong
            if labels is None:
                continue
            labels = labels[dataset.frames_of("train")]
            if labels.ndim == 2:
                counts += (labels == 1).sum(0)
            else:
                counts += np.bincount(labels[labels >= 0], minlength=len(counts))
        return counts

    def set_pseudo_labels(self, i: int, labels: np.ndarray) -> None:
        """Show these in place of session i's weak labels, in training batches alone.

        ``labels`` is (T,) whole numbers with -100 for none, or multibinary (T, C) with NaN.
        """
        dataset, kind = self.datasets[i], np.float32 if np.ndim(labels) == 2 else np.int64
        if len(labels) != len(dataset.session):
            raise DataError(
                f"session {dataset.id}: expected {len(dataset.session)} pseudo-labels, "
                f"got {len(labels)}"
            )
        dataset.pseudo_labels = np.asarray(labels).astype(kind, casting="same_kind", copy=False)
        if self.source is not None:
            self.source.pseudo_labels_changed(i)

    # ---------------------------------------------------------------------------- checkpoints

    def description(self) -> dict[str, Any]:
        """Describe what was read, so that different data can be recognised.

        See `daart_fast.data.description.describe`.
        """
        names = {
            "class names": self.label_names,
            "channel names": self.input_names,
            "task names": self.task_names,
        }
        return describe([d.session for d in self.datasets], self._scales, names)

    def state_dict(self) -> dict[str, Any]:
        """Return where each split's iterator stands: the round, and sequences of it given out."""
        return {split: [r.number, r.given] for split, r in self._rounds.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` stood."""
        for split, (number, given) in state.items():
            self._rounds[split].number, self._rounds[split].given = int(number), int(given)


class _Round:
    """One pass after another through the (n, 2) members of a split.

    With a seed each pass has an order of its own, which seed and number of the pass tell.
    """

    def __init__(self, members: np.ndarray, seed: int | None) -> None:
        self.members, self.seed = members, seed
        self.number = self.given = 0
        self._order: tuple[int, np.ndarray] | None = None

    def begin(self) -> None:
        self.number, self.given = self.number + 1, 0

    def take(self, n: int) -> tuple[np.ndarray, slice]:
        """Give out the next n members, fewer at the end: the pass in its order, and which of it."""
        if self.given >= len(self.members):
            self.begin()
        if self._order is None or self._order[0] != self.number:
            self._order = (self.number, self._shuffled())
        part = slice(self.given, min(self.given + n, len(self.members)))
        self.given = part.stop
        return self._order[1], part

    def _shuffled(self) -> np.ndarray:
        if self.seed is None:
            return self.members
        draw = np.random.default_rng([self.seed, self.number])
        return self.members[draw.permutation(len(self.members))]


# -------------------------------------------------------------------------- do sessions fit?


def _each_once(ids: Sequence[str]) -> list[str]:
    names = [str(session_id) for session_id in ids]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"sessions listed more than once: {', '.join(twice)}")
    return names


def _fit_together(datasets: Sequence[SingleDataset]) -> None:
    """Bring channels into one order; refuse sessions whose channels, classes or tasks differ."""
    if not datasets:
        raise ConfigError("expected at least one session, got none")
    first = datasets[0].session
    for dataset in datasets[1:]:
        dataset.session = _in_order_of(first, dataset.session)
    for what, names_of in (("classes", "label_names"), ("tasks", "task_names")):
        named = [d.session for d in datasets if getattr(d.session, names_of)]
        for session in named[1:]:
            expected, found = getattr(named[0], names_of), getattr(session, names_of)
            if expected != found:
                raise DataError(
                    f"session {session.id}: expected the {what} of session {named[0].id} "
                    f"({', '.join(expected)}), found {', '.join(found)}"
                )


def _in_order_of(first: Session, session: Session) -> Session:
    """Return the session with its channels in the first one's order."""
    if session.input_names == first.input_names:
        return session
    place = {name: i for i, name in enumerate(session.input_names)}
    missing = [name for name in first.input_names if name not in place]
    extra = [name for name in session.input_names if name not in first.input_names]
    if missing or extra:
        raise DataError(
            f"session {session.id}: expected the {len(first.input_names)} channels of session "
            f"{first.id}"
            + (f"; missing: {', '.join(missing[:8])}" if missing else "")
            + (f"; not in {first.id}: {', '.join(extra[:8])}" if extra else "")
            + ". If a video has fewer animals or points, 'animals' or 'keypoints' in data.yaml "
            "names those to use in all"
        )
    return session.with_channels([place[name] for name in first.input_names])
