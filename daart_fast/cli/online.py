"""Tell the behaviour frame by frame, while the frames come in.

Reads frames from standard input, or from a file, and writes a line for each: the frame, the class
and the probabilities. A csv may have the header rows of DeepLabCut (scorer, bodyparts, coords) or
of features (one row of names), with the frame number first; without a header its rows are the
model's channels, or poses with --layout. Empty cells are held at their last value. A row that can't
be read is reported, and held as a whole. So are frames that the numbers skip. Numbers that do not
rise are refused. At the end the latency is printed, from a frame that is read to its line.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from daart_fast.cli.options import setting
from daart_fast.cli.sessions import model_folder
from daart_fast.errors import ConfigError, DataError

if TYPE_CHECKING:
    from daart_fast.online import OnlineSegmenter

HELP = "tell the behaviour frame by frame, while frames come in"
EXAMPLES = """
  tracker | daart-fast online results/multi-0/dtcn/test/version_0
  daart-fast online version_0 --input video.csv --fps 30 --stats calibration.csv
  tracker | daart-fast online version_0 --binary --mode provisional > answers.csv
"""
#: how messages name the flags, where `daart_fast.online` names arguments: see its ARGUMENTS
FLAGS = {
    "stats": "--stats FILE, a recording of the same animal and camera",
    "delayed": "--mode delayed",
    "provisional": "--mode provisional",
    "pose": "--layout pose",
    "keypoints": "--keypoints, their names in the order of the pose as 'nose;tail_base'",
}
#: A frame number beyond this, a year of frames, is none.
LARGEST = 2**30
#: Of frames that are skipped so many are answered, after those whose answers are due: more would
#: keep the frame that has come waiting.
MOST_ANSWERED = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model_dir", type=Path, help="the model's version_N folder, or one above it"
    )
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
        "--layout", choices=("channels", "pose"), help="what a frame is that comes without a "
        "header: the model's channels, or x, y, likelihood of each keypoint"
    )  # fmt: skip
    parser.add_argument("--keypoints", help="the keypoints of such a pose, as 'nose;tail_base'")
    parser.add_argument(
        "--fps", type=setting("fps"), help="play a file at this many frames a second"
    )


def run(options: argparse.Namespace) -> None:
    from daart_fast.api import Model

    if options.input is not None and not options.input.is_file():
        raise DataError(f"{options.input}: no such file")
    model = Model.from_dir(model_folder(options.model_dir))
    model.model.to("cpu")
    if options.input is None:
        _answer_all(model, sys.stdin.buffer, options)
    else:
        with open(options.input, "rb") as stream:
            _answer_all(model, stream, options)


def _segmenter(model: Any, lines: _Rows, options: argparse.Namespace) -> OnlineSegmenter:
    """Make what answers, for frames as the header or the options say."""
    from daart_fast.online import OnlineSegmenter
    from daart_fast.online.segmenter import ARGUMENTS

    layout, keypoints = options.layout, (options.keypoints or "").split(";")
    if not options.binary and lines.read_header(model.config):
        if options.layout or options.keypoints:
            given = "--layout" if options.layout else "--keypoints"
            raise ConfigError(f"{given}: {lines.source} has a header, which says what a frame is")
        layout, keypoints = lines.layout, lines.keypoints
    try:
        return OnlineSegmenter(
            model,
            mode=options.mode,
            stats=options.stats,
            layout=layout,
            keypoints=[word.strip() for word in keypoints if word.strip()] or None,
            fps=1.0,  # frame numbers are taken for times
        )
    except (ConfigError, DataError) as error:
        text = str(error)
        for name, argument in ARGUMENTS.items():
            text = text.replace(argument, FLAGS[name])
        raise type(error)(text) from None


def _answer_all(model: Any, stream: BinaryIO, options: argparse.Namespace) -> None:
    lines = _Rows(stream, "standard input" if options.input is None else str(options.input))
    online = _segmenter(model, lines, options)
    n_raw = 3 * len(online.keypoints) if online.layout == "pose" else online.intake.raw_channels
    frames = lines.binary(n_raw) if options.binary else lines.rows(n_raw, online.delay)
    if options.fps:
        frames = _at_real_speed(frames, options.fps)
    _print_row(["frame", "class", *online.names])
    latencies, first, end, n_held = [], 0, 0, 0
    several = model.model.classifier_type == "multibinary"
    for read_at, number, frame in frames:
        answer = online.step(frame, time=number)
        n_held += sum(online.held) > 0
        if number is not None:
            first = number + 1 - online.n_frames
        end = first + online.n_frames
        if answer is not None:
            _print_answer(end - 1 - online.delay, answer.tolist(), online.names, several)
        latencies.append(time.perf_counter() - read_at)
        online.prepare()
    due = online.flush()
    for i, answer in enumerate(due, end - len(due)):
        _print_answer(i, answer.tolist(), online.names, several)
    _print_latency(latencies, online.delay)
    _print_held(n_held, len(latencies), model.config)


def _print_answer(frame: int, probabilities: list[float], names: list[str], several: bool) -> None:
    """Print a frame's row; its class is what ``predict`` calls it that does not smooth."""
    if several:  # at once
        label = "+".join(name for name, p in zip(names, probabilities, strict=True) if p > 0.5)
    else:
        label = names[probabilities.index(max(probabilities))]
    _print_row([str(frame), label, *(f"{p:.6g}" for p in probabilities)])


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


def _print_held(n_held: int, n_frames: int, config: dict[str, Any]) -> None:
    """Print in how many frames values were missing, and what that means for the answers."""
    if not n_held:
        return
    held = f"values were missing in {n_held} of {n_frames} frames, and held the last value"
    if config["gaps"] != "hold":
        held += (
            "; the model was trained with gaps: interpolate, so 'daart-fast predict' answers "
            "other probabilities ('daart-fast train --online' makes a model whose answers agree)"
        )
    print(held, file=sys.stderr)


def _at_real_speed(frames: Iterator[Frame], fps: float) -> Iterator[Frame]:
    """Give each frame at its time; one that is late is given at once."""
    start = time.perf_counter()
    for i, frame in enumerate(frames):
        time.sleep(max(0.0, start + i / fps - time.perf_counter()))
        yield frame._replace(read_at=time.perf_counter())


class Frame(NamedTuple):
    """When a frame was read, its number, where frames are numbered, and what it holds.

    ``values`` is None for a frame that is missing.
    """

    read_at: float
    number: int | None
    values: Any


class _Rows:
    """A stream of frames, and what its header tells of them."""

    def __init__(self, stream: BinaryIO, source: str) -> None:
        self.stream, self.source = stream, source
        self.layout: str | None = None
        self.keypoints: list[str] = []
        self.numbered: bool | None = None  # whether the rows have frame numbers, if that is known
        self.last: int | None = None  # frame number
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

    def read_header(self, config: dict[str, Any]) -> bool:
        """Read the header rows; return whether there are any."""
        from daart_fast.readers.markers import HEADER_CELLS

        names = list(config.get("input_names") or [])
        header: list[list[str]] = []
        while (cells := self._next()) is not None and cells[0] in HEADER_CELLS:
            header.append(cells)
        if header:
            self.first = cells
            self._pose_order(header, names)
            return True
        if cells is not None and (not all(map(_is_number, cells)) or names == cells[1:]):
            self._channel_order(cells, names)
            return True
        self.first = cells
        return False

    def _pose_order(self, header: list[list[str]], names: list[str]) -> None:
        """Take the order of the columns from the header rows of DeepLabCut."""
        from daart_fast.readers.markers import point_columns

        named = [row for row in header if row[0] != "scorer"]
        if [row[0] for row in named[-2:]] != ["bodyparts", "coords"]:
            found = ", ".join(row[0] for row in header)
            raise DataError(
                f"{self.source}: expected header rows that end in bodyparts, coords, found {found}"
            )
        _, *columns = zip(*named, strict=False)  # the first is that of frame numbers
        points = point_columns(columns, self.source)
        self.n_cells = len(header[0])
        if any("z" in point for point in points.values()):  # a pose has x, y and likelihood
            channels = [f"{'-'.join(owner)}_{axis}" for *owner, axis in columns]
            self._channel_order(["", *channels], names)
            return
        axes = ("x", "y", "likelihood")
        self.order = [
            point[axis] + 1 if axis in point else -1 for point in points.values() for axis in axes
        ]
        self.layout, self.keypoints = "pose", list(points)

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

    def rows(self, n_raw: int, delay: int) -> Iterator[Frame]:
        """Yield each row's frame, and before it those that its number skips.

        A row that can't be read is reported, and is a frame that is missing. Where frames are
        numbered, and its own is lost, the numbers of the rows that follow say whether one is.
        """
        expected = n_raw if self.n_cells is None else self.n_cells
        while (cells := self._next()) is not None:
            read_at = time.perf_counter()
            values = self._values(cells, expected)
            number = self._number(cells) if len(cells) == expected else None
            if number is not None:
                for skipped in self._skipped(number)[: delay + MOST_ANSWERED]:
                    yield Frame(read_at, skipped, None)
                self.numbered, self.last = True, number
            elif values is not None and self.numbered is None:
                self.numbered = False
            if number is not None or self.numbered is False:
                yield Frame(read_at, number, values)

    def _values(self, cells: list[str], expected: int) -> Any:
        """Return what a row holds; tell of one that can't be read, and return None."""
        import numpy as np

        try:
            if len(cells) != expected:
                raise ValueError(f"expected {expected} cells, found {len(cells)}")
            if self.order is not None:
                cells = ["1" if i < 0 else cells[i] for i in self.order]
            return np.array([float(cell) if cell else np.nan for cell in cells])
        except ValueError as error:
            self._tell(f"{error}; held")
            return None

    def _number(self, cells: list[str]) -> int | None:
        """Return a row's frame number, None where it has none; refuse one that does not rise."""
        if self.order is None:
            return None
        number = float(cells[0] or "nan") if _is_number(cells[0]) else math.nan
        if math.isnan(number):
            if self.numbered:
                self._tell(f"expected a frame number first, found '{cells[0]}'; passed over")
            return None
        if self.numbered is False:
            wanted = "no frame number, as the lines before have none,"
        else:
            wanted = "a frame number" + ("" if self.last is None else f" after {self.last}")
            rises = self.last is None or number > self.last
            if rises and number.is_integer() and abs(number) <= LARGEST:
                return int(number)
        raise DataError(
            f"{self.source}, line {self.line}: expected {wanted} in the first column, "
            f"found {number:.15g}"
        )

    def _skipped(self, number: int) -> range:
        """Return the frames before this one that are missing, and tell of them."""
        skipped = range(number if self.last is None else self.last + 1, number)
        if len(skipped) == 1:
            self._tell(f"frame {skipped[0]} is missing; held")
        elif skipped:
            self._tell(f"frames {skipped[0]} to {skipped[-1]} are missing; held")
        return skipped

    def _tell(self, text: str) -> None:
        print(f"{self.source}, line {self.line}: {text}", file=sys.stderr)

    def binary(self, n_raw: int) -> Iterator[Frame]:
        """Yield frames of float32 numbers."""
        import numpy as np

        while data := self.stream.read(4 * n_raw):
            if len(data) < 4 * n_raw:
                print(
                    f"{self.source}: ends within a frame, after {len(data)} of {4 * n_raw} bytes",
                    file=sys.stderr,
                )
                return
            yield Frame(time.perf_counter(), None, np.frombuffer(data, dtype="<f4"))


def _is_number(cell: str) -> bool:
    try:
        float(cell or "nan")
    except ValueError:
        return False
    return True
