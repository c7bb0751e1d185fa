"""Batches on an accelerator: of sessions that live there, or streamed to it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from daart_fast.data.batches import Batch, HostBatches, Layout, Make, layout_of, ready_batch
from daart_fast.data.dataset import SingleDataset

__all__ = ["ResidentSessions", "StreamedBatches", "Windows", "batches_on"]

#: Sessions that take more of the free memory than this are streamed.
MEMORY_FRACTION = 0.5
#: Frames normalised at a time on their way to the device.
UPLOAD_FRAMES = 262_144


def batches_on(
    device: torch.device, datasets: Sequence[SingleDataset], sizes: Mapping[str, int]
) -> ResidentSessions | StreamedBatches:
    """Upload the sessions where they fit; else stream batches, and say so in the log."""
    needed, free = bytes_needed(datasets), free_memory(device)
    if needed <= MEMORY_FRACTION * free:
        try:
            return ResidentSessions(datasets, device)
        except torch.OutOfMemoryError:  # another process was faster
            torch.get_device_module(device).empty_cache()
    logging.info(
        f"{device}: the sessions take {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free: "
        "batches are streamed from the host"
    )
    return StreamedBatches(datasets, sizes, device)


def free_memory(device: torch.device) -> int:
    """Return the bytes that are free on a CUDA device."""
    return torch.cuda.mem_get_info(device)[0]


def bytes_needed(datasets: Sequence[SingleDataset]) -> int:
    """Return the bytes that the sessions take on a device, pseudo-labels among them."""
    layout = layout_of(datasets, "train")
    per_frame = sum(
        int(np.prod(shape[1:])) * np.dtype(dtype).itemsize for shape, dtype in layout.values()
    )
    return per_frame * sum(_n_rows(dataset) for dataset in datasets)


def _n_rows(dataset: SingleDataset) -> int:
    """Frames of a session and of what its windows see beyond its ends."""
    return dataset.n_sequences * dataset.sequence_length + 2 * dataset.sequence_pad


class Windows:
    """Cuts windows out of the sessions' signals: one indexed copy for each.

    Parameters
    ----------
    signals
        (R, ...) tensors of one device: all sessions one after the other, with what stands for
        missing frames between them as far as windows reach.
    width
        Frames of a window.
    """

    def __init__(self, signals: Batch, width: int) -> None:
        # windows that overlap in memory: nothing is copied before it is asked for
        self._windows = {
            name: values.as_strided(
                (len(values) - width + 1, width, *values.shape[1:]),
                (values.stride(0), *values.stride()),
            )
            for name, values in signals.items()
        }

    def __call__(self, inputs: Batch) -> Batch:
        """Make the batch of ``inputs["windows"]``: (B, 2) int64, first rows and numbers."""
        first, number = inputs["windows"].unbind(1)
        batch = {name: rows.index_select(0, first) for name, rows in self._windows.items()}
        return {**batch, "batch_idx": number}


class ResidentSessions:
    """All sessions on a device, normalised, and batches gathered there.

    The values are those of `HostBatches`, bit for bit: it is the same code that normalises.

    Parameters
    ----------
    datasets
        The sessions.
    device
        Where they go.
    """

    @torch.inference_mode(False)
    def __init__(self, datasets: Sequence[SingleDataset], device: torch.device) -> None:
        self.datasets, self.device = datasets, device
        self.width = datasets[0].sequence_length + 2 * datasets[0].sequence_pad
        ends = np.cumsum([_n_rows(dataset) for dataset in datasets])
        self.n_rows = int(ends[-1])
        self._begins = ends - [_n_rows(dataset) for dataset in datasets]
        #: the round that was uploaded last for each split, and its rows
        self._rounds: dict[str, tuple[np.ndarray, Tensor]] = {}
        self._signals = self._uploaded(layout_of(datasets, "val"), pseudo=False)
        self._windows = {"val": Windows(self._signals, self.width)}
        self._pseudo: Batch = {}
        self._renew_training()

    def inputs(self, split: str, members: np.ndarray, part: slice) -> tuple[Make, Batch]:
        """Tell which windows a batch holds; see `HostBatches.inputs`.

        ``inputs["windows"]`` is (B, 2) int64 on the device; the host waits for nothing. A change
        of what batches are made of, as when pseudo-labels first come, brings another ``make``.
        """
        if split not in self._rounds or self._rounds[split][0] is not members:
            self._rounds[split] = (members, self._upload_round(members))
        windows = self._windows["train" if split == "train" else "val"]
        return windows, {"windows": self._rounds[split][1][part]}

    def pseudo_labels_changed(self, session: int) -> None:
        """Show a session's new pseudo-labels in training batches."""
        layout = layout_of(self.datasets, "train")
        weak = self._pseudo.get("labels_weak")
        if weak is None or not _holds(weak, layout["labels_weak"]):
            self._renew_training()
        else:
            self._upload_session(session, self._pseudo, layout, pseudo=True)

    @torch.inference_mode(False)
    def _upload_round(self, members: np.ndarray) -> Tensor:
        """(n, 2) int64: the first row of each member's window, and its number in its session."""
        length = self.datasets[0].sequence_length
        session, sequence = members.T
        rows = np.stack([self._begins[session] + sequence * length, sequence], axis=1)
        return torch.from_numpy(rows).to(self.device)

    @torch.inference_mode(False)
    def _renew_training(self) -> None:
        """Make the training windows: those of validation, but for the pseudo-labels."""
        if all(dataset.pseudo_labels is None for dataset in self.datasets):
            self._windows["train"] = self._windows["val"]
            return
        layout = layout_of(self.datasets, "train")
        self._pseudo = self._uploaded({"labels_weak": layout["labels_weak"]}, pseudo=True)
        self._windows["train"] = Windows({**self._signals, **self._pseudo}, self.width)

    def _uploaded(self, layout: Layout, pseudo: bool) -> Batch:
        """Upload these signals of all sessions into new tensors."""
        signals = {
            name: torch.empty(
                (self.n_rows, *shape[1:]), dtype=_torch_dtype(dtype), device=self.device
            )
            for name, (shape, dtype) in layout.items()
        }
        for session in range(len(self.datasets)):
            self._upload_session(session, signals, layout, pseudo)
        return signals

    @torch.inference_mode(False)
    def _upload_session(self, session: int, signals: Batch, layout: Layout, pseudo: bool) -> None:
        """Fill the session's rows of each signal."""
        dataset, begin = self.datasets[session], int(self._begins[session])
        n_rows = _n_rows(dataset)
        for row in range(0, n_rows, UPLOAD_FRAMES):
            n = min(UPLOAD_FRAMES, n_rows - row)
            part: dict[str, np.ndarray] = {
                name: np.empty((n, *layout[name][0][1:]), layout[name][1]) for name in signals
            }
            dataset.fill(row - dataset.before, part, pseudo)
            for name, values in part.items():
                signals[name][begin + row : begin + row + n] = torch.from_numpy(values)


def _torch_dtype(dtype: type) -> torch.dtype:
    return torch.from_numpy(np.empty(0, dtype)).dtype


def _holds(values: Tensor, layout: tuple[tuple[int, ...], type]) -> bool:
    return values.shape[1:] == layout[0][1:] and values.dtype == _torch_dtype(layout[1])


class StreamedBatches:
    """Batches gathered by the host and copied to a device beside what it computes.

    Two sets of pinned tensors and two on the device take turns: while the device works on one
    batch, the host gathers the next and sends it on a stream of its own.

    Parameters
    ----------
    datasets, sizes
        See `HostBatches`.
    device
        Where batches go.
    runtime
        The streams and events: ``torch.cuda``, or what has its functions.
    """

    def __init__(
        self,
        datasets: Sequence[SingleDataset],
        sizes: Mapping[str, int],
        device: torch.device,
        runtime: Any = None,
    ) -> None:
        self.device = device
        self._runtime = runtime or torch.get_device_module(device)
        self._stream = self._runtime.Stream(device)
        pin = device.type == "cuda"
        self._slots = [
            _Slot(HostBatches(datasets, sizes, pin), device, self._runtime) for _ in range(2)
        ]
        self._turns = self._take_turns()

    def _take_turns(self) -> Iterator[_Slot]:
        while True:
            yield from self._slots

    @torch.inference_mode(False)
    def inputs(self, split: str, members: np.ndarray, part: slice) -> tuple[Make, Batch]:
        """Gather a batch and send it; see `HostBatches.inputs`."""
        current = self._runtime.current_stream(self.device)
        for slot in self._slots:  # all work on the batches given out so far has been launched
            if slot.given:
                slot.used.record(current)
                slot.given = False
        slot = next(self._turns)
        return ready_batch, slot.send(split, members, part, self._stream)

    def pseudo_labels_changed(self, session: int) -> None:
        """Nothing to do: the sessions are read again for each batch."""


class _Slot:
    """One set of pinned tensors, its copy on the device, and who is done with them."""

    def __init__(self, host: HostBatches, device: torch.device, runtime: Any) -> None:
        self.host, self.device, self.runtime = host, device, runtime
        self.copied, self.used = runtime.Event(), runtime.Event()
        self.given = False
        self._tensors: dict[str, Batch] = {}

    def send(self, split: str, members: np.ndarray, part: slice, stream: Any) -> Batch:
        self.copied.synchronize()  # the host waits: the pinned tensors are being read until then
        _, batch = self.host.inputs(split, members, part)
        stream.wait_event(self.used)  # the device waits: the last batch may still be worked on
        sent = self._room(split, batch, min(self.host.sizes[split], len(members)))
        with self.runtime.stream(stream):
            for name, values in batch.items():
                sent[name].copy_(values, non_blocking=True)
            self.copied.record(stream)
        self.runtime.current_stream(self.device).wait_event(self.copied)
        self.given = True
        return sent

    def _room(self, split: str, batch: Batch, n_rows: int) -> Batch:
        """Return tensors on the device of a batch's shapes, the same for the same split."""
        kept = self._tensors.get(split, {})
        if any(
            name not in kept
            or kept[name].dtype != values.dtype
            or kept[name].shape[1:] != values.shape[1:]
            for name, values in batch.items()
        ):
            self.runtime.synchronize(
                self.device
            )  # tensors that are still in use must not be reused
            kept = self._tensors[split] = {
                name: values.new_empty((n_rows, *values.shape[1:]), device=self.device)
                for name, values in batch.items()
            }
        return {name: kept[name][: len(values)] for name, values in batch.items()}
