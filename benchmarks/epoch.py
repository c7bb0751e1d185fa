"""An epoch of training, validation included, against eager PyTorch with a plain DataLoader.

    python -m benchmarks.epoch [--threads 1 2] [--json FILE]

Two sessions of 47,500 frames and 16 channels; daart's default settings (32 units, 2 layers, n_lags
4, dropout 0.1, sequences of 500 frames): in batches of 2 with hand-label, weak-label and predictor
heads, and in batches of 8 with hand labels alone. Both sides train on nine of ten sequences and
validate on the tenth, in epochs that take turns; the figures are medians. ``passes`` are a step's
forward and backward, ``validation`` is its forward passes; ``rest`` is all of an epoch that has no
column of its own.
"""

from __future__ import annotations

import io
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from benchmarks import machine
from benchmarks.loader import generator_for, write_sessions
from benchmarks.train_step import ALL, CLASSES, Case, EagerModel, eager_loss
from daart_fast.data import DataGenerator
from daart_fast.models import Segmenter
from daart_fast.train import Trainer
from daart_fast.train.progress import Progress

PARTS = ("gather", "passes", "optimiser", "validation", "rest")
COLUMNS = {"batch": 6, "threads": 8, "seconds": 8, "eager": 8, "ratio": 6, "ratio bar": 9}
COLUMNS |= dict.fromkeys(PARTS, 10) | {"rest bar": 8, "apart, ns": 9}
REST_BARS = {2: 0.12, 8: 0.05}
RATIO_BARS = {2: 4.5}
LOSSES = {2: ALL, 8: ("strong",)}


class TimedTrainer(Trainer):
    """A Trainer that notes where the time goes; the work is the same."""

    def prepare(
        self, model: Segmenter, generator: DataGenerator, folder: Path | None = None
    ) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        model.losses_and_gradients = self._timed("passes", model.losses_and_gradients)  # type: ignore[method-assign]
        model.losses = self._timed("validation", model.losses)  # type: ignore[method-assign]
        generator.next_batch = self._timed("gather", generator.next_batch)  # type: ignore[method-assign]
        super().prepare(model, generator, folder)
        self._progress = Progress(self.max_epochs, self._n_batches, stream=io.StringIO())
        self.optimizer.step = self._timed("optimiser", self.optimizer.step)  # type: ignore[method-assign]
        self.curr_epoch = 1

    def _timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            start = time.perf_counter()
            result = function(*arguments, **named)
            self.spent[part] += time.perf_counter() - start
            return result

        return call

    def epoch(self) -> dict[str, float]:
        """Train and validate once; return the seconds of each part, and of all."""
        self.spent.clear()
        start = time.perf_counter()
        self._run_epoch()
        total = time.perf_counter() - start
        return {**self.spent, "rest": total - sum(self.spent.values()), "seconds": total}


def windows_of(generator: DataGenerator, split: str) -> TensorDataset:
    """The split's sequences as ready tensors: what a plain Dataset would hold."""
    chosen = [d[int(i)] for d in generator.datasets for i in d.batch_idxs[split]]
    names = ("markers", "labels_strong", "labels_weak")
    names = tuple(name for name in names if name in chosen[0])
    return TensorDataset(*(torch.stack([window[name] for window in chosen]) for name in names))


def eager_epoch(generator: DataGenerator, batch_size: int, pad: int) -> Callable[[], None]:
    case = Case("", batch_size, 500, 32, 2, LOSSES[batch_size], (0, 0), 0)
    torch.manual_seed(0)
    model = EagerModel(case)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, amsgrad=True)
    train = DataLoader(windows_of(generator, "train"), batch_size, shuffle=True)
    val = DataLoader(windows_of(generator, "val"), batch_size)

    def loss_of(*window: Tensor) -> Tensor:
        batch = dict(zip(("markers", "labels_strong", "labels_weak"), window, strict=False))
        return eager_loss(model, batch, pad)

    def epoch() -> None:
        model.train()
        for window in train:
            optimizer.zero_grad()
            loss_of(*window).backward()
            optimizer.step()
        model.eval()
        with torch.inference_mode():
            torch.stack([loss_of(*window) for window in val]).mean().item()

    return epoch


def measure(folder: Path, batch_size: int, n_threads: int, seconds: float) -> machine.Row:
    generator, hparams = generator_for(folder, batch_size, LOSSES[batch_size])
    assert len(generator.label_names) == CLASSES
    eager = eager_epoch(generator, batch_size, hparams["sequence_pad"])
    trainer = TimedTrainer(**hparams)
    trainer.prepare(Segmenter(hparams), generator)
    ours, theirs = [], []
    end = time.perf_counter() + max(10 * seconds, 2.0)
    while time.perf_counter() < end or len(ours) < 4:
        ours.append(trainer.epoch())
        start = time.perf_counter()
        eager()
        theirs.append(time.perf_counter() - start)
    ours, theirs = ours[1:], theirs[1:]  # the first ones warm up
    median = {name: statistics.median(e.get(name, 0.0) for e in ours) for name in ours[0]}
    shares = {name: median[name] / median["seconds"] for name in PARTS}
    return {
        "batch": batch_size,
        "threads": n_threads,
        "seconds": median["seconds"],
        "eager": statistics.median(theirs),
        "ratio": float(np.median(np.array(theirs) / [e["seconds"] for e in ours])),
        "ratio bar": RATIO_BARS.get(batch_size),
        **shares,
        "rest bar": REST_BARS[batch_size],
        "apart, ns": machine.round_trip(n_threads),
    }


def main() -> None:
    options = machine.arguments(__doc__).parse_args()
    table = machine.Table(COLUMNS)
    with tempfile.TemporaryDirectory() as scratch:
        write_sessions(Path(scratch))
        table.head("seconds an epoch; gather to rest are shares of it")
        for batch_size in (2, 8):
            for n_threads in options.threads:
                with machine.threads(n_threads):
                    table.add(measure(Path(scratch), batch_size, n_threads, options.seconds))
    table.finish(options.json)


if __name__ == "__main__":
    main()
