"""One session cut into sequences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from daart_fast.data.gather import gather_window
from daart_fast.data.sequences import count_windows, frames_of_windows, shown_beside
from daart_fast.data.sessions import Reader, Session, read_session, window_of
from daart_fast.data.transforms import Compose, Transform, ZScore
from daart_fast.errors import ConfigError, DataError, did_you_mean
from daart_fast.readers.inputs import read_inputs

__all__ = ["SIGNALS", "SingleDataset"]

#: What a session may hold: its inputs (whatever they are), two kinds of labels, and tasks.
SIGNALS = ("markers", "labels_strong", "labels_weak", "tasks")


class SingleDataset:
    """The sequences of one session.

    Sequence i answers for the frames from ``i * sequence_length`` on; the last one may hold fewer
    than ``sequence_length`` of them. It is shown with ``sequence_pad`` neighbours on each side
    (``causal``: all ``2 * sequence_pad`` before it).

    Parameters
    ----------
    id
        The session's name.
    signals
        Of `SIGNALS`, those that `paths` and `transforms` stand for.
    transforms
        For each signal a `Transform` of its (T, ...) array, or None. Inputs are normalised where
        theirs is `ZScore`.
    paths
        For each signal its file, or None where the session has none.
    device
        Where ``[i]`` puts its tensors.
    as_numpy
        Whether ``[i]`` gives arrays instead of tensors.
    sequence_length, sequence_pad
        In frames.
    input_type
        Ignored; it is kept for daart's scripts. The file itself shows what it holds.
    causal
        See above.
    classifier_type
        How labels are read: see `daart_fast.readers.labels.read_labels`.
    likelihood_threshold
        Tracked points less certain count as missing.
    read
        Reads the inputs; see `daart_fast.features.reader_of`.
    cache
        The folder that keeps what was read for the next start; None: nowhere.

    Attributes
    ----------
    signals, transforms, paths
        As given, the latter two by signal.
    session : Session
        The whole recording.
    n_sequences : int
        ``len()``.
    batch_idxs : dict
        The sequence numbers of each split, ``train``, ``val`` and ``test``; all train until a
        `DataGenerator` shares them out.
    """

    def __init__(
        self,
        id: str,
        signals: Sequence[str],
        transforms: Sequence[Transform | None],
        paths: Sequence[str | Path | None],
        device: str = "cpu",
        as_numpy: bool = False,
        sequence_length: int = 500,
        sequence_pad: int = 0,
        input_type: str = "markers",
        *,
        causal: bool = False,
        classifier_type: str = "multiclass",
        likelihood_threshold: float = 0.0,
        read: Reader = read_inputs,
        cache: Path | None = None,
    ) -> None:
        for signal in signals:
            if signal not in SIGNALS:
                raise ConfigError(
                    f"session {id}: there is no signal {signal!r}{did_you_mean(signal, SIGNALS)}; "
                    f"expected {', '.join(SIGNALS)}"
                )
        session = read_session(
            id,
            dict(zip(signals, paths, strict=True)),
            likelihood_threshold,
            classifier_type,
            read,
            cache,
        )
        self.session = _transformed(session, dict(zip(signals, transforms, strict=True)))
        self.id, self.device, self.as_numpy = id, device, as_numpy
        self.sequence_length, self.sequence_pad = sequence_length, sequence_pad
        self.before, _ = shown_beside(sequence_pad, causal)
        self.n_sequences = count_windows(len(self.session), sequence_length)
        none = np.empty(0, dtype=np.int64)
        self.batch_idxs = {"train": np.arange(self.n_sequences), "val": none, "test": none}
        self.pseudo_labels: np.ndarray | None = None
        self.signals = list(signals)
        self.transforms = dict(zip(signals, transforms, strict=True))
        self.paths = dict(zip(signals, paths, strict=True))

    def __len__(self) -> int:
        return self.n_sequences

    def __getitem__(self, index: int | None) -> dict[str, Any]:
        """Return sequence ``index``: ``markers``, ``frame_mask``, ``batch_idx``, and its labels.

        None: lists of these, of all sequences, and None for ``batch_idx``.
        """
        if index is None:
            every = list(self)
            lists = {name: [one[name] for one in every] for name in self.layout()}
            return {**lists, "batch_idx": None}
        if not -self.n_sequences <= index < self.n_sequences:
            raise IndexError(f"session {self.id} has {self.n_sequences} sequences, not {index}")
        index %= self.n_sequences
        out = self._gathered(index)
        if self.as_numpy:
            return {**out, "batch_idx": np.array(index)}
        tensors = {name: torch.from_numpy(values) for name, values in out.items()}
        tensors["batch_idx"] = torch.tensor(index)
        return {name: values.to(self.device) for name, values in tensors.items()}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[i] for i in range(self.n_sequences))

    @property
    def input_size(self) -> int:
        """How many channels the inputs have."""
        return self.session.inputs.shape[1]

    @property
    def label_names(self) -> list[str]:
        """The classes; empty where the session has no labels."""
        return self.session.label_names

    @property
    def feature_names(self) -> list[str]:
        """The channels of the inputs, as daart calls them."""
        return self.session.input_names

    @property
    def n_batches(self) -> dict[str, int]:
        """How many sequences each split has, as daart calls them."""
        return {split: len(numbers) for split, numbers in self.batch_idxs.items()}

    @property
    def dtypes(self) -> dict[str, str]:
        """The type of each signal's values."""
        layout = self.layout()
        return {name: np.dtype(layout[name][1]).name for name in SIGNALS if name in layout}

    @property
    def data(self) -> dict[str, tuple[np.ndarray, ...]]:
        """Copies of all sequences, by signal. They are for reading: changing them is an error."""
        sequences = [self._gathered(index) for index in range(self.n_sequences)]
        for sequence in sequences:
            for values in sequence.values():
                values.flags.writeable = False
        names = [name for name in SIGNALS if name in self.layout()]
        return _ReadOnly({name: tuple(one[name] for one in sequences) for name in names})

    def normalised_inputs(self) -> np.ndarray:
        """Return the whole session's inputs, (T, N) float32, as sequences show them."""
        return self.session.normalised_inputs()

    def layout(self) -> dict[str, tuple[tuple[int, ...], type]]:
        """Shape and dtype of what `gather` fills, for each array that this session can fill."""
        window = self.sequence_length + 2 * self.sequence_pad
        layout: dict[str, tuple[tuple[int, ...], type]] = {
            "markers": ((window, self.input_size), np.float32),
            "frame_mask": ((window,), np.bool_),
        }
        for name in ("labels_strong", "labels_weak", "tasks"):
            values = getattr(self.session, name)
            if values is not None:
                layout[name] = ((window, *values.shape[1:]), values.dtype.type)
        return layout

    def gather(self, index: int, out: Mapping[str, np.ndarray], pseudo: bool = False) -> None:
        """Copy sequence ``index`` into arrays of `layout`'s shapes; see `fill`."""
        self.fill(index * self.sequence_length - self.before, out, pseudo)

    def fill(self, first: int, out: Mapping[str, np.ndarray], pseudo: bool = False) -> None:
        """Copy the frames from ``first`` on into arrays of as many rows as are wanted.

        A signal that the session does not have comes out as missing (-100 or NaN). With
        ``pseudo``, pseudo-labels stand in place of weak labels where there are any.
        """
        session = self.session
        for name, rows in out.items():
            if name == "markers":
                gather_window()(*session.gather_arguments, first, rows)
            elif name == "frame_mask":
                rows[:] = False
                rows[max(-first, 0) : max(len(session) - first, 0)] = True
            elif name == "labels_weak" and pseudo and self.pseudo_labels is not None:
                window_of(self.pseudo_labels, first, rows)
            else:
                window_of(getattr(session, name), first, rows)

    def _gathered(self, index: int) -> dict[str, np.ndarray]:
        """Sequence ``index`` in new arrays."""
        out: dict[str, np.ndarray] = {
            name: np.empty(shape, dtype) for name, (shape, dtype) in self.layout().items()
        }
        self.gather(index, out)
        return out

    def frames_of(self, split: str) -> np.ndarray:
        """Return (T,) bool: the frames that the sequences of a split answer for."""
        none = np.empty(0, dtype=np.int64)  # of a split that training does not know
        windows = self.batch_idxs.get(split, none)
        return frames_of_windows(windows, len(self.session), self.sequence_length)


class _ReadOnly(dict[str, Any]):
    """A dict of copies, in which a change would be lost."""

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise DataError(
            "dataset.data holds copies, so a change there has no effect. Weak labels: "
            "data_generator.set_pseudo_labels(i, labels). Other signals: change dataset.session "
            "(dataclasses.replace) before the first batch"
        )

    __setitem__ = __delitem__ = __ior__ = _refuse
    update = pop = popitem = clear = setdefault = _refuse


def _transformed(session: Session, transforms: Mapping[str, Transform | None]) -> Session:
    """Apply transforms; of the inputs' all but a z-score, which is the gather's."""
    changes: dict[str, Any] = {}
    for name, transform in transforms.items():
        values = session.inputs if name == "markers" else getattr(session, name)
        if name == "markers" and not _is_zscore(transform):
            n_channels = values.shape[1]
            changes |= {"mean": np.zeros(n_channels), "std": np.ones(n_channels)}
            if transform is not None:
                changes["inputs"] = np.ascontiguousarray(transform(values), dtype=np.float32)
        elif name != "markers" and transform is not None and values is not None:
            changes[name] = transform(values)
    return replace(session, **changes) if changes else session


def _is_zscore(transform: Transform | None) -> bool:
    if isinstance(transform, Compose) and len(transform.transforms) == 1:
        transform = transform.transforms[0]
    return isinstance(transform, ZScore)
