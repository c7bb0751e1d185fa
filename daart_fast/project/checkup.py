"""A look at every file of a project before a training would find the first that is wrong."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from daart_fast.config import with_defaults
from daart_fast.data.ignored import ignored_class
from daart_fast.data.scored import Scored, label_cautions, old_background, one_class
from daart_fast.data.sessions import (
    LABEL_FOLDERS,
    input_type_in,
    inputs_folder,
    labelled_session,
    labels_elsewhere,
    session_of,
    signal_paths,
)
from daart_fast.errors import DataError, did_you_mean, some
from daart_fast.features.choice import Choice
from daart_fast.features.skeleton import animals_of
from daart_fast.names import BACKGROUND
from daart_fast.project.sessions import gone, left_out
from daart_fast.readers.frames import Frames, compare_frames
from daart_fast.readers.inputs import (
    INPUT_SUFFIXES,
    first_frame,
    holds_markers,
    inputs_of,
    no_inputs,
    read_inputs,
    read_markers,
    suffix_of,
    without_unseen,
)
from daart_fast.readers.label_record import read_label_record
from daart_fast.readers.labels import read_labels, read_tasks

__all__ = ["Checkup", "Finding", "Found", "examine"]

#: endings of files that hold labels or tasks
LABEL_SUFFIXES = (".csv", ".csv.gz", ".pkl")
#: What is reported: a share of missing values, a gap in frames, a share of frames without a label.
MANY_MISSING, LONG_GAP, MANY_UNLABELLED = 0.2, 100, 0.9
#: What to do about missing points, without and with a threshold.
MISSING_POINTS = (
    "Look at them in the tracker: a point may be out of sight, or the animals' identities swapped"
)
UNSURE_POINTS = f"A lower likelihood_threshold keeps more of them. {MISSING_POINTS}"


@dataclass
class Found:
    """What is known of one session; None where it could not be read or has none."""

    id: str
    #: its files, by signal
    paths: dict[str, Path] = field(default_factory=dict)
    n_frames: int | None = None
    frames: Frames | None = None
    channels: list[str] = field(default_factory=list)
    missing: float | None = None
    classes: list[str] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)

    @property
    def first_frame(self) -> int:
        """The number of the first frame in the file of inputs."""
        return int((self.frames and self.frames.first) or 0)


@dataclass(frozen=True)
class Finding:
    """What may surprise about one session, in words that all sessions of the same finding share.

    Attributes
    ----------
    session, path
        where it was found
    text
        what it is
    worst
        how it shows in this session, if that differs from session to session
    badness
        how bad it is here
    advice
        what to do about it
    """

    session: str
    path: Path
    text: str
    worst: str = ""
    badness: float = 0.0
    advice: str = ""


@dataclass
class Checkup:
    """What was found in a project.

    Attributes
    ----------
    data_dir, input_type
        the project's folder, and the folder of inputs in it
    fps
        the frame rate that labels were made at, if that is known
    sessions
        what is known of each
    failures, surprises
        what a training would fail on, and what it would not say
    notes
        what is worth knowing, and as it may well be meant
    findings
        surprises that several sessions may share, before they are summed up
    """

    data_dir: Path
    input_type: str
    fps: float | None = None
    sessions: list[Found] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    surprises: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def sum_up(self) -> None:
        """Make one surprise of the same finding in many sessions."""
        kinds: dict[str, list[Finding]] = {}
        for finding in self.findings:
            kinds.setdefault(finding.text, []).append(finding)
        for text, found in kinds.items():
            worst = max(found, key=lambda finding: finding.badness)
            where, how = str(worst.path), f"; {worst.worst}" if worst.worst else ""
            if len(found) > 1:
                names = some([finding.session for finding in found], 4)
                where = f"{len(found)} sessions ({names})"
                how = f"; worst in {worst.session}: {worst.worst}" if worst.worst else ""
            advice = f". {worst.advice}" if worst.advice else ""
            self.surprises.append(f"{where}: {text}{how}{advice}")
        self.findings.clear()

    def table(self) -> str:
        """A row a session: its files, frames, channels, missing values, frames of each class."""
        classes = list(dict.fromkeys(name for found in self.sessions for name in found.classes))
        rows = [["session", "inputs", "hand labels", "frames", "from", "channels", "missing"]]
        rows[0] += classes
        for found in self.sessions:
            counts = dict(zip(found.classes, found.counts, strict=True))
            files = (found.paths.get(signal) for signal in ("markers", "labels_strong"))
            rows.append(
                [
                    found.id,
                    *("-" if path is None else path.name for path in files),
                    "-" if found.n_frames is None else str(found.n_frames),
                    str(found.first_frame),
                    str(len(found.channels)) if found.channels else "-",
                    "-" if found.missing is None else f"{100 * found.missing:.1f}%",
                    *(str(counts.get(name, "-")) for name in classes),
                ]
            )
        if not any(found.first_frame for found in self.sessions):
            rows = [[*row[:4], *row[5:]] for row in rows]
        return _aligned(rows, 3)

    def described(self) -> dict[str, Any]:
        """Return all of it for JSON; paths are relative to the project's folder."""
        return {
            "data_dir": str(self.data_dir),
            "input_type": self.input_type,
            "fps": self.fps,
            "sessions": {
                found.id: {
                    "files": {
                        signal: os.path.relpath(path, self.data_dir)
                        for signal, path in found.paths.items()
                    },
                    "frames": found.n_frames,
                    "first_frame": found.first_frame,
                    "channels": found.channels,
                    "missing": found.missing,
                    "classes": dict(zip(found.classes, found.counts, strict=True)),
                }
                for found in self.sessions
            },
            "notes": self.notes,
            "might_surprise": self.surprises,
            "would_fail": self.failures,
        }


def _aligned(rows: Sequence[Sequence[str]], n_left: int) -> str:
    """Align the columns of a table; the first ones to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i < n_left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def examine(data_dir: Path, **settings: Any) -> Checkup:
    """Read every session's inputs, labels and tasks, whatever the files hold.

    Parameters
    ----------
    data_dir
        the project's folder
    settings
        keys of the config files that decide what is read: ``input_type`` (by default markers, or
        the only folder of inputs that is there), ``likelihood_threshold``, ``keypoints``,
        ``animals``, ``classifier_type``, ``ignore_class``. Where they name sessions (``expt_ids``),
        labelled ones that they leave out are listed

    Raises
    ------
    DataError
        there is no such folder, or it holds no inputs
    """
    if "input_type" not in settings:
        settings["input_type"] = input_type_in(data_dir)
    given = {**settings, "data_dir": str(data_dir)}
    input_type = given["input_type"]
    settings = with_defaults(given)
    folder = inputs_folder(settings)
    checkup = Checkup(data_dir, input_type)
    files: list[Path] = []
    with _going_on(checkup, folder):
        files = _files(checkup, folder, INPUT_SUFFIXES)
    for other in (data_dir / name for name in (*LABEL_FOLDERS.values(), "tasks")):
        with _going_on(checkup, other):
            _files(checkup, other, LABEL_SUFFIXES)
    ids = sorted({session_of(path.name) for path in files})
    if not ids and not checkup.failures:
        raise DataError(no_inputs(folder))
    reading = _Reading(Choice.from_hparams(settings), settings["likelihood_threshold"])
    for session in ids:
        found = Found(session)
        checkup.sessions.append(found)
        with _going_on(checkup, folder / session):
            paths = signal_paths(settings, session, checkup.surprises.append)
            found.paths = {signal: path for signal, path in paths.items() if path is not None}
            _look_at_session(checkup, found, reading, settings["classifier_type"])
    checkup.sum_up()
    _compare(checkup)
    _look_at_scored(checkup, data_dir, settings)
    _look_at_names(checkup, given)
    with _going_on(checkup, data_dir):
        _look_for_strays(checkup, data_dir, ids)
    checkup.sum_up()
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


@dataclass(frozen=True)
class _Reading:
    """How tracked points are read."""

    choice: Choice
    likelihood_threshold: float


def _look_at_session(
    checkup: Checkup, found: Found, reading: _Reading, classifier_type: str
) -> None:
    for signal, path in found.paths.items():
        with _going_on(checkup, path):
            if signal == "markers":
                _look_at_inputs(checkup, found, path, reading)
            elif signal == "tasks":
                _look_at_frames(checkup, found, path, len(read_tasks(path)[0]))
            else:
                by_hand = signal == "labels_strong"
                _look_at_labels(checkup, found, path, classifier_type, by_hand)


def _look_at_inputs(checkup: Checkup, found: Found, path: Path, reading: _Reading) -> None:
    markers = reading.choice(read_markers(path), path) if holds_markers(path) else None
    threshold = reading.likelihood_threshold
    if markers is None:
        inputs = read_inputs(path)
    else:
        markers = without_unseen(markers, path, checkup.surprises.append)
        inputs = inputs_of(markers, path, threshold)
    found.n_frames, found.channels = len(inputs.values), inputs.names
    found.frames = Frames(path, first_frame(path), len(inputs.values))
    constant = np.flatnonzero(np.ptp(inputs.values, axis=0) == 0)
    if len(constant):
        names = some([inputs.names[i] for i in constant])
        text = f"never changes: {names}; it will count as 0"
        checkup.findings.append(Finding(found.id, path, text))
    if markers is None:
        if counters := _counters(inputs.values, inputs.names):
            text = (
                f"changes by the same amount in every frame, as a count of frames: "
                f"{some(counters)}; a model learns from it when things happened"
            )
            finding = Finding(found.id, path, text, advice="Leave it out of the features")
            checkup.findings.append(finding)
        return
    missing = markers.missing() | markers.unsure(threshold)
    points = markers.names
    found.missing = float(missing.mean())
    shares, longest = missing.mean(0), [_longest(column) for column in missing.T]
    many = [i for i in range(len(points)) if shares[i] > MANY_MISSING or longest[i] > LONG_GAP]
    if many:
        worst = max(many, key=lambda i: shares[i])
        text = (
            f"points are missing in over {MANY_MISSING:.0%} of the frames, or over {LONG_GAP} in a "
            f"row, and are filled in as the key 'gaps' says"
        )
        shown = (
            f"{len(many)} of {len(points)} points, most of all {points[worst]}: "
            f"{shares[worst]:.0%}, up to {longest[worst]} in a row"
        )
        advice = UNSURE_POINTS if threshold else MISSING_POINTS
        badness = float(shares[worst])
        checkup.findings.append(Finding(found.id, path, text, shown, badness, advice))


def _counters(values: np.ndarray, names: Sequence[str]) -> list[str]:
    """Return the channels that grow or fall by the same amount from each frame to the next.

    Rounded times do too: no frame is as far as half a step from the straight line.
    """
    frames = np.arange(len(values), dtype=np.float64)[:, None]
    steps = (values[-1:].astype(np.float64) - values[:1]) / max(len(values) - 1, 1)
    off = np.abs(values - values[:1] - frames * steps)
    steady = (len(values) > 2) & (off < np.abs(steps) / 2).all(0)
    return [names[i] for i in np.flatnonzero(steady).tolist()]


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
        found.counts = (labels == 1).sum(0).tolist()
        return
    found.counts = np.bincount(labels, minlength=len(names)).tolist()
    share = found.counts[0] / max(len(labels), 1)
    if share == 1:
        text = f"every frame is labelled {names[0]}"
        checkup.findings.append(Finding(found.id, path, text))
    elif share > MANY_UNLABELLED:
        text = f"over {MANY_UNLABELLED:.0%} of the frames are {names[0]}"
        checkup.findings.append(Finding(found.id, path, text, f"{100 * share:.0f}%", share))


def _look_at_frames(checkup: Checkup, found: Found, path: Path, n_rows: int) -> None:
    """Tell where labels or tasks are not about the frames of their inputs."""
    if found.frames is not None:
        with _going_on(checkup, path):
            checkup.surprises += compare_frames(
                Frames(path, first_frame(path), n_rows), found.frames
            )


def _compare(checkup: Checkup) -> None:
    """Report sessions whose channels or classes are not those of most."""
    for what in ("channels", "classes"):
        kinds = Counter(tuple(getattr(found, what)) for found in checkup.sessions)
        kinds.pop((), None)
        if len(kinds) < 2:
            continue
        usual = kinds.most_common(1)[0][0]
        for found in checkup.sessions:
            its_names = tuple(getattr(found, what))
            if not its_names or its_names == usual:
                continue
            more, fewer = set(its_names) - set(usual), set(usual) - set(its_names)
            parts = [f"has {some(sorted(more))}"] * bool(more)
            parts += [f"lacks {some(sorted(fewer))}"] * bool(fewer)
            text = f"session {found.id}: its {what} differ from most sessions': "
            text += " and ".join(parts) or "they come in another order"
            text += _which_all_have(checkup) if what == "channels" and (more or fewer) else ""
            reordered = what == "channels" and set(its_names) == set(usual)
            (checkup.surprises if reordered else checkup.failures).append(text)
    totals: Counter[str] = Counter()
    for found in checkup.sessions:
        totals.update(dict(zip(found.classes, found.counts, strict=True)))
    for name, total in totals.items():
        where = sum(
            dict(zip(found.classes, found.counts, strict=True)).get(name, 0) > 0
            for found in checkup.sessions
        )
        if total == 0 and name != BACKGROUND:  # no frame that nobody looked at is good news
            checkup.surprises.append(f"class {name} never occurs")
        elif where == 1 and len(checkup.sessions) > 1:
            checkup.surprises.append(f"class {name} occurs in only one session ({total} frames)")


def _which_all_have(checkup: Checkup) -> str:
    """Say how to use only what every session has, where they have different tracked points."""
    points = [
        [name.removesuffix("_x") for name in found.channels if name.endswith("_x")]
        for found in checkup.sessions
        if found.channels
    ]
    if not all(points):
        return ""
    common = [name for name in points[0] if all(name in names for names in points)]
    whole = [animal.name for animal in animals_of(common)] if common else []
    if not common:
        return ""
    key, names = ("animals", whole) if any(whole) else ("keypoints", common)
    return f". To use what all have, set {key}: {';'.join(names)} in data.yaml (--{key})"


def _look_at_scored(checkup: Checkup, data_dir: Path, hparams: dict[str, Any]) -> None:
    """Report labels that teach nothing, or little, and frame rates that differ."""
    kinds = Counter(tuple(found.classes) for found in checkup.sessions if found.classes)
    if kinds and hparams["classifier_type"] != "multibinary":
        names = list(kinds.most_common(1)[0][0])
        alike = [found for found in checkup.sessions if found.classes == names and found.counts]
        counts = np.sum([found.counts for found in alike], axis=0).tolist()
        ignored = ignored_class({**hparams, "label_names": names})
        scored = Scored(names, counts, sum(counts), ignored)
        cautions = label_cautions(scored)
        (checkup.failures if one_class(scored) else checkup.surprises).extend(cautions)
        if not cautions and (note := old_background(data_dir, scored)):
            checkup.notes.append(note)
    try:
        record = read_label_record(data_dir / LABEL_FOLDERS["labels_strong"])
        if record is not None:
            checkup.fps = record.fps()
            _look_at_rate(checkup, hparams)
    except DataError as error:
        checkup.surprises.append(str(error))


def _look_at_rate(checkup: Checkup, settings: Mapping[str, Any]) -> None:
    """Report a frame rate in the settings that is not that of the labels."""
    rate = settings["fps"]
    if rate and checkup.fps and not math.isclose(rate, checkup.fps, rel_tol=1e-4):
        checkup.failures.append(
            f"'fps' is {rate:g}, but the labels were made at {checkup.fps:g} frames a second"
        )


def _look_at_names(checkup: Checkup, given: Mapping[str, Any]) -> None:
    """Report labelled sessions that the settings do not name, and named ones that are gone."""
    labelled = [found.id for found in checkup.sessions if "labels_strong" in found.paths]
    if unnamed := left_out(labelled, given):
        checkup.surprises.append(
            f"'expt_ids' in data.yaml leaves out sessions that have hand labels: {some(unnamed)}. "
            f"Add them there, or give 'daart-fast train' --all"
        )
    if missing := gone([found.id for found in checkup.sessions], given):
        checkup.failures.append(
            f"data.yaml names sessions without inputs: {some(missing)}. Remove them there, or put "
            f"their files into {checkup.data_dir / checkup.input_type}"
        )


def _look_for_strays(checkup: Checkup, data_dir: Path, ids: Sequence[str]) -> None:
    """Report labels that belong to no session, and sessions without labels."""
    for name in LABEL_FOLDERS.values():
        for path in sorted((data_dir / name).glob("*")):
            if suffix_of(path) not in LABEL_SUFFIXES or path.name.startswith("."):
                continue
            session = labelled_session(path.name)
            if session not in ids and path.is_file():
                text = "labels without inputs"
                advice = (
                    f"Labels and inputs of a session need the same name, up to what a tracker "
                    f"adds{did_you_mean(session, ids)}"
                )
                checkup.findings.append(Finding(session, path, text, advice=advice))
    without = [found.id for found in checkup.sessions if not found.classes]
    readable = {found.id for found in checkup.sessions if found.n_frames is not None}
    labelled = [i for i in without if i in readable]
    if len(labelled) == len(checkup.sessions):
        checkup.failures.append(
            f"{data_dir / 'labels-hand'}: no session has hand labels{labels_elsewhere(data_dir)}"
        )
    elif labelled:
        checkup.surprises.append(f"sessions without hand labels: {some(labelled)}")
