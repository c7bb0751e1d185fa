"""The batch loader against torch's index_select, and against a training step.

    python -m benchmarks.loader [--threads 1 2] [--json FILE]

Two sessions of 47,500 frames and 16 channels, sequences of 500 frames with the padding of daart's
default model. ``windows``: copying a batch's windows of inputs, normalised on the way, against
``index_select`` of the same windows from a tensor that was normalised and padded beforehand.
``batch``: everything `DataGenerator.next_batch` does (labels, masks and bookkeeping too), as a
share of a training step of daart's default model on that batch. Medians, the sides taking turns.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import machine
from daart_fast import ops
from daart_fast.config import with_defaults
from daart_fast.data import DataGenerator
from daart_fast.data.from_config import build_data_generator
from daart_fast.data.gather import gather_window
from daart_fast.models import Segmenter

N_FRAMES, N_CHANNELS, N_CLASSES = 47_500, 16, 6
COLUMNS = {"what": 10, "batch": 6, "threads": 8, "microseconds": 13, "against": 16, "value": 7}
COLUMNS |= {"bar": 6}
STEP_SHARE = 0.03  # of a training step, at most


def write_sessions(folder: Path) -> None:
    """Write two sessions of noise, each frame with a hand label and a heuristic one."""
    for i in range(2):
        draw = np.random.default_rng(i)
        (folder / "features").mkdir(parents=True, exist_ok=True)
        values = draw.standard_normal((N_FRAMES, N_CHANNELS)).astype(np.float32)
        np.save(folder / "features" / f"s{i}.npy", values)
        for kind in ("labels-hand", "labels-heuristic"):
            labels = np.eye(N_CLASSES, dtype=int)[draw.integers(0, N_CLASSES, N_FRAMES)]
            rows = [f"{t}," + ",".join(map(str, row)) for t, row in enumerate(labels.tolist())]
            (folder / kind).mkdir(exist_ok=True)
            header = "," + ",".join(f"class{c}" for c in range(N_CLASSES))
            (folder / kind / f"s{i}.csv").write_text("\n".join([header, *rows]) + "\n")


def generator_for(
    folder: Path, batch_size: int, losses: Collection[str] = ("strong",)
) -> tuple[DataGenerator, dict[str, Any]]:
    hparams = with_defaults(
        {
            "data_dir": str(folder),
            "input_type": "features",
            "expt_ids": ["s0", "s1"],
            "batch_size": batch_size,
            "learning_rate": 1e-4,
            **{f"lambda_{name}": int(name in losses) for name in ("strong", "weak", "pred")},
        }
    )
    return build_data_generator(hparams), hparams


def windows(
    generator: DataGenerator, batch_size: int
) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Return the gather and index_select, each copying the next batch of windows at every call."""
    session = generator.datasets[0].session
    length, pad = generator.datasets[0].sequence_length, generator.datasets[0].sequence_pad
    width = length + 2 * pad
    order = np.random.default_rng(0).permutation(len(session) // length)
    batches = [order[i : i + batch_size] for i in range(0, len(order) - batch_size, batch_size)]
    out = np.empty((batch_size, width, N_CHANNELS), np.float32)
    rows = list(out)
    place = [0, 0]

    def ours() -> None:
        for number, row in zip(batches[place[0]], rows, strict=True):
            first = int(number) * length - pad
            gather_window()(*session.gather_arguments, first, row)
        place[0] = (place[0] + 1) % len(batches)

    padded = torch.zeros(len(session) + 2 * pad, N_CHANNELS)
    padded[pad : pad + len(session)] = torch.from_numpy(session.normalised_inputs())
    frames = [
        torch.from_numpy((numbers[:, None] * length + np.arange(width)).ravel())
        for numbers in batches
    ]
    target = torch.empty(batch_size * width, N_CHANNELS)

    def theirs() -> None:
        torch.index_select(padded, 0, frames[place[1]], out=target)
        place[1] = (place[1] + 1) % len(batches)

    ours()
    theirs()
    np.testing.assert_allclose(out, target.numpy().reshape(out.shape), atol=1e-6)
    return ours, theirs


def step_of(generator: DataGenerator, hparams: dict[str, Any]) -> Callable[[], Any]:
    """Return a training step of daart's default model on one ready batch."""
    model = Segmenter(hparams).train()
    optimizer = ops.Adam(model.get_parameters(), hparams["learning_rate"], 0.0)
    batch: dict[str, Tensor] = {k: v.clone() for k, v in generator.next_batch("train")[0].items()}

    def step() -> None:
        model.losses_and_gradients(batch)
        optimizer.step()
        optimizer.zero_grad()

    return step


def main() -> None:
    options = machine.arguments(__doc__).parse_args()
    table = machine.Table(COLUMNS)
    with tempfile.TemporaryDirectory() as scratch:
        write_sessions(Path(scratch))
        table.head("value: how many times faster; for a batch, its share of a training step")
        for batch_size in (2, 8):
            generator, hparams = generator_for(Path(scratch), batch_size)
            for n_threads in options.threads:
                with machine.threads(n_threads):
                    ours, theirs = machine.medians(windows(generator, batch_size), options.seconds)
                    batch, step = machine.medians(
                        (partial(generator.next_batch, "train"), step_of(generator, hparams)),
                        options.seconds,
                    )
                shared = {"batch": batch_size, "threads": n_threads}
                table.add(
                    {"what": "windows", "microseconds": ours * 1e6, "against": "index_select"}
                    | {"value": theirs / ours, "bar": 1.0 if n_threads == 1 else None}
                    | shared
                )
                table.add(
                    {"what": "batch", "microseconds": batch * 1e6, "against": "training step"}
                    | {"value": batch / step, "at most": STEP_SHARE}
                    | shared
                )
    table.finish(options.json)


if __name__ == "__main__":
    main()
