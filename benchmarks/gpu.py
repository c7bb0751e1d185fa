"""Everything on one GPU: are the results right, and what do training and prediction take.

    python -m benchmarks.gpu [--minutes 8] [--json FILE]

First a table of errors against float64 on the CPU, in each kind of numbers; if one is too large,
the exit code is 1. Then training steps, in TF32, PyTorch's default for convolutions, and in float32
proper: ``graph`` is what the trainer does, with the gather of random windows from sessions that
live on the device; ``launched`` is the same without a CUDA graph, ``eager`` the same model in plain
PyTorch, on a batch that is ready, with its fused Adam; ``reduce`` and ``autotune`` are that model
and its loss under torch.compile in mode reduce-overhead and max-autotune. Microseconds are medians
by CUDA events, the sides taking turns. ``calls`` and ``kernels`` are what a step of ``graph`` and
of ``eager`` starts. ``floor`` is the time that the bytes and multiply-adds of a step take at the
rates measured in the same run. Then an epoch, validation included, and prediction.

Where the time is up, compiled sides that are left are not measured. Without a CUDA device the exit
code is 2.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import cuda, machine
from benchmarks.epoch import TimedTrainer
from benchmarks.loader import generator_for, write_sessions
from benchmarks.predict import MULTIPLY_ADDS, session_of
from benchmarks.predict import own_model as prediction_model
from benchmarks.train_step import (
    CASES,
    CLASSES,
    DROPOUT,
    INPUTS,
    WIDTH,
    Case,
    eager_step,
    make_batch,
    own_model,
    own_step,
)
from daart_fast import ops
from daart_fast.data.batches import Batch, Make
from daart_fast.data.device import Windows
from daart_fast.errors import ConfigError
from daart_fast.models import Segmenter, predict_session
from daart_fast.train.graph import CudaRecorder, GraphStep, graph_step

ERROR_COLUMNS = {"what": 30, "numbers": 9, "error": 9, "most": 9, "right": 6}
STEP_COLUMNS = {"case": 18, "numbers": 8, "graph": 8, "launched": 9, "eager": 8, "reduce": 8}
STEP_COLUMNS |= {"autotune": 9, "floor": 7, "calls": 6, "kernels": 8, "eager calls": 12}
STEP_COLUMNS |= {"target": 7}
RATE_COLUMNS = {"what": 44, "ms": 9, "target": 7, "M frames/s": 11}

WIDE = Case("large, hand labels", 32, 1000, 64, 4, ("strong",), (0, 0), 0)
#: microseconds, on an H200, by case and kind of numbers
TARGETS = {("daart's default", "tf32"): 120, (WIDE.name, "tf32"): 500}
#: relative, of values and of gradients, which are sums over all frames
ERRORS = {"ieee": (1e-6, 3e-5), "tf32": (1e-3, 1e-2), "bfloat16": (1e-2, 5e-2)}
SESSION_FRAMES = 95_000
BLOCKS = ((2, 548, 32), (8, 1240, 64))  # batch, frames, channels
PREDICTED_FRAMES, HOST_FRAMES = 10_000_000, 1_000_000
EPOCHS = 12
CHUNK = 262_144  # frames predicted at a time


# ---------------------------------------------------------------------------- right numbers


def block_arguments(batch: int, frames: int, channels: int) -> list[Tensor]:
    """x and the parameters of a block of usual numbers, float64, with dropout's masks."""
    draw = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw, dtype=torch.float64)

    weights = (normal(channels, channels, WIDTH), normal(channels, 1, 1), normal(channels))
    masks = [(normal(batch, channels) < 1).double() / (1 - DROPOUT) for _ in range(2)]
    return [normal(batch, frames, channels), *weights, *(w.flip(0) for w in weights), *masks]


def block_and_gradients(arguments: list[Tensor], dilation: int) -> list[Tensor]:
    *leaves, mask0, mask1 = [a.detach() for a in arguments]
    leaves = [leaf.requires_grad_() for leaf in leaves]
    y = ops.dilation_block(*leaves, None, None, mask0, mask1, dilation, "same", "tanh")
    upstream = torch.linspace(-1, 1, y.numel(), dtype=torch.float64).view(y.shape).to(y)
    return [y.detach(), *torch.autograd.grad(y, leaves, upstream)]


def check_block(table: machine.Table, device: torch.device, sizes: tuple[int, int, int]) -> None:
    exact = block_arguments(*sizes)
    for kind, (most, most_of_gradients) in ERRORS.items():
        dtype = torch.bfloat16 if kind == "bfloat16" else torch.float32
        given = [a.to(device, dtype) for a in exact]
        with cuda.convolutions_in("tf32" if kind == "tf32" else "ieee"):
            found = block_and_gradients(given, 2)
        with ops.forced("torch"):
            expected = block_and_gradients([g.cpu().double() for g in given], 2)
        errors = [cuda.relative_error(f, e) for f, e in zip(found, expected, strict=True)]
        what = "block {}x{}x{}".format(*sizes)
        add_error(table, what, kind, errors[0], most)
        add_error(table, f"{what}, gradients", kind, max(errors[1:]), most_of_gradients)


def check_losses(table: machine.Table, device: torch.device, case: Case) -> None:
    """The terms and gradients of a whole step without dropout, against float64 on the CPU.

    The activation is smooth: rounding that moves a number across lrelu's kink changes gradients by
    more than wrong kernels would.
    """
    results = []
    for where, dtype in ((torch.device("cpu"), torch.float64), (device, torch.float32)):
        model = own_model(case, "tanh").eval().to(where, dtype)
        batch = {
            name: x.to(where, dtype if x.is_floating_point() else x.dtype)
            for name, x in make_batch(case).items()
        }
        with nullcontext() if where.type == "cuda" else ops.forced(""):
            terms = model.losses_and_gradients(batch)
        gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        results.append((torch.stack(list(terms.values())).detach(), gradient))
    for what, expected, found in zip(("terms", "gradient"), *results, strict=True):
        name = f"{case.name}: {what}"
        add_error(table, name, "ieee", cuda.relative_error(found, expected), 1e-4)


def check_graph(table: machine.Table, device: torch.device, case: Case) -> None:
    """How far steps that are replayed move the weights, against the same ones launched."""

    def weights_of(model: Segmenter) -> Tensor:
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    start, moves = weights_of(own_model(case).to(device)), []
    for recorded in (False, True):
        torch.manual_seed(0)
        step, graph = training(case, device)
        if not recorded:
            graph.why_launched = "so that each is launched"
        for _ in range(20):
            step()
        if recorded and graph.why_launched:
            print(f"not replayed: {graph.why_launched}")
        moves.append(weights_of(graph.model) - start)
    error = cuda.relative_error(moves[1], moves[0]) if graph.n_recorded == 1 else math.inf
    add_error(table, f"{case.name}: 20 steps replayed", "tf32", error, 5e-2)


def add_error(table: machine.Table, what: str, kind: str, error: float, most: float) -> None:
    table.add(
        {
            "what": what,
            "numbers": kind,
            "error": f"{error:.1e}",
            "most": f"{most:.0e}",
            "right": "yes" if error <= most else "NO",
            "value": most / max(error, 1e-300),
            "bar": 1.0,
        }
    )


# ---------------------------------------------------------------------------- training steps


class RandomWindows:
    """Stands for a DataGenerator whose sessions live on the device: windows of noise."""

    def __init__(self, case: Case, device: torch.device) -> None:
        self.batch, n = case.batch, SESSION_FRAMES
        draw = torch.Generator().manual_seed(0)
        strong = torch.randint(0, CLASSES, (n,), generator=draw)
        signals: Batch = {
            "markers": torch.randn(n, INPUTS, generator=draw),
            "frame_mask": torch.ones(n, dtype=torch.bool),
            "labels_strong": strong * (torch.rand(n, generator=draw) < 0.5),
        }
        if "weak" in case.losses:
            signals["labels_weak"] = torch.randint(0, CLASSES, (n,), generator=draw)
        self.windows = Windows({k: v.to(device) for k, v in signals.items()}, case.frames)
        firsts = torch.randint(0, n - case.frames, (1000, case.batch, 2), generator=draw)
        self.rounds = firsts.to(device)
        self.turn = 0

    def next_inputs(self, dtype: str) -> tuple[Make, Batch, list[int]]:
        self.turn = (self.turn + 1) % len(self.rounds)
        return self.windows, {"windows": self.rounds[self.turn]}, []


def training(case: Case, device: torch.device) -> tuple[cuda.Side, GraphStep]:
    """What takes the trainer's next step, and what it is made of."""
    model = own_model(case).to(device)
    optimizer = ops.Adam(model.get_parameters(), 1e-4, 0.0)

    def train(batch: Any) -> Any:
        terms = model.losses_and_gradients(batch)
        optimizer.step()
        optimizer.zero_grad()
        return terms

    generator = RandomWindows(case, device)
    graph = GraphStep(model, optimizer, generator, train, CudaRecorder(device))
    sums: list[Tensor | None] = [None]

    def step() -> None:
        _, sums[0] = graph(sums[0])

    return step, graph


def step_bytes(case: Case) -> float:
    """Bytes that a step cannot but move, each block being one pass forward and one backward.

    Forward a block reads its input and writes what it makes (hidden, inner, result); backward
    reads these and the gradient of the result, and writes that of the input. Adam reads five
    numbers of each parameter and writes four; the gradient is written once.
    """
    widths = case.widths(False) + (case.widths(True) if "pred" in case.losses else [])
    channels = sum(
        3 * first[0] + 2 * first[1] + 5 * second[1]
        for first, second in zip(widths[::2], widths[1::2], strict=True)
    )
    n_parameters = sum(p.numel() for p in own_model(case).parameters())
    return 4.0 * (case.batch * case.frames * channels + 10 * n_parameters)


def compiled_step(case: Case, batch: Batch, mode: str) -> cuda.Side:
    """PyTorch's side, its forward and backward pass compiled."""
    torch._dynamo.reset()
    step = eager_step(case, batch, partial(torch.compile, mode=mode), fused=True)

    def marked() -> None:
        torch.compiler.cudagraph_mark_step_begin()
        step()

    for _ in range(5):
        marked()
    return marked


def measure_steps(
    table: machine.Table, device: torch.device, case: Case, kind: str, rates: cuda.Limits
) -> machine.Row:
    batch = {name: x.to(device) for name, x in make_batch(case).items()}
    graph, parts = training(case, device)
    for _ in range(5):
        graph()
    sides = [graph, own_step(case, batch), eager_step(case, batch, fused=True)]
    own, launched, eager = cuda.medians(sides, 1.5)
    calls, kernels = cuda.launches(graph)
    row: machine.Row = {
        "case": case.name,
        "numbers": kind,
        "graph": own * 1e6,
        "launched": launched * 1e6,
        "eager": eager * 1e6,
        "floor": rates.floor(step_bytes(case), case.multiply_adds, kind) * 1e6,
        "calls": calls,
        "kernels": kernels,
        "eager calls": cuda.launches(sides[2])[0],
        "why launched": parts.why_launched,
    }
    return row


def measure_compiled(case: Case, device: torch.device, row: machine.Row, end: float) -> None:
    """Fill in what torch.compile comes to, while time lasts; what it cannot do is reported."""
    batch = {name: x.to(device) for name, x in make_batch(case).items()}
    for name, mode in (("reduce", "reduce-overhead"), ("autotune", "max-autotune")):
        if time.perf_counter() > end:
            print(f"torch.compile, {mode}: not measured, as the time is up")
            continue
        try:
            (seconds,) = cuda.medians([compiled_step(case, batch, mode)], 1.0)
            row[name] = seconds * 1e6
        except Exception as error:  # no compiler, no Triton: the rest can be measured all the same
            print(f"torch.compile, {mode}: {type(error).__name__}: {str(error).splitlines()[0]}")


def steps(table: machine.Table, device: torch.device, end: float) -> None:
    rates = cuda.limits(device)
    tflops = {kind: 2e-12 * rate for kind, rate in rates.multiply_adds.items()}
    table.about |= {"TB/s": rates.bytes / 1e12, "TFLOP/s": tflops}
    print(
        f"\nmeasured: {rates.bytes / 1e12:.2f} TB/s; products of matrices "
        f"{tflops['tf32']:.0f} TFLOP/s in TF32, {tflops['ieee']:.0f} in float32 proper"
    )
    table.head("one training step, microseconds", STEP_COLUMNS)
    for case in (CASES[0], WIDE, *CASES[1:]):  # those with targets first, while time lasts
        for kind in ("tf32", "ieee"):
            with cuda.convolutions_in(kind):
                row = measure_steps(table, device, case, kind, rates)
                if kind == "tf32":
                    measure_compiled(case, device, row, end)
            target = TARGETS.get((case.name, kind))
            if target:
                row |= {"target": target, "value": target / row["graph"], "bar": 1.0}
            table.add(row)


# ---------------------------------------------------------------------------- epoch, prediction


def epoch_seconds(device: torch.device) -> tuple[float, GraphStep | None]:
    """The median of epochs over 95,000 frames in batches of 8, validation included."""
    with tempfile.TemporaryDirectory() as scratch:
        write_sessions(Path(scratch))
        generator, hparams = generator_for(Path(scratch), 8)
        generator.device = str(device)
        trainer = TimedTrainer(**hparams)
        model = Segmenter(hparams).to(device)
        trainer.prepare(model, generator)
        trainer.graph = graph_step(model, trainer.optimizer, generator, trainer.step)
        seen = []
        for _ in range(EPOCHS):
            start = time.perf_counter()
            trainer.epoch()
            torch.cuda.synchronize()
            seen.append(time.perf_counter() - start)
    return statistics.median(seen[EPOCHS // 2 :]), trainer.graph  # by then all are recorded


@torch.inference_mode()
def predict_resident(model: Segmenter, frames: Tensor, out: Tensor) -> None:
    """Answer normalised frames (T, N) of the device into out (T, C), in chunks that overlap."""
    context = model.model["encoder"].context
    assert isinstance(context, tuple)
    before, after = context
    for first in range(0, len(frames), CHUNK):
        last = min(first + CHUNK, len(frames))
        low, high = max(first - before, 0), min(last + after, len(frames))
        scores, _, _ = model.classify(frames[None, low:high])
        out[first:last] = model.probabilities(scores[0, first - low : last - low])


def rates(table: machine.Table, device: torch.device) -> None:
    table.head("an epoch and prediction", RATE_COLUMNS)

    def add(what: str, seconds: float, n_frames: int, target_ms: float | None) -> None:
        row = {"what": what, "ms": seconds * 1e3, "target": target_ms}
        row["M frames/s"] = n_frames / seconds / 1e6
        if target_ms:
            row |= {"value": target_ms / row["ms"], "bar": 1.0}
        table.add(row)

    seconds, graph = epoch_seconds(device)
    if graph is not None and graph.why_launched:
        print(f"not replayed: {graph.why_launched}")
    add("an epoch over 95,000 frames, batches of 8", seconds, SESSION_FRAMES, 20.0)

    model = prediction_model().to(device).eval()
    frames = torch.randn(PREDICTED_FRAMES, INPUTS, device=device)
    out = torch.empty(PREDICTED_FRAMES, CLASSES, device=device)
    (seconds,) = cuda.medians([partial(predict_resident, model, frames, out)], 1.0)
    add("prediction, frames on the device", seconds, PREDICTED_FRAMES, 100.0)
    tera = 2e-12 * MULTIPLY_ADDS * PREDICTED_FRAMES / seconds
    print(f"    that is {tera:.1f} TFLOP/s of the direct method")

    session = session_of(HOST_FRAMES)
    predict_session(model, session)
    start = time.perf_counter()
    predict_session(model, session)
    add("prediction, from the host and back", time.perf_counter() - start, len(session), None)


# ---------------------------------------------------------------------------- all


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=8.0, help="how long all may take")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    return parser.parse_args()


def run(
    device: torch.device, end: float, path: Path | None = None, backend: str = "cuda"
) -> tuple[machine.Table, list[str]]:
    """Run all sections with a backend forced; a section that fails does not stop the next.

    Returns
    -------
    table : machine.Table
        what was measured, which is written to ``path`` after each row
    failed : list of str
        the sections that raised, with the error
    """
    table = machine.Table(ERROR_COLUMNS, cuda.about(device), path)
    table.head("errors, relative, against float64 on the CPU")
    failed: list[str] = []

    def section(what: str, measure: Callable[..., None], *arguments: Any) -> None:
        try:
            measure(table, device, *arguments)
        except Exception as error:
            failed.append(f"{what}: {type(error).__name__}: {error}")
            print(f"{failed[-1]}\n{traceback.format_exc()}", flush=True)
            table.about["failed"] = failed
            with suppress(Exception):  # after an error that stays, nothing works on the device
                torch.cuda.empty_cache()

    with ops.forced(backend):  # what the kernels refuse is an error here, and not PyTorch's result
        for sizes in BLOCKS:
            section("block {}x{}x{}".format(*sizes), check_block, sizes)
        with cuda.convolutions_in("ieee"):
            for case in CASES[:2]:
                section(f"losses of {case.name}", check_losses, case)
        section("replayed steps", check_graph, CASES[0])
        section("training steps", steps, end)
        section("epoch and prediction", rates)
    return table, failed


def main() -> None:
    options = arguments()
    if not torch.cuda.is_available():
        print(f"no CUDA device: torch {torch.__version__} sees none; nothing is measured")
        sys.exit(2)
    end = time.perf_counter() + 60 * options.minutes - 150  # the rest takes so long at most
    try:
        table, failed = run(torch.device("cuda", torch.cuda.current_device()), end, options.json)
    except ConfigError as error:
        print(f"the kernels do not run, so nothing is measured: {error}\n{ops.report()}")
        sys.exit(1)
    table.finish(options.json)
    wrong = [row["what"] for row in table.rows if row.get("right") == "NO"]
    launched = [row["why launched"] for row in table.rows if row.get("why launched")]
    if wrong or failed or launched:
        print(
            f"verdict: {len(wrong)} results are wrong, {len(failed)} sections failed, "
            f"{len(launched)} timings are of steps that were not replayed as a graph"
        )
        print("\n".join([*wrong, *failed, *launched]))
        sys.exit(1)
    print("verdict: all results are right, every section ran, and steps were replayed")


if __name__ == "__main__":
    main()
