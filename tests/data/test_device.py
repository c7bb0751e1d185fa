"""Batches on a device hold what the host gathers, bit for bit, whatever overtakes what."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from daart_fast.data import DataGenerator, device
from daart_fast.data.batches import HostBatches
from daart_fast.data.dataset import SIGNALS
from daart_fast.data.device import ResidentSessions, StreamedBatches, batches_on
from daart_fast.data.transforms import ZScore

CLASSES = ("background", "rest", "walk")
CPU = torch.device("cpu")
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)]


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., DataGenerator]:
    """A function that writes sessions drawn at random, and returns a generator over them."""

    def write_table(folder: str, name: str, columns: tuple[str, ...], values: np.ndarray) -> Path:
        path = tmp_path / folder / f"{name}.csv"
        path.parent.mkdir(exist_ok=True)
        rows = [f"{i}," + ",".join(map(str, row)) for i, row in enumerate(values.tolist())]
        path.write_text("\n".join([",".join(["", *columns]), *rows]) + "\n")
        return path

    def make(seed: int, **settings: Any) -> DataGenerator:
        draw = np.random.default_rng(seed)
        multibinary = settings.get("classifier_type") == "multibinary"
        ids, paths = [f"s{i}" for i in range(draw.integers(1, 4))], []
        n_channels = int(draw.integers(1, 6))
        for name in ids:
            n = int(draw.integers(1, 120))
            own: list[Path | None] = [
                write_table(
                    "features",
                    name,
                    tuple(f"f{i}" for i in range(n_channels)),
                    draw.normal(50.0, 9.0, (n, n_channels)),
                )
            ]
            for folder in ("labels-hand", "labels-heuristic"):
                shown = np.eye(3, dtype=int)[draw.integers(0, 3, n)]
                if multibinary:
                    shown = draw.integers(0, 2, (n, 3))
                there = draw.random() < 0.7
                own.append(write_table(folder, name, CLASSES, shown) if there else None)
            tasks = draw.normal(size=(n, 2))
            own.append(
                write_table("tasks", name, ("a", "b"), tasks) if draw.random() < 0.5 else None
            )
            paths.append(own)
        return DataGenerator(
            ids,
            [SIGNALS] * len(ids),
            [[ZScore(), None, None, None]] * len(ids),
            paths,
            **{
                "rng_seed": seed,
                "sequence_length": int(draw.integers(1, 15)),
                "sequence_pad": int(draw.integers(0, 9)),
                "batch_size": int(draw.integers(1, 5)),
                "trial_splits": "2;1;1;0",
                "causal": bool(draw.integers(0, 2)),
                "normalization": str(draw.choice(["session", "train"])),
                **settings,
            },
        )

    return make


def pseudo_labels(
    generator: DataGenerator, session: int, seed: int, kind: str = "multiclass"
) -> np.ndarray:
    draw = np.random.default_rng(seed)
    n = len(generator.datasets[session].session)
    if kind == "multibinary":
        return draw.choice([0.0, 1.0, np.nan], (n, 3)).astype(np.float32)
    return draw.choice([-100, 0, 1, 2], n)


def batches(generator: DataGenerator, source: Any, dtype: str, n: int) -> Iterator[dict]:
    """Copies of the next n batches as a source makes them."""
    generator.source = source
    for _ in range(n):
        batch, _ = generator.next_batch(dtype)
        yield {name: values.detach().clone().cpu() for name, values in batch.items()}


def assert_same(found: dict, expected: dict) -> None:
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].dtype == values.dtype, name
        # NaN stands for what is missing
        assert np.array_equal(
            found[name].numpy(), values.numpy(), equal_nan=values.is_floating_point()
        ), name


def sources(generator: DataGenerator, where: str) -> tuple[HostBatches, list[Any]]:
    parts = (generator.datasets, generator.batch_sizes)
    target = torch.device(where)
    return HostBatches(*parts, pin=False), [
        ResidentSessions(generator.datasets, target),
        StreamedBatches(*parts, target),
    ]


# ------------------------------------------------------------------------------ equal values


@pytest.mark.slow
@pytest.mark.parametrize("where", DEVICES)
@pytest.mark.parametrize("kind", ["multiclass", "multibinary"])
@pytest.mark.parametrize("seed", range(25))
def test_batches_are_those_of_the_compiled_gather(project, monkeypatch, seed, kind, where):
    monkeypatch.setattr(device, "UPLOAD_FRAMES", 1 + seed)  # sessions go up in several parts
    generator = project(seed, classifier_type=kind)
    host, others = sources(generator, where)
    for dtype in ("train", "val", "train", "test"):
        if generator.n_tot_batches[dtype] == 0:
            continue
        n = 2 * generator.n_tot_batches[dtype] + 1  # partial ones, and another order
        state = generator.state_dict()
        expected = list(batches(generator, host, dtype, n))
        for source in others:
            generator.load_state_dict(state)
            for found, right in zip(batches(generator, source, dtype, n), expected, strict=True):
                assert_same(found, right)


@pytest.mark.parametrize("where", DEVICES)
@pytest.mark.parametrize("kind", ["multiclass", "multibinary"])
@pytest.mark.parametrize("seed", range(10))
def test_pseudo_labels_are_shown_in_training_alone_and_as_they_are_now(project, seed, kind, where):
    generator = project(seed, classifier_type=kind)
    before = 0
    if seed % 2:  # some come before the sessions are uploaded, as when a training goes on
        generator.set_pseudo_labels(0, pseudo_labels(generator, 0, seed, kind))
        before = 1
    host, others = sources(generator, where)
    for step in range(before, 4):
        session = step % len(generator.datasets)
        if step:
            labels = pseudo_labels(generator, session, 10 * seed + step, kind)
            for source in (host, *others):
                generator.source = source
                generator.set_pseudo_labels(session, labels)
        for dtype in ("train", "val"):
            n = generator.n_tot_batches[dtype]
            state = generator.state_dict()
            expected = list(batches(generator, host, dtype, n))
            for source in others:
                generator.load_state_dict(state)
                for found, right in zip(
                    batches(generator, source, dtype, n), expected, strict=True
                ):
                    assert_same(found, right)


def test_the_way_to_make_a_batch_changes_only_when_its_signals_do(project):
    generator = project(3)
    generator.source = source = ResidentSessions(generator.datasets, CPU)
    first = generator.next_inputs("train")[0]
    assert generator.next_inputs("train")[0] is first
    labels = [pseudo_labels(generator, 0, seed) for seed in range(3)]
    generator.set_pseudo_labels(0, labels[0])
    second = generator.next_inputs("train")[0]
    assert second is not first
    generator.set_pseudo_labels(0, labels[1])
    assert generator.next_inputs("train")[0] is second
    assert source is generator.source


def test_sessions_uploaded_while_nothing_is_trained_can_be_trained_on(project):
    generator = project(1)
    with torch.inference_mode():
        generator.source = ResidentSessions(generator.datasets, CPU)
        generator.next_batch("train")
    batch, _ = generator.next_batch("train")
    weight = torch.ones(batch["markers"].shape[-1], 1, requires_grad=True)
    (batch["markers"] @ weight).sum().backward()
    generator.set_pseudo_labels(0, pseudo_labels(generator, 0, 0))
    assert weight.grad is not None


# ------------------------------------------------------------------------------ what fits


@pytest.mark.parametrize(("free", "kind"), [(10**9, ResidentSessions), (0, StreamedBatches)])
def test_sessions_that_fit_are_uploaded_and_others_streamed(
    project, monkeypatch, caplog, free, kind
):
    generator = project(0)
    monkeypatch.setattr(device, "free_memory", lambda where: free)
    with caplog.at_level("INFO"):
        source = batches_on(CPU, generator.datasets, generator.batch_sizes)
    assert isinstance(source, kind)
    assert ("streamed from the host" in caplog.text) == (free == 0)


def test_the_memory_that_sessions_need_is_what_they_take(project):
    for seed in range(5):
        generator = project(seed)
        for i in range(len(generator.datasets)):
            generator.set_pseudo_labels(i, pseudo_labels(generator, i, seed))
        resident = ResidentSessions(generator.datasets, CPU)
        signals = {**resident._signals, **resident._pseudo}
        taken = sum(values.nbytes for values in signals.values())
        assert taken == device.bytes_needed(generator.datasets)


def test_where_memory_runs_out_after_all_batches_are_streamed(project, monkeypatch):
    generator = project(0)
    monkeypatch.setattr(device, "free_memory", lambda where: 10**9)
    monkeypatch.setattr(torch.cpu, "empty_cache", lambda: None, raising=False)

    def full(*arguments: Any, **named: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(ResidentSessions, "_uploaded", full)
    source = batches_on(CPU, generator.datasets, generator.batch_sizes)
    assert isinstance(source, StreamedBatches)


# ------------------------------------------------------------------------------ what overtakes


class _Event:
    def __init__(self) -> None:
        self.recorded = self.happened = 0

    def record(self, stream: _Stream) -> None:
        self.recorded += 1
        number = self.recorded
        stream.push(lambda: setattr(self, "happened", number))

    def synchronize(self) -> None:
        self.device.run_until(self, self.recorded)  # type: ignore[attr-defined]


class _Stream:
    def __init__(self, *_: Any) -> None:
        self.work: list[tuple[Callable[[], bool], Callable[[], Any]]] = []

    def push(self, work: Callable[[], Any], ready: Callable[[], bool] = lambda: True) -> None:
        self.work.append((ready, work))

    def wait_event(self, event: _Event) -> None:
        number = event.recorded
        self.push(lambda: None, lambda: event.happened >= number)


class _Deferring(TorchDispatchMode):
    def __init__(self, stream: _Stream) -> None:
        super().__init__()
        self.stream = stream

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert func is torch.ops.aten.copy_.default
        self.stream.push(lambda: func(*args, **(kwargs or {})))
        return args[0]


class LazyDevice:
    """Has torch.cuda's streams and events; works only when the host waits, in any order allowed."""

    Stream = _Stream

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.compute, self.side = _Stream(), _Stream()
        self.by_speed = self.draw.sample((self.compute, self.side), 2)
        self.Stream = lambda *_: self.side  # type: ignore[assignment]

    def Event(self) -> _Event:  # noqa: N802 (as torch calls it)
        event = _Event()
        event.device = self  # type: ignore[attr-defined]
        return event

    def current_stream(self, where: Any = None) -> _Stream:
        return self.compute

    @contextmanager
    def stream(self, stream: _Stream) -> Iterator[None]:
        with _Deferring(stream):
            yield

    def run_until(self, event: _Event | None, number: int = 0) -> None:
        while (event.happened < number) if event else (self.compute.work or self.side.work):
            able = [s for s in self.by_speed if s.work and s.work[0][0]()]
            chosen = able[0] if self.draw.random() < 0.9 else able[-1]
            chosen.work.pop(0)[1]()

    def synchronize(self, where: Any = None) -> None:
        self.run_until(None)


@pytest.mark.parametrize("seed", range(20))
def test_neither_a_copy_nor_a_batch_in_use_is_overwritten(project, seed):
    generator = project(seed)
    parts = (generator.datasets, generator.batch_sizes)
    lazy, seen, expected = LazyDevice(seed), [], []
    host, streamed = HostBatches(*parts, pin=False), StreamedBatches(*parts, CPU, lazy)
    splits = [d for d in ("train", "train", "val") if generator.n_tot_batches[d]]
    for step in range(12):
        dtype = lazy.draw.choice(splits)
        if step == 6:
            generator.set_pseudo_labels(0, pseudo_labels(generator, 0, seed))
        state = generator.state_dict()
        expected += batches(generator, host, dtype, 1)
        generator.load_state_dict(state)
        generator.source = streamed
        batch, _ = generator.next_batch(dtype)
        lazy.compute.push(lambda b=batch: seen.append({k: v.clone() for k, v in b.items()}))
    lazy.synchronize()
    for found, right in zip(seen, expected, strict=True):
        assert_same(found, right)
