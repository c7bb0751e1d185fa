"""Which files ``daart-fast predict`` has written, by which model and from which inputs.

Beside the outputs of a session lies ``SESSION_record.json``. With it a second call knows which
sessions are done, and of which the model or inputs have changed since; ``evaluate`` and ``report``
find the model, the inputs and the frame rate in it. What is written for the whole folder stands in
``written_files.json``. Files of the same names that no record lists are the user's.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from daart_fast.errors import DataError
from daart_fast.files import checksum_of, fingerprint, refuse_overwriting, replacing

__all__ = [
    "FolderFiles",
    "Origin",
    "Outputs",
    "Predicted",
    "Records",
    "checksum_of_model",
    "outputs_in",
    "predicted_in",
    "unfinished_in",
]

WRITTEN_BY = "daart-fast predict"
OUTPUTS = ("predictions.csv", "bouts.csv", "states.npy")
RECORD = "_record.json"
FOLDER_RECORD = "written_files.json"


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


@dataclass(frozen=True)
class SessionFacts:
    """What later commands need to know of a session that is predicted."""

    #: the model's folder, absolute
    model_dir: str
    #: of the file of inputs
    inputs_checksum: str
    #: frames a second, which times in the outputs are made with
    fps: float | None
    #: see `daart_fast.eval.describe_session`; with the ``split`` that training had of it
    contents: dict[str, Any]


@dataclass(frozen=True)
class Predicted:
    """A session whose outputs are finished, as its record says."""

    session: str
    outputs: Outputs
    origin: Origin
    facts: SessionFacts
    #: size and checksum of each output, by its name
    written: Mapping[str, Mapping[str, Any]]

    def edited(self) -> list[Path]:
        """List the outputs that are no longer as they were written, or are gone."""
        return [
            path
            for path in self.outputs
            if not path.is_file() or checksum_of(path) != self.written[path.name]["checksum"]
        ]

    def inputs_changed(self) -> bool:
        """Return whether the file of inputs holds something else now; False where it is gone."""
        inputs = Path(self.origin.inputs)
        if not inputs.is_file() or fingerprint(inputs) == self.origin.inputs_state:
            return False
        return checksum_of(inputs) != self.facts.inputs_checksum


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
        return _outputs(self.folder, session)

    def origin(self, inputs: Path) -> Origin:
        """Return what outputs would come from, if these inputs were read from now on.

        It is the same however a call spells the way to them, from another folder or through a link.
        """
        return Origin(self.model, str(inputs.resolve()), fingerprint(inputs), self.fps)

    def is_done(self, session: str, inputs: Path) -> bool:
        """Return whether the outputs are there, whole, and of this model and these inputs."""
        record = self._read(session)
        if record is None or record["origin"] != asdict(self.origin(inputs)):
            return False
        return all(
            path.is_file()
            and path.stat().st_size == record["outputs"].get(path.name, {}).get("size")
            for path in self.outputs(session)
        )

    def check_free(self, sessions: Iterable[str]) -> None:
        """Refuse to write over files that no record lists, or that were edited since.

        Raises
        ------
        DataError
            naming them
        """
        foreign = [path for session in sessions for path in self._foreign(session)]
        refuse_overwriting(foreign, "one as predict has written it")

    @contextmanager
    def writing(self, session: str, origin: Origin, facts: SessionFacts) -> Iterator[Outputs]:
        """Yield the names to write to; what lies there when the block ends well is recorded.

        Until then the record lists no outputs: files of a call that was interrupted are ours, and
        the session is not done.

        Raises
        ------
        DataError
            another call writes the same session, of another model or inputs, at the same time;
            then the files may be of either, and the record lists none
        """
        outputs = self.outputs(session)
        self._write(session, origin, facts, {})
        yield outputs
        written = {path.name: _state_of(path) for path in outputs}
        record = self._read(session)
        ours = record is None or record["origin"] == asdict(origin)
        self._write(session, origin, facts, written if ours else {})
        if not ours:
            raise DataError(
                f"{self._file(session)}: expected no other call at work on this session, found one "
                f"of another model or other inputs; the session is to be predicted again"
            )

    def _foreign(self, session: str) -> list[Path]:
        """Return the files in a session's way that this command has not written as they are."""
        record = self._read(session)
        files = [path for path in self.outputs(session) if os.path.lexists(path)]
        if record is None:
            file = self._file(session)
            return [*files, file] if os.path.lexists(file) else files
        if not record["outputs"]:
            return []
        return [path for path in files if not _is_ours(path, record["outputs"].get(path.name, {}))]

    def _file(self, session: str) -> Path:
        return self.folder / f"{session}{RECORD}"

    def _write(
        self, session: str, origin: Origin, facts: SessionFacts, outputs: Mapping[str, Any]
    ) -> None:
        record = {
            "written_by": WRITTEN_BY,
            "origin": asdict(origin),
            "facts": asdict(facts),
            "outputs": outputs,
        }
        _write_record(self._file(session), record)

    def _read(self, session: str) -> dict[str, Any] | None:
        return _read_record(self._file(session))


@dataclass(frozen=True)
class FolderFiles:
    """The files that are written for a whole folder of predictions, as `FOLDER_RECORD` lists them.

    They are ours as long as they are as they were written.
    """

    folder: Path

    def check_free(self, names: Iterable[str], exact: bool = False) -> None:
        """Refuse to write over files that no record lists, or that were edited since.

        Parameters
        ----------
        names
            of the files
        exact
            whether a shorter file counts as edited too, rather than as what a crash left: another
            program may save what it corrected in fewer bytes

        Raises
        ------
        DataError
            naming them
        """
        written = self._written()
        paths = [self.folder / name for name in names]
        foreign = [
            path
            for path in paths
            if os.path.lexists(path) and not _is_ours(path, written.get(path.name, {}), exact)
        ]
        refuse_overwriting(foreign, "one as daart-fast has written it")

    def record(self, names: Iterable[str]) -> None:
        """Record that files are written, as they are now."""
        written = self._written()
        now = {name: _state_of(self.folder / name) for name in names}
        if written != written | now:
            record = {"written_by": WRITTEN_BY, "outputs": written | now}
            _write_record(self.folder / FOLDER_RECORD, record)

    def _written(self) -> dict[str, Any]:
        record = _read_json(self.folder / FOLDER_RECORD) or {}
        return dict(record.get("outputs", {}))


def predicted_in(folder: Path) -> list[Predicted]:
    """List the sessions in a folder whose outputs are finished, by name."""
    found = []
    for file in sorted(folder.glob(f"*{RECORD}")):
        record, session = _read_record(file), file.name.removesuffix(RECORD)
        if record is not None and record["outputs"]:
            origin, facts = Origin(**record["origin"]), SessionFacts(**record["facts"])
            outputs = _outputs(folder, session)
            found.append(Predicted(session, outputs, origin, facts, record["outputs"]))
    return found


def unfinished_in(folder: Path) -> list[str]:
    """List the sessions in a folder whose prediction has begun and not ended, by name."""
    finished = {one.session for one in predicted_in(folder)}
    files = sorted(file for file in folder.glob(f"*{RECORD}") if _read_record(file) is not None)
    return [name for f in files if (name := f.name.removesuffix(RECORD)) not in finished]


def outputs_in(folder: Path) -> set[str]:
    """Return the names of the files in a folder that records there list."""
    sessions = [
        file.name.removesuffix(RECORD)
        for file in folder.glob(f"*{RECORD}")
        if _read_record(file) is not None
    ]
    names = {f"{session}_{name}" for session in sessions for name in OUTPUTS}
    return names | FolderFiles(folder)._written().keys()


def _outputs(folder: Path, session: str) -> Outputs:
    return Outputs(*(folder / f"{session}_{name}" for name in OUTPUTS))


def _state_of(path: Path) -> dict[str, Any]:
    return {"size": path.stat().st_size, "checksum": checksum_of(path)}


def _write_record(path: Path, record: Mapping[str, Any]) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _read_record(path: Path) -> dict[str, Any] | None:
    """Return a session's record; None where there is none, or a file of somebody else's."""
    record = _read_json(path)
    return record if record and {"origin", "facts", "outputs"} <= record.keys() else None


def _read_json(path: Path) -> dict[str, Any] | None:
    """Return what this command has recorded in a file; None where there is no such file."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    ours = isinstance(record, dict) and record.get("written_by") == WRITTEN_BY
    return record if ours else None


def _is_ours(path: Path, written: Mapping[str, Any], exact: bool = False) -> bool:
    """Return whether a file is as it was written, or what a full disk or a crash left of it."""
    if not path.is_file() or not written:
        return False
    if (size := path.stat().st_size) == written["size"]:
        return bool(checksum_of(path) == written["checksum"])
    return not exact and size < written["size"] and not _ends_a_line(path)  # an editor ends lines


def _ends_a_line(path: Path) -> bool:
    with open(path, "rb") as file:
        file.seek(-min(1, path.stat().st_size), os.SEEK_END)
        return file.read() == b"\n"
