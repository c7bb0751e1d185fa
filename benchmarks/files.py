"""From file to file: processor seconds of reading, starting, predicting and writing.

    python -m benchmarks.files [--frames 100000 1000000] [--rounds 3] [--json FILE]

A DeepLabCut csv of ten points (and of it gz and npy) is made for each number of frames, with hand
labels and bouts of the same video, and a model of daart's default size. ``s`` is processor time,
which other programs on the machine change little; of commands that of the process, less a process
that only imports torch where both do. ``other s`` is what it is compared with: pandas reading the
same file, prediction by a plain script of pandas and PyTorch (benchmarks/plain_predict.py), or the
seconds that are allowed. Sides take turns, and the least of their times counts. ``MB`` is the file,
``times MB`` the memory that reading it takes.
"""

from __future__ import annotations

import gzip
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks import machine
from daart_fast.api import Model
from daart_fast.config import with_defaults
from daart_fast.data.from_config import build_data_generator
from daart_fast.eval import write_bouts, write_predictions
from daart_fast.readers.inputs import read_inputs
from daart_fast.rows import csv_line, joined_rows, number_cells

ROOT = Path(__file__).resolve().parents[1]
POINTS, FPS, THRESHOLD = 10, 30, 0.6
NAMES = ["background", "still", "walk", "groom", "rear", "sniff"]
COLUMNS = {"part": 34, "frames": 9, "MB": 7, "s": 8, "MB/s": 7, "times MB": 9}
COLUMNS |= {"other": 13, "other s": 8, "value": 6, "bar": 5}
#: seconds that parts are allowed, whatever the frames
ALLOWED = {"Model.from_dir, the first": 0.03}


# ------------------------------------------------------------------------------ what is read


def make_project(folder: Path, n_frames: int) -> Path:
    """Write a project of one session, and its bouts; return the csv of its tracked points."""
    for name in ("markers", "labels-hand", "out", "bouts"):
        (folder / name).mkdir(parents=True)
    draw = np.random.default_rng(0)
    points = np.abs(np.cumsum(draw.normal(0, 2, (n_frames, 2 * POINTS)), 0) % 1200 - 600)
    sure = np.where(draw.random((n_frames, POINTS)) < 0.03, 0.3, 1) * draw.uniform(
        0.95, 1, (n_frames, POINTS)
    )
    columns = [number_cells(np.arange(n_frames))]
    for point in range(POINTS):
        columns += [number_cells(points[:, 2 * point + axis], 3) for axis in (0, 1)]
        columns.append(number_cells(sure[:, point], 4))
    parts = [f"part{i}" for i in range(POINTS) for _ in range(3)]
    header = csv_line(["scorer", *["network"] * 3 * POINTS])
    header += csv_line(["bodyparts", *parts]) + csv_line(
        ["coords", *["x", "y", "likelihood"] * POINTS]
    )
    inputs = folder / "markers" / "video.csv"
    inputs.write_bytes(header.encode() + joined_rows(columns))
    classes = np.repeat(draw.integers(0, len(NAMES), n_frames // 50 + 1), 50)[:n_frames]
    labels = [number_cells(np.arange(n_frames))]
    labels += [number_cells(classes == i) for i in range(len(NAMES))]
    path = folder / "labels-hand" / "video.csv"
    path.write_bytes(csv_line(["", *NAMES]).encode() + joined_rows(labels))
    write_bouts(folder / "bouts" / "video.csv", classes, NAMES, FPS)
    return inputs


def make_model(folder: Path) -> Path:
    """Write a model of daart's default size, untrained."""
    hparams: dict[str, Any] = {
        "backbone": "dtcn",
        "input_size": 2 * POINTS,
        "output_size": len(NAMES),
        "n_hid_layers": 2,
        "n_hid_units": 32,
        "n_lags": 8,
        "activation": "lrelu",
        "lambda_strong": 1.0,
        "sequence_length": 500,
        "likelihood_threshold": THRESHOLD,
        "label_names": NAMES,
        "fps": FPS,
    }
    folder.mkdir()
    (folder / "hparams.yaml").write_text(json.dumps(hparams))
    torch.save(Model.from_config(hparams).model.state_dict(), folder / "best_val_model.pt")
    return folder


# ------------------------------------------------------------------------------ how it is timed


def in_turns(sides: Sequence[Callable[[], float]], rounds: int) -> list[float]:
    """Return the least seconds of each side."""
    seen = [[side() for side in sides] for _ in range(rounds)]
    return [min(times) for times in zip(*seen, strict=True)]


def called(function: Callable[[], Any]) -> Callable[[], float]:
    """Return a function that calls and returns processor seconds."""

    def seconds() -> float:
        start = time.process_time()
        function()
        return time.process_time() - start

    return seconds


def process(*arguments: str | Path) -> Callable[[], float]:
    """Return a function that runs a Python process and returns its processor seconds."""

    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    def seconds() -> float:
        before = used()
        done = subprocess.run(
            [sys.executable, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(map(str, arguments))}:\n{done.stdout}{done.stderr}")
        return used() - before

    return seconds


def printed(code: str) -> Callable[[], float]:
    """Return a function that runs code in a new process and returns the number it prints."""

    def number() -> float:
        return float(subprocess.check_output([sys.executable, "-c", code], cwd=ROOT))

    return number


IMPORT_TORCH = process("-c", "import torch")
FROM_DIR = """
import time, torch
from daart_fast.api import Model
start = time.process_time()
Model.from_dir({!r})
print(time.process_time() - start)
"""
MEMORY = """
import re
from pathlib import Path
from daart_fast.readers.inputs import read_inputs
def most():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1e3
before = most()
read_inputs({!r}, {})
print(most() - before)
"""


# ------------------------------------------------------------------------------ the parts


class Parts:
    """The parts of one project, each a row of the table."""

    def __init__(self, table: machine.Table, folder: Path, n_frames: int, rounds: int) -> None:
        self.table, self.folder, self.n_frames, self.rounds = table, folder, n_frames, rounds
        self.inputs = make_project(folder, n_frames)
        self.model = make_model(folder / "model")

    def add(
        self,
        part: str,
        own: float,
        other: tuple[str, float] | None = None,
        file: Path | None = None,
        **more: float,
    ) -> None:
        row: machine.Row = {"part": part, "frames": self.n_frames, "s": own, **more}
        if file is not None:
            row["MB"] = file.stat().st_size / 1e6
            row["MB/s"] = row["MB"] / own
        if other is not None:
            row |= {"other": other[0], "other s": other[1], "value": other[1] / own, "bar": 1.0}
        self.table.add(row)

    def reading(self) -> None:
        """Read the same numbers from csv, csv.gz and npy."""
        packed, array = self.folder / "video.csv.gz", self.folder / "video.npy"
        with gzip.open(packed, "wb", 6) as file:
            file.write(self.inputs.read_bytes())
        np.save(array, np.ascontiguousarray(read_inputs(self.inputs).values, np.float64))
        for path in (self.inputs, packed):
            sides = [
                called(lambda path=path: read_inputs(path, THRESHOLD)),
                called(lambda path=path: pd.read_csv(path, header=None, skiprows=3)),
            ]
            own, pandas = in_turns(sides, self.rounds)
            name, more = f"read_inputs, {'csv' if path is self.inputs else 'csv.gz'}", {}
            if sys.platform == "linux":
                megabytes = printed(MEMORY.format(str(path), THRESHOLD))()
                more["times MB"] = megabytes / (path.stat().st_size / 1e6)
            self.add(name, own, ("pandas", pandas), path, **more)
        (own,) = in_turns([called(lambda: read_inputs(array))], self.rounds)
        self.add("read_inputs, npy", own, file=array)

    def starting(self) -> None:
        part = "Model.from_dir, the first"
        (own,) = in_turns([printed(FROM_DIR.format(str(self.model)))], self.rounds)
        self.add(part, own, ("allowed", ALLOWED[part]))

    def writing(self) -> None:
        states = np.random.default_rng(0).dirichlet(np.ones(len(NAMES)), self.n_frames)
        path, classes = self.folder / "predictions.csv", states.argmax(1)
        (own,) = in_turns(
            [called(lambda: write_predictions(path, states, classes, NAMES, FPS))], self.rounds
        )
        allowed = path.stat().st_size / 1e6 / 100
        self.add("write_predictions", own, ("100 MB/s", allowed), path)

    def commands(self) -> None:
        """Run whole commands, each in a process."""
        out, cli = self.folder / "out", ("-m", "daart_fast")
        predict = (*cli, "predict", self.model, self.inputs, "--output_dir", out, "--overwrite")
        sides = [
            process(*predict),
            process("benchmarks/plain_predict.py", self.inputs, out),
            IMPORT_TORCH,
        ]
        own, plain, only_torch = in_turns(sides, self.rounds)
        self.add(
            "predict, less import torch",
            own - only_torch,
            ("plain script", plain - only_torch),
            self.inputs,
        )
        (own,) = in_turns([process(*cli, "doctor", self.folder)], self.rounds)
        self.add("doctor", own, file=self.inputs)
        labels = self.folder / "converted"
        convert = (*cli, "convert-labels", self.folder / "bouts" / "video.csv", "--unscored")
        convert += ("--markers", self.inputs.parent, "--fps", str(FPS))
        convert += ("--output_dir", labels, "--overwrite")
        (own,) = in_turns([process(*convert)], self.rounds)
        self.add("convert-labels", own, file=next(labels.glob("*.csv")))

    def first_batch(self) -> None:
        """Read a project for the first time, as a training does, until its first batch."""
        hparams = with_defaults(
            {
                "data_dir": str(self.folder),
                "expt_ids": ["video"],
                "likelihood_threshold": THRESHOLD,
                "cache_dir": str(self.folder / "off"),
                "ignore_class": -100,
                "backbone": "dtcn",
                "n_hid_layers": 2,
                "n_lags": 8,
            }
        )
        (own,) = in_turns(
            [called(lambda: build_data_generator(hparams).next_batch("train"))], self.rounds
        )
        self.add("the first batch of training", own, file=self.inputs)


def main() -> None:
    parser = machine.arguments(__doc__)
    parser.add_argument("--frames", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    table = machine.Table(COLUMNS)
    for n_frames in options.frames:
        table.head(f"{n_frames} frames")
        with machine.threads(1), tempfile.TemporaryDirectory() as scratch:
            parts = Parts(table, Path(scratch) / "project", n_frames, options.rounds)
            for part in (parts.reading, parts.starting, parts.writing):
                part()
            parts.commands()
            parts.first_batch()
    table.finish(options.json)


if __name__ == "__main__":
    main()
