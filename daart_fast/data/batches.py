"""Batches gathered by the host."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from daart_fast.data.dataset import SingleDataset

__all__ = ["Batch", "HostBatches", "Layout", "Make", "layout_of", "ready_batch"]

Batch = dict[str, Tensor]
#: Shape and dtype of a sequence, by signal.
Layout = dict[str, tuple[tuple[int, ...], type]]
#: What makes a batch of the tensors that a source of batches gives.
Make = Callable[[Batch], Batch]


def ready_batch(batch: Batch) -> Batch:
    """Return a batch that is made already."""
    return batch


def layout_of(datasets: Sequence[SingleDataset], split: str) -> Layout:
    """Shape and dtype of a sequence: what any session can fill is in every batch."""
    layout: Layout = {}
    for dataset in datasets:
        layout |= dataset.layout()
    pseudo = next((d.pseudo_labels for d in datasets if d.pseudo_labels is not None), None)
    if split == "train" and pseudo is not None:
        window = layout["frame_mask"][0]
        layout["labels_weak"] = ((*window, *pseudo.shape[1:]), pseudo.dtype.type)
    return layout


class HostBatches:
    """Copies sequences into one set of tensors for each split, by the compiled gather.

    Parameters
    ----------
    datasets
        The sessions.
    sizes
        Sequences of a full batch, by split.
    pin
        Whether the tensors are in pinned memory.
    """

    def __init__(
        self, datasets: Sequence[SingleDataset], sizes: Mapping[str, int], pin: bool
    ) -> None:
        self.datasets, self.sizes, self.pin = datasets, sizes, pin
        self._buffers: dict[str, _Buffer] = {}

    def inputs(self, split: str, members: np.ndarray, part: slice) -> tuple[Make, Batch]:
        """Gather one batch.

        Parameters
        ----------
        split
            ``"train"``, ``"val"`` or ``"test"``.
        members
            (n, 2) session and sequence numbers of a whole round, in its order.
        part
            Which of them the batch holds.

        Returns
        -------
        make, inputs
            ``make(inputs)`` is the batch; both are overwritten by the next call for the split.
        """
        layout = layout_of(self.datasets, split)
        buffer = self._buffers.get(split)
        if buffer is None or not buffer.holds(layout):
            n_rows = min(self.sizes[split], len(members))
            buffer = self._buffers[split] = _Buffer(layout, n_rows, self.pin)
        chosen = members[part]
        for (session, sequence), row in zip(chosen.tolist(), buffer.rows, strict=False):
            self.datasets[session].gather(sequence, row, pseudo=split == "train")
        batch = buffer.first(len(chosen))
        batch["batch_idx"] = torch.from_numpy(chosen[:, 1])
        return ready_batch, batch

    def pseudo_labels_changed(self, session: int) -> None:
        """Nothing to do: the sessions are read again for each batch."""


class _Buffer:
    """The tensors that batches are gathered into, and NumPy's view of each row."""

    def __init__(self, layout: Layout, n_rows: int, pin: bool) -> None:
        self.layout = dict(layout)
        self.tensors: Batch = {}
        for name, (shape, dtype) in layout.items():
            values = torch.from_numpy(np.zeros((n_rows, *shape), dtype=dtype))
            self.tensors[name] = values.pin_memory() if pin else values
        arrays = {name: values.numpy() for name, values in self.tensors.items()}
        self.rows = [{name: rows[i] for name, rows in arrays.items()} for i in range(n_rows)]

    def holds(self, layout: Layout) -> bool:
        return self.layout == layout

    def first(self, n_rows: int) -> Batch:
        if n_rows == len(self.rows):
            return dict(self.tensors)
        return {name: values[:n_rows] for name, values in self.tensors.items()}
