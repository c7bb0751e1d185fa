"""Tell the behaviour frame by frame, while the frames come in.

Reads frames from standard input, or from a file, and writes a line for each: the frame, the class
and the probabilities. A csv may have the header rows of DeepLabCut (scorer, bodyparts, coords) or
of features (one row of names), with the frame number first; without a header its rows are the
model's channels. Empty cells are held at their last value. A row that can't be read is told, and
held as a whole. At the end the latency is printed, from a frame that is read to its line.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from daart_fast.cli.options import setting
from daart_fast.errors import DataError

HELP = "tell the behaviour frame by frame, while frames come in"
EXAMPLES = """
  tracker | daart-fast online results/multi-0/dtcn/test/version_0
  daart-fast online version_0 --input video.csv --fps 30 --stats calibration.csv
  tracker | daart-fast online version_0 --binary --mode provisional > answers.csv
"""
MARKER_HEADERS = ("scorer", "individuals", "bodyparts", "coords")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model_dir", type=Path, help="the model's version_N folder")
    parser.add_argument("--input", type=Path, help="a file to read (standard input)")
    parser.add_argument(
        "--binary", action="store_true", help="frames are float32 numbers without anything between"
    )
    parser.add_argument(
        "--mode",
        choices=("causal", "delayed", "provisional"),
        help="delayed: exact, some frames late; provisional: at once, as if later frames were "
        "like this one (causal if the model is, else delayed)",
    )
    parser.add_argument(
        "--stats", type=Path, help="a recording to take mean and spread from, to normalise by"
    )
    parser.add_argument(
        "--layout", choices=("channels", "pose"), help="--binary: the model's channels, or "
        "x, y, likelihood of each keypoint"
    )  # fmt: skip
    parser.add_argument("--keypoints", help="--binary: a pose's keypoints, as 'nose;tail_base'")
    parser.add_argument(
        "--fps", type=setting("fps"), help="play a file at this many frames a second"
    )


def run(options: argparse.Namespace) -> None:
    from daart_fast.api import Model

    if options.input is not None and not options.input.is_file():
        raise DataError(f"{options.input}: no such file")
    model = Model.from_dir(options.model_dir)
    model.model.to("cpu")
    if options.input is None:
        _answer_all(model, sys.stdin.buffer, options)
    else:
        with open(options.input, "rb") as stream:
            _answer_all(model, stream, options)


def _answer_all(model: Any, stream: BinaryIO, options: argparse.Namespace) -> None:
    from daart_fast.online import OnlineSegmenter

    lines = _Rows(stream, "standard input" if options.input is None else str(options.input))
    layout, keypoints = options.layout, (options.keypoints or "").split(";")
    if not options.binary:
        layout, keypoints = lines.read_header(model.config)
    online = OnlineSegmenter(
        model,
        mode=options.mode,
        stats=options.stats,
        layout=layout,
        keypoints=[word.strip() for word in keypoints if word.strip()] or None,
    )
    n_raw = 3 * len(online.keypoints) if online.layout == "pose" else online.intake.raw_channels
    frames = lines.binary(n_raw) if options.binary else lines.rows(n_raw)
    if options.fps:
        frames = _at_real_speed(frames, options.fps)
    _print_row(["frame", "class", *online.names])
    latencies, n_answers = [], 0
    several = model.model.classifier_type == "multibinary"
    for read_at, frame in frames:
        answer = online.step(frame)
        if answer is not None:
            _print_answer(n_answers, answer.tolist(), online.names, several)
            n_answers += 1
        latencies.append(time.perf_counter() - read_at)
        online.prepare()
    for answer in online.flush():
        _print_answer(n_answers, answer.tolist(), online.names, several)
        n_answers += 1
    _print_latency(latencies, online.delay)


def _print_answer(frame: int, probabilities: list[float], names: list[str], several: bool) -> None:
    """Print a frame's row; its class is what ``predict`` calls it that does not smooth."""
    if several:  # at once
        told = "+".join(name for name, p in zip(names, probabilities, strict=True) if p > 0.5)
    else:
        told = names[probabilities.index(max(probabilities))]
    _print_row([str(frame), told, *(f"{p:.6g}" for p in probabilities)])


def _print_row(cells: list[str]) -> None:
    csv.writer(sys.stdout, lineterminator="\n").writerow(cells)
    sys.stdout.flush()


def _print_latency(latencies: list[float], delay: int) -> None:
    import numpy as np

    if not latencies:
        print("no frames", file=sys.stderr)
        return
    p50, p99, worst = np.percentile(np.array(latencies) * 1e3, [50, 99, 100])
    late = f"; answers come {delay} frames late" if delay else ""
    print(
        f"{len(latencies)} frames; latency p50 {p50:.3f} ms, p99 {p99:.3f} ms, "
        f"worst {worst:.3f} ms{late}",
        file=sys.stderr,
    )


def _at_real_speed(frames: Iterator[tuple[float, Any]], fps: float) -> Iterator[tuple[float, Any]]:
    """Give each frame at its time; one that is late is given at once."""
    start = time.perf_counter()
    for i, (_, frame) in enumerate(frames):
        time.sleep(max(0.0, start + i / fps - time.perf_counter()))
        yield time.perf_counter(), frame


class _Rows:
    """A stream of frames, and when each was read."""

    def __init__(self, stream: BinaryIO, source: str) -> None:
        self.stream, self.source = stream, source
        self.line = 0
        self.first: list[str] | None = None  # a row of numbers, read while looking for a header
        self.order: list[int] | None = None  # a row's cells in the frame's order; -1 is a 1
        self.n_cells: int | None = None

    def _next(self) -> list[str] | None:
        """Return the cells of the next line that is not blank; None at the end."""
        if self.first is not None:
            cells, self.first = self.first, None
            return cells
        while line := self.stream.readline():
            self.line += 1
            text = line.decode("utf-8-sig" if self.line == 1 else "utf-8", "replace").strip()
            if text:
                return [cell.strip() for cell in text.split(",")]
        return None

    def read_header(self, config: dict[str, Any]) -> tuple[str | None, list[str]]:
        """Read the header rows, if any; return the layout and keypoints that they tell."""
        header: list[list[str]] = []
        while (cells := self._next()) is not None and cells[0] in MARKER_HEADERS:
            header.append(cells)
        if header:
            self.first = cells
            return "pose", self._pose_order([row for row in header if row[0] != "scorer"])
        names = list(config.get("input_names") or [])
        if cells is not None and (not all(map(_is_number, cells)) or names == cells[1:]):
            self._channel_order(cells, names)
        else:
            self.first = cells
        return None, []

    def _pose_order(self, header: list[list[str]]) -> list[str]:
        """Find x, y and likelihood of each keypoint; several animals' are ``animal-part``."""
        *owners, coordinates = header
        places: dict[str, dict[str, int]] = {}
        for i in range(1, min(map(len, header))):
            part = "-".join(row[i] for row in owners)
            own = places.setdefault(part, {})
            if coordinates[i] in own:
                raise DataError(f"{self.source}: '{part}' has two columns '{coordinates[i]}'")
            own[coordinates[i]] = i
        self.order = []
        for part, own in places.items():
            if not {"x", "y"} <= own.keys():
                raise DataError(f"{self.source}: expected columns x and y of '{part}'")
            self.order += [own["x"], own["y"], own.get("likelihood", -1)]
        self.n_cells = len(header[0])
        return list(places)

    def _channel_order(self, header: list[str], names: list[str]) -> None:
        """Put the columns in the order of the model's channels, if both have names."""
        self.n_cells = len(header)
        self.order = list(range(1, len(header)))
        if names and not names[0].startswith("channel_"):
            missing = [name for name in names if name not in header[1:]]
            if missing:
                raise DataError(
                    f"{self.source}: the model's channel '{missing[0]}' is not in the header"
                )
            self.order = [header.index(name, 1) for name in names]

    def rows(self, n_raw: int) -> Iterator[tuple[float, Any]]:
        """Yield when a row was read, and its frame; None for one that can't be read."""
        import numpy as np

        expected = n_raw if self.n_cells is None else self.n_cells
        while (cells := self._next()) is not None:
            read_at = time.perf_counter()
            try:
                if len(cells) != expected:
                    raise ValueError(f"expected {expected} cells, found {len(cells)}")
                if self.order is not None:
                    cells = ["1" if i < 0 else cells[i] for i in self.order]
                frame = np.array([float(cell) if cell else np.nan for cell in cells])
            except ValueError as error:
                print(f"{self.source}, line {self.line}: {error}; held", file=sys.stderr)
                frame = None
            yield read_at, frame

    def binary(self, n_raw: int) -> Iterator[tuple[float, Any]]:
        """Yield when a frame of float32 numbers was read, and the frame."""
        import numpy as np

        while data := self.stream.read(4 * n_raw):
            if len(data) < 4 * n_raw:
                print(
                    f"{self.source}: it ends amid a frame, after {len(data)} of {4 * n_raw} bytes",
                    file=sys.stderr,
                )
                return
            yield time.perf_counter(), np.frombuffer(data, dtype="<f4")


def _is_number(cell: str) -> bool:
    try:
        float(cell or "nan")
    except ValueError:
        return False
    return True
