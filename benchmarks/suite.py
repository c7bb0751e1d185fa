"""Accuracy on six real data sets, on whole sessions (other animals, other people) held out.

    python -m benchmarks.suite DATA_FOLDER [--sets NAME ...] [--methods NAME ...] [--seeds 0 1 2]
                               [--jobs 2] [--json benchmarks/results/suite.json]

``DATA_FOLDER`` holds the data sets, unpacked or as ``.tar.gz``. Methods:

- daart: raw inputs, no smoothing, weights of the best validation loss. It is the network, the
  losses and the settings of daart's own config files;
- defaults: what ``daart-fast train FOLDER`` does: features of tracked points, smoothing;
- trees: gradient boosting (scikit-learn) on the same features with their mean and spread over two
  windows, and the same smoothing; what SimBA and MARS do;
- second coder: for gaze, another expert's labels.

Scores are of all test frames together: macro-F1, accuracy, segmental F1 at an intersection over
union of 0.10, 0.25 and 0.50, the edit score, and the F1 of each class.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import subprocess
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy import unpacked


@dataclass(frozen=True)
class DataSet:
    """A folder, and which of its sessions are for training and which for the score."""

    folder: str
    input_type: str
    fps: float
    train: tuple[str, ...]
    test: tuple[str, ...]
    #: what its sessions are too short for otherwise
    settings: dict[str, Any] = field(default_factory=dict)


def _named(pattern: str, names: str) -> tuple[str, ...]:
    return tuple(pattern.format(name) for name in names.split())


#: sessions that end in * stand for all that begin so
SETS = {
    "rats": DataSet(
        "rat_social", "markers", 30.0,
        _named("rat_{}", "01 05 08 12 24 25 27 35"), _named("rat_{}", "36 40 43 46"),
    ),
    "hapt": DataSet(
        "hapt", "features", 50.0,
        _named("user{}", "01_exp01 01_exp02 02_exp03 02_exp04 03_exp05 03_exp06 04_exp07 04_exp08"),
        _named("user{}", "05_exp09 05_exp10 06_exp11 06_exp12"),
    ),
    "seals": DataSet("seals", "features", 25.0, ("malie*", "maxine*"), ("groucho*", "rocky*")),
    "zebrafish": DataSet(
        "zebrafish", "markers", 30.0,
        ("CTRL_1", "CTRL_2", "PTZ_1", "PTZ_2", "PTZ_3"), ("CTRL_3", "PTZ_4", "PTZ_6"),
    ),
    "gesture": DataSet(
        "gesture", "features", 30.0, ("a*", "b*"), ("c*",), {"sequence_length": 100}
    ),
    "gaze": DataSet(
        "gaze", "markers", 500.0,
        ("dots_TL22*", "dots_UH21*", "dots_UL31*", "img_TL28*", "img_UH27*", "img_UL23*",
         "img_UL47*", "video_UH29*", "video_UL31*", "img_UH33*"),
        ("dots_TH20*", "dots_UH25*", "img_TH34*", "img_UL39*", "video_TL30*"),
        {"sequence_length": 200},
    ),
}  # fmt: skip

#: the settings of a new project that both networks share
SETTINGS: dict[str, Any] = {
    "backbone": "dtcn", "n_hid_layers": 2, "n_hid_units": 32, "n_lags": 4, "lambda_strong": 1,
    "sequence_length": 500, "batch_size": 8, "learning_rate": 1e-3, "trial_splits": "9;1;0;0",
    "min_epochs": 10, "max_epochs": 100, "early_stop_history": 10, "plot_train_curves": False,
}  # fmt: skip


def sessions_of(data: DataSet, data_dir: Path, which: str) -> list[str]:
    """Return the names of the sessions for training, or for the score."""
    there = sorted(path.stem for path in (data_dir / data.input_type).glob("*.csv"))
    patterns = getattr(data, which)
    return [
        name
        for name in there
        if any(name == p or (p[-1] == "*" and name.startswith(p[:-1])) for p in patterns)
    ]


def _hparams(data: DataSet, data_dir: Path, method: str, seed: int) -> dict[str, Any]:
    from daart_fast.cli.project import FEATURES, SMOOTHING
    from daart_fast.config import KINEMATIC, with_defaults

    changes: dict[str, Any] = {}
    if method != "daart":
        changes |= SMOOTHING
        if data.input_type == "markers":
            changes |= {"input_type": KINEMATIC, **FEATURES}
    return with_defaults(
        {
            **SETTINGS, **data.settings, "input_type": data.input_type, "fps": data.fps, **changes,
            "data_dir": str(data_dir), "expt_ids": sessions_of(data, data_dir, "train"),
            "rng_seed_model": seed, "rng_seed_train": seed,
        }
    )  # fmt: skip


def run(job: tuple[str, str, int, Path]) -> dict[str, Any]:
    """Train by a method, and score the test sessions."""
    from daart_fast.data import load_session
    from daart_fast.eval import choose_smoother, score

    name, method, seed, data_dir = job
    data, start = SETS[name], time.perf_counter()
    hparams = _hparams(data, data_dir, method, seed)
    test = [load_session(hparams, one) for one in sessions_of(data, data_dir, "test")]
    labels = {session.id: session.labels_strong for session in test}
    if method == "second coder":
        states = _second_coder(data_dir, labels)
        classes = {one: track.argmax(1) for one, track in states.items()}
        names = test[0].label_names
    else:
        answer = _trees if method == "trees" else _network
        generator, states = answer(hparams, test, seed)
        smoother, names = choose_smoother(hparams, generator, states), generator.label_names
        classes = {one: smoother(track) for one, track in states.items()}
    found = score(
        *([every[one] for one in labels] for every in (labels, states, classes)), names, 0, data.fps
    )
    return {
        "set": name, "method": method, "seed": seed,
        "seconds": time.perf_counter() - start,
        **{key: found[key] for key in ("frames", "macro_f1", "accuracy", "edit", "segment_f1")},
        "f1": {one: own["f1"] for one, own in found["classes"].items()},
    }  # fmt: skip


def _network(hparams: dict[str, Any], test: list[Any], seed: int) -> tuple[Any, dict[str, Any]]:
    from daart_fast.data.from_config import build_data_generator
    from daart_fast.models import Segmenter, predict_session
    from daart_fast.train import Trainer
    from daart_fast.train.callbacks import collect_callbacks

    with tempfile.TemporaryDirectory() as folder:
        hparams["results_dir"] = folder
        generator = build_data_generator(hparams)
        model = Segmenter(hparams)
        trainer = Trainer(**hparams, callbacks=collect_callbacks(hparams))
        trainer.fit(model, generator, save_path=folder)
        model.load_parameters_from_file(str(Path(folder) / "best_val_model.pt"))
    return generator, {session.id: predict_session(model, session) for session in test}


def _trees(hparams: dict[str, Any], test: list[Any], seed: int) -> tuple[Any, dict[str, Any]]:
    from sklearn.ensemble import HistGradientBoostingClassifier

    from daart_fast.data.from_config import build_data_generator

    generator = build_data_generator(hparams)
    widths = [max(3, round(seconds * hparams["fps"]) | 1) for seconds in (0.5, 2.0)]
    inputs, targets = [], []
    for dataset in generator.datasets:
        labels = dataset.session.labels_strong
        scored = labels > 0
        inputs.append(_windowed(dataset.session.normalised_inputs(), widths)[scored])
        targets.append(labels[scored])
    target = np.concatenate(targets)
    counts = np.bincount(target, minlength=len(generator.label_names))
    trees = HistGradientBoostingClassifier(max_iter=200, random_state=seed)
    trees.fit(np.concatenate(inputs), target, sample_weight=counts.max() / counts[target])
    states = {}
    for session in test:
        found = trees.predict_proba(_windowed(session.normalised_inputs(), widths))
        states[session.id] = np.zeros((len(found), len(generator.label_names)), np.float32)
        states[session.id][:, trees.classes_] = found
    return generator, states


def _windowed(values: np.ndarray, widths: list[int]) -> np.ndarray:
    """Return (T, N) values with their mean and spread over each window, centred."""
    from scipy.ndimage import uniform_filter1d

    every = [values]
    for width in widths:
        mean = uniform_filter1d(values, width, axis=0, mode="nearest")
        square = uniform_filter1d(values**2, width, axis=0, mode="nearest")
        every += [mean, np.sqrt(np.maximum(square - mean**2, 0))]
    return np.concatenate(every, 1)


def _second_coder(data_dir: Path, labels: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    from daart_fast.readers.labels import read_labels

    states = {}
    for name, track in labels.items():
        values, names = read_labels(data_dir / "labels-second-coder" / f"{name}.csv")
        states[name] = np.eye(len(names), dtype=np.float32)[np.maximum(values, 0)][: len(track)]
    return states


def jobs_of(options: argparse.Namespace, folders: Mapping[str, Path]) -> list[Any]:
    """List the trainings to run: set, method, seed, and where the data are."""
    jobs = [
        (name, method, seed, folders[name])
        for name in options.sets
        for method in options.methods
        for seed in options.seeds
    ]
    coder = [("gaze", "second coder", 0, folders["gaze"])] if "gaze" in options.sets else []
    return [*jobs, *coder]


def table(rows: list[dict[str, Any]]) -> str:
    """Return a line for each set and method: mean, lowest and highest over the seeds."""
    form = "{:<10} {:<13} {:>21} {:>21} {:>7} {:>7} {:>6} {:>8}"
    lines = [form.format("set", "method", "macro-F1", "F1@0.25", "F1@0.10", "F1@0.50", "edit", "s")]
    for name, method in dict.fromkeys((row["set"], row["method"]) for row in rows):
        own = [row for row in rows if (row["set"], row["method"]) == (name, method)]
        bouts = {k: [row["segment_f1"][k] for row in own] for k in ("0.10", "0.25", "0.50")}
        lines.append(
            form.format(
                name, method, _spread([row["macro_f1"] for row in own]), _spread(bouts["0.25"]),
                *(f"{np.mean(bouts[k]):.3f}" for k in ("0.10", "0.50")),
                f"{np.mean([row['edit'] for row in own]):.3f}",
                f"{np.mean([row['seconds'] for row in own]):.1f}",
            )
        )  # fmt: skip
    return "\n".join(lines)


def _spread(values: list[float]) -> str:
    return f"{np.mean(values):.3f} ({min(values):.3f}-{max(values):.3f})"


def _commit() -> str:
    done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True)
    return done.stdout.strip()


def main() -> None:
    """Run the sets and methods asked for, print the table and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data_folder", type=Path)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    methods = ("daart", "defaults", "trees")
    parser.add_argument("--methods", nargs="+", choices=methods, default=methods)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time")
    parser.add_argument("--json", type=Path, help="also write every training's figures here")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        folders = {
            name: unpacked(options.data_folder, SETS[name].folder, Path(scratch))
            for name in options.sets
        }
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(options.jobs, spawn, initializer=_quiet) as pool:
            for row in pool.map(run, jobs_of(options, folders)):
                rows.append(row)
                print(
                    f"{row['set']}, {row['method']}, seed {row['seed']}: {row['macro_f1']:.3f}",
                    flush=True,
                )
    print(table(rows))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({"commit": _commit(), "rows": rows}, indent=1) + "\n")


def _quiet() -> None:
    """Show no progress; one thread for each training."""
    import sys

    import torch

    torch.set_num_threads(1)
    sys.stderr = open("/dev/null", "w")  # noqa: SIM115 (for as long as the process lives)


if __name__ == "__main__":
    main()
