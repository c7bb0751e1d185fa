"""Macro-F1 on held-out sessions of two real data sets, with the settings daart was measured with.

    python -m benchmarks.accuracy DATA_FOLDER [--rows NAME ...] [--seeds 0 1 2] [--json FILE]

``DATA_FOLDER`` holds ``rat_social`` and ``hapt``, unpacked or as ``.tar.gz``. Each fit runs in a
process of its own, so that its peak memory is its own.

Causal models answer the test sessions frame by frame as well, from the tracks as a tracker gives
them: "online" is the macro-F1 of those answers, "agree" the share of frames whose class is the one
that the whole session's prediction gives.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tarfile
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class DataSet:
    """Sessions to train on, sessions to score, and daart 1.2.0's macro-F1 (mean of 3 seeds)."""

    folder: str
    input_type: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    daart: float


def _ids(pattern: str, *names: str) -> tuple[str, ...]:
    return tuple(pattern.format(name) for name in names)


RAT = DataSet(
    "rat_social",
    "markers",
    _ids("rat_{}", "01", "05", "08", "12", "24", "25", "27", "35"),
    _ids("rat_{}", "36", "40", "43", "46"),
    daart=0.581,
)
HAPT = DataSet(
    "hapt",
    "features",
    _ids("user{}", "01_exp01", "01_exp02", "02_exp03", "02_exp04")
    + _ids("user{}", "03_exp05", "03_exp06", "04_exp07", "04_exp08"),
    _ids("user{}", "05_exp09", "05_exp10", "06_exp11", "06_exp12"),
    daart=0.844,
)

# The settings daart's figures were measured with.
SETTINGS: dict[str, Any] = {
    "backbone": "dtcn",
    "n_hid_layers": 4,
    "n_hid_units": 32,
    "n_lags": 4,
    "sequence_length": 500,
    "batch_size": 8,
    "learning_rate": 1e-3,
    "weight_classes": True,
    "lambda_strong": 1,
    "max_epochs": 60,
    "enable_early_stop": False,
    "trial_splits": "9;1;0;0",
    "plot_train_curves": False,
}


@dataclass(frozen=True)
class Row:
    """One line of the table: a data set, what differs from SETTINGS, what it must reach."""

    name: str
    data: DataSet
    at_least: float | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    by_default: bool = True
    #: changes of each model of an ensemble, whose probabilities are averaged
    members: tuple[dict[str, Any], ...] = ({},)


# Hand labels on two of the eight training sessions; the other six can only help in other ways.
FEW = {"expt_ids_to_keep": ["rat_01", "rat_24"]}
PSEUDO = {"semi_supervised_algo": "pseudo_labels", "lambda_weak": 0.5}
PSEUDO |= {"prob_threshold": 0.9, "anneal_start": 10, "anneal_end": 30}

# Chosen by cross-validation on the eight training sessions (two left out in turn, 40 epochs).
KINEMATIC = {"input_type": "features-kinematic", "fps": 30.0}
# "any order" 0.722, the file's order 0.719 (mean of 3 seeds); with the smoothing 0.735 and 0.727
WITH_LIKELIHOODS = {
    "kinematic_groups": "distances;speeds;likelihoods",
    "kinematic_windows": "1",
}
MEMBERS = (
    WITH_LIKELIHOODS,
    {"kinematic_groups": "distances;speeds", "kinematic_windows": "0.5;2"},
    {
        "kinematic_groups": "distances;speeds;accelerations;angles;egocentric;animals;likelihoods",
        "kinematic_axis": "body;top",
    },
)
ALONE = {**KINEMATIC, **WITH_LIKELIHOODS, "kinematic_any_order": True}
SMOOTH = {"smoothing": "hmm", "smoothing_strength": 0.1}

# What reading only the past costs, doing without the session's own mean and spread, and without
# what comes after a gap: as frames come in, none of them is known.
CAUSAL = {"causal": True}
CAUSAL_TRAIN = {**CAUSAL, "normalization": "train"}
ONLINE = {**CAUSAL_TRAIN, "gaps": "hold"}

ROWS = (
    Row("rat", RAT, at_least=0.57),
    Row("rat, kinematic", RAT, at_least=0.70, changes=ALONE),
    Row("rat, kinematic, smooth", RAT, at_least=0.71, changes={**ALONE, **SMOOTH}),
    Row("rat, ensemble", RAT, at_least=0.70, changes={**KINEMATIC, **SMOOTH}, members=MEMBERS),
    Row("hapt", HAPT, at_least=0.835),
    Row("rat, causal", RAT, changes=CAUSAL, by_default=False),
    Row("rat, causal, train", RAT, changes=CAUSAL_TRAIN, by_default=False),
    Row("rat, online", RAT, changes=ONLINE, by_default=False),
    Row("rat, kinematic, causal", RAT, changes={**ALONE, **CAUSAL_TRAIN}, by_default=False),
    Row("rat, kinematic, online", RAT, changes={**ALONE, **ONLINE}, by_default=False),
    Row("hapt, causal", HAPT, changes=CAUSAL, by_default=False),
    Row("hapt, causal, train", HAPT, changes=CAUSAL_TRAIN, by_default=False),
    Row("rat, 2 labelled", RAT, changes=FEW, by_default=False),
    Row("rat, 2 + prediction", RAT, changes={**FEW, "lambda_pred": 0.5}, by_default=False),
    Row("rat, 2 + pseudo-labels", RAT, changes={**FEW, **PSEUDO}, by_default=False),
)


@dataclass(frozen=True)
class Fit:
    """What one training gave; of causal models what their answers frame by frame are, too."""

    macro_f1: float
    seconds: float
    peak_gb: float
    online_f1: float | None = None
    agreement: float | None = None


def unpacked(data_folder: Path, name: str, scratch: Path) -> Path:
    """Return the folder of a data set, unpacking ``name.tar.gz`` into scratch where it must."""
    if (data_folder / name).is_dir():
        return data_folder / name
    archive = data_folder / f"{name}.tar.gz"
    if not archive.is_file():
        raise SystemExit(f"expected {data_folder / name} or {archive}; found neither")
    with tarfile.open(archive) as tar:
        tar.extractall(scratch, filter="data")
    return scratch / name


def fit(row: Row, seed: int, data_dir: Path, results_dir: Path) -> Fit:
    """Train on the row's training sessions and score the pooled frames of its test sessions."""
    from daart_fast.eval import choose_smoother

    start = time.perf_counter()
    states: dict[str, np.ndarray] = {}
    for number, member in enumerate(row.members):
        hparams = _hparams(row, member, seed, data_dir, results_dir / f"member-{number}")
        data_generator, truth, own, online = _fit_one(hparams, row.data.test)
        for session_id, probabilities in own.items():
            states[session_id] = states.get(session_id, 0) + probabilities / len(row.members)
    seconds = time.perf_counter() - start

    smoother = choose_smoother(hparams, data_generator, states)
    score = _macro_f1(truth, {name: smoother(own) for name, own in states.items()}, hparams)
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    if not online:
        return Fit(score, seconds, peak_gb)
    classes = {name: answers.argmax(1) for name, answers in online.items()}
    same = [classes[name] == states[name].argmax(1) for name in row.data.test]
    agreement = float(np.concatenate(same).mean())
    return Fit(score, seconds, peak_gb, _macro_f1(truth, classes, hparams), agreement)


def _macro_f1(
    truth: dict[str, np.ndarray], classes: dict[str, np.ndarray], hparams: dict[str, Any]
) -> float:
    """Score the classes (T,) of sessions, all their frames together."""
    from daart_fast.eval import macro_f1

    pooled = [np.concatenate([values[name] for name in truth]) for values in (truth, classes)]
    return macro_f1(*pooled, background=hparams["ignore_class"])


def _hparams(
    row: Row, member: dict[str, Any], seed: int, data_dir: Path, results_dir: Path
) -> dict[str, Any]:
    from daart_fast.config import with_defaults

    return with_defaults(
        {
            **SETTINGS,
            "input_type": row.data.input_type,
            **row.changes,
            **member,
            "data_dir": str(data_dir),
            "expt_ids": list(row.data.train),
            "results_dir": str(results_dir),
            "rng_seed_model": seed,
            "rng_seed_train": seed,
        }
    )


def _fit_one(
    hparams: dict[str, Any], test: tuple[str, ...]
) -> tuple[Any, dict[str, np.ndarray], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Train one model; return its training data, and the test sessions' labels and states.

    The last is the states of a causal model as it answers frame by frame.
    """
    from daart_fast.data import load_session
    from daart_fast.data.from_config import build_data_generator
    from daart_fast.models import Segmenter, predict_session
    from daart_fast.train import Trainer
    from daart_fast.train.callbacks import collect_callbacks

    folder = Path(hparams["results_dir"])
    folder.mkdir(parents=True, exist_ok=True)
    data_generator = build_data_generator(hparams)
    model = Segmenter(hparams)
    trainer = Trainer(**hparams, callbacks=collect_callbacks(hparams))
    trainer.fit(model, data_generator, save_path=str(folder))
    model.load_parameters_from_file(str(folder / "best_val_model.pt"))
    labels, states, online = {}, {}, {}
    for session_id in test:
        session = load_session(hparams, session_id)
        if hparams["normalization"] == "train":
            session = session.normalised_by(
                np.array(hparams["input_mean"]), np.array(hparams["input_std"])
            )
        labels[session_id] = session.labels_strong
        states[session_id] = predict_session(model, session)
        if hparams["causal"]:
            online[session_id] = _frame_by_frame(model, hparams, session)
            difference = np.abs(online[session_id] - states[session_id]).max()
            if hparams["gaps"] == "hold" and difference > 1e-4:
                raise SystemExit(
                    f"{session.id}: frame by frame, probabilities differ by {difference:.1e}"
                )
    return data_generator, labels, states, online


def _frame_by_frame(model: Any, hparams: dict[str, Any], session: Any) -> np.ndarray:
    """Answer a session as its frames come, (T, C); of tracked points as a tracker gives them."""
    from daart_fast.api import Model
    from daart_fast.data.sessions import signal_paths
    from daart_fast.online import OnlineSegmenter
    from daart_fast.readers.inputs import read_markers

    arguments: dict[str, Any] = {}
    frames = session.inputs
    if hparams["input_type"] != "features":
        markers = read_markers(signal_paths(hparams, session.id)["markers"])
        frames = np.stack([markers.xs, markers.ys, markers.likelihoods], axis=2)
        arguments = {"layout": "pose", "keypoints": markers.names}
    stats = (session.mean, session.std)
    online = OnlineSegmenter(Model(model.eval(), hparams), stats=stats, **arguments)
    return online.run(frames)


def run_row(row: Row, seeds: list[int], data_folder: Path) -> list[Fit]:
    """Fit the row once for each seed, each in a fresh process."""
    spawn = multiprocessing.get_context("spawn")
    fits = []
    with tempfile.TemporaryDirectory() as scratch:
        data_dir = unpacked(data_folder, row.data.folder, Path(scratch))
        for seed in seeds:
            results_dir = Path(scratch) / f"seed-{seed}"
            results_dir.mkdir()
            with ProcessPoolExecutor(1, mp_context=spawn) as pool:
                fits.append(pool.submit(fit, row, seed, data_dir, results_dir).result())
    return fits


def _mean(values: list[float | None], form: str) -> str:
    known = [value for value in values if value is not None]
    return form.format(np.mean(known)) if known else "-"


def main() -> None:
    """Run the rows asked for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data_folder", type=Path)
    parser.add_argument("--rows", nargs="+", choices=[row.name for row in ROWS])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--json", type=Path, help="also write the figures here")
    args = parser.parse_args()

    header = ("row", "macro-F1", "by seed", "at least", "daart", "minutes a fit", "peak GB")
    header += ("online", "agree")
    line = "{:<24} {:>8} {:<22} {:>8} {:>7} {:>13} {:>8} {:>7} {:>6}"
    print(line.format(*header), flush=True)
    figures, failed = {}, False
    for row in ROWS:
        if row.name not in args.rows if args.rows else not row.by_default:
            continue
        fits = run_row(row, args.seeds, args.data_folder)
        mean = float(np.mean([one.macro_f1 for one in fits]))
        failed |= row.at_least is not None and mean < row.at_least
        figures[row.name] = {"mean": mean, "fits": [vars(one) for one in fits]}
        print(
            line.format(
                row.name,
                f"{mean:.3f}",
                " ".join(f"{one.macro_f1:.3f}" for one in fits),
                "-" if row.at_least is None else f"{row.at_least:.3f}",
                f"{row.data.daart:.3f}" if row.at_least is not None else "-",
                f"{np.mean([one.seconds for one in fits]) / 60:.1f}",
                f"{max(one.peak_gb for one in fits):.2f}",
                _mean([one.online_f1 for one in fits], "{:.3f}"),
                _mean([one.agreement for one in fits], "{:.1%}"),
            ),
            flush=True,
        )
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1))
    if failed:
        raise SystemExit("a row is below its bar")


if __name__ == "__main__":
    main()
