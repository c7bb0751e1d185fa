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
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from daart_fast.config import KEYS, with_defaults
from daart_fast.errors import ConfigError, DataError
from daart_fast.eval.album import split_shown
from daart_fast.eval.colours import class_colours
from daart_fast.eval.curves import load_metrics_csv_as_df
from daart_fast.eval.segments import bouts
from daart_fast.eval.selection import background_of, labels_on, smoother_of
from daart_fast.eval.stored import scores_are_current, states_are_current

if TYPE_CHECKING:
    from daart_fast.data import DataGenerator
    from daart_fast.eval.new_sessions import NewSessions

__all__ = ["collect"]

#: Frames of a block whose mean is shown from afar, and of a chunk that is unpacked at once.
BLOCK, CHUNK = 32, 16_384
#: How many of the worst bouts are listed.
WORST = 30
_Labels = dict[str, tuple[np.ndarray, np.ndarray | None]]
#: What a report says that could not be made anew.
OLDER = (
    "The scores and probabilities shown here are older than the data, or of other data: the hand "
    "labels are those of now. daart-fast evaluate predicts and scores anew."
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
    from daart_fast.api.model import read_hparams

    results = results or folder
    path = results / "summary.json"
    if not path.is_file():
        raise DataError(f"{path}: no such file; daart-fast evaluate writes it")
    summary = json.loads(path.read_text(encoding="utf-8"))
    hparams = with_defaults(read_hparams(folder / "hparams.yaml"))
    split = split_shown(summary["scores"])
    if new is None:
        labels, note = _labels_now(folder, hparams, data_dir, split, results == folder)
    else:
        labels, note = _labels(new, split), ""
    stored = (results, folder if new is None else new.folder)
    names = summary["label_names"]
    background = background_of(hparams)
    several = hparams["classifier_type"] == "multibinary"
    smoother = smoother_of(results)
    sessions, fine, worst = [], [], []
    for session in summary["sessions"]:
        files = [where / f"{session}_states.npy" for where in stored]
        states = np.load(next((file for file in files if file.is_file()), files[-1]))
        classes = smoother(states)
        truth, held_out = labels.get(session, (None, None))
        sessions.append(
            {
                "id": session,
                "frames": len(states),
                "predicted": [_runs(column) for column in _tracks(classes)],
                "truth": None if truth is None else [_runs(c) for c in _tracks(truth)],
                "coarse": _text(_bytes(_blocks(states))),
            }
        )
        fine.append(_chunks(states))
        if held_out is not None and not several:
            worst += _worst(session, held_out, classes, background)
    worst.sort(key=lambda bout: -bout["wrong"])
    model = {
        "name": _name(folder) if new is None else f"{new.folder.absolute().name}, new videos",
        "settings": {
            name: str(hparams[name]) for name in KEYS if not isinstance(hparams[name], list)
        },
        "smoothing": summary["smoothing"],
        "classes": names,
        "colours": class_colours(names, background),
        "background": background,
        "several": several,
        "fps": summary["fps"],
        "scores": summary["scores"],
        "curves": _curves(folder / "metrics.csv"),
        "best_epoch": hparams.get("best_val_epoch"),
        "sessions": sessions,
        "time_budget": _time_budget(summary),
        "worst": worst[:WORST],
        "block": BLOCK,
        "chunk": CHUNK,
        "note": note,
    }
    return model, fine


def _name(folder: Path) -> str:
    """Return the end of the path that tells models apart."""
    return "/".join(folder.absolute().parts[-3:])


def _labels_now(
    folder: Path,
    trained: dict[str, Any],
    data_dir: str | os.PathLike[str] | None,
    split: str | None,
    stored: bool,
) -> tuple[_Labels, str]:
    """Return the hand labels of a model's own sessions, and what the report has to note.

    Parameters
    ----------
    folder, trained
        the model's folder and hparams
    data_dir
        where the data are; None: where hparams say
    split
        see `_labels`
    stored
        whether scores and probabilities are those in the model's folder
    """
    from daart_fast.utils import build_data_generator

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
    return _labels(generator, split), "" if current else OLDER


def _time_budget(summary: dict[str, Any]) -> list[list[Any]]:
    """List session, class, share, total, bouts and mean duration; no class 0 that never occurs."""
    found = {name: own.get("classes", {}) for name, own in summary["sessions"].items()}
    background = summary["label_names"][0]
    unused = not any(own.get(background, {}).get("share") for own in found.values())
    return [
        [session, name, *(own[key] for key in ("share", "total", "bouts", "mean"))]
        for session, classes in found.items()
        for name, own in classes.items()
        if not (unused and name == background)
    ]


def _labels(generator: DataGenerator | NewSessions, split: str | None) -> _Labels:
    """Return hand labels: all of them, and those of a split, if there is one.

    They are (T,) integers of each session twice, the second -100 on frames of other splits and
    None where none is of this one.
    """
    found: _Labels = {}
    for dataset in generator.datasets:
        labels = dataset.session.labels_strong
        if labels is not None:
            found[dataset.id] = labels, None if split is None else labels_on(dataset, split)
    return found


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


def _worst(
    session: str, labels: np.ndarray, classes: np.ndarray, background: int | None
) -> list[dict[str, Any]]:
    """List true bouts by how many of their frames are wrong, with what they were taken for."""
    found = []
    for label, start, stop in bouts(labels, background).tolist():
        own = classes[start:stop]
        wrong = own[own != label]
        if len(wrong):
            taken_for = int(np.bincount(wrong).argmax())
            found.append(
                {
                    "session": session,
                    "class": label,
                    "start": start,
                    "stop": stop,
                    "wrong": len(wrong),
                    "taken_for": taken_for,
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
