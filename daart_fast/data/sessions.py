"""One session: its inputs, labels and tasks, checked against each other."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from daart_fast.config import KINEMATIC, with_defaults
from daart_fast.data.cache import Cached, cache_folder, cached
from daart_fast.data.gather import gather_window_numpy, repeated
from daart_fast.errors import DataError, did_you_mean, some
from daart_fast.features import reader_of
from daart_fast.names import parts_of, session_name
from daart_fast.readers.frames import Frames, compare_frames
from daart_fast.readers.inputs import (
    INPUT_SUFFIXES,
    Inputs,
    first_frame,
    no_inputs,
    read_inputs,
    suffix_of,
)
from daart_fast.readers.labels import UNLABELLED, Labels, read_labels, read_tasks

__all__ = [
    "Session",
    "file_to_read",
    "find_file",
    "folder_of",
    "input_files",
    "input_type_in",
    "inputs_folder",
    "labelled_session",
    "load_session",
    "read_session",
    "session_ids",
    "session_of",
    "signal_paths",
]

#: signals and the folders they lie in
LABEL_FOLDERS = {"labels_strong": "labels-hand", "labels_weak": "labels-heuristic"}
#: what daart's files of labels may have behind the session's name
LABELS = "_labels"
YAML = (".yaml", ".yml")
#: part of the cache's keys: to be raised when readers come to refuse, tell or name other things
CHECKED = 4

#: what makes channels of a file, given a likelihood threshold
Reader = Callable[[str | Path, float], Inputs]
#: what is done with a text that somebody should read
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Session:
    """A recording of T frames and N channels.

    Attributes
    ----------
    id
        its name
    inputs
        (T, N) float32, gaps filled, not normalised; NaN, which stands for the mean, where a channel
        has no value yet
    input_names
        N channel names
    labels_strong, labels_weak
        (T,) int64, -100 where unlabelled, or multibinary (T, C) float32; None if it has none
    label_names
        C class names; empty if it has no labels
    tasks
        (T, n_tasks) float32 or None
    first_frame
        the number of the first frame, as the file of inputs counts them
    mean, std
        (N,) float64, what normalisation takes off and divides by
    """

    id: str
    inputs: np.ndarray
    input_names: list[str]
    labels_strong: np.ndarray | None = None
    labels_weak: np.ndarray | None = None
    label_names: list[str] = field(default_factory=list)
    tasks: np.ndarray | None = None
    task_names: list[str] = field(default_factory=list)
    first_frame: int = 0
    mean: np.ndarray = field(default_factory=lambda: np.empty(0))
    std: np.ndarray = field(default_factory=lambda: np.empty(0))

    def __len__(self) -> int:
        return len(self.inputs)

    @cached_property
    def mean32(self) -> np.ndarray:
        """(N,) float32: the mean."""
        return self.mean.astype(np.float32)

    @cached_property
    def scale(self) -> np.ndarray:
        """(N,) float32: one over the spread; 0 for a constant channel, which then reads as 0."""
        # the spread of a constant is no exact zero: its mean is rounded
        varies = self.std > 1e-12 * np.abs(self.mean)
        with np.errstate(divide="ignore", over="ignore"):
            scale = np.where(varies, 1.0 / self.std, 0.0).astype(np.float32)
        return np.where(np.isfinite(scale), scale, np.float32(0))

    @cached_property
    def gather_arguments(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Inputs, mean and scale as `gather_window` takes them."""
        inputs = np.ascontiguousarray(self.inputs, dtype=np.float32)
        return inputs, repeated(self.mean32), repeated(self.scale)

    def normalised_inputs(self) -> np.ndarray:
        """(T, N) float32: mean 0 and spread 1 in every channel that is not constant."""
        return self.normalised_window(0, len(self))

    def normalised_window(self, first: int, last: int) -> np.ndarray:
        """Frames [first, last), (last - first, N) float32 normalised; zeros beyond the ends."""
        window = np.empty((last - first, self.inputs.shape[1]), dtype=np.float32)
        gather_window_numpy(*self.gather_arguments, first, window)
        return window

    def normalised_by(self, mean: np.ndarray, std: np.ndarray) -> Session:
        """Return the same session with another mean and spread."""
        return replace(self, mean=np.asarray(mean), std=np.asarray(std))

    def with_channels(self, places: Sequence[int]) -> Session:
        """Return the session with these of its channels, in this order."""
        return replace(
            self,
            inputs=np.ascontiguousarray(self.inputs[:, places]),
            input_names=[self.input_names[i] for i in places],
            mean=self.mean[places],
            std=self.std[places],
        )


def find_file(
    folder: Path,
    session_id: str,
    suffixes: Sequence[str],
    middle: str = "",
    tell: Tell = logging.warning,
) -> Path | None:
    """Return a session's file in a folder; None where there is none.

    It is called as the session (``<session_id>.csv``, ``<session_id><middle>.csv``, ``.CSV``), or
    differs by what a tracker has added to either name. Several files of the session are reported.

    Raises
    ------
    DataError
        Tracks of two networks are there, and the session's name fits both.
    """
    if not folder.is_dir():
        return None
    called = [f"{session_id}{end}" for suffix in suffixes for end in (suffix, middle + suffix)]
    session = session_name(session_id)
    listed = _listed(folder, folder.stat().st_mtime_ns, middle).get(session, ())
    names = dict.fromkeys([*called, *(name for name in listed if suffix_of(name) in suffixes)])
    files = [path for path in (folder / name for name in names) if path.is_file()]
    if session != session_id:  # a full name: that file, or one that no other network gave its name
        networks = ("", parts_of(session_id).scorer)
        fitting = [f for f in files if parts_of(_stem(f.name, middle)).scorer in networks]
        files = [f for f in files if _stem(f.name, middle) == session_id] or fitting
    return file_to_read(files, session_id, suffixes, middle, tell) if files else None


@lru_cache(maxsize=8)  # thousands of sessions may have no labels in a folder of thousands of files
def _listed(folder: Path, changed: int, middle: str) -> dict[str, list[str]]:
    """Return the names in a folder, by session."""
    listed: dict[str, list[str]] = {}
    for name in sorted(os.listdir(folder)):
        if name[0] != "." and not _is_skeleton(name):
            listed.setdefault(session_name(_stem(name, middle)), []).append(name)
    return listed


def file_to_read(
    files: Sequence[Path],
    session_id: str,
    suffixes: Sequence[str] = INPUT_SUFFIXES,
    middle: str = "_labeled",
    tell: Tell = logging.warning,
) -> Path:
    """Return the file to read, of several of one session; report which files are not read.

    A file that is called as the session goes first, then one that is filtered, then the order of
    suffixes. DeepLabCut's csv and h5 of one name, which hold the same, are not worth a word.

    Raises
    ------
    DataError
        None is called as the session, and they are tracks of several networks.
    """
    order = {suffix: place for place, suffix in enumerate(suffixes)}
    stems = {path: _stem(path.name, middle) for path in files}

    def rank(path: Path) -> tuple[bool, bool, int, str]:
        named, filtered = stems[path] == session_id, parts_of(stems[path]).filtered
        return not named, not filtered, order.get(suffix_of(path), len(order)), path.name

    taken, *rest = sorted(files, key=rank)
    if stems[taken] != session_id:
        _check_networks(session_id, {path: parts_of(stem).scorer for path, stem in stems.items()})
    twin = taken.with_suffix(".h5") if taken.suffix == ".csv" else None
    if names := [path.name for path in rest if path != twin]:
        tell(f"{taken}: this file is read, and not {', '.join(names)} of the same session")
    return taken


def _check_networks(session_id: str, networks: Mapping[Path, str]) -> None:
    """Refuse the tracks of several networks, of which nothing says which to read."""
    first, *rest = sorted(networks)
    for path in rest:
        if networks[path] != networks[first]:
            raise DataError(
                f"{first}, {path}: expected files of one network for session {session_id!r}, found "
                f"those of {networks[first] or 'none'} and {networks[path] or 'none'}; keep one of "
                f"them there, and move the other to another folder"
            )


def session_of(file: str) -> str:
    """Return the session that a file of inputs is named after."""
    return session_name(_stem(file))


def labelled_session(file: str) -> str:
    """Return the session that a file of labels is named after."""
    return session_name(_stem(file, LABELS))


def _is_skeleton(name: str) -> bool:
    """Tell whether a file is DeepLabCut's table of bones, which lies beside the points."""
    parts = parts_of(_stem(name))
    return bool(parts.skeleton and parts.scorer)


def _stem(name: str, middle: str = "") -> str:
    """Return a file's name without its ending, ``.csv.gz`` as one, and what stands before it.

    SLEAP calls its analysis files ``PROJECT.000_VIDEO.analysis.h5``: that is ``VIDEO``.
    """
    suffix = suffix_of(name)
    stem = name[: len(name) - len(suffix)].removesuffix(middle)
    if ".analysis" in (suffix.removesuffix(".h5"), stem[-9:]):
        stem = re.sub(r"^.+?\.\d{3}_(?=.)", "", stem.removesuffix(".analysis"))
    return stem


def session_ids(hparams: Mapping[str, Any]) -> list[str]:
    """List the sessions that ``data_dir`` holds inputs of: those that `signal_paths` finds.

    Raises
    ------
    DataError
        if there are none, naming what is there
    """
    folder = inputs_folder(hparams)
    ids = {session_of(file.name) for file in input_files(folder)}
    if not ids:
        raise DataError(f"{no_inputs(folder)}; {_what_is_there(folder)}")
    return sorted(ids)


def input_files(folder: Path) -> list[Path]:
    """List the files of inputs in a folder, by name; hidden ones and bones are left out."""
    return sorted(
        file
        for file in folder.iterdir()
        if file.is_file()
        and suffix_of(file) in INPUT_SUFFIXES
        and file.name[0] != "."
        and not _is_skeleton(file.name)
    )


def labels_elsewhere(data_dir: str | Path) -> str:
    """Say what to do where the labels lie in ``labels``, as lightning-action has them."""
    folder = Path(data_dir) / "labels"
    if not folder.is_dir() or (Path(data_dir) / LABEL_FOLDERS["labels_strong"]).exists():
        return ""
    return (
        f"; {folder} is there, where lightning-action keeps hand labels: rename it to "
        f"{LABEL_FOLDERS['labels_strong']}"
    )


def folder_of(input_type: str) -> str:
    """Return what the folder of such inputs is called in a project."""
    return "markers" if input_type == KINEMATIC else input_type


def inputs_folder(hparams: Mapping[str, Any]) -> Path:
    """Return the folder of the sessions' inputs; a DataError where there is none."""
    data_dir = Path(hparams["data_dir"])
    if data_dir.is_file():
        config = " (a config file is given by --data_config)" * (data_dir.suffix in YAML)
        raise DataError(f"{data_dir}: expected the project's folder, found a file{config}")
    folder = data_dir / folder_of(with_defaults(hparams)["input_type"])
    if not folder.is_dir():
        raise DataError(f"{folder}: expected a folder of inputs; {_what_is_there(folder)}")
    return folder


def input_type_in(data_dir: Path) -> str:
    """Return the folder of inputs that a project has: markers, else the only one with inputs.

    Raises
    ------
    DataError
        there are several such folders, and none is called markers
    """
    if not data_dir.is_dir() or (data_dir / "markers").is_dir():
        return "markers"
    others = {*LABEL_FOLDERS.values(), "tasks", "results", "predictions"}
    folders = [p for p in sorted(data_dir.iterdir()) if p.is_dir() and p.name not in others]
    found = [p.name for p in folders if not p.name.startswith(".") and input_files(p)]
    if len(found) > 1:
        raise DataError(
            f"{data_dir}: expected a folder markers/ or one other folder of inputs, found "
            f"{some(found)}; --input_type names the one to read"
        )
    return found[0] if found else "markers"


def signal_paths(
    hparams: Mapping[str, Any], session_id: str, tell: Tell = logging.warning
) -> dict[str, Path | None]:
    """Find a session's files in ``data_dir``; None for what it does not have.

    Parameters
    ----------
    hparams
        ``data_dir`` and ``input_type``
    session_id
        the session's name
    tell
        is called with a text where there are several files for the same input

    Raises
    ------
    DataError
        if the folder or the inputs are missing, naming what is there
    """
    data_dir, folder = Path(hparams["data_dir"]), inputs_folder(hparams)
    paths = {"markers": find_file(folder, session_id, INPUT_SUFFIXES, "_labeled", tell)}
    if paths["markers"] is None or _is_filtered_otherwise(paths["markers"], session_id):
        names = [_stem(item.name) for item in folder.iterdir()]
        ids = [*map(session_name, names), *names]
        raise DataError(
            f"{folder}: no inputs of session '{session_id}'{did_you_mean(session_id, ids)}; "
            f"expected {session_id}{{{','.join(INPUT_SUFFIXES)}}}; {_what_is_there(folder)}"
        )
    for signal, name in LABEL_FOLDERS.items():
        suffixes = [".csv", ".csv.gz", ".pkl"] if signal == "labels_weak" else [".csv", ".csv.gz"]
        paths[signal] = find_file(data_dir / name, session_id, suffixes, LABELS, tell)
    paths["tasks"] = find_file(data_dir / "tasks", session_id, (".csv", ".csv.gz"), tell=tell)
    return paths


def _is_filtered_otherwise(file: Path, session_id: str) -> bool:
    """Tell whether a session is named after raw tracks and its file is filtered, or the reverse."""
    found, wanted = parts_of(_stem(file.name)), parts_of(session_id)
    return bool(found.scorer and wanted.scorer) and found.filtered != wanted.filtered


def _what_is_there(folder: Path) -> str:
    """Say what a folder holds, or what the nearest folder above it that exists holds."""
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
    names = sorted(item.name for item in nearest.iterdir())
    missing = folder.absolute().relative_to(nearest.absolute()).parts
    near = did_you_mean(missing[0], names) if missing else ""
    return f"{nearest} holds {some(names, 20) or 'nothing'}{near}"


def read_session(
    session_id: str,
    paths: Mapping[str, str | Path | None],
    likelihood_threshold: float = 0.0,
    classifier_type: str = "multiclass",
    read: Reader = read_inputs,
    cache: Path | None = None,
) -> Session:
    """Read a session's files and check that they fit each other.

    Parameters
    ----------
    session_id
        its name
    paths
        by signal: ``markers`` (whatever the inputs are), ``labels_strong``, ``labels_weak``,
        ``tasks``; None or missing for what it does not have
    likelihood_threshold
        tracked points less certain count as missing
    classifier_type
        see `read_labels`
    read
        reads the inputs: a function of a module, or a method of an object whose ``repr`` tells all
        its settings; see `daart_fast.features.reader_of`
    cache
        the folder that keeps what was read; None: nowhere. See `daart_fast.data.cache`

    Raises
    ------
    DataError
        naming the file, if lengths or class names differ, or a file cannot be read
    """
    source = paths.get("markers")
    if source is None:
        raise DataError(f"session {session_id}: expected a file of inputs, found none")
    inputs, metadata = _cached_inputs(Path(source), likelihood_threshold, read, cache)
    frames = Frames(source, metadata["first_frame"], len(inputs))
    labels: dict[str, Labels] = {}
    for signal in LABEL_FOLDERS:
        if (path := paths.get(signal)) is not None:
            values, label_metadata = _cached_labels(Path(path), classifier_type, cache)
            rows = Frames(path, label_metadata["first_frame"], len(values))
            labels[signal] = Labels(_fit_length(values, rows, frames), label_metadata["names"])
    label_names = _agreed_names(labels, paths)
    tasks: np.ndarray | None = None
    task_names: list[str] = []
    if (path := paths.get("tasks")) is not None:
        tasks, task_names = read_tasks(path)
        tasks = _fit_length(tasks, Frames(path, first_frame(path), len(tasks)), frames)
    return Session(
        session_id,
        inputs,
        metadata["names"],
        **{signal: one.values for signal, one in labels.items()},
        label_names=label_names,
        tasks=tasks,
        task_names=task_names,
        first_frame=int(metadata["first_frame"] or 0),
        mean=np.array(metadata["mean"]),
        std=np.array(metadata["std"]),
    )


def _cached_inputs(source: Path, threshold: float, read: Reader, cache: Path | None) -> Cached:
    """Return (T, N) float32 inputs, and their ``names``, ``first_frame``, ``mean`` and ``std``."""

    def make() -> Cached:
        values, names = read(source, threshold)
        scale = {name: numbers.tolist() for name, numbers in statistics(values).items()}
        return Cached(values, {"names": list(names), "first_frame": first_frame(source), **scale})

    how = f"{read.__module__}.{read.__qualname__} of {getattr(read, '__self__', None)!r}"
    settings = {"read": how, "likelihood_threshold": threshold, "checked": CHECKED}
    return cached(source, settings, make, cache)


def _cached_labels(source: Path, classifier_type: str, cache: Path | None) -> Cached:
    """Return labels, and their ``names`` and ``first_frame``."""

    def make() -> Cached:
        values, names = read_labels(source, classifier_type)
        return Cached(values, {"names": list(names), "first_frame": first_frame(source)})

    settings = {"read": "labels", "kind": classifier_type, "checked": CHECKED}
    return cached(source, settings, make, cache)


def statistics(inputs: np.ndarray) -> dict[str, np.ndarray]:
    """Return ``mean`` and ``std`` of each channel of (T, N) inputs, both (N,) float64.

    They are of the inputs as the model reads them, so values that were filled in count. Frames in
    which a channel is NaN, before its first value, do not.
    """
    known = ~np.isnan(inputs)
    if known.all():
        known = np.True_
    return {
        "mean": inputs.mean(0, dtype=np.float64, where=known),
        "std": inputs.std(0, dtype=np.float64, where=known),
    }


def _fit_length(values: np.ndarray, rows: Frames, inputs: Frames) -> np.ndarray:
    """Return labels or tasks as long as the inputs; warn of what has to be mended for that."""
    for message in compare_frames(rows, inputs):
        logging.warning(message)
    if len(values) == inputs.n_rows:
        return values
    fitted = np.empty((inputs.n_rows, *values.shape[1:]), values.dtype)
    window_of(values, 0, fitted)
    return fitted


def _agreed_names(
    labels: Mapping[str, Labels], paths: Mapping[str, str | Path | None]
) -> list[str]:
    """Return the class names, the same in every file."""
    if not labels:
        return []
    (first, of_first), *rest = labels.items()
    for signal, other in rest:
        if other.names != of_first.names:
            raise DataError(
                f"{paths[signal]}: expected the classes of {paths[first]} "
                f"({', '.join(of_first.names)}), found {', '.join(other.names)}"
            )
    return of_first.names


def load_session(hparams: Mapping[str, Any], session_id: str) -> Session:
    """Read the session of that name from hparams' ``data_dir``; see `read_session`.

    It is for a user's scripts: training reads its sessions through `SingleDataset`.
    """
    settings = with_defaults(hparams)
    return read_session(
        session_id,
        signal_paths(settings, session_id),
        settings["likelihood_threshold"],
        settings["classifier_type"],
        reader_of(settings),
        cache_folder(settings["cache_dir"]),
    )


#: what stands for a frame that is not there, by the kind of number
_MISSING = {"i": UNLABELLED, "f": np.nan, "b": False}


def window_of(values: np.ndarray | None, first: int, out: np.ndarray) -> None:
    """Copy ``values[first : first + W]`` into out; -100, NaN or False where there is nothing."""
    begin = end = 0
    if values is not None:
        begin = min(max(-first, 0), len(out))
        end = min(max(len(values) - first, begin), len(out))
        out[begin:end] = values[first + begin : first + end]
    if end - begin < len(out):
        missing = _MISSING[out.dtype.kind]
        out[:begin] = missing
        out[end:] = missing
