"""What ``daart-fast convert-labels`` decided, kept beside the labels that it wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from daart_fast.errors import DataError
from daart_fast.files import replacing

__all__ = ["LABEL_RECORD", "LabelFile", "LabelRecord", "read_label_record", "write_label_record"]

LABEL_RECORD = "conversion.json"
WRITTEN_BY = "daart-fast convert-labels"


@dataclass(frozen=True)
class LabelFile:
    """Where a file of labels comes from.

    Attributes
    ----------
    source
        the file that was converted
    format
        of `daart_fast.convert.FORMATS`
    fps
        the frame rate that turned times into frames; None where the source counts frames
    frames
        how many frames it labels
    between_bouts
        the class of frames between bouts; None: background, which nobody looked at, or labels of
        several behaviours at once
    """

    source: str
    format: str
    fps: float | None
    frames: int
    between_bouts: str | None


@dataclass(frozen=True)
class LabelRecord:
    """What was decided for each file of labels in a folder, by the file's name."""

    folder: Path
    files: dict[str, LabelFile] = field(default_factory=dict)

    @property
    def between_bouts(self) -> str | None:
        """The class of frames between bouts in all files; None where they differ, or have none."""
        kinds = {file.between_bouts for file in self.files.values()}
        return kinds.pop() if len(kinds) == 1 else None

    def fps(self) -> float | None:
        """Return the frame rate of the sessions; None where no file's source held times.

        Raises
        ------
        DataError
            files have different rates
        """
        rates: dict[float, str] = {}
        for name, file in self.files.items():
            if file.fps is not None:
                rates.setdefault(file.fps, name)
        if len(rates) > 1:
            (first, one), (second, other), *_ = rates.items()
            raise DataError(
                f"{self.folder / LABEL_RECORD}: expected one frame rate for all sessions, found "
                f"{first:g} for {one} and {second:g} for {other}; train the sessions of each "
                f"frame rate by themselves, or give --fps"
            )
        return next(iter(rates), None)


def read_label_record(folder: Path) -> LabelRecord | None:
    """Read the record in a folder of labels; None where convert-labels wrote none.

    Raises
    ------
    DataError
        the file is not as convert-labels writes it
    """
    path = Path(folder) / LABEL_RECORD
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        files = {name: _label_file(entry) for name, entry in content["files"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        raise DataError(
            f"{path}: expected the record that convert-labels writes; convert the labels again, or "
            f"remove this file"
        ) from None
    return LabelRecord(Path(folder), files)


def _label_file(entry: Mapping[str, Any]) -> LabelFile:
    fps = entry["fps"]
    return LabelFile(
        str(entry["source"]),
        str(entry["format"]),
        None if fps is None else float(fps),
        int(entry["frames"]),
        None if entry["between_bouts"] is None else str(entry["between_bouts"]),
    )


def write_label_record(
    folder: Path, files: Mapping[str, LabelFile], written_by: str = WRITTEN_BY
) -> Path:
    """Write what was decided for these files; what is known about more files there stays."""
    earlier = read_label_record(folder)
    known = {**(earlier.files if earlier else {}), **files}
    there = {name: file for name, file in known.items() if (Path(folder) / name).is_file()}
    record = LabelRecord(Path(folder), there)
    content = {
        "written_by": written_by,
        "between_bouts": record.between_bouts,
        "files": {name: asdict(file) for name, file in sorted(there.items())},
    }
    with replacing(Path(folder) / LABEL_RECORD) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return Path(folder) / LABEL_RECORD
