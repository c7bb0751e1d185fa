"""One frame at a time: microseconds from a frame to its answer, on one core.

    python -m benchmarks.online [--frames N] [--json FILE]

For networks of 2 blocks of 32 units and 4 of 64 (width 9, causal):

engine      inside the native engine, without Python: what a frame takes when many are run
step        ``OnlineSegmenter.step`` from Python, from a frame to its answer
prepared    the same where ``prepare`` was called between the frames: what is left to do then
pytorch     eager PyTorch on the receptive field, once for every frame
pytorch-tcn the streaming of that package (a network of the same shape), where it is installed

``floor`` is the multiply-adds of a frame at the FMA peak measured in this run. Bars are those of
the median of the first two; the machine's quiet shows in how p99.9 compares with the median.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks import machine
from daart_fast import ops
from daart_fast.api import Model
from daart_fast.models import Segmenter
from daart_fast.online import OnlineSegmenter

INPUTS, CLASSES, WIDTH = 20, 6, 9
NETWORKS = ((2, 32), (4, 64))
BARS = {(2, 32): {"engine": 2.5, "step": 8.0}, (4, 64): {"engine": 20.0, "step": 26.0}}
LINE = "{:<22} {:>9} {:>9} {:>9} {:>9} {:>6} {:>10}"

Step = Callable[[int], Any]


def model_of(n_blocks: int, n_units: int) -> Model:
    config = {
        "backbone": "dtcn",
        "input_size": INPUTS,
        "output_size": CLASSES,
        "n_hid_layers": n_blocks,
        "n_hid_units": n_units,
        "n_lags": (WIDTH - 1) // 2,
        "activation": "lrelu",
        "causal": True,
        "lambda_strong": 1,
        "normalization": "train",
        "input_mean": [0.0] * INPUTS,
        "input_std": [1.0] * INPUTS,
    }
    return Model(Segmenter(config).eval(), config)


def pytorch_step(model: Model, frames: np.ndarray) -> Step:
    """Eager PyTorch, its own convolutions, on the receptive field of every frame."""
    before, _ = model.model.model["encoder"].context
    window = torch.zeros(1, before + 1, INPUTS)
    inputs = torch.from_numpy(frames)

    @torch.inference_mode()
    def step(t: int) -> torch.Tensor:
        window[:, :-1] = window[:, 1:].clone()
        window[:, -1] = inputs[t]
        with ops.forced("torch"):
            return model.model.probabilities(model.model.classify(window)[0][:, -1])

    return step


def pytorch_tcn_step(n_blocks: int, n_units: int, frames: np.ndarray) -> Step | None:
    """pytorch-tcn's own streaming, and a dense layer; None where it is not installed."""
    try:
        from pytorch_tcn import TCN
    except ImportError:
        return None
    encoder = TCN(
        num_inputs=INPUTS,
        num_channels=[n_units] * n_blocks,
        kernel_size=WIDTH,
        dropout=0.0,
        causal=True,
        activation="leaky_relu",
        use_skip_connections=False,
    ).eval()
    head = nn.Conv1d(n_units, CLASSES, 1)
    encoder.reset_buffers()
    inputs = torch.from_numpy(frames)[:, None, :, None]

    @torch.inference_mode()
    def step(t: int) -> torch.Tensor:
        return torch.softmax(head(encoder(inputs[t], inference=True)), dim=1)

    return step


def each(step: Step, n_frames: int, between: Callable[[], Any] | None = None) -> np.ndarray:
    """Microseconds of each frame, after a few that don't count."""
    times = np.empty(n_frames)
    warm = min(100, n_frames // 5)
    for t in range(warm + n_frames):
        if between is not None:
            between()
        start = time.perf_counter_ns()
        step(t % n_frames)
        times[t - warm] = (time.perf_counter_ns() - start) / 1e3
    return times


def many(online: OnlineSegmenter, frames: np.ndarray, n_at_once: int = 20) -> np.ndarray:
    """Microseconds a frame inside the engine: runs of frames in one call each."""
    chunks = frames.reshape(-1, n_at_once, 1, INPUTS)
    return each(lambda i: online.engine.run(chunks[i]), len(chunks)) / n_at_once


def measure(n_blocks: int, n_units: int, n_frames: int) -> dict[str, np.ndarray]:
    """Microseconds a frame of every way."""
    model = model_of(n_blocks, n_units)
    frames = np.random.default_rng(0).normal(size=(n_frames, INPUTS)).astype(np.float32)
    online = OnlineSegmenter(model)
    times = {
        "engine": many(online, frames),
        "step": each(lambda t: online.step(frames[t]), n_frames),
        "prepared": each(lambda t: online.step(frames[t]), n_frames, online.prepare),
        "pytorch": each(pytorch_step(model, frames), max(50, n_frames // 100)),
    }
    other = pytorch_tcn_step(n_blocks, n_units, frames)
    if other is not None:
        times["pytorch-tcn"] = each(other, max(50, n_frames // 100))
    return times


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=20_000, help="frames of each line")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name, value in machine.describe().items():
        print(f"{name}: {value}")
    rows = []
    for n_blocks, n_units in NETWORKS:
        work = OnlineSegmenter(model_of(n_blocks, n_units)).engine.work  # type: ignore[attr-defined]
        floor = work / machine.fma_peak(1) * 1e6
        print(f"\n{n_blocks} blocks of {n_units} units, one core, microseconds; floor {floor:.2f}")
        print(LINE.format("", "median", "p99", "p99.9", "worst", "bar", "x slower"))
        times = measure(n_blocks, n_units, args.frames)
        base = float(np.median(times["step"]))
        for name, own in times.items():
            p50, p99, p999, worst = np.percentile(own, [50, 99, 99.9, 100])
            bar = BARS[n_blocks, n_units].get(name)
            figures = [f"{value:.2f}" for value in (p50, p99, p999, worst)]
            print(LINE.format(name, *figures, bar or "", f"{p50 / base:.2f}"), flush=True)
            rows.append(
                {"blocks": n_blocks, "units": n_units, "what": name, "bar": bar, "floor": floor}
                | {"median": p50, "p99": p99, "p99.9": p999, "worst": worst}
            )
    short = [row for row in rows if row["bar"] is not None and row["median"] > row["bar"]]
    print(f"\n{'all medians reach their bars' if not short else f'{len(short)} are above a bar'}")
    if args.json:
        args.json.write_text(json.dumps({"machine": machine.describe(), "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
