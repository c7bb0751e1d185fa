"""Data larger than memory, and the cost of a frame from 10^5 frames to 10^7.

    python -m benchmarks.scale [--sessions 2000] [--folder FOLDER] [--json FILE]

The project is of sessions of 100,000 frames and 32 channels (2,000 of them are 25.6 GB). Its
source is one file under as many names, by links; the cache holds each session on its own, so that
as many bytes are mapped as a real project would have. One in a hundred sessions has hand labels.
``first batch`` counts from the start of a fresh process to the first training batch, with the cache
filled. ``RssAnon`` is memory that is the process's own: pages mapped from files don't count.
Training takes five sequences of each session; a hundredth of the sessions is predicted.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

N_FRAMES, N_CHANNELS, CLASSES = 100_000, 32, ("background", "rest", "walk", "groom")
SIZES = (10**5, 10**6, 10**7)


def write_project(folder: Path, n_sessions: int) -> None:
    draw = np.random.default_rng(0)
    for name in ("features", "labels-hand"):
        (folder / name).mkdir(parents=True)
    source = folder / "one_session.npy"
    np.save(source, draw.standard_normal((N_FRAMES, N_CHANNELS), dtype=np.float32))
    one_hot = np.eye(len(CLASSES), dtype=int)[draw.integers(0, len(CLASSES), N_FRAMES)]
    rows = [f"{t}," + ",".join(map(str, row)) for t, row in enumerate(one_hot.tolist())]
    labels = folder / "one_session.csv"
    labels.write_text("\n".join(["," + ",".join(CLASSES), *rows]) + "\n")
    for i in range(n_sessions):
        (folder / "features" / f"s{i:05d}.npy").symlink_to(source)
        if i % 100 == 0:
            (folder / "labels-hand" / f"s{i:05d}.csv").symlink_to(labels)


def hparams_for(folder: Path, n_sessions: int) -> dict[str, Any]:
    from daart_fast.config import with_defaults

    return with_defaults(
        {
            "data_dir": str(folder),
            "cache_dir": str(folder / "cache"),
            "input_type": "features",
            "expt_ids": [f"s{i:05d}" for i in range(n_sessions)],
            "batch_size": 8,
            "train_frac": 5,
            "max_epochs": 1,
            "lambda_pred": 0.1,  # so that sessions without labels take part
            "plot_train_curves": False,
        }
    )


class Watch(threading.Thread):
    """Notes the most anonymous memory that this process has had."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most_gb = 0.0

    def run(self) -> None:
        while True:
            for line in Path("/proc/self/status").read_text().splitlines():
                if line.startswith("RssAnon"):
                    self.most_gb = max(self.most_gb, int(line.split()[1]) / 1e6)
            time.sleep(0.05)


def use_project(folder: Path, n_sessions: int, started: float) -> dict[str, float]:
    """Run in a fresh process: first batch, training, prediction."""
    from daart_fast.data.from_config import build_data_generator
    from daart_fast.models import Segmenter, export_states
    from daart_fast.train import Trainer

    watch = Watch()
    watch.start()
    hparams = hparams_for(folder, n_sessions)
    generator = build_data_generator(hparams)
    generator.next_batch("train")
    figures = {"first batch, s": time.time() - started}
    model = Segmenter(hparams)
    start = time.perf_counter()
    Trainer(**hparams).fit(model, generator, folder / "model")
    figures["training, s"] = time.perf_counter() - start
    start = time.perf_counter()
    generator.datasets, generator.ids = generator.datasets[::100], generator.ids[::100]
    export_states(model, generator, folder / "model")
    figures["prediction, s"] = time.perf_counter() - start
    figures["RssAnon, GB"] = watch.most_gb
    return figures


def prediction_cost(n_frames: int) -> float:
    """Nanoseconds a frame, the best of some runs."""
    from benchmarks.predict import own_model, session_of
    from daart_fast.models import predict_session

    session, model = session_of(n_frames), own_model()
    repeats = max(3, SIZES[1] // n_frames)
    best = min(seconds(lambda: predict_session(model, session)) for _ in range(repeats))
    return best / n_frames * 1e9


def training_costs() -> list[float]:
    """Nanoseconds a frame of training on a session of each size, the best of rounds in turns."""
    with tempfile.TemporaryDirectory() as scratch:
        sides = [training_on(n, Path(scratch) / str(n)) for n in SIZES]
        rounds = [[train() for train in sides] for _ in range(8)]
    return [min(seen) for seen in zip(*rounds, strict=True)]


def training_on(n_frames: int, folder: Path) -> Callable[[], float]:
    """Return a function that trains on some batches, and returns the nanoseconds a frame."""
    from benchmarks.predict import session_of
    from daart_fast.data.from_config import build_data_generator
    from daart_fast.models import Segmenter
    from daart_fast.train import Trainer

    (folder / "features").mkdir(parents=True)
    np.save(folder / "features" / "s00000.npy", session_of(n_frames).inputs)
    hparams = hparams_for(folder, 1) | {"lambda_strong": 0, "train_frac": 1}
    generator = build_data_generator(hparams)
    trainer = Trainer(**hparams)
    trainer.prepare(Segmenter({**hparams, "output_size": 2}), generator, None)
    n_batches = min(generator.n_tot_batches["train"], 60)

    def train() -> float:
        n_sequences = 0
        start = time.perf_counter()
        for _ in range(n_batches):
            batch, members = generator.next_batch("train")
            trainer.add(trainer.step(batch))
            n_sequences += len(members)
        elapsed = time.perf_counter() - start
        return elapsed / (n_sequences * hparams["sequence_length"]) * 1e9

    return train


def seconds(function: Any) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sessions", type=int, default=2000)
    parser.add_argument(
        "--folder", type=Path, help="where there is room (default: a temporary one)"
    )
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--use", nargs=2, metavar=("FOLDER", "STARTED"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.use:
        folder, started = Path(options.use[0]), float(options.use[1])
        print(json.dumps(use_project(folder, options.sessions, started)))
        return
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        folder = Path(scratch) / "project"
        write_project(folder, options.sessions)
        from daart_fast.data.from_config import build_data_generator

        figures["cache filled, s"] = seconds(
            lambda: build_data_generator(hparams_for(folder, options.sessions))
        )
        command = [sys.executable, "-m", "benchmarks.scale", "--sessions", str(options.sessions)]
        done = subprocess.run(
            [*command, "--use", str(folder), str(time.time())],
            capture_output=True,
            text=True,
            env=os.environ,
        )
        if done.returncode:
            raise SystemExit(done.stderr)
        figures |= json.loads(done.stdout.splitlines()[-1])
    print(f"{options.sessions} sessions of {N_FRAMES} frames and {N_CHANNELS} channels, "
          f"{torch.get_num_threads()} threads")  # fmt: skip
    for name, value in figures.items():
        print(f"  {name:<18} {value:8.2f}")
    costs = {
        "training, ns": training_costs(),
        "prediction, ns": [prediction_cost(n) for n in SIZES],
    }
    print("cost of a frame at " + ", ".join(f"10^{len(str(n)) - 1}" for n in SIZES) + " frames")
    for name, values in costs.items():
        spread = max(values) / min(values) - 1
        print(f"  {name:<18} " + " ".join(f"{v:8.0f}" for v in values) + f"   spread {spread:.0%}")
    if options.json:
        options.json.write_text(json.dumps(figures | costs, indent=1) + "\n")


if __name__ == "__main__":
    main()
