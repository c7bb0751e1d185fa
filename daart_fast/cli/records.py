"""Which files ``daart-fast predict`` has written, by which model and from which inputs.

Beside the outputs of a session lies ``SESSION_record.json``. With it a second call tells sessions
that are done from those whose model or inputs have changed since, and its own files from others of
the same name.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from daart_fast.errors import DataError
from daart_fast.files import checksum_of, fingerprint, replacing, spare_others

__all__ = ["Origin", "Outputs", "Records", "checksum_of_model", "outputs_in"]

WRITTEN_BY = "daart-fast predict"
OUTPUTS = ("predictions.csv", "bouts.csv", "states.npy")
RECORD = "_record.json"


class Outputs(NamedTuple):
    """The files of a session."""

    predictions: Path
    bouts: Path
    states: Path


@dataclass(frozen=True)
class Origin:
    """All that decides what a session's outputs are."""

    #: see `checksum_of_model`
    model: str
    #: the file of inputs, and which state of it
    inputs: str
    inputs_state: str | None
    fps: float | None


def checksum_of_model(folder: Path) -> str:
    """Return a checksum of a model's weights, settings and smoothing, wherever it lies."""
    from daart_fast.api.model import HPARAMS, find_weights
    from daart_fast.eval.selection import SMOOTHER_FILE

    files = (find_weights(folder), folder / HPARAMS, folder / SMOOTHER_FILE)
    return ":".join(checksum_of(file)[:24] if file.is_file() else "" for file in files)


@dataclass(frozen=True)
class Records:
    """The records in a folder of outputs.

    Parameters
    ----------
    folder
        where outputs are written
    model
        the `checksum_of_model` that writes them
    fps
        frames a second, where the user gives them
    """

    folder: Path
    model: str
    fps: float | None = None

    def outputs(self, session: str) -> Outputs:
        """Name the files of a session."""
        return Outputs(*(self.folder / f"{session}_{name}" for name in OUTPUTS))

    def origin(self, inputs: Path) -> Origin:
        """Tell what outputs would come from, if these inputs were read from now on.

        However a call spells the way to them, from another folder or through a link.
        """
        return Origin(self.model, str(inputs.resolve()), fingerprint(inputs), self.fps)

    def is_done(self, session: str, inputs: Path) -> bool:
        """Tell whether the outputs are there, whole, and of this model and these inputs."""
        record = self._read(session)
        if record is None or record["origin"] != asdict(self.origin(inputs)):
            return False
        return all(
            path.is_file()
            and path.stat().st_size == record["outputs"].get(path.name, {}).get("size")
            for path in self.outputs(session)
        )

    def check_free(self, sessions: Iterable[str]) -> None:
        """Refuse to write over files that no record tells of, or that were edited since.

        Raises
        ------
        DataError
            naming them
        """
        others = [path for session in sessions for path in self._not_ours(session)]
        spare_others(others, "one as predict has written it")

    @contextmanager
    def writing(self, session: str, origin: Origin) -> Iterator[Outputs]:
        """Yield the names to write to; what lies there when the block ends well is recorded.

        Until then the record tells of no outputs: files that a call left which was ended amid them
        are ours, and the session is not done.

        Raises
        ------
        DataError
            another call writes the same session, of another model or inputs, at the same time;
            then the files may be of either, and the record tells of none
        """
        outputs = self.outputs(session)
        self._write(session, origin, {})
        yield outputs
        written = {
            path.name: {"size": path.stat().st_size, "checksum": checksum_of(path)}
            for path in outputs
        }
        record = self._read(session)
        ours = record is None or record["origin"] == asdict(origin)
        self._write(session, origin, written if ours else {})
        if not ours:
            raise DataError(
                f"{self._file(session)}: expected no other call at work on this session, found one "
                f"of another model or other inputs; the session is to be predicted again"
            )

    def _not_ours(self, session: str) -> list[Path]:
        """Return the files in a session's way that this command has not written as they are."""
        record = self._read(session)
        files = [path for path in self.outputs(session) if os.path.lexists(path)]
        if record is None:
            own = self._file(session)
            return [*files, own] if os.path.lexists(own) else files
        if not record["outputs"]:
            return []
        return [path for path in files if not _is_ours(path, record["outputs"].get(path.name, {}))]

    def _file(self, session: str) -> Path:
        return self.folder / f"{session}{RECORD}"

    def _write(self, session: str, origin: Origin, outputs: dict[str, Any]) -> None:
        record = {"written_by": WRITTEN_BY, "origin": asdict(origin), "outputs": outputs}
        with replacing(self._file(session)) as temporary:
            temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")

    def _read(self, session: str) -> dict[str, Any] | None:
        return _read_record(self._file(session))


def outputs_in(folder: Path) -> set[str]:
    """Return the names of the files in a folder that records there tell of."""
    sessions = [
        file.name.removesuffix(RECORD)
        for file in folder.glob(f"*{RECORD}")
        if _read_record(file) is not None
    ]
    return {f"{session}_{name}" for session in sessions for name in OUTPUTS}


def _read_record(path: Path) -> dict[str, Any] | None:
    """Return a session's record; None where there is none, or a file of somebody else's."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    ours = isinstance(record, dict) and record.get("written_by") == WRITTEN_BY
    return record if ours and {"origin", "outputs"} <= record.keys() else None


def _is_ours(path: Path, written: dict[str, Any]) -> bool:
    """Tell whether a file is as it was written, or what a full disk or a crash has left of it."""
    if not path.is_file() or not written:
        return False
    if (size := path.stat().st_size) == written["size"]:
        return bool(checksum_of(path) == written["checksum"])
    return size < written["size"] and not _ends_a_line(path)  # an editor ends lines


def _ends_a_line(path: Path) -> bool:
    with open(path, "rb") as file:
        file.seek(-min(1, path.stat().st_size), os.SEEK_END)
        return file.read() == b"\n"
