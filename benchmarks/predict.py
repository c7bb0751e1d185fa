"""Prediction of a session in memory, against the FMA peak and against eager PyTorch.

    python -m benchmarks.predict [--frames 1000000] [--threads 1 2] [--json FILE]

A trained-size model of daart's default settings: 16 channels, 2 layers of 32 units, 6 classes.
``value`` is the fraction of the FMA peak measured in the same run, counting the multiply-adds of
the direct method. PyTorch's side is the same model written plainly, run over the whole session in
one pass. ``extra MB`` is what the process grew by beyond the answer itself while it predicted.
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks import machine
from benchmarks.train_step import CLASSES, INPUTS, LAGS, WIDTH, Case, EagerModel
from daart_fast.data.sessions import Session
from daart_fast.data.sessions import statistics as channel_statistics
from daart_fast.models import Segmenter, predict_session

COLUMNS = {"frames": 9, "threads": 8, "M frames/s": 10, "value": 6, "bar": 5, "PyTorch": 8}
COLUMNS |= {"ratio": 6, "extra MB": 9, "apart, ns": 9}
CASE = Case("", 1, 500, 32, 2, ("strong",), (0, 0), 0)
MULTIPLY_ADDS = WIDTH * sum(i * o for i, o, _, _ in CASE.widths(decoder=False))  # a frame


def own_model() -> Segmenter:
    return Segmenter(
        {
            "backbone": "dtcn",
            "input_size": INPUTS,
            "output_size": CLASSES,
            "n_hid_layers": CASE.layers,
            "n_hid_units": CASE.units,
            "n_lags": LAGS,
            "activation": "lrelu",
            "dropout": 0.1,
            "sequence_length": CASE.length,
            "sequence_pad": CASE.pad,
            "lambda_strong": 1.0,
        }
    )


def session_of(n_frames: int) -> Session:
    values = np.random.default_rng(0).standard_normal((n_frames, INPUTS), dtype=np.float32)
    names = [f"channel{i}" for i in range(INPUTS)]
    return Session("s", values, names, **channel_statistics(values))


def eager_prediction(session: Session) -> Callable[[], Any]:
    model = EagerModel(CASE).eval()

    def predict() -> Any:
        with torch.inference_mode():
            x = torch.from_numpy(session.normalised_inputs())[None]
            return torch.softmax(model(x)[0], -1)[0].numpy()

    return predict


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def measure(session: Session, n_threads: int, rounds: int) -> machine.Row:
    model = own_model()
    apart = machine.round_trip(n_threads)
    peak = machine.fma_peak(n_threads)
    predict_session(model, session)
    before = peak_mb()
    answer = predict_session(model, session)
    extra = peak_mb() - before - answer.nbytes / 1e6
    eager = eager_prediction(session)
    ours, theirs = [], []
    for _ in range(rounds):
        for side, seen in ((lambda: predict_session(model, session), ours), (eager, theirs)):
            start = time.perf_counter()
            side()
            seen.append(time.perf_counter() - start)
        peak = max(peak, machine.fma_peak(n_threads))
    own, other = statistics.median(ours), statistics.median(theirs)
    return {
        "frames": len(session),
        "threads": n_threads,
        "M frames/s": len(session) / own / 1e6,
        "value": MULTIPLY_ADDS * len(session) / own / peak,
        "bar": 1.2,
        "PyTorch": len(session) / other / 1e6,
        "ratio": other / own,
        "extra MB": max(extra, 0.0),
        "apart, ns": apart,
    }


def main() -> None:
    parser = machine.arguments(__doc__)
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    table = machine.Table(COLUMNS)
    table.head("a session in memory, normalised on the way, to probabilities")
    session = session_of(options.frames)
    for n_threads in options.threads:
        with machine.threads(n_threads):
            table.add(measure(session, n_threads, options.rounds))
    table.finish(options.json)


if __name__ == "__main__":
    main()
