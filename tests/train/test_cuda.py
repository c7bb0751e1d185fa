"""Training on a GPU: what the CPU would have come to, replayed, without waiting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from daart_fast.data import device
from daart_fast.data.device import ResidentSessions, StreamedBatches
from daart_fast.models import export_states
from daart_fast.train.graph import CudaRecorder, GraphStep

pytestmark = pytest.mark.cuda

HEADS = {"lambda_weak": 0.5, "lambda_pred": 0.5, "semi_supervised_algo": "pseudo_labels"}
HEADS |= {"anneal_start": 1, "anneal_end": 4, "prob_threshold": 0.4}


@pytest.fixture(autouse=True)
def _exact() -> Iterator[None]:
    """Convolve in float32 proper, for the comparison with the CPU."""
    convolutions = torch.backends.cudnn.conv
    before = convolutions.fp32_precision
    convolutions.fp32_precision = "ieee"
    yield
    convolutions.fp32_precision = before


@pytest.fixture
def fit(project, training) -> Callable[..., Any]:
    """A function that trains on a device, on sessions of which one is labelled in part."""
    count = iter(range(1000))

    def make(where: str, options: dict[str, Any] | None = None, **settings: Any) -> Any:
        hparams = project((slice(None), slice(0, 100)), device=where, **settings)
        return training(hparams, name=f"model{next(count)}", **(options or {})).fit()

    return make


def losses(fitted: Any) -> pd.DataFrame:
    return pd.read_csv(fitted.folder / "metrics.csv")


def assert_close(first: Any, second: Any, rel: float) -> None:
    a, b = losses(first), losses(second)
    assert a.columns.tolist() == b.columns.tolist()
    for name in a.columns:
        assert a[name].tolist() == pytest.approx(b[name].tolist(), rel=rel, nan_ok=True, abs=1e-5)


def step_of(fitted: Any) -> GraphStep:
    step = fitted.trainer.graph
    assert isinstance(step, GraphStep)
    assert isinstance(step.recorder, CudaRecorder)
    return step


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {**HEADS, "n_hid_layers": 2},
        {"causal": True, "lambda_recon": 0.5, "batch_size": 3},
        {"backbone": "temporal-mlp"},
        {"backbone": "gru"},
        {"backbone": "lstm", "bidirectional": False},
    ],
)
def test_a_training_comes_to_what_the_cpu_comes_to(fit, settings):
    settings = {"dropout": 0.0, "max_epochs": 6, **settings}
    on_gpu = fit("cuda", **settings)
    assert_close(on_gpu, fit("cpu", **settings), rel=2e-2)
    step = step_of(on_gpu)
    recurrent = settings.get("backbone") in ("gru", "lstm")
    assert step.n_recorded or (recurrent and step.why_launched)
    assert recurrent or not step.why_launched


@pytest.mark.parametrize(
    "settings", [{}, {"variational": True, **HEADS}, {"n_hid_units": 32, "batch_size": 3}]
)
def test_a_replayed_training_comes_to_what_a_launched_one_comes_to(fit, settings):
    settings = {"dropout": 0.3, "max_epochs": 8, **settings}
    replayed = fit("cuda", **settings)
    assert step_of(replayed).n_recorded and not step_of(replayed).why_launched
    launched = fit("cuda", cuda_graph=False, **settings)
    assert launched.trainer.graph is None
    assert_close(replayed, launched, rel=2e-2)  # the same dropout, by the same generator


def test_streamed_batches_train_as_resident_sessions_do(fit, monkeypatch):
    resident = fit("cuda", max_epochs=6, **HEADS)
    assert isinstance(resident.generator.source, ResidentSessions)
    monkeypatch.setattr(device, "MEMORY_FRACTION", 0.0)
    streamed = fit("cuda", max_epochs=6, **HEADS)
    assert isinstance(streamed.generator.source, StreamedBatches)
    assert step_of(streamed).n_recorded and not step_of(streamed).why_launched
    assert_close(resident, streamed, rel=2e-2)


def test_steps_make_the_host_wait_for_nothing(project, training):
    parts = training(project(device="cuda", lambda_pred=1.0, batch_size=1))
    parts.trainer.prepare(parts.model, parts.generator, None)
    parts.model.train()
    trainer = parts.trainer
    step = GraphStep(
        parts.model,
        trainer.optimizer,
        parts.generator,
        trainer.step,
        CudaRecorder(torch.device("cuda", 0)),
    )
    sums = None
    for _ in range(8):
        _, sums = step(sums)
    torch.cuda.synchronize()
    parts.generator.reset_iterators("train")
    _, sums = step(sums)  # the order of the round goes up
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(6):
            _, sums = step(sums)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert step.n_recorded == 1
    assert sums.isfinite().all()


def test_a_step_replayed_a_thousand_times_goes_on_learning(project, training):
    hparams = project(device="cuda", max_epochs=130, batch_size=2, enable_early_stop=False)
    fitted = training(hparams).fit()
    assert fitted.trainer.curr_batch >= 1000
    table = losses(fitted)
    means = table["tr_loss"].dropna().to_numpy()
    assert means[-1] < 0.5 * means[1]


class _Interrupted(BaseException):
    pass


def test_a_training_that_is_cut_short_comes_to_what_it_would_have(project, training):
    hparams = project(device="cuda", max_epochs=6, dropout=0.3)
    unbroken = training(hparams, name="unbroken").fit()
    broken = training(hparams, name="broken", checkpoint_interval=0)
    left, next_inputs = [40], broken.generator.next_inputs

    def failing(dtype: str) -> Any:
        left[0] -= 1
        if left[0] == 0:
            raise _Interrupted
        return next_inputs(dtype)

    broken.generator.next_inputs = failing
    with pytest.raises(_Interrupted):
        broken.fit()
    assert_close(training(hparams, name="broken").fit(), unbroken, rel=2e-2)


def test_predictions_are_those_of_the_cpu(fit, tmp_path):
    fitted = fit("cuda", max_epochs=3)
    states = []
    for where in ("cuda", "cpu"):
        fitted.model.to(where)
        (tmp_path / where).mkdir()
        paths = export_states(fitted.model, fitted.generator, tmp_path / where)
        states.append([np.load(path) for path in paths])
    for on_gpu, on_cpu in zip(*states, strict=True):
        np.testing.assert_allclose(on_gpu, on_cpu, atol=1e-4)
