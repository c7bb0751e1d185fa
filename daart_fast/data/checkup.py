"""A look at every file of a project before a training would find the first that is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from daart_fast.data.frames import Frames, compare_frames
from daart_fast.data.labels import read_labels, read_tasks
from daart_fast.data.readers import (
    INPUT_SUFFIXES,
    MARKER_STARTS,
    first_frame,
    read_inputs,
    read_markers,
    suffix_of,
)
from daart_fast.data.sessions import LABEL_FOLDERS, inputs_folder, session_of, signal_paths
from daart_fast.data.tables import first_row
from daart_fast.errors import DataError, some

__all__ = ["Checkup", "Found", "examine"]

#: endings of files that hold labels or tasks
LABEL_SUFFIXES = (".csv", ".csv.gz", ".pkl")
#: What is told of: a share of missing values, a gap in frames, a share of frames without a label.
MANY_MISSING, LONG_GAP, MANY_UNLABELLED = 0.2, 100, 0.9


@dataclass
class Found:
    """What is known of one session; None where it could not be read or has none."""

    id: str
    n_frames: int | None = None
    frames: Frames | None = None
    channels: list[str] = field(default_factory=list)
    missing: float | None = None
    classes: list[str] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)


@dataclass
class Checkup:
    """What was found in a project."""

    sessions: list[Found] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    surprises: list[str] = field(default_factory=list)

    def table(self) -> str:
        """A row a session: frames, channels, share of missing values, frames of each class."""
        classes = list(dict.fromkeys(name for found in self.sessions for name in found.classes))
        rows = [["session", "frames", "channels", "missing", *classes]]
        for found in self.sessions:
            counts = dict(zip(found.classes, found.counts, strict=True))
            rows.append(
                [
                    found.id,
                    "-" if found.n_frames is None else str(found.n_frames),
                    str(len(found.channels)) if found.channels else "-",
                    "-" if found.missing is None else f"{100 * found.missing:.1f}%",
                    *(str(counts.get(name, "-")) for name in classes),
                ]
            )
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        return "\n".join(
            "  ".join(cell.rjust(w) if i else cell.ljust(w) for i, (cell, w) in enumerate(cells))
            for cells in (list(zip(row, widths, strict=True)) for row in rows)
        )


def examine(
    data_dir: Path,
    input_type: str = "markers",
    likelihood_threshold: float = 0.0,
    classifier_type: str = "multiclass",
) -> Checkup:
    """Read every session's inputs, labels and tasks, whatever the files hold.

    Parameters
    ----------
    data_dir
        the project's folder
    input_type
        the folder of inputs in it
    likelihood_threshold, classifier_type
        as in the config files

    Raises
    ------
    DataError
        there is no such folder, or it holds no inputs
    """
    settings = {"data_dir": str(data_dir), "input_type": input_type}
    folder = inputs_folder(settings)
    checkup = Checkup()
    files: list[Path] = []
    with _going_on(checkup, folder):
        files = _files(checkup, folder, INPUT_SUFFIXES)
    for other in (data_dir / name for name in (*LABEL_FOLDERS.values(), "tasks")):
        with _going_on(checkup, other):
            _files(checkup, other, LABEL_SUFFIXES)
    ids = sorted({session_of(path.name) for path in files})
    if not ids and not checkup.failures:
        raise DataError(f"{folder}: expected files of inputs ({', '.join(INPUT_SUFFIXES)})")
    for session in ids:
        found = Found(session)
        checkup.sessions.append(found)
        with _going_on(checkup, folder / session):
            paths = signal_paths(settings, session, checkup.surprises.append)
            _look_at_session(checkup, found, paths, likelihood_threshold, classifier_type)
    _compare(checkup)
    with _going_on(checkup, data_dir):
        _look_for_strays(checkup, data_dir, ids)
    return checkup


@contextmanager
def _going_on(checkup: Checkup, path: Path) -> Iterator[None]:
    """List what a look at a file raises, whatever that is: the next files are looked at too."""
    try:
        yield
    except DataError as error:  # which names the file
        checkup.failures.append(str(error))
    except Exception as error:
        checkup.failures.append(f"{path}: {type(error).__name__}: {error}")


def _files(checkup: Checkup, folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """Return the files of a folder that are not hidden; list what is named so and is no file."""
    files: list[Path] = []
    if folder.is_file():
        checkup.failures.append(f"{folder}: expected a folder, found a file")
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name.startswith(".") or suffix_of(path) not in suffixes:
            continue
        if path.is_file():
            files.append(path)
        else:
            what = "a folder" if path.is_dir() else "a link that leads to none"
            checkup.failures.append(f"{path}: expected a file, found {what}")
    return files


def _look_at_session(
    checkup: Checkup,
    found: Found,
    paths: Mapping[str, Path | None],
    threshold: float,
    classifier_type: str,
) -> None:
    for signal, path in paths.items():
        if path is None:
            continue
        with _going_on(checkup, path):
            if signal == "markers":
                _look_at_inputs(checkup, found, path, threshold)
            elif signal == "tasks":
                _look_at_frames(checkup, found, path, len(read_tasks(path)[0]))
            else:
                by_hand = signal == "labels_strong"
                _look_at_labels(checkup, found, path, classifier_type, by_hand)


def _look_at_inputs(checkup: Checkup, found: Found, path: Path, threshold: float) -> None:
    inputs = read_inputs(path, threshold)
    gaps = _gaps(path, threshold)
    found.n_frames, found.channels = len(inputs.values), inputs.names
    found.frames = Frames(path, first_frame(path), len(inputs.values))
    constant = np.flatnonzero(np.ptp(inputs.values, axis=0) == 0)
    if len(constant):
        names = some([inputs.names[i] for i in constant])
        checkup.surprises.append(f"{path}: never changes: {names}; it will count as 0")
    if gaps is None:
        return
    missing, points = gaps
    found.missing = float(missing.mean())
    shares, longest = missing.mean(0), [_longest(column) for column in missing.T]
    many = [i for i in range(len(points)) if shares[i] > MANY_MISSING or longest[i] > LONG_GAP]
    if many:
        worst = max(many, key=lambda i: shares[i])
        checkup.surprises.append(
            f"{path}: {len(many)} of {len(points)} points have gaps over {MANY_MISSING:.0%} of the "
            f"frames or over {LONG_GAP} in a row, which are interpolated; the worst is "
            f"{points[worst]}: {shares[worst]:.0%}, up to {longest[worst]} in a row"
        )


def _gaps(path: Path, threshold: float) -> tuple[np.ndarray, list[str]] | None:
    """Return which points (T, K) are missing; None for inputs that are no tracked points."""
    suffix = suffix_of(path)
    is_csv = suffix in (".csv", ".csv.gz")
    if suffix == ".npy" or (is_csv and first_row(path)[:1] not in MARKER_STARTS):
        return None
    markers = read_markers(path)
    missing = np.isnan(markers.xs) | np.isnan(markers.ys) | markers.unsure(threshold)
    return missing, markers.names


def _longest(column: np.ndarray) -> int:
    """Return the length of the longest run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], column, [False]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def _look_at_labels(
    checkup: Checkup, found: Found, path: Path, classifier_type: str, by_hand: bool
) -> None:
    labels, names = read_labels(path, classifier_type)
    _look_at_frames(checkup, found, path, len(labels))
    if not by_hand:
        return
    found.classes = names
    if labels.ndim == 2:
        found.counts = labels.sum(0).astype(int).tolist()
        return
    found.counts = np.bincount(labels, minlength=len(names)).tolist()
    share = found.counts[0] / max(len(labels), 1)
    if share == 1:
        checkup.surprises.append(f"{path}: no frame is labelled but as {names[0]}")
    elif share > MANY_UNLABELLED:
        checkup.surprises.append(f"{path}: {100 * share:.0f}% of the frames are {names[0]}")


def _look_at_frames(checkup: Checkup, found: Found, path: Path, n_rows: int) -> None:
    """Tell where labels or tasks are not about the frames of their inputs."""
    if found.frames is not None:
        with _going_on(checkup, path):
            checkup.surprises += compare_frames(
                Frames(path, first_frame(path), n_rows), found.frames
            )


def _compare(checkup: Checkup) -> None:
    """Tell of sessions whose channels or classes are not those of most."""
    for what in ("channels", "classes"):
        kinds = Counter(tuple(getattr(found, what)) for found in checkup.sessions)
        kinds.pop((), None)
        if len(kinds) < 2:
            continue
        usual = kinds.most_common(1)[0][0]
        for found in checkup.sessions:
            own = tuple(getattr(found, what))
            if not own or own == usual:
                continue
            more, fewer = set(own) - set(usual), set(usual) - set(own)
            parts = [f"has {some(sorted(more))}"] * bool(more)
            parts += [f"lacks {some(sorted(fewer))}"] * bool(fewer)
            text = f"session {found.id}: its {what} differ from most sessions': "
            text += " and ".join(parts) or "they come in another order"
            reordered = what == "channels" and set(own) == set(usual)
            (checkup.surprises if reordered else checkup.failures).append(text)
    totals: Counter[str] = Counter()
    for found in checkup.sessions:
        totals.update(dict(zip(found.classes, found.counts, strict=True)))
    for name, total in totals.items():
        where = sum(
            dict(zip(found.classes, found.counts, strict=True)).get(name, 0) > 0
            for found in checkup.sessions
        )
        if total == 0:
            checkup.surprises.append(f"class {name} never occurs")
        elif where == 1 and len(checkup.sessions) > 1:
            checkup.surprises.append(f"class {name} occurs in one session alone ({total} frames)")


def _look_for_strays(checkup: Checkup, data_dir: Path, ids: Sequence[str]) -> None:
    """Tell of labels that belong to no session, and of sessions without labels."""
    for name in LABEL_FOLDERS.values():
        for path in sorted((data_dir / name).glob("*")):
            session = path.name.split(".")[0].removesuffix("_labels")
            known = {session, path.name.removesuffix(path.suffix).removesuffix("_labels")}
            if not known & set(ids) and path.is_file() and not path.name.startswith("."):
                checkup.surprises.append(f"{path}: there are no inputs of session {session}")
    without = [found.id for found in checkup.sessions if not found.classes]
    readable = {found.id for found in checkup.sessions if found.n_frames is not None}
    labelled = [i for i in without if i in readable]
    if len(labelled) == len(checkup.sessions):
        checkup.failures.append(f"{data_dir / 'labels-hand'}: no session has hand labels")
    elif labelled:
        checkup.surprises.append(f"sessions without hand labels: {some(labelled)}")
