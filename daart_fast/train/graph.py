"""The training step as one CUDA graph.

daart's models are so small that a GPU needs longer to start each operation of a step than to do it.
A graph holds all of a step's operations, from the gather of its batch to the optimiser's update and
the sums for the log, and starts them at once.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor

from daart_fast.data.batches import Batch, Make
from daart_fast.train.checkpoint import get_rng_states, set_rng_states

__all__ = ["CudaRecorder", "GraphStep", "Recorder", "graph_step"]

#: Steps of one shape that are launched one by one before they are recorded.
WARM_UP = 3
#: How much of its change a recorded step may differ from a launched one.
TOLERANCE = 0.05

Step = Callable[[], None]
Train = Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]


class Recorder(Protocol):
    """What records a step and replays it."""

    def warm_up(self, step: Step) -> None:
        """Run a step as it will be run when it is recorded."""

    def record(self, step: Step) -> Step:
        """Note what a step does with tensors, without doing it; return what does it again."""


class CudaRecorder:
    """Records into a CUDA graph.

    Parameters
    ----------
    device
        The device that the step runs on.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._stream = torch.cuda.Stream(device)

    def warm_up(self, step: Step) -> None:
        """Run a step on the stream that will record, between what was launched and what will be."""
        current = torch.cuda.current_stream(self.device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            step()
        current.wait_stream(self._stream)

    def record(self, step: Step) -> Step:
        """Capture a step; what can't be captured raises, and leaves the device usable."""
        graph = torch.cuda.CUDAGraph()
        index = self.device.index
        generator = torch.cuda.default_generators[
            torch.cuda.current_device() if index is None else index
        ]
        untouched = generator.clone_state()
        gc.collect()  # a graph of gradients that is still alive would break the capture
        try:
            # the outer stream: a capture that fails may not go back to it.
            # thread_local: checkpoints are written by a thread of their own
            with (
                torch.cuda.device(self.device),
                torch.cuda.stream(torch.cuda.current_stream(self.device)),
                torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"),
            ):
                step()
        except Exception:
            generator.graphsafe_set_state(untouched)  # it may think that it is captured still
            raise
        return graph.replay


def graph_step(model: Any, optimizer: Any, data_generator: Any, train: Train) -> GraphStep | None:
    """Return the step as a graph where the model is on a CUDA device, else None."""
    device = next(model.parameters()).device
    if device.type != "cuda":
        return None
    return GraphStep(model, optimizer, data_generator, train, CudaRecorder(device))


class GraphStep:
    """Takes the training's steps: draws a batch, trains on it, adds its terms to the epoch's sums.

    The first steps of each shape of batch are launched one by one; then the step is recorded,
    checked against one more that was launched, and from then on replayed. What cannot be recorded,
    or comes out otherwise, is launched one by one from then on, and the log says why, once.

    What changes during a training is looked after: the weights of the losses are read from the
    device, and anything else (the learning rate, which parameters are trained, the signals in a
    batch) has the step recorded again.

    Parameters
    ----------
    model
        A `Segmenter`, in training mode whenever a step is taken.
    optimizer
        Its optimizer, of `torch.optim`.
    data_generator
        A `DataGenerator`.
    train
        Takes one step of the optimizer on a batch, leaves no gradients and returns the terms.
    recorder
        What records and replays.

    Attributes
    ----------
    why_launched : str
        Why steps are launched one by one for good; empty while they are not.
    n_recorded : int
        How many steps have been recorded.
    """

    def __init__(
        self, model: Any, optimizer: Any, data_generator: Any, train: Train, recorder: Recorder
    ) -> None:
        self.model, self.optimizer, self.data_generator = model, optimizer, data_generator
        self.train, self.recorder = train, recorder
        self.why_launched = ""
        self.n_recorded = 0
        self._terms: list[str] = []
        self._sums: Tensor | None = None
        self._weights = _LossWeights(model)
        self._kinds: dict[tuple[Any, ...], _Kind] = {}
        self._made_for: tuple[Any, ...] | None = None
        self._addresses: list[Any] = []

    def __call__(self, sums: Tensor | None) -> tuple[list[str], Tensor]:
        """Take the next step.

        Parameters
        ----------
        sums
            The sums that the step before returned; None starts new sums, and others are continued.

        Returns
        -------
        terms, sums
            The names of the loss's terms, and their sums so far: float64, on the device, changed
            in place by the next step.
        """
        if sums is not self._sums:
            self._begin(sums)
        make, inputs, _ = self.data_generator.next_inputs("train")
        if self.why_launched:
            self._step(make, inputs)
        else:
            self._take(make, inputs)
        assert self._sums is not None
        return self._terms, self._sums

    def _begin(self, sums: Tensor | None) -> None:
        """Begin an epoch, or go on within one."""
        if self._sums is None or sums is None:
            self._sums = sums if self._sums is None else self._sums.zero_()
        else:
            self._sums.copy_(sums)
        if self._addresses and self._addresses != self._all_addresses():
            self._kinds.clear()

    def _step(self, make: Make, inputs: Batch) -> None:
        """Launch a step's operations one by one."""
        terms = self.train(make(inputs))
        values = torch.stack([term.detach() for term in terms.values()])
        if self._sums is None:
            self._sums = torch.zeros_like(values, dtype=torch.float64)
        self._terms = list(terms)
        self._sums += values

    def _take(self, make: Make, inputs: Batch) -> None:
        """Replay the step if it has been recorded; else launch it, and record it if it is time."""
        made_for = (make, *_settings(self.optimizer))
        if made_for != self._made_for:
            self._kinds.clear()
            self._made_for = made_for
        shapes = tuple((name, x.shape, x.dtype) for name, x in inputs.items())
        kind = self._kinds.setdefault(shapes, _Kind())
        if kind.replay is not None:
            kind.fill(inputs)
            self._weights.renew()
            kind.replay()
        elif kind.n_launched < WARM_UP:
            kind.n_launched += 1
            self.recorder.warm_up(lambda: self._step(make, inputs))
        else:
            self._record(kind, make, inputs)

    # ---------------------------------------------------------------------------- recording

    def _record(self, kind: _Kind, make: Make, inputs: Batch) -> None:
        """Record a kind of step, and take one, in the way that is right from now on."""
        before = self._state()
        kind.inputs = {name: x.clone() for name, x in inputs.items()}
        self._weights.renew()
        try:
            with self._weights.on_device(), _capturable(self.optimizer):
                kind.replay = self.recorder.record(lambda: self._step(make, kind.inputs))
            self.n_recorded += 1
            self._addresses = self._all_addresses()
            why = self._difference(before, kind.replay, lambda: self._step(make, inputs))
        except Exception as error:
            why = f"it cannot be recorded: {_first_cause(error)}"
        if why:
            self.why_launched = why
            logging.warning(f"training steps are not replayed as a CUDA graph: {why}")
            self._kinds.clear()
            self.optimizer.zero_grad()  # what a recording that failed left
            before.restore()
            self._step(make, inputs)

    def _difference(self, before: _State, replay: Step, launch: Step) -> str:
        """Take the step both ways from the same state; say how they differ, if they do.

        The state is then that after the replay.
        """
        launch()
        launched = self._state()
        before.restore()
        replay()
        replayed = self._state()
        for part, values in launched.tensors.items():
            start = before.tensors[part]
            wanted, found = (
                torch.cat([(a - b).flatten().double() for a, b in zip(after, start, strict=True)])
                for after in (values, replayed.tensors[part])
            )
            size = torch.cat([b.flatten().double() for b in start]).norm()
            error, allowed = (found - wanted).norm(), TOLERANCE * wanted.norm() + 1e-6 * size
            if wanted.isfinite().all() and not error <= allowed:
                return (
                    f"the replayed step changes {part} by {found.norm():.3g}, "
                    f"the launched one by {wanted.norm():.3g}, and they differ by {error:.3g}"
                )
        return ""

    def _state(self) -> _State:
        """Copy all that a step changes."""
        parts: dict[str, list[Tensor]] = {
            "weights": [*self.model.parameters(), *self.model.buffers()],
            "sums": [] if self._sums is None else [self._sums],
        }
        for state in self.optimizer.state.values():
            for name, value in state.items():
                if isinstance(value, Tensor):
                    parts.setdefault(name, []).append(value)
        return _State({name: values for name, values in parts.items() if values})

    def _all_addresses(self) -> list[Any]:
        """Where a recorded step finds what it changes, and which parameters it trains."""
        states = (x for state in self.optimizer.state.values() for x in state.values())
        return [
            *((p.data_ptr(), p.requires_grad) for p in self.model.parameters()),
            *(x.data_ptr() for x in states if isinstance(x, Tensor)),
        ]


class _Kind:
    """Steps on batches of the same shapes."""

    def __init__(self) -> None:
        self.n_launched = 0
        self.inputs: Batch = {}  # what a recorded step reads
        self.replay: Step | None = None

    def fill(self, inputs: Batch) -> None:
        for name, values in inputs.items():
            self.inputs[name].copy_(values, non_blocking=True)


class _State:
    """A copy of tensors, by what they are, and of the random generators' states."""

    def __init__(self, parts: Mapping[str, list[Tensor]]) -> None:
        self._originals = parts
        self.tensors = {name: [x.detach().clone() for x in part] for name, part in parts.items()}
        self._rng = get_rng_states()

    def restore(self) -> None:
        with torch.no_grad():
            for name, part in self._originals.items():
                for original, kept in zip(part, self.tensors[name], strict=True):
                    original.copy_(kept)
        set_rng_states(self._rng)


class _LossWeights:
    """The weights of a model's losses, kept where a recorded step can read them."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self._names = list(model.loss_weights)
        device = next(model.parameters()).device
        self._values = torch.zeros(len(self._names) + 1, device=device)
        self._given: list[float] = []

    def renew(self) -> None:
        """Bring the values to the device, if they have changed."""
        now = [*(self.model.loss_weights[name] for name in self._names), self.model.kl_weight]
        if now != self._given:
            self._values.copy_(torch.tensor(now))
            self._given = now

    @contextmanager
    def on_device(self) -> Iterator[None]:
        """Have the model read them from the device in this block."""
        numbers = (self.model.loss_weights, self.model.kl_weight)
        *weights, kl_weight = self._values.unbind()
        self.model.loss_weights = dict(zip(self._names, weights, strict=True))
        self.model.kl_weight = kl_weight
        try:
            yield
        finally:
            self.model.loss_weights, self.model.kl_weight = numbers


def _settings(optimizer: Any) -> list[dict[str, Any]]:
    """The numbers of an optimizer's groups, which a recorded step holds as they were."""
    return [
        {name: value for name, value in group.items() if name != "params"}
        for group in optimizer.param_groups
    ]


@contextmanager
def _capturable(optimizer: Any) -> Iterator[None]:
    """Let an optimizer be captured in this block."""
    before = [group.get("capturable", False) for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group["capturable"] = True
    try:
        yield
    finally:
        for group, stored in zip(optimizer.param_groups, before, strict=True):
            group["capturable"] = stored


def _first_cause(error: BaseException) -> BaseException:
    """The error that came first: ending a capture that failed raises one more."""
    while error.__context__ is not None:
        error = error.__context__
    return error
