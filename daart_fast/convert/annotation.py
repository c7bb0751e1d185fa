"""What is read of a file of annotations, and what its readers share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath

from daart_fast.errors import DataError

__all__ = [
    "MOST",
    "OBSERVER",
    "SAME_RATE",
    "Annotation",
    "Bout",
    "Source",
    "check_one_observer",
    "column_of",
    "names_above",
    "number_or_none",
    "runs_of",
    "stem_of",
]

#: No time in seconds and no frame is as large (11 days at 100 frames a second): it is no number.
MOST = 1e8

#: Two frame rates that differ by a smaller share are one, as 29.97 and 30000 / 1001.
SAME_RATE = 1e-4

#: class, first frame, frame after the last
Bout = tuple[str, int, int]


@dataclass
class Annotation:
    """What was labelled in one recording.

    Attributes
    ----------
    names
        what the recording may be called, the best first
    bouts
        class, first frame, frame after the last
    classes
        all classes of the file, those that never occur too
    n_frames
        how long it is, where the file says it
    a_row_a_frame
        whether the file has a row for each frame, so that `n_frames` is exact
    n_observed
        the first frame that nobody looked at, where the file says it
    unlabelled
        bouts that nobody scored, as [first, last)
    subjects
        whose bout each one is, in files that say it
    all_subjects
        everybody whom the file has events of, chosen or not
    channels
        the channels of a file that annotates one video in several, if none was chosen
    fps
        the frame rate that made frames of times; None where the file counts frames
    source
        the file
    format
        of `FORMATS`
    predicted
        whether the file says that a model predicted at least a part of it
    """

    names: list[str]
    bouts: list[Bout]
    classes: list[str] = field(default_factory=list)
    n_frames: int | None = None
    a_row_a_frame: bool = False
    n_observed: int | None = None
    unlabelled: list[tuple[int, int]] = field(default_factory=list)
    subjects: list[str] = field(default_factory=list)
    all_subjects: set[str] = field(default_factory=set)
    channels: list[str] = field(default_factory=list)
    fps: float | None = None
    predicted: bool = False
    source: str = ""
    format: str = ""


@dataclass(frozen=True)
class Source:
    """A file's lines, the rows in it, and what the user said about it."""

    path: Path
    lines: list[str]
    rows: list[list[str]]
    fps: float | None
    subject: str | None
    classes: tuple[str, ...]
    #: how numbers are written: Excel, where it separates cells by ;, writes 0,5
    comma: str = "."

    def header(self) -> list[str]:
        """Return the first row; an error where there is none."""
        if not self.rows or not any(self.rows[0]):
            raise DataError(f"{self.path}: expected a row of column names, found nothing")
        return self.rows[0]

    def body(self, header: Sequence[str], top: int = 0) -> list[tuple[int, list[str]]]:
        """Return the rows below `top` that hold something, each with its place in the file.

        One that is longer or shorter than the header is an error.
        """
        found = [(i, row) for i, row in enumerate(self.rows) if i > top and any(row)]
        for i, row in found:
            if len(row) < len(header) or any(row[len(header) :]):
                raise self.fail(i, f"expected {len(header)} cells, found {len(row)}")
        return found

    def fail(self, row: int, text: str) -> DataError:
        """Return the error that names the file and, counted from 1, the line."""
        return DataError(f"{self.path}, line {row + 1}: {text}")

    def rate(self, fps: float | None = None) -> float:
        """Return the frame rate that was given, or the file's; an error where they contradict."""
        if self.fps and fps and abs(self.fps - fps) > SAME_RATE * fps:
            raise DataError(
                f"{self.path}: --fps is {self.fps:g}, but the file says {fps:g} frames a second: "
                f"labels would be shifted; leave --fps out, or correct the rate in the file"
            )
        rate = fps or self.fps
        if not rate:
            raise DataError(f"{self.path}: times are in seconds: expected the frame rate (--fps)")
        return rate

    def whole(self, row: int, number: float) -> int:
        """Return a number that counts frames."""
        if not number.is_integer():
            raise self.fail(row, f"expected a frame, found {number:g}")
        return int(number)

    def seconds(self, row: int, cell: str) -> float:
        """Return a time, written as a number or as h:m:s."""
        total = 0.0
        if cell.count(":") > 2:
            raise self.fail(row, f"expected a time in seconds or h:m:s, found {cell!r}")
        for part in cell.split(":"):
            total = total * 60 + self.number(row, part)
        return total

    def number(self, row: int, cell: str) -> float:
        """Return the number in a cell; an error that names file and line if it holds none."""
        try:
            number = float(cell.replace(self.comma, "."))
        except ValueError:
            raise self.fail(row, f"expected a number, found {cell!r}") from None
        if not abs(number) < MOST:
            raise self.fail(row, f"expected a number below {MOST:g}, found {cell!r}")
        return number


#: what a column is called that says who scored
OBSERVER = ("observer", "coder", "rater", "annotator", "scorer")


def check_one_observer(source: Source, recording: str, observers: Iterable[str]) -> None:
    """Refuse a recording that several people scored: their bouts are not to be joined."""
    names = sorted({name for name in observers if name})
    if len(names) > 1:
        raise DataError(
            f"{source.path}: {recording} was scored by {' and '.join(names)}; export, or keep, the "
            f"rows of one of them"
        )


def column_of(header: Sequence[str], *names: str) -> int | None:
    """Return the place of the first of these names, whatever their case."""
    lower = [cell.lower() for cell in header]
    return next((lower.index(name) for name in names if name in lower), None)


def number_or_none(cell: str, comma: str = ".") -> float | None:
    """Return a number that is given and not 0."""
    try:
        return float(cell.replace(comma, ".")) or None
    except ValueError:
        return None


def names_above(source: Source, top: int) -> list[str]:
    """Return what the lines above row `top` call the video, as Noldus' programs write them."""
    rows = [row for row in source.rows[:top] if len(row) > 1 and row[1]]
    return [stem_of(row[1]) for row in rows if row[0].lower().rstrip(":") == "video file"]


def stem_of(path: str) -> str:
    """Return the name of a media file without folders (of any system) and ending."""
    return Path(PureWindowsPath(path).name).stem


def runs_of(cells: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """Yield each run of equal cells: the cell, its first row, the row after its last."""
    start = 0
    for i in range(1, len(cells) + 1):
        if i == len(cells) or cells[i] != cells[start]:
            yield cells[start], start, i
            start = i
