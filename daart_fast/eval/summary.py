"""What a model predicted, as files: a table of frames and one of bouts a session, and a summary.

Beside ``<sess_id>_states.npy``, which stays the raw probabilities whatever is done here:

- ``<sess_id>_predictions.csv``: frame (numbered as in the inputs), time in the video (seconds;
  empty without fps), class, and the probability of each class;
- ``<sess_id>_bouts.csv``: class, start, stop, duration (seconds; frames without fps);
- ``smoothing.json``: how classes were smoothed, for new sessions;
- ``summary.json``: how much of each behaviour there is in each session, and every score;
- ``time_budget.csv``: the former as one table over all sessions.
"""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from daart_fast.config import with_defaults
from daart_fast.data.description import checksum
from daart_fast.data.ignored import scored_labels
from daart_fast.errors import DataError
from daart_fast.eval.cautions import cautions_of
from daart_fast.eval.scores import score
from daart_fast.eval.segments import bout_statistics, bouts
from daart_fast.eval.selection import SMOOTHER_FILE, background_of, choose_smoother, labels_on
from daart_fast.eval.smoothing import Smoother
from daart_fast.eval.stored import input_checksums
from daart_fast.eval.time_budget import TIME_BUDGET, write_time_budget
from daart_fast.files import replacing
from daart_fast.readers.frames import frames_before
from daart_fast.rows import ROWS, csv_line, joined_rows, number_cells, share_cells, text_cells

if TYPE_CHECKING:
    from daart_fast.data import DataGenerator
    from daart_fast.eval.new_sessions import NewSessions

__all__ = [
    "describe_session",
    "over_sessions",
    "summarise",
    "write_bouts",
    "write_predictions",
]

SPLITS = ("train", "val", "test", "new")

#: Decimals of seconds: frames of the fastest cameras differ in the fifth.
TIME_DECIMALS = 6


def write_predictions(
    path: str | os.PathLike[str],
    states: np.ndarray,
    classes: np.ndarray,
    label_names: Sequence[str],
    fps: float | None = None,
    first_frame: int = 0,
) -> None:
    """Write frame, time in seconds, class, and each class's probability, a row a frame.

    Times are rounded to microseconds, and probabilities to five decimals.

    Parameters
    ----------
    path
        the csv
    states
        (T, C) probabilities
    classes
        (T,) integers; multibinary (T, C) of 0 and 1, whose names are joined by ``+``
    label_names
        the C classes
    fps
        frames a second; without it ``time`` is empty
    first_frame
        the number of the first frame in the file of inputs. Times are the video's
    """
    before = frames_before(first_frame)
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(csv_line(["frame", "time", "class", *label_names]).encode())
        for first in range(0, len(states), ROWS):
            part = slice(first, first + ROWS)
            frames = np.arange(first, min(part.stop, len(states)))
            seconds = (before + frames) / fps if fps else None
            times = text_cells([""]) if seconds is None else number_cells(seconds, TIME_DECIMALS)
            columns = [
                number_cells(first_frame + frames),
                np.broadcast_to(times, (len(frames), times.shape[1])),
                _class_cells(classes[part], label_names),
                share_cells(states[part]),
            ]
            file.write(joined_rows(columns))


def _class_cells(classes: np.ndarray, label_names: Sequence[str]) -> np.ndarray:
    """Spell the names of (n,) classes, or of (n, C) behaviours at once: (n, width) uint8."""
    if classes.ndim == 1:
        return text_cells([*label_names, ""])[classes]
    names = np.array(label_names, dtype=object)
    kinds, kind = np.unique(classes.astype(bool), axis=0, return_inverse=True)
    return text_cells(["+".join(names[row]) for row in kinds])[kind.reshape(-1)]


def write_bouts(
    path: str | os.PathLike[str],
    classes: np.ndarray,
    label_names: Sequence[str],
    fps: float | None = None,
    first_frame: int = 0,
) -> None:
    """Write class, start, stop, duration of each bout, in order of time.

    In seconds, without fps in frames. ``stop`` is where the next bout may start. Arguments as for
    `write_predictions`; of several behaviours at once each has bouts of its own.
    """
    found, unit = _all_bouts(classes), float(fps) if fps else 1
    found[:, 1:] += frames_before(first_frame) if fps else first_frame
    starts, stops = found[:, 1], found[:, 2]
    columns = [text_cells([*label_names, ""])[found[:, 0]]]
    for frames in (starts, stops, stops - starts):
        columns.append(number_cells(frames / unit, TIME_DECIMALS))
    with replacing(path) as temporary:
        header = csv_line(["class", "start", "stop", "duration"]).encode()
        temporary.write_bytes(header + joined_rows(columns))


def _all_bouts(classes: np.ndarray) -> np.ndarray:
    """List bouts of (T,) classes, or of (T, C) behaviours: (n, 3) class, start, stop."""
    if classes.ndim == 1:
        return bouts(classes)
    each = []
    for label, column in enumerate(classes.T):
        found = bouts(column, background=0)
        found[:, 0] = label
        each.append(found)
    every = np.concatenate(each)
    return every[np.lexsort((every[:, 0], every[:, 1]))]


def describe_session(
    classes: np.ndarray,
    label_names: Sequence[str],
    fps: float | None = None,
    labels: np.ndarray | None = None,
    background: int | None = None,
    first_frame: int = 0,
) -> dict[str, Any]:
    """Describe how much of each class a session has: frames, share, bouts, durations, latency.

    Durations, and the latency from the session's first frame to the first bout, are in seconds,
    without fps in frames. With hand labels, the frames that they score (give another class than the
    background) are counted too.
    """
    n = len(label_names)
    if classes.ndim == 2:
        counts = classes.sum(0)
        rows = [bout_statistics(column, 2, fps)[1] for column in classes.T]
    else:
        counts = np.bincount(classes, minlength=n)
        rows = bout_statistics(classes, n, fps)
    tracks = classes.T == 1 if classes.ndim == 2 else np.arange(n)[:, None] == classes
    described: dict[str, Any] = {
        "frames": len(classes),
        "first_frame": first_frame,
        "seconds": len(classes) / fps if fps else None,
        "classes": {
            name: {
                "frames": int(count),
                "share": float(count / max(len(classes), 1)),
                **{k: None if np.isnan(v) else v for k, v in row.items()},
                "latency": float(track.argmax() / (fps or 1)) if count else None,
            }
            for name, count, row, track in zip(label_names, counts, rows, tracks, strict=True)
        },
    }
    if labels is not None:
        scored = _scored(labels, background)
        labelled = labels.T == 1 if labels.ndim == 2 else np.arange(n)[:, None] == labels
        described["frames_scored"] = int(scored.sum())
        for found, track, truth in zip(
            described["classes"].values(), tracks, labelled, strict=True
        ):
            found["frames_scored"] = int((track & scored).sum())
            found["frames_labelled"] = int((truth & scored).sum())
    return described


def _scored(labels: np.ndarray, background: int | None) -> np.ndarray:
    """Return (T,) bool: frames with a hand label other than the background."""
    if labels.ndim == 2:
        return ~np.isnan(scored_labels(labels, background)).all(1)
    return (labels >= 0) & (labels != (-1 if background is None else background))


def summarise(
    hparams: Mapping[str, Any],
    data_generator: DataGenerator | NewSessions,
    folder: str | os.PathLike[str],
    states_dir: str | os.PathLike[str] | None = None,
    smoother: Smoother | None = None,
    tables: bool = True,
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write the files above for every session of a model whose states are written.

    Parameters
    ----------
    hparams
        the model's: ``smoothing``, ``fps``, ``ignore_class``, ``classifier_type``, ...
    data_generator
        what it was trained with, or new sessions
    folder
        where to write: the model's
    states_dir
        the folder with ``<sess_id>_states.npy``; None: `folder`
    smoother
        how to smooth, which new sessions need; None: as hparams ask for
    tables
        whether to write predictions and bouts too
    extra
        what the summary of new sessions says besides, ``cautions`` among it

    Returns
    -------
    dict
        what stands in ``summary.json``: ``sessions`` by name; ``scores`` of each split that has
        hand labels, all its sessions pooled (see `daart_fast.eval.scores.score` and
        `over_sessions`); ``cautions``, sentences that whoever reads the scores must not miss;
        ``inputs``, a checksum of the inputs of each session of the model

    Raises
    ------
    DataError
        states are missing, or do not have a row for each frame
    """
    settings, folder = with_defaults(hparams), Path(folder)
    names, fps = data_generator.label_names, settings["fps"]
    stored = folder if states_dir is None else Path(states_dir)
    states = {d.id: _states(stored, d.id, len(d.session)) for d in data_generator.datasets}
    if smoother is None:
        smoother = choose_smoother(settings, data_generator, states)
    smoother.save(folder / SMOOTHER_FILE)
    classes = {name: smoother(one) for name, one in states.items()}
    background = background_of(settings, names)
    sessions = {}
    for dataset in data_generator.datasets:
        name, labels = dataset.id, dataset.session.labels_strong
        first = dataset.session.first_frame
        if tables:
            path = folder / f"{name}_predictions.csv"
            write_predictions(path, states[name], classes[name], names, fps, first)
            write_bouts(folder / f"{name}_bouts.csv", classes[name], names, fps, first)
        contents = describe_session(classes[name], names, fps, labels, background, first)
        split = next((split for split in SPLITS if dataset.frames_of(split).any()), None)
        sessions[name] = {"split": split, **contents}
    write_time_budget(folder / TIME_BUDGET, sessions)
    scores, scores_by_session = _scores(settings, data_generator, states, classes)
    for name, own_scores in scores_by_session.items():
        sessions[name]["scores"] = own_scores
    if extra is None:  # of the model's own sessions
        extra = {
            "cautions": cautions_of(settings, data_generator, scores),
            "inputs": input_checksums(settings, sessions),
        }
    summary = {
        "data": checksum(data_generator.description()),
        "label_names": list(names),
        "background": background,
        "fps": fps,
        "unit": "seconds" if fps else "frames",
        "smoothing": _in_words(smoother),
        "scores": scores,
        "sessions": sessions,
        **extra,
    }
    with replacing(folder / "summary.json") as temporary:
        temporary.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    return summary


def _states(folder: Path, session: str, n_frames: int) -> np.ndarray:
    path = folder / f"{session}_states.npy"
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    states = np.load(path, mmap_mode="r")  # a project may be larger than memory
    if len(states) != n_frames:
        raise DataError(f"{path}: expected {n_frames} rows, one a frame, found {len(states)}")
    return states


def _scores(
    settings: Mapping[str, Any],
    generator: DataGenerator | NewSessions,
    states: Mapping[str, np.ndarray],
    classes: Mapping[str, np.ndarray],
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Score each split, all sessions pooled and each by itself."""
    pooled: dict[str, Any] = {}
    single: dict[str, dict[str, Any]] = {}

    def of(labels: Mapping[str, np.ndarray], whole: bool) -> dict[str, Any]:
        return score(
            list(labels.values()),
            [states[name] for name in labels],
            [classes[name] for name in labels],
            generator.label_names,
            background_of(settings, generator.label_names),
            settings["fps"],
            whole,
        )

    for split in SPLITS:
        found = {dataset.id: labels_on(dataset, split) for dataset in generator.datasets}
        labels = {name: track for name, track in found.items() if track is not None}
        whole = {d.id: bool(d.frames_of(split).all()) for d in generator.datasets if d.id in labels}
        if not labels or not (scores := of(labels, all(whole.values())))["frames"]:
            continue
        alone = {name: of({name: track}, whole[name]) for name, track in labels.items()}
        alone = {name: own_scores for name, own_scores in alone.items() if own_scores["frames"]}
        pooled[split] = scores | over_sessions([one["macro_f1"] for one in alone.values()])
        for name, own_scores in alone.items():
            single.setdefault(name, {})[split] = own_scores
    return pooled, single


def over_sessions(macro_f1: Sequence[float | None]) -> dict[str, Any]:
    """Describe how a score differs between sessions.

    Parameters
    ----------
    macro_f1
        of each session that has a scored frame

    Returns
    -------
    dict
        ``sessions``, how many there are, and ``by_session``: of ``macro_f1`` the ``mean``, ``sd``
        (that of a sample), ``lowest`` and ``highest``; None for fewer than two sessions
    """
    known = [value for value in macro_f1 if value is not None]
    spread = {
        "mean": statistics.fmean(known),
        "sd": statistics.stdev(known),
        "lowest": min(known),
        "highest": max(known),
    } if len(known) > 1 else None  # fmt: skip
    return {"sessions": len(macro_f1), "by_session": spread and {"macro_f1": spread}}


def _in_words(smoother: Smoother) -> dict[str, Any]:
    """Return the settings of a smoother that mean something for its method."""
    settings: dict[str, Any] = {"method": smoother.method}
    if smoother.method in ("bouts", "median"):
        settings["frames"] = smoother.n_frames
    elif smoother.method:
        settings["strength"] = smoother.strength
    return settings
