"""A small data set to try things on: a simulated mouse in a narrow corridor, seen from the side.

Every session is a chain of bouts (still, walk, rear, groom, turn) at 30 frames a second. A bout
sets how fast the animal goes, which way it faces, how far it rears and what its paws do; the pose
follows with a short delay, and eight body parts ride on the pose. What a tracker would make of
that is written in DeepLabCut's format: jitter, parts that are lost for a while, and misplaced
points of low likelihood.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daart_fast.config import resolve_path
from daart_fast.eval import plot_ethogram, smoother_of
from daart_fast.readers.label_record import LabelFile, write_label_record
from daart_fast.readers.labels import read_labels

__all__ = [
    "BEHAVIOURS", "BODY_PARTS", "DEMO_DATA", "FPS", "HELD_OUT", "SESSIONS", "draw_minute",
    "finish_demo", "write_demo",
]  # fmt: skip

#: how the shipped configs spell the demo set's folder; see `daart_fast.config.resolve_path`
DEMO_DATA = "<demo>/data"

FPS = 30
N_FRAMES = 5400
SESSIONS = ("mouse1", "mouse2", "mouse3", "mouse4")
#: this session has a hand label on every frame, to score predictions with
HELD_OUT = "mouse4"
BEHAVIOURS = ("still", "walk", "rear", "groom", "turn")

#: where each part sits when the animal stands, in pixels ahead of and above its hip
BODY_PARTS = {
    "nose": (62.0, 8.0),
    "ear": (48.0, 18.0),
    "back": (24.0, 16.0),
    "hip": (0.0, 0.0),
    "forepaw": (42.0, -22.0),
    "hindpaw": (4.0, -22.0),
    "tail_base": (-16.0, -4.0),
    "tail_tip": (-64.0, -18.0),
}
_PLACE = {part: number for number, part in enumerate(BODY_PARTS)}
_FRONT = [_PLACE[part] for part in ("nose", "ear", "back", "forepaw")]

CORRIDOR = 500.0  # its length in pixels
HIP_HEIGHT = 22.0


@dataclass(frozen=True)
class _Movement:
    """What a bout does to the pose. Lengths in pixels, angles in radians."""

    seconds: float  # median duration
    frequency: float  # how often it follows another bout
    speed: float = 0.0  # a second
    pitch: float = 0.0  # of the front of the body, about the hip
    stride: float = 0.0  # swing of the paws along the ground
    paws_up: float = 0.0  # how far the forepaws are lifted
    paws_beat: float = 0.0  # and how far they then beat up and down


_MOVEMENTS = {
    "still": _Movement(2.0, 0.25),
    "walk": _Movement(1.8, 0.35, speed=90.0, stride=8.0),
    "rear": _Movement(1.6, 0.15, pitch=0.9),
    "groom": _Movement(4.0, 0.1, pitch=0.2, paws_up=20.0, paws_beat=5.0),
    "turn": _Movement(0.9, 0.15, stride=3.0),
}


def write_demo(folder: str | os.PathLike[str]) -> Path:
    """Write the demo set, unless it is there.

    The same files come out wherever it runs: the seeds are fixed and so are NumPy's streams of
    ``RandomState``. The folder appears only when complete; of several processes that write at
    once, one wins and the others use its files.

    Parameters
    ----------
    folder
        will hold ``markers/``, ``labels-hand/`` and ``labels-heuristic/``, a csv a session in each

    Returns
    -------
    Path
        the folder
    """

    folder = Path(folder)
    if folder.is_dir():
        return folder
    draft = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:12]}")
    try:
        for number, session in enumerate(SESSIONS):
            _write_session(draft, session, np.random.RandomState(number))
        _write_record(draft / "labels-hand")
        by_hand = LabelFile("simulated", "demo", FPS, N_FRAMES, None)  # the rest nobody looked at
        files = {f"{session}.csv": by_hand for session in SESSIONS}
        write_label_record(draft / "labels-hand", files, written_by="daart_fast.demo")
        os.rename(draft, folder)
    except OSError:
        if not folder.is_dir():
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder


def _write_session(folder: Path, session: str, rng: np.random.RandomState) -> None:
    truth, points = _simulate(rng, N_FRAMES)
    scored = np.ones(N_FRAMES, bool)
    if session != HELD_OUT:  # somebody scored ten seconds of every twenty
        scored = np.arange(N_FRAMES) % (20 * FPS) < 10 * FPS
    _write_markers(folder / "markers" / f"{session}.csv", *_track(rng, points))
    _write_labels(folder / "labels-hand" / f"{session}.csv", np.where(scored, truth + 1, 0))
    _write_labels(folder / "labels-heuristic" / f"{session}.csv", _heuristic(points) + 1)


def _write_record(folder: Path) -> None:
    """Record that nobody looked at the frames without a label, and how long a frame lasts."""

    label = LabelFile("simulated", "simulated", FPS, N_FRAMES, between_bouts=None)
    write_label_record(folder, {f"{session}.csv": label for session in SESSIONS})


# --------------------------------------------------------------------------------------------
# what a model makes of it
# --------------------------------------------------------------------------------------------
def finish_demo(results: Sequence[tuple[Any, Any]]) -> None:
    """Draw a minute of what a model of the demo set predicts, write its report, name what is next.

    Parameters
    ----------
    results
        each trial with its model's folder; those that are not of the demo set are left as they are
    """
    place = resolve_path(DEMO_DATA, Path.cwd())
    models = [Path(folder) for trial, folder in results if folder and trial.data_dir == place]
    if len(models) != 1:  # a search has its own summary
        return
    from daart_fast.report import write_report

    (model,) = models
    picture, report = model / f"{HELD_OUT}_minute.png", model / "report.html"
    draw_minute(model, picture)
    write_report([model], report)
    print(f"a minute of {HELD_OUT}, on which no model was trained: {os.path.relpath(picture)}")
    print(f"scores, curves, and an ethogram that zooms: {os.path.relpath(report)}")
    print("next, with data of your own: daart-fast doctor data, then daart-fast train data")


def draw_minute(model_dir: Path, save_file: Path) -> None:
    """Draw the held-out session's first minute: hand labels, predicted classes, probabilities."""
    from daart_fast.api.model import HPARAMS, read_hparams

    hparams = read_hparams(model_dir / HPARAMS)
    states = np.load(model_dir / f"{HELD_OUT}_states.npy")
    classes = smoother_of(model_dir, hparams)(states)
    labels = read_labels(Path(hparams["data_dir"]) / "labels-hand" / f"{HELD_OUT}.csv")
    minute = slice(60 * FPS)
    plot_ethogram(
        states[minute],
        labels.names,
        labels.values[minute],
        fps=FPS,
        save_file=save_file,
        classes=classes[minute],
        title=f"{HELD_OUT}, held out from training: the first minute",
    )


# --------------------------------------------------------------------------------------------
# the animal
# --------------------------------------------------------------------------------------------
def _simulate(
    rng: np.random.RandomState, n_frames: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Let the animal live for `n_frames`.

    Returns
    -------
    truth : (frames,) int64 array
        what it does, as the place in ``BEHAVIOURS``
    points : (frames, parts, 2) float64 array
        x and y of each part in pixels, y upwards
    """
    truth = np.empty(n_frames, np.int64)
    poses = np.empty((n_frames, 5))  # speed, pitch, stride, paws_up, paws_beat
    hip, ahead = np.full((n_frames, 1, 2), HIP_HEIGHT), np.ones((n_frames, 1, 2))
    behaviour, left = "still", 30  # frames left of the bout
    x, facing, turned_from, vigour = CORRIDOR / 2, 1.0, 1.0, 1.0
    pose = np.zeros(5)
    for frame in range(n_frames):
        blocked = behaviour == "walk" and not 70 < x + 60 * facing < CORRIDOR - 70
        if left == 0 or blocked:
            facing = float(np.sign(facing))
            behaviour = "turn" if blocked else _next(rng, behaviour)
            left = length = _duration(rng, behaviour)
            turned_from, vigour = facing, rng.uniform(0.8, 1.2)
        move = _MOVEMENTS[behaviour]
        goal = [move.speed * vigour, move.pitch * vigour, move.stride, move.paws_up, move.paws_beat]
        pose += (np.array(goal) - pose) * 0.25  # follows within about 4 frames
        left -= 1
        if behaviour == "turn":  # by the end it faces the other way
            facing = turned_from * np.cos(np.pi * (1.0 - left / length))
        x = float(np.clip(x + pose[0] * facing / FPS, 0.0, CORRIDOR))
        truth[frame] = BEHAVIOURS.index(behaviour)
        poses[frame], hip[frame, 0, 0], ahead[frame, 0, 0] = pose, x, facing
    return truth, hip + _bodies(poses, np.arange(n_frames) / FPS) * ahead


def _next(rng: np.random.RandomState, behaviour: str) -> str:
    """Draw the bout that follows this one: any other, each at its frequency."""
    next_ones = [name for name in BEHAVIOURS if name != behaviour]
    weights = np.cumsum([_MOVEMENTS[name].frequency for name in next_ones])
    return next_ones[int(np.searchsorted(weights, rng.random_sample() * weights[-1]))]


def _duration(rng: np.random.RandomState, behaviour: str) -> int:
    """Draw how many frames a bout lasts: log-normal, at least a third of a second."""
    return max(10, round(FPS * _MOVEMENTS[behaviour].seconds * np.exp(0.35 * rng.randn())))


def _bodies(poses: NDArray[np.float64], seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Parts ahead of and above the hip, (frames, parts, 2), for the pose of each frame."""
    _, pitch, stride, paws_up, paws_beat = poses.T
    bodies = np.tile(np.array(list(BODY_PARTS.values())), (len(poses), 1, 1))
    gait, beat = 2 * np.pi * 3.0 * seconds, 2 * np.pi * 5.0 * seconds
    for part, phase in (("forepaw", gait), ("hindpaw", gait + np.pi)):
        bodies[:, _PLACE[part], 0] += stride * np.sin(phase)
        bodies[:, _PLACE[part], 1] += stride * 0.5 * np.maximum(0.0, np.cos(phase))
    bodies[:, _PLACE["forepaw"], 1] += paws_up + paws_beat * np.sin(beat)
    bodies[:, _PLACE["nose"], 1] -= 0.3 * paws_up
    bodies[:, _PLACE["tail_tip"], 1] += 2.0 * np.sin(0.5 * seconds)
    along, up = np.cos(pitch)[:, None], np.sin(pitch)[:, None]
    x, y = bodies[:, _FRONT, 0], bodies[:, _FRONT, 1]
    bodies[:, _FRONT, 0], bodies[:, _FRONT, 1] = x * along - y * up, x * up + y * along
    return bodies


def _heuristic(points: NDArray[np.float64]) -> NDArray[np.int64]:
    """Label every frame by thresholds on what a script would measure.

    Right most of the time; wrong around the bouts' edges and where a movement is small.
    """
    nose, hip, paw, tail = (
        points[:, _PLACE[part]] for part in ("nose", "hip", "forepaw", "tail_base")
    )
    speed = np.abs(np.gradient(_smooth(hip[:, 0]))) * FPS
    rules = {
        "rear": nose[:, 1] - hip[:, 1] > 35,
        "turn": np.abs(nose[:, 0] - tail[:, 0]) < 55,
        "groom": _smooth(paw[:, 1]) > 14,
        "walk": speed > 40,
    }
    chosen = np.select(list(rules.values()), [BEHAVIOURS.index(name) for name in rules])
    return chosen.astype(np.int64)  # where no rule holds: 0, still


def _smooth(values: NDArray[np.float64], width: int = 9) -> NDArray[np.float64]:
    padded = np.pad(values, width // 2, mode="edge")
    return np.convolve(padded, np.full(width, 1.0 / width), mode="valid")


# --------------------------------------------------------------------------------------------
# the tracker
# --------------------------------------------------------------------------------------------
def _track(
    rng: np.random.RandomState, points: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What a tracker sees: points (frames, parts, 2) with gaps, likelihoods (frames, parts)."""
    n_frames, n_parts, _ = points.shape
    seen = points * [1.0, -1.0] + [70.0, 150.0]  # in the image, y points down
    seen += 0.7 * rng.randn(*points.shape)
    likelihood = 1.0 - 0.1 * rng.random_sample((n_frames, n_parts)) ** 2
    misplaced = rng.random_sample((n_frames, n_parts)) < 0.003
    seen[misplaced] += 60.0 * rng.randn(int(misplaced.sum()), 2)
    likelihood[misplaced] = rng.uniform(0.05, 0.4, int(misplaced.sum()))
    for part in range(n_parts):
        for start in rng.randint(0, n_frames, size=n_frames // (20 * FPS)):
            gap = slice(start, start + rng.randint(3, 15))
            seen[gap, part] = np.nan
            likelihood[gap, part] = 0.01
    return seen, likelihood


def _write_markers(
    path: Path, points: NDArray[np.float64], likelihood: NDArray[np.float64]
) -> None:
    """Write DeepLabCut's csv: three header rows, then frame, and x, y, likelihood of each part."""
    columns = [(part, coord) for part in BODY_PARTS for coord in ("x", "y", "likelihood")]
    rows = [
        "scorer" + ",daart_fast_demo" * len(columns),
        "bodyparts," + ",".join(part for part, _ in columns),
        "coords," + ",".join(coord for _, coord in columns),
    ]
    values = np.concatenate([points, likelihood[..., None]], axis=2).reshape(len(points), -1)
    for frame, row in enumerate(values.tolist()):
        cells = ["" if value != value else f"{value:.3f}" for value in row]
        rows.append(f"{frame}," + ",".join(cells))
    _write_lines(path, rows)


def _write_labels(path: Path, labels: NDArray[np.int64]) -> None:
    """Write one-hot rows; label 0 is the background, which means not scored."""
    classes = ("background", *BEHAVIOURS)
    one_hot = np.eye(len(classes), dtype=int)[labels].tolist()
    rows = [f"{frame}," + ",".join(map(str, row)) for frame, row in enumerate(one_hot)]
    _write_lines(path, ["," + ",".join(classes), *rows])


def _write_lines(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
