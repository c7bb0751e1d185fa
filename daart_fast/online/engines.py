"""Engines: what answers one frame of each of several streams at a time.

There are three, with one face: the native one (csrc/online/engine.h), its slow twin in PyTorch,
which runs the network on its whole receptive field again for every frame, and the one of recurrent
networks.
"""

from __future__ import annotations

import logging
from typing import Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn

from daart_fast.backbones import backbone_of
from daart_fast.models.rnn import RNN
from daart_fast.models.segmenter import Segmenter
from daart_fast.online.intake import Intake
from daart_fast.online.program import layers_of
from daart_fast.ops.backends import runs_native
from daart_fast.ops.native import native

__all__ = ["Engine", "RecurrentEngine", "WindowEngine", "context_of", "make_engine", "memory_of"]


class Engine(Protocol):
    """Steps through frames of S streams; raw frames have R numbers, answers C probabilities."""

    @property
    def frames(self) -> int:
        """Frames seen since the start."""

    @property
    def held(self) -> list[int]:
        """How many channels of each stream were missing in the last frame."""

    def step(self, frame: np.ndarray | None, out: np.ndarray | None = None) -> np.ndarray:
        """Answer a frame (S, R), None being a missing one, with (S, C) float32."""

    def run(self, frames: np.ndarray) -> np.ndarray:
        """Answer frames (T, S, R) with (T, S, C)."""

    def run_beyond(self, frames: int) -> np.ndarray:
        """Answer this many frames of zeros, as they follow a session's end: (frames, S, C)."""

    def prepare(self) -> None:
        """Compute ahead what the next frame's answer needs of the frames that have come."""

    def reset(self) -> None:
        """Forget all frames."""

    def state(self) -> np.ndarray:
        """Return all that the next answers depend on, but for `frames`, as float32 numbers."""

    def load_state(self, state: np.ndarray, frames: int) -> None:
        """Go on from there."""


def make_engine(model: Segmenter, intake: Intake, streams: int, provisional: bool) -> Engine:
    """Return the fastest engine that runs this model here."""
    encoder = model.model["encoder"]
    if isinstance(encoder, RNN):
        return RecurrentEngine(model, intake, streams)
    if not backbone_of(model.hparams).streams_natively:
        logging.info(f"{model.hparams['backbone']} has no native online engine: it runs on windows")
        return WindowEngine(model, intake, streams, provisional)
    if native is None or not runs_native(torch.empty(0)):
        return WindowEngine(model, intake, streams, provisional)
    return native.OnlineEngine(
        layers=[layer.as_dict() for layer in layers_of(model)],
        raw_channels=intake.raw_channels,
        source=intake.source.tolist(),
        likelihood=intake.likelihood.tolist(),
        threshold=intake.threshold,
        mean=intake.mean,
        scale=intake.scale,
        sigmoid=model.classifier_type == "multibinary",
        streams=streams,
        hold=context_of(model)[1] if provisional else 0,
    )


def context_of(model: Segmenter) -> tuple[int, int]:
    """Return how many frames before and after its own a feed-forward model's answer depends on."""
    return cast("tuple[int, int]", model.model["encoder"].context)


def memory_of(model: Segmenter) -> tuple[int, int]:
    """Return how many frames back an answer may reach, and after how many frames that repeats."""
    if not isinstance(model.model["encoder"], RNN):
        return sum(context_of(model)), 1
    length, before = _window(model)
    return length + before, length


def _window(model: Segmenter) -> tuple[int, int]:
    """Return a recurrent model's window in frames, and how many frames before it are read."""
    before, _ = model.shown_beside
    return int(model.settings["sequence_length"]), before


class _TorchEngine:
    """What both engines in PyTorch share: the intake, and the loops around `_answer`."""

    def __init__(self, model: Segmenter, intake: Intake, streams: int) -> None:
        self.model, self.intake, self.streams = model.eval(), intake, streams
        self.device = next(model.parameters()).device
        self.reset()

    def reset(self) -> None:
        self.frames = 0
        self.held = [0] * self.streams
        self.last = np.zeros((self.streams, len(self.intake.source)), dtype=np.float32)

    def step(self, frame: np.ndarray | None, out: np.ndarray | None = None) -> np.ndarray:
        if frame is None:
            self.held = [self.last.shape[1]] * self.streams
        else:
            self.held = self.intake.take(self._checked(frame), self.last).sum(1).tolist()
        answer = self._stepped(self.last)
        if out is None:
            return answer
        out.reshape(answer.shape)[:] = answer
        return out

    def _checked(self, frame: np.ndarray) -> np.ndarray:
        try:
            raw = np.asarray(frame, dtype=np.float64)
        except (TypeError, ValueError):
            raise ValueError("frame: expected numbers") from None
        n = self.intake.raw_channels
        if raw.size != self.streams * n or (self.streams > 1 and len(raw) != self.streams):
            expected = f"{n} channels"
            if self.streams > 1:
                expected = f"({self.streams}, {n}) of streams and channels"
            raise ValueError(f"frame: expected {expected}, got shape {raw.shape}")
        return raw.reshape(self.streams, n)

    def run(self, frames: np.ndarray) -> np.ndarray:
        answers = [self.step(frame) for frame in frames]
        return np.stack(answers) if answers else self._none()

    def run_beyond(self, frames: int) -> np.ndarray:
        zeros = np.zeros_like(self.last)
        answers = [self._stepped(zeros) for _ in range(frames)]
        return np.stack(answers) if answers else self._none()

    def _none(self) -> np.ndarray:
        shape = (0, self.streams, self.model.hparams["output_size"])
        return np.empty(shape, dtype=np.float32)

    def prepare(self) -> None:
        pass

    @torch.inference_mode()
    def _stepped(self, inputs: np.ndarray) -> np.ndarray:
        scores = self._scores(torch.from_numpy(inputs.copy()).to(self.device))
        self.frames += 1
        return self.model.probabilities(scores).float().cpu().numpy()

    def _scores(self, inputs: Tensor) -> Tensor:
        """Take the inputs (S, N) and return the scores (S, C)."""
        raise NotImplementedError


class WindowEngine(_TorchEngine):
    """Runs a feed-forward network on the receptive field of every frame: slow, obviously right."""

    def __init__(self, model: Segmenter, intake: Intake, streams: int, provisional: bool) -> None:
        self.before, self.after = context_of(model)
        self.provisional = provisional
        super().__init__(model, intake, streams)

    def reset(self) -> None:
        super().reset()
        n_frames = self.before + 1 + self.after
        self.window = torch.zeros(self.streams, n_frames, self.last.shape[1], device=self.device)

    def _scores(self, inputs: Tensor) -> Tensor:
        self.window = torch.cat([self.window[:, 1:], inputs[:, None]], dim=1)
        window = self.window
        if self.provisional:
            unseen = inputs[:, None].expand(-1, self.after, -1)
            window = torch.cat([window[:, self.after :], unseen], dim=1)
        return self.model.classify(window)[0][:, self.before]

    def state(self) -> np.ndarray:
        return np.concatenate([self.last.ravel(), self.window.cpu().numpy().ravel()])

    def load_state(self, state: np.ndarray, frames: int) -> None:
        n = self.last.size
        if state.size != n + self.window.numel():
            raise ValueError(f"state: expected {n + self.window.numel()} numbers, got {state.size}")
        self.reset()
        self.last[:] = state[:n].reshape(self.last.shape)
        self.window.copy_(torch.from_numpy(state[n:].reshape(self.window.shape)))
        self.frames = frames


class RecurrentEngine(_TorchEngine):
    """Carries the states of an LSTM or GRU from frame to frame.

    Whole sessions are predicted in windows of ``sequence_length`` frames, each from a state of
    zero some frames before it, as in training. So that the answers are the same, the next window's
    state is brought up beside this one's.
    """

    def __init__(self, model: Segmenter, intake: Intake, streams: int) -> None:
        encoder = model.model["encoder"]
        assert isinstance(encoder, RNN)
        recurrent, self.dense = encoder.model.values()
        self.recurrent = cast("nn.LSTM | nn.GRU", recurrent)
        self.length, self.before = _window(model)
        super().__init__(model, intake, streams)

    def reset(self) -> None:
        super().reset()
        # for each window under way, the first first, its state; None is the state of zero
        self.states: list[tuple[Tensor, ...] | None] = [None]
        with torch.inference_mode():
            zeros = torch.zeros(self.streams, self.last.shape[1], device=self.device)
            for frame in range(-self.before, 0):
                self._advance_all(frame, zeros)

    def _windows(self, frame: int) -> range:
        """Return the windows under way at this frame: from its own to the last begun."""
        return range(max(frame, 0) // self.length, (frame + self.before) // self.length + 1)

    def _advance_all(self, frame: int, inputs: Tensor) -> Tensor:
        """Advance all windows under way; return the hidden state (S, 1, H) of the frame's own."""
        windows = self._windows(frame)
        if frame > 0 and windows[0] > self._windows(frame - 1)[0]:
            del self.states[0]
        self.states += [None] * (len(windows) - len(self.states))
        answers = [self._advance(i, inputs) for i in range(len(windows))]
        return answers[0]

    def _advance(self, i: int, inputs: Tensor) -> Tensor:
        state = self.states[i]
        given = state if state is None or len(state) == 2 else state[0]
        hidden, after = self.recurrent(inputs[:, None], given)
        self.states[i] = after if isinstance(after, tuple) else (after,)
        return hidden

    def _scores(self, inputs: Tensor) -> Tensor:
        z = self.dense(self._advance_all(self.frames, inputs))[:, 0]
        heads = self.model.model
        if self.model.variational:
            z = heads["latent_mean"](z)
        return heads["classifier" if "classifier" in heads else "classifier_weak"](z)

    def state(self) -> np.ndarray:
        parts = [part for state in self.states for part in state or self._zero_state()]
        return np.concatenate([self.last.ravel(), *(part.cpu().numpy().ravel() for part in parts)])

    def _zero_state(self) -> tuple[Tensor, ...]:
        shape = (self.recurrent.num_layers, self.streams, self.recurrent.hidden_size)
        zeros = torch.zeros(shape, device=self.device)
        return (zeros, zeros) if isinstance(self.recurrent, nn.LSTM) else (zeros,)

    def load_state(self, state: np.ndarray, frames: int) -> None:
        zero = self._zero_state()
        one = sum(part.numel() for part in zero)
        # the last frame's windows: those of the next begin when it comes
        n_windows = max(1, len(self._windows(frames - 1)))
        expected = self.last.size + n_windows * one
        if state.size != expected:
            raise ValueError(f"state: expected {expected} numbers, got {state.size}")
        self.reset()
        self.last[:] = state[: self.last.size].reshape(self.last.shape)
        rest = torch.from_numpy(state[self.last.size :].copy()).to(self.device)
        shape = (n_windows, len(zero), *zero[0].shape)
        self.states = [tuple(window) for window in rest.reshape(shape)]
        self.frames = frames
