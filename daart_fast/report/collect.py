"""What a report shows of a model, as plain numbers and text.

A session may have a million frames. Its bouts go in as runs; its probabilities, as bytes from 0 to
255, at two grains: means over blocks of frames at once, and every frame in chunks that the page
unpacks when it is zoomed to them.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from daart_fast.api.model import read_hparams
from daart_fast.config import KEYS
from daart_fast.data.from_config import build_data_generator
from daart_fast.data.ignored import scored_labels
from daart_fast.errors import ConfigError, DataError, some
from daart_fast.eval.album import split_shown
from daart_fast.eval.colours import class_colours
from daart_fast.eval.curves import load_metrics_csv_as_df
from daart_fast.eval.segments import bouts
from daart_fast.eval.selection import background_of, labels_on, smoother_of
from daart_fast.eval.splits import PRINTED, describe_split, split_title
from daart_fast.eval.stored import scores_are_current, states_are_current
from daart_fast.project.sessions import labelled_sessions, left_out
from daart_fast.readers.frames import frames_before
from daart_fast.report.headline import headline

if TYPE_CHECKING:
    from daart_fast.data import SingleDataset
    from daart_fast.eval.new_sessions import NewSession, NewSessions

    Dataset = SingleDataset | NewSession

__all__ = ["collect"]

#: Frames of a block whose mean is shown from afar, and of a chunk that is unpacked at once.
BLOCK, CHUNK = 32, 16_384
#: How many of the worst bouts are listed.
WORST = 30
#: What a report says where it shows results that are out of date.
OLDER = (
    "The data have changed since these scores and probabilities were computed. The hand labels "
    "shown are the current ones. 'daart-fast evaluate' predicts and scores again."
)

CURVES = ("loss", "loss_strong", "loss_weak", "loss_pred", "loss_recon", "loss_task")


def collect(
    folder: Path,
    data_dir: str | os.PathLike[str] | None = None,
    results: Path | None = None,
    new: NewSessions | None = None,
) -> tuple[dict[str, Any], list[str]]:
    """Gather what a report shows of one model.

    Parameters
    ----------
    folder
        the model's
    data_dir
        where the data are; None: where hparams say
    results
        the folder with summary.json, smoothing.json and perhaps states; None: the model's
    new
        the new sessions that `results` are of; None: they are of the model's own, in `data_dir`

    Returns
    -------
    model : dict
        for the page's script; JSON can hold it
    fine : list of str
        for each session its probabilities of every frame: a line of base64 for each chunk
    """

    results = results or folder
    summary = _summary_in(results)
    hparams = read_hparams(folder / "hparams.yaml")
    if new is None:
        known, note = _sessions_now(folder, hparams, data_dir, results == folder)
    else:
        known, note = {dataset.id: dataset for dataset in new.datasets}, ""
    sessions, fine, worst = [], [], []
    background, fps = background_of(hparams, summary["label_names"]), summary["fps"]
    for name, contents in summary["sessions"].items():
        states = _states(name, [results, folder if new is None else new.folder])
        classes = smoother_of(results)(states)
        sessions.append(_session(name, contents, states, classes, known.get(name), background, fps))
        fine.append(_chunks(states))
        if name in known and hparams["classifier_type"] != "multibinary":
            worst += _worst(known[name], _whole_split(summary["scores"]), classes, background)
    worst.sort(key=lambda bout: -bout["wrong"])
    model = {
        "name": _name(folder),
        "data": _title(Path(data_dir or hparams["data_dir"] or ""), new),
        "curves": _curves(folder / "metrics.csv"),
        "best_epoch": hparams.get("best_val_epoch"),
        "sessions": sessions,
        "worst": worst[:WORST],
        "block": BLOCK,
        "chunk": CHUNK,
        "note": _without_folders(note),
        "before": None if new is None else _headline_of_model(folder),
        **_settings(hparams),
        **_of_summary(summary, hparams),
    }
    return model, fine


def _summary_in(folder: Path) -> dict[str, Any]:
    path = folder / "summary.json"
    if not path.is_file():
        raise DataError(f"{path}: no such file; daart-fast evaluate writes it")
    summary: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return summary


def _headline_of_model(folder: Path) -> dict[str, Any] | None:
    """Return the score that a model had before it predicted new sessions, if there is one."""
    found = headline(_summary_in(folder)) if (folder / "summary.json").is_file() else {}
    return found if "macro_f1" in found else None


def _states(session: str, folders: Sequence[Path]) -> np.ndarray:
    """Load a session's probabilities from the first of these folders that has them."""
    files = [folder / f"{session}_states.npy" for folder in folders]
    states: np.ndarray = np.load(next((file for file in files if file.is_file()), files[-1]))
    return states


def _of_summary(summary: Mapping[str, Any], hparams: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the page shows of a summary.json."""
    names = summary["label_names"]
    background = background_of(hparams, names)
    scores = {split: summary["scores"][split] for split in PRINTED if split in summary["scores"]}
    return {
        "smoothing": summary["smoothing"],
        "classes": names,
        "colours": class_colours(names, background),
        "background": background,
        "several": hparams["classifier_type"] == "multibinary",
        "fps": summary["fps"],
        "headline": headline(summary),
        "cautions": [_without_folders(sentence) for sentence in summary.get("cautions", [])],
        "scores": scores,
        "titles": {split: _titles(split, scores.get(split)) for split in PRINTED},
        "time_budget": _time_budget(summary),
    }


def _titles(split: str, scores: Mapping[str, Any] | None) -> list[str]:
    """Return what to call a split's frames, in short, and with what their score is worth."""
    whole = scores is None or scores["whole_sessions"]
    return [split_title(split, whole), describe_split(split, whole)]


def _settings(hparams: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that results depend on, as text, and which are not the default."""
    shown = {name: _spelled(hparams[name]) for name, key in KEYS.items() if not key.neutral}
    return {
        "settings": shown,
        "chosen": [name for name in shown if hparams[name] != KEYS[name].default],
    }


def _spelled(value: Any) -> str:
    """Spell a setting as a config file does."""
    if isinstance(value, list):
        return ", ".join(map(_spelled, value))
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _session(
    name: str,
    contents: Mapping[str, Any],
    states: np.ndarray,
    classes: np.ndarray,
    known: Dataset | None,
    background: int | None,
    fps: float | None,
) -> dict[str, Any]:
    """Return one session: runs of classes, of labels and of splits, and its own scores."""
    labels = None if known is None else known.session.labels_strong
    if labels is not None and labels.ndim == 2:
        labels = scored_labels(labels, background)
    first_frame = contents.get("first_frame", 0)  # earlier summaries lack it
    return {
        "id": name,
        "split": contents.get("split"),
        "frames": len(states),
        "first_frame": first_frame,
        "shift": frames_before(first_frame) if fps else first_frame,
        "predicted": [_runs(column) for column in _tracks(classes)],
        "truth": None if labels is None else [_runs(column) for column in _tracks(labels)],
        "splits": None if known is None else _runs(_splits(known)),
        "coarse": _text(_bytes(_blocks(states))),
        "scores": {split: _in_short(one) for split, one in contents.get("scores", {}).items()},
    }


def _splits(known: Dataset) -> np.ndarray:
    """Return the place in `PRINTED` of the split that each frame belongs to; -1 for none."""
    splits = np.full(len(known.session), -1)
    for number, split in enumerate(PRINTED):
        splits[known.frames_of(split)] = number
    return splits


def _in_short(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Return frames, macro-F1, accuracy and the F1 of each class."""
    f1 = {name: one["f1"] for name, one in scores["classes"].items()}
    return {name: scores.get(name) for name in ("frames", "macro_f1", "accuracy")} | {"f1": f1}


def _without_folders(text: str) -> str:
    """Return a text with only the last part of each absolute path: a report is sent to people."""
    return re.sub(r"(?<![\w./])/(?:[^/\s:;,'\"()]+/)+", "", text)


def _title(data_dir: Path, new: NewSessions | None) -> str:
    """Name the data by the end of their path: their folder may be called no more than data."""
    if new is None:
        return "/".join(data_dir.absolute().parts[1:][-2:])
    return "/".join(new.folder.absolute().parts[1:][-2:]) + " (new videos)"


def _name(folder: Path) -> str:
    """Return the end of the path that tells models apart."""
    return "/".join(folder.absolute().parts[-3:])


def _sessions_now(
    folder: Path,
    trained: dict[str, Any],
    data_dir: str | os.PathLike[str] | None,
    stored: bool,
) -> tuple[dict[str, Dataset], str]:
    """Return a model's sessions with their labels and splits, and what the report has to note.

    Parameters
    ----------
    folder, trained
        the model's folder and hparams
    data_dir
        where the data are; None: where hparams say
    stored
        whether scores and probabilities are those in the model's folder
    """

    hparams = dict(trained)
    if data_dir is not None:
        hparams["data_dir"] = str(data_dir)
    try:
        generator = build_data_generator({**hparams, "device": "cpu"})
    except (ConfigError, DataError) as error:
        return {}, f"Without hand labels: {error}"
    current = not stored or (
        states_are_current(folder, trained, hparams, generator)
        and scores_are_current(folder, generator)
    )
    notes = [*([] if current else [OLDER]), *_labelled_later(hparams)]
    return {dataset.id: dataset for dataset in generator.datasets}, " ".join(notes)


def _labelled_later(hparams: Mapping[str, Any]) -> list[str]:
    """Name the labelled sessions of the project that the training did not have."""
    try:
        labelled, _ = labelled_sessions(Path(hparams["data_dir"]), hparams)
    except DataError:
        return []
    sessions = left_out(labelled, hparams)
    if not sessions:
        return []
    return [
        f"Hand labels of {some(sessions)} are there, and this training did not have them: add them "
        f"to expt_ids in data.yaml, or train with --all."
    ]


def _time_budget(summary: Mapping[str, Any]) -> list[list[Any]]:
    """List session, class, share, total, bouts and mean duration; no class 0 that never occurs."""
    found = {name: one.get("classes", {}) for name, one in summary["sessions"].items()}
    background = summary["label_names"][0]
    unused = not any(one.get(background, {}).get("share") for one in found.values())
    return [
        [session, name, *(one[key] for key in ("share", "total", "bouts", "mean"))]
        for session, classes in found.items()
        for name, one in classes.items()
        if not (unused and name == background)
    ]


def _tracks(classes: np.ndarray) -> list[np.ndarray]:
    """Return one track of classes, or one of 0 and 1 for each of several behaviours."""
    if classes.ndim == 1:
        return [classes]
    return [np.where(np.isnan(column), -1, column).astype(np.int64) for column in classes.T]


def _runs(classes: np.ndarray) -> list[list[int]]:
    """Return classes and lengths of the runs; class -1 where unlabelled."""
    values = np.maximum(classes, -1)
    starts = np.concatenate([[0], np.flatnonzero(np.diff(values)) + 1])
    lengths = np.diff(np.append(starts, len(values)))
    return [values[starts].tolist(), lengths.tolist()]


def _blocks(states: np.ndarray) -> np.ndarray:
    """Return means (ceil(T / BLOCK), C) over blocks of frames."""
    firsts = np.arange(0, len(states), BLOCK)
    lengths = np.diff(np.append(firsts, len(states)))
    return np.add.reduceat(states.astype(np.float64), firsts, axis=0) / lengths[:, None]


def _bytes(states: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(states * 255), 0, 255).astype(np.uint8)


def _text(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()


def _chunks(states: np.ndarray) -> str:
    """Return a line for each chunk of frames: differences in time of (frames, C) bytes, gzipped.

    Differences (modulo 256) of neighbours are mostly 0, which packs well.
    """
    values = _bytes(states)
    lines = []
    for first in range(0, len(values), CHUNK):
        part = values[first : first + CHUNK]
        steps = np.diff(part, axis=0, prepend=np.zeros((1, part.shape[1]), np.uint8))
        packed = gzip.compress(steps.tobytes(), 6, mtime=0)
        lines.append(base64.b64encode(packed).decode())
    return "\n".join(lines)


def _whole_split(scores: Mapping[str, Any]) -> str | None:
    """Return the split that stands for the model, if it consists of whole sessions."""
    split = split_shown(scores)
    return split if split is not None and scores[split]["whole_sessions"] else None


def _worst(
    known: Dataset, split: str | None, classes: np.ndarray, background: int | None
) -> list[dict[str, Any]]:
    """List a session's true bouts in a split by how many of their frames are wrong.

    Each comes with the class that it was taken for most often.
    """
    labels = None if split is None else labels_on(known, split)
    if labels is None:
        return []
    found = []
    for label, start, stop in bouts(labels, background).tolist():
        predicted = classes[start:stop]
        wrong = predicted[predicted != label]
        if len(wrong):
            found.append(
                {
                    "session": known.id,
                    "class": label,
                    "start": start,
                    "stop": stop,
                    "wrong": len(wrong),
                    "taken_for": int(np.bincount(wrong).argmax()),
                }
            )
    return found


def _curves(path: Path) -> list[dict[str, Any]]:
    """Return each loss over the epochs, of all sessions together; none without metrics.csv."""
    if not path.is_file():
        return []
    table = load_metrics_csv_as_df(path, CURVES)
    table = table[table["dataset"].astype(str).isin(["all", "-1"])]
    found = []
    for (metric, dtype), rows in table.groupby(["loss", "dtype"], sort=False):
        finite = rows[np.isfinite(rows["val"])]
        found.append(
            {
                "metric": metric,
                "split": dtype,
                "epochs": finite["epoch"].tolist(),
                "values": [float(f"{value:.6g}") for value in finite["val"]],
            }
        )
    return found
