"""Recorded steps train as launched ones do, whatever changes on the way.

Where there is no GPU, a tape of the step's operations stands for a CUDA graph: it works on the same
tensors each time, whatever Python has become in the meantime.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from daart_fast import ops
from daart_fast.data.device import ResidentSessions
from daart_fast.train import trainer
from daart_fast.train.graph import WARM_UP, GraphStep

aten = torch.ops.aten


@pytest.fixture(autouse=True)
def _as_on_a_gpu() -> Iterator[None]:
    """Run on PyTorch's operations: a tape sees none of those that the CPU has natively."""
    with ops.forced("torch"):
        yield


def tensors_in(*values: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]


class _Recording(TorchDispatchMode):
    """Notes each operation and the tensors that it reads and writes."""

    def __init__(self, refused: tuple[Any, ...]) -> None:
        super().__init__()
        self.refused = refused
        self.calls: list[tuple[Any, Any, Any, list[Tensor]]] = []
        self.overwritten: list[tuple[Tensor, Tensor]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in self.refused:
            raise RuntimeError(f"{func} while a graph is recorded")
        for argument, value in zip(func._schema.arguments, args, strict=False):
            if argument.alias_info is not None and argument.alias_info.is_write:
                self.overwritten += [(x, x.detach().clone()) for x in tensors_in(value)]
        outputs = func(*args, **kwargs)
        self.calls.append((func, args, kwargs, tensors_in(outputs)))
        return outputs

    @torch.no_grad()
    def undo(self) -> None:
        for tensor, before in reversed(self.overwritten):
            tensor.copy_(before)

    @torch.no_grad()
    def replay(self) -> None:
        for func, args, kwargs, outputs in self.calls:
            for output, again in zip(outputs, tensors_in(func(*args, **kwargs)), strict=True):
                if output.untyped_storage().data_ptr() != again.untyped_storage().data_ptr():
                    output.copy_(again)


class Tape:
    """Records as a CUDA graph does: recording changes nothing, replaying knows no Python."""

    # host and device would have to wait for each other
    refused: tuple[Any, ...] = (aten._local_scalar_dense.default, aten.lift_fresh.default)

    def __init__(self) -> None:
        self.n_replayed = 0

    def warm_up(self, step: Callable[[], None]) -> None:
        step()

    def record(self, step: Callable[[], None]) -> Callable[[], None]:
        before = torch.get_rng_state()
        recording = _Recording(self.refused)
        with recording:
            step()
        recording.undo()
        torch.set_rng_state(before)

        def replay() -> None:
            self.n_replayed += 1
            recording.replay()

        return replay


class Side:
    """One of two trainings that take the same steps, each in its own way."""

    def __init__(self, parts: Any, recorder: Any = None, resident: bool = False) -> None:
        self.model, self.generator, self.trainer = parts.model, parts.generator, parts.trainer
        self.trainer.prepare(self.model, self.generator, None)
        self.model.train()
        self.trainer.optimizer = torch.optim.Adam(
            self.model.parameters(), lr=1e-2, amsgrad=True, fused=True
        )
        if resident:
            self.generator.source = ResidentSessions(self.generator.datasets, torch.device("cpu"))
        self.recorder = recorder
        self.graph = None
        if recorder is not None:
            self.graph = GraphStep(
                self.model, self.trainer.optimizer, self.generator, self.trainer.step, recorder
            )
        self.rng = torch.get_rng_state()

    def epoch(self, change: Callable[..., None] = lambda side: None) -> None:
        torch.set_rng_state(self.rng)
        self.trainer.sums = None
        self.generator.reset_iterators("train")
        change(self)
        self.steps(self.generator.n_tot_batches["train"])

    def steps(self, n: int) -> None:
        for _ in range(n):
            if self.graph is None:
                batch, _ = self.generator.next_batch("train")
                self.trainer.add(self.trainer.step(batch))
            else:
                self.trainer.terms, self.trainer.sums = self.graph(self.trainer.sums)
        self.rng = torch.get_rng_state()


@pytest.fixture
def sides(project, training) -> Callable[..., tuple[Side, Side]]:
    """A function that builds two trainings of the same settings: launched, and recorded."""

    def make(recorder: Any = None, resident: bool = False, **settings: Any) -> tuple[Side, Side]:
        # 2 x 8 training windows in batches of 3: the last batch of an epoch holds one
        hparams = project(
            (slice(None), slice(0, 100)), **{"batch_size": 3, "dropout": 0.2, **settings}
        )
        return (
            Side(training(hparams), None),
            Side(training(hparams), recorder or Tape(), resident),
        )

    return make


def assert_same(launched: Side, recorded: Side) -> None:
    assert launched.trainer.terms == recorded.trainer.terms
    assert torch.equal(launched.trainer.sums, recorded.trainer.sums)
    for name, weight in launched.model.state_dict().items():
        assert torch.equal(weight, recorded.model.state_dict()[name]), name


def assert_same_epochs(sides: tuple[Side, Side], n: int, *changes: Callable[..., None]) -> None:
    for epoch in range(n):
        for side in sides:
            side.epoch(*(change for change in changes[epoch : epoch + 1]))
        assert_same(*sides)


def nothing(side: Side) -> None:
    """An epoch before which nothing changes."""


# ------------------------------------------------------------------------------ equal training


@pytest.mark.slow
@pytest.mark.parametrize("resident", [False, True])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"lambda_pred": 0.5, "lambda_recon": 0.25, "n_hid_layers": 2},
        {"variational": True, "causal": True},
        {"backbone": "temporal-mlp"},
        {"weight_classes": False, "activation": "tanh", "batch_size": 1},
    ],
)
def test_a_recorded_training_ends_bit_for_bit_where_a_launched_one_does(sides, resident, settings):
    pair = sides(resident=resident, **settings)
    assert_same_epochs(pair, 6)
    recorded = pair[1]
    assert not recorded.graph.why_launched
    partial = 16 % (settings.get("batch_size", 3)) > 0
    assert recorded.graph.n_recorded == 1 + partial
    n_steps = 6 * recorded.generator.n_tot_batches["train"]
    assert recorded.recorder.n_replayed == n_steps - WARM_UP * (1 + partial)


def test_steps_are_launched_one_by_one_until_they_have_warmed_up(sides):
    _, recorded = sides(batch_size=1)
    recorded.generator.reset_iterators("train")
    recorded.steps(WARM_UP)
    assert (recorded.graph.n_recorded, recorded.recorder.n_replayed) == (0, 0)
    recorded.steps(3)
    assert (recorded.graph.n_recorded, recorded.recorder.n_replayed) == (1, 3)


@pytest.mark.slow
def test_short_epochs_warm_up_too(sides):
    pair = sides(batch_size=6)  # two whole batches and a smaller one
    assert_same_epochs(pair, 5)
    assert pair[1].graph.n_recorded == 2
    assert pair[1].recorder.n_replayed == (10 - WARM_UP) + (5 - WARM_UP)


# ------------------------------------------------------------------------------ what changes


@pytest.mark.slow
def test_weights_of_losses_change_without_a_new_recording(sides):
    def anneal(side: Side) -> None:
        side.model.on_epoch_start(next(epochs[side]))
        side.model.loss_weights["pred"] += 0.5

    pair = sides(variational=True, lambda_pred=0.5, batch_size=1)
    epochs = {side: iter((1, 30, 70)) for side in pair}
    assert_same_epochs(pair, 3, anneal, anneal, anneal)
    assert pair[1].graph.n_recorded == 1
    assert "kl_weight" in pair[1].trainer.terms
    assert pair[1].model.kl_weight == pytest.approx(0.69)  # still numbers to everybody else
    assert pair[1].model.loss_weights["pred"] == 2.0


def of_optimizer(name: str, value: Any) -> Callable[..., None]:
    def change(side: Side) -> None:
        side.trainer.optimizer.param_groups[0][name] = value

    return change


def freeze(side: Side) -> None:
    next(side.model.model["encoder"].parameters()).requires_grad_(False)


def reload(side: Side) -> None:
    side.trainer.optimizer.load_state_dict(deepcopy(side.trainer.optimizer.state_dict()))


def new_weights(side: Side) -> None:
    for i, weight in enumerate(side.model.parameters()):
        weight.data = torch.linspace(-0.2, 0.2 + 0.1 * i, weight.numel()).view_as(weight)


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        of_optimizer("lr", 1e-3),
        of_optimizer("weight_decay", 0.1),
        of_optimizer("betas", (0.5, 0.9)),
        freeze,
        reload,
        new_weights,
    ],
)
def test_a_change_of_what_a_recording_holds_has_the_step_recorded_anew(sides, change):
    pair = sides(batch_size=1)
    assert_same_epochs(pair, 4, nothing, nothing, change, nothing)
    assert pair[1].graph.n_recorded == 2
    assert not pair[1].graph.why_launched


@pytest.mark.slow
@pytest.mark.parametrize("resident", [False, True])
def test_pseudo_labels_are_trained_on_from_when_they_come(sides, resident):
    def label(side: Side) -> None:
        draw = np.random.default_rng(next(seeds[side]))
        for i in (0, 1):
            side.generator.set_pseudo_labels(i, draw.choice([-100, 1, 2, 3], 300))

    pair = sides(
        resident=resident, batch_size=1, semi_supervised_algo="pseudo_labels", lambda_weak=0.5
    )
    seeds = {side: iter((1, 2, 3)) for side in pair}
    assert_same_epochs(pair, 5, nothing, nothing, label, label, label)
    assert pair[1].graph.n_recorded == 2  # other labels later need no other step
    assert pair[1].trainer.sums[pair[1].trainer.terms.index("loss_weak")] > 0


@pytest.mark.slow
def test_sums_of_a_training_that_was_interrupted_are_gone_on_from(sides):
    launched, recorded = sides(batch_size=1)
    launched.epoch()
    recorded.epoch()
    kept = recorded.trainer.sums.clone()
    for side in (launched, recorded):
        side.trainer.sums = kept.clone()
        side.generator.reset_iterators("train")
        torch.manual_seed(3)
        side.steps(2)
    assert_same(launched, recorded)
    assert (recorded.trainer.sums > kept).all()


# ------------------------------------------------------------------------------ falling back


class _Reading(Tape):
    """A device on which the step reads one of its values."""

    def record(self, step: Callable[[], None]) -> Callable[[], None]:
        return super().record(lambda: [step(), float(torch.ones(()).sum())])


class _FailingAmid(Tape):
    """A step that fails with its gradients made."""

    refused = (aten._fused_adam_.default,)


class _TwiceFailing(Tape):
    """Ending a capture that failed raises an error of its own."""

    def record(self, step: Callable[[], None]) -> Callable[[], None]:
        try:
            step()
            raise RuntimeError("operation not permitted when stream is capturing")
        finally:
            raise RuntimeError("capture was invalidated")


class _Forgetful(Tape):
    """Replays nothing."""

    def record(self, step: Callable[[], None]) -> Callable[[], None]:
        super().record(step)
        return lambda: None


class _Twice(Tape):
    """Replays each step twice."""

    def record(self, step: Callable[[], None]) -> Callable[[], None]:
        replay = super().record(step)
        return lambda: [replay(), replay()]


class _SameDraws(Tape):
    """Replays with the dropout of the recording."""

    def record(self, step: Callable[[], None]) -> Callable[[], None]:
        replay, state = super().record(step), torch.Generator().manual_seed(9).get_state()

        def replay_same() -> None:
            torch.set_rng_state(state)
            replay()

        return replay_same


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recorder", "why"),
    [
        (_Reading, "cannot be recorded: aten._local_scalar_dense.default"),
        (_FailingAmid, "cannot be recorded: aten._fused_adam_.default"),
        (_TwiceFailing, "cannot be recorded: operation not permitted when stream is capturing"),
        (_Forgetful, "the replayed step changes weights by 0"),
        (_Twice, "the replayed step changes"),
        (_SameDraws, "the replayed step changes"),
    ],
)
def test_what_cannot_be_recorded_or_comes_out_otherwise_is_launched_and_told_of_once(
    sides, caplog, recorder, why
):
    pair = sides(recorder(), dropout=0.5, lambda_pred=0.5)
    assert_same_epochs(pair, 4)
    assert why in pair[1].graph.why_launched
    assert caplog.text.count("training steps are not replayed as a CUDA graph") == 1
    assert why in caplog.text


def test_a_loss_that_is_no_number_is_the_trainers_to_notice(sides, caplog):
    def spoil(side: Side) -> None:
        with torch.no_grad():
            next(side.model.parameters()).fill_(torch.nan)

    _, recorded = sides(batch_size=1)
    recorded.epoch(spoil)
    assert recorded.graph.n_recorded == 1
    assert not recorded.graph.why_launched
    assert recorded.trainer.sums[0].isnan()


# ------------------------------------------------------------------------------ the trainer


@pytest.fixture
def on_tape(monkeypatch) -> list[GraphStep]:
    """Have trainers record on tapes, and return what they make."""
    made: list[GraphStep] = []

    def graph_step(*parts: Any) -> GraphStep:
        made.append(GraphStep(*parts, Tape()))
        return made[-1]

    monkeypatch.setattr(trainer, "graph_step", graph_step)
    return made


@pytest.mark.slow
def test_a_trainer_records_its_steps_unless_told_not_to(project, training, same_weights, on_tape):
    hparams = project(
        (slice(None), slice(0, 100)),
        max_epochs=6,
        variational=True,
        semi_supervised_algo="pseudo_labels",
        prob_threshold=0.3,
        lambda_weak=0.5,
        anneal_start=2,
        anneal_end=5,
    )
    launched = training(hparams, name="launched", cuda_graph=False).fit()
    recorded = training(hparams, name="recorded").fit()
    assert len(on_tape) == 1
    assert (on_tape[0].n_recorded, on_tape[0].why_launched) == (2, "")
    assert same_weights(launched.weights, recorded.weights)
    assert launched.metrics == recorded.metrics


@pytest.mark.slow
@pytest.mark.parametrize("after", [11, 18, 23, 30])
def test_a_recorded_training_that_is_cut_short_ends_where_it_would_have(
    project, training, same_weights, on_tape, after
):
    hparams = project(max_epochs=4, batch_size=1)
    left = [after]

    def failing(dtype: str) -> Any:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        return next_inputs(dtype)

    unbroken = training(hparams, name="unbroken").fit()
    broken = training(hparams, name="broken", checkpoint_interval=0)
    next_inputs, broken.generator.next_inputs = broken.generator.next_inputs, failing
    with pytest.raises(KeyboardInterrupt):
        broken.fit()
    resumed = training(hparams, name="broken").fit()
    assert same_weights(unbroken.weights, resumed.weights)
    assert unbroken.metrics == resumed.metrics
    assert all(step.n_recorded for step in on_tape[::2])


def test_on_the_cpu_steps_are_launched(project, training):
    fitted = training(project(max_epochs=1)).fit()
    assert fitted.trainer.graph is None
