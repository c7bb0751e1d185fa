"""Behaviour while it happens: a trained model that takes one frame at a time."""

from __future__ import annotations

import hashlib
import io
import logging
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from daart_fast.api.model import Model
from daart_fast.data.sessions import Session, statistics
from daart_fast.errors import ConfigError, DataError, did_you_mean
from daart_fast.features import Kinematics, reader_of
from daart_fast.files import check_archive
from daart_fast.models.rnn import RNN
from daart_fast.online.clock import FrameClock
from daart_fast.online.engines import context_of, make_engine, memory_of
from daart_fast.online.features import OnlineKinematics
from daart_fast.online.intake import Intake, keypoints_of, pose_places
from daart_fast.readers.inputs import suffix_of

__all__ = ["MODES", "OnlineSegmenter"]

#: how a model answers, and what it says of the answer
MODES = {
    "causal": "the frame that has just come, by a model that reads only the past; exact",
    "delayed": "the frame `delay` frames ago, by a model that reads later frames too; exact",
    "provisional": "the frame that has just come, by a model that reads later frames, as if it "
    "stayed; differs from the whole session's answer",
}
LAYOUTS = ("channels", "pose")
#: how messages name an argument that is wanted; `daart-fast online` puts its flags in their place
ARGUMENTS = {
    "stats": "stats=, a recording of the same animal and camera or (mean, std)",
    "delayed": "mode='delayed'",
    "provisional": "mode='provisional'",
    "pose": "layout='pose'",
    "keypoints": "keypoints=, their names in the order of the pose",
}
#: A gap of more frames than this, years of them, is no gap but a time in other units.
MOST_MISSED = 2**31

#: a recording to take each channel's mean and spread from, or both as arrays (N,)
Stats = str | os.PathLike[str] | tuple[ArrayLike, ArrayLike]


class OnlineSegmenter:
    """A trained model that answers frame by frame.

    In the modes ``causal`` and ``delayed`` the answers are those that the model gives to the whole
    session, to the rounding of float32, from the first frame to the last. Where values are missing,
    that takes a model with ``gaps: hold``. An instance belongs to one thread at a time.

    Parameters
    ----------
    model
        The model; feed-forward (dtcn, temporal-mlp) or recurrent (lstm, gru; not bidirectional).
    mode
        One of `MODES`. None: causal if the model is, else delayed.
    stats
        Where each channel's mean and spread come from: a recording (made with the same camera and
        animal), or the two as arrays. Needed unless the model was trained with
        ``normalization: train``, whose own are used by default.
    streams
        How many animals or cameras are answered at once; None: one, without an axis for it.
    layout
        ``channels``: a frame is (N,), the model's channels in their order. ``pose``: it is (K, 3),
        each keypoint's x, y and likelihood, and the model's ``likelihood_threshold`` applies.
        None: channels, or pose where the model reads features built from keypoints.
    keypoints
        The rows of a pose. None: those of the model's channels.
    fps
        Frames a second, so that frames that are missing show in the times; None: the model's own.

    Attributes
    ----------
    delay : int
        How many frames late answers are.
    exact : bool
        Whether answers are those of the whole session; False in the mode ``provisional``.
    n_frames : int
        Frames seen, those that were missing included.
    held : list of int
        For each stream, how many values (of kinematic models: points) were missing in the last
        frame and were held at their last value.
    missed : int
        Frames that were missing before the last one, by the times given.

    Raises
    ------
    ConfigError
        The model can't run in this mode, or an argument does not fit it.
    DataError
        There is no mean and spread to normalise by.
    """

    n_frames: int
    missed: int
    _clock: FrameClock | None
    _untimed: int

    def __init__(
        self,
        model: Model,
        *,
        mode: str | None = None,
        stats: Stats | None = None,
        streams: int | None = None,
        layout: str | None = None,
        keypoints: Sequence[str] | None = None,
        fps: float | None = None,
    ) -> None:

        self.config = config = model.config
        self.names: list[str] = list(config.get("label_names") or []) or [
            f"class_{i}" for i in range(config["output_size"])
        ]
        if streams is not None and streams < 1:
            raise ConfigError(f"streams: expected at least 1, got {streams}")
        self.streams = streams
        self.mode, self.delay = _mode(model, mode)
        self._memory, self._period = memory_of(model.model)
        self.exact = self.mode != "provisional"
        self.fps = float(fps or config["fps"] or 0.0) or None
        if self.fps is not None and not 0.0 < self.fps < math.inf:
            raise ConfigError(f"fps: expected frames a second, got {self.fps}")
        kinematics = Kinematics.from_hparams(config)
        self.layout = layout or ("channels" if kinematics is None else "pose")
        if self.layout not in LAYOUTS:
            raise ConfigError(
                f"layout: expected one of {', '.join(LAYOUTS)}, got {layout!r}"
                + did_you_mean(self.layout, LAYOUTS)
            )
        self.keypoints = self._keypoints(keypoints)
        self._kinematics = self._make_kinematics(kinematics)
        if self._kinematics is not None:
            self._memory += self._kinematics.n_frames
        self.intake = self._make_intake(*_mean_and_scale(model, stats))
        provisional = self.mode == "provisional"
        self.engine = make_engine(model.model, self.intake, streams or 1, provisional)
        self._fingerprint = _fingerprint(model, self)
        self._start()

    @classmethod
    def from_dir(cls, model_dir: str | os.PathLike[str], **arguments: Any) -> OnlineSegmenter:
        """Load a model directory; the arguments are those of the class.

        Raises
        ------
        DataError, ConfigError
            What `daart_fast.api.Model.from_dir` and the class raise.
        """
        model = Model.from_dir(model_dir)
        model.model.to("cpu")  # one frame at a time is too little for a GPU
        return cls(model, **arguments)

    # ------------------------------------------------------------------------------ frames

    def step(
        self, frame: ArrayLike | None, time: float | None = None, out: np.ndarray | None = None
    ) -> np.ndarray | None:
        """Take a frame and answer.

        A value that is NaN, 1e18 or more, or not likely enough is held at its last value, and
        before there is one at its mean; a frame of None is missing altogether. `held` says what
        was.

        Parameters
        ----------
        frame
            (N,) or (K, 3) as `layout` says, with `streams` before them (streams, ...).
        time
            Seconds, later than the last frame's. With `fps` known, frames that were skipped are
            taken as missing ones, without an answer; `missed` counts them. `FrameClock` says what
            is distinguished from a frame that is late.
        out
            A contiguous float32 array to write the answer to; None makes a new one.

        Returns
        -------
        np.ndarray or None
            (C,) or (streams, C) float32 probabilities of frame ``n_frames - 1 - delay``; None
            where there is no such frame yet.

        Raises
        ------
        DataError
            The frame has another shape, or the time is not later. Nothing has changed then: the
            next frame is taken as if this one had not come.
        """
        missed, clock = (0, self._clock) if time is None else self._missed_before(time)
        try:
            if missed or self._kinematics is not None:
                self._check(frame, out)
            if missed:
                self._hold(missed)
            answer = self._take(frame, out)
        except (TypeError, ValueError, RuntimeError) as error:
            raise error if isinstance(error, DataError) else DataError(str(error)) from None
        self.n_frames += 1
        self.missed = missed
        self._clock, self._untimed = clock, self._untimed + 1 if time is None else 0
        if self.n_frames <= self.delay:
            return None
        return answer[0] if self.streams is None and out is None else answer

    def run(self, frames: ArrayLike) -> np.ndarray:
        """Take many frames, (T, ...) each as `step` takes it, and return all their answers.

        Returns
        -------
        np.ndarray
            (T', C) or (T', streams, C) float32; T' is T but for the first `delay` frames of the
            stream.
        """
        if self._kinematics is not None:
            steps = (self.step(frame) for frame in np.asarray(frames))
            answered = [answer for answer in steps if answer is not None]
            return np.stack(answered) if answered else np.empty((0, len(self.names)), np.float32)
        values = np.asarray(frames, dtype=np.float32)
        shape = (len(values), self.streams or 1, self.intake.raw_channels)
        if values.ndim < 2 or values.size != math.prod(shape):
            raise DataError(f"expected frames of {shape[1:]}, got shape {values.shape}")
        answers = self.engine.run(values.reshape(shape))
        first = min(max(self.delay - self.n_frames, 0), len(values))
        self.n_frames += len(values)
        self._untimed += len(values)
        return self._without_axis(answers[first:])

    def flush(self) -> np.ndarray:
        """End the stream: return the answers that are still due, and start over.

        Returns
        -------
        np.ndarray
            (T', C) or (T', streams, C): of the last `delay` frames, or all if there were fewer.
        """
        answers = self.engine.run_beyond(self.delay if self.exact else 0)
        due = min(self.n_frames, self.delay)
        self.reset()
        return self._without_axis(answers[len(answers) - due :])

    def prepare(self) -> None:
        """Compute ahead what does not depend on the next frame.

        For the time between frames: the next `step` then takes a fraction of its time. Not needed.
        """
        self.engine.prepare()

    def reset(self) -> None:
        """Start over, as before the first frame."""
        self.engine.reset()
        if self._kinematics is not None:
            self._kinematics.reset()
        self._start()

    def _start(self) -> None:
        self.n_frames = self.missed = 0
        self._clock = None  # none has come with a time
        self._untimed = 0  # frames since the last one with a time
        self._held: list[int] | None = None

    @property
    def held(self) -> list[int]:
        """Return the channels whose last value was held in the last frame."""
        return self.engine.held if self._held is None else self._held

    def _without_axis(self, answers: np.ndarray) -> np.ndarray:
        return answers[:, 0] if self.streams is None else answers

    def _take(self, frame: Any, out: np.ndarray | None) -> np.ndarray:
        if self._kinematics is not None:
            frame, missing = self._kinematics.step(frame)
            self._held = [missing]
        return self.engine.step(frame, out)

    def _missed_before(self, time: float) -> tuple[int, FrameClock]:
        """Return how many frames are missing before one of this time, and the clock after it."""
        try:
            time = float(time)
        except (TypeError, ValueError):
            raise DataError(f"frame {self.n_frames}: expected seconds, got {time!r}") from None
        clock = self._clock
        if not math.isfinite(time) or (clock is not None and time <= clock.time):
            after = "" if clock is None else f" after {clock.time:g} s, the last frame's"
            raise DataError(f"frame {self.n_frames}: expected a time{after}, got {time:g} s")
        if clock is None or self.fps is None:
            return 0, FrameClock.at(time)
        frames = (time - clock.due) * self.fps
        if frames > MOST_MISSED:
            raise DataError(
                f"frame {self.n_frames}: expected a time in seconds, got {time:g} s after "
                f"{clock.time:g} s: {frames:.0e} frames would be missing"
            )
        return clock.after(time, self._untimed, self.fps)

    def _hold(self, missed: int) -> None:
        """Take this many frames that are missing."""
        # what has been held for longer than the model remembers changes nothing but the frame's
        # position in its window
        held = min(missed, self._memory)
        for _ in range(held + (missed - held) % self._period):
            self._take(None, None)
        self.n_frames += missed

    def _check(self, frame: Any, out: np.ndarray | None) -> None:
        """Look at a frame, and at where its answer goes, before anything has changed."""
        streams, raw = self.streams or 1, self.intake.raw_channels
        if self._kinematics is not None:
            self._kinematics.check(frame)
        elif frame is not None:
            shape = np.asarray(frame, dtype=np.float32).shape
            if math.prod(shape) != streams * raw or (streams > 1 and shape[0] != streams):
                expected = f"({streams}, {raw})" if streams > 1 else f"{raw} numbers"
                raise DataError(f"frame: expected {expected}, got shape {shape}")
        size = streams * len(self.names)
        if out is not None and not (
            isinstance(out, np.ndarray)
            and out.dtype == np.float32
            and out.flags.c_contiguous
            and out.size == size
        ):
            raise DataError(f"out: expected a contiguous float32 array of {size} numbers")

    # ------------------------------------------------------------------------------ the state

    def save_state(self) -> bytes:
        """Return all that the next answers depend on."""
        poses = np.empty(0) if self._kinematics is None else self._kinematics.poses
        with io.BytesIO() as file:
            np.savez(
                file,
                model=np.frombuffer(self._fingerprint, dtype=np.uint8),
                engine=self.engine.state(),
                frames=np.array([self.engine.frames, self.n_frames]),
                time=np.array(self._times()),
                poses=poses,
            )
            return file.getvalue()

    def load_state(self, state: bytes) -> None:
        """Go on from where `save_state` was called, in this process or another.

        Raises
        ------
        DataError
            The state is none, or that of another model, mode or number of streams.
        """
        try:
            check_archive(io.BytesIO(state))  # np.load doesn't, of parts that claim to be shorter
            with np.load(io.BytesIO(state), allow_pickle=False) as file:
                names = ("model", "engine", "frames", "time", "poses")
                held = {name: np.asarray(file[name]) for name in names}
            frames, n_frames = (int(count) for count in held["frames"])
            clock, untimed = _clock_of(held["time"].tolist())
        except Exception as error:  # whatever a file that is none makes zipfile and NumPy raise
            raise DataError(f"expected a state as save_state returns it: {error}") from None
        if not 0 <= untimed <= n_frames:
            raise DataError("expected a state as save_state returns it: its times are none")
        if held["model"].tobytes() != self._fingerprint:
            raise DataError("the state is that of another model, mode, layout or number of streams")
        try:
            if self._kinematics is not None:
                self._kinematics.check_poses(held["poses"])
            self.engine.load_state(held["engine"], frames)
        except (TypeError, ValueError) as error:
            raise DataError(f"expected a state as save_state returns it: {error}") from None
        self._start()
        self.n_frames = n_frames
        self._clock, self._untimed = clock, untimed
        if self._kinematics is not None:
            self._kinematics.poses = held["poses"]

    def _times(self) -> list[float]:
        """Return what a state holds of times: the last one, frames since, the rest of the clock."""
        if self._clock is None:
            return [math.nan, self._untimed]
        time, *rest = self._clock
        return [time, self._untimed, *rest]

    # ------------------------------------------------------------------------------ making it

    def _keypoints(self, given: Sequence[str] | None) -> list[str]:
        if self.layout == "channels":
            if given:
                raise ConfigError("keypoints: they are the rows of a pose; layout is 'channels'")
            return []
        keypoints = list(given or keypoints_of(self.config))
        if not keypoints:
            raise ConfigError(
                "the names of the model's channels do not say which keypoints a pose has: expected "
                + ARGUMENTS["keypoints"]
            )
        return keypoints

    def _make_kinematics(self, kinematics: Any) -> Any:
        """Return what builds the features of a pose; None where the model reads none."""
        if kinematics is None:
            return None
        if self.layout != "pose":
            raise ConfigError(
                f"the model reads features built from poses: expected {ARGUMENTS['pose']}"
            )
        if any(name.startswith("3d:") for name in self.config.get("input_names") or ()):
            raise ConfigError(
                "the model reads kinematic features of points in 3D, which are not computed frame "
                "by frame yet; predict whole videos, or train on raw points (input_type: markers)"
            )
        if self.streams is not None:
            raise ConfigError("models of kinematic features take one stream: leave streams out")

        threshold = float(self.config["likelihood_threshold"])
        return OnlineKinematics(kinematics, self.keypoints, threshold)

    def _make_intake(self, mean: np.ndarray, scale: np.ndarray) -> Intake:
        n, names = self.config["input_size"], self.config.get("input_names") or []
        none = np.full(n, -1, dtype=np.int64)
        threshold = float(self.config["likelihood_threshold"])
        if self._kinematics is not None:
            index_of = {name: i for i, name in enumerate(self._kinematics.names)}
            missing = [name for name in names if name not in index_of]
            if missing or len(names) != n:
                raise ConfigError(
                    f"keypoints: from {', '.join(self.keypoints)} come {len(index_of)} features, "
                    f"but not the model's {', '.join(missing[:5]) or n}"
                )
            source = np.array([index_of[name] for name in names], dtype=np.int64)
            return Intake(len(index_of), source, none, 0.0, mean, scale)
        if self.layout == "channels":
            return Intake(n, np.arange(n, dtype=np.int64), none, 0.0, mean, scale)
        named = names if keypoints_of(self.config) else []
        source, likelihood = pose_places(named, n, self.keypoints)
        return Intake(3 * len(self.keypoints), source, likelihood, threshold, mean, scale)


def _mode(model: Model, mode: str | None) -> tuple[str, int]:
    """Return the mode and the delay in frames."""
    if mode is not None and mode not in MODES:
        raise ConfigError(
            f"mode: expected one of {', '.join(MODES)}, got {mode!r}{did_you_mean(mode, MODES)}"
        )
    encoder = model.model.model["encoder"]
    if isinstance(encoder, RNN):
        if model.config["bidirectional"]:
            raise ConfigError(
                "a bidirectional model reads each sequence from its end: expected a model trained "
                "with bidirectional: false, as 'daart-fast train --online' makes it"
            )
        return "causal", 0
    after = context_of(model.model)[1]
    if after == 0:
        return "causal", 0
    if mode == "causal":
        raise ConfigError(
            f"the model reads {after} later frames: expected {ARGUMENTS['delayed']}, {after} "
            f"frames late, {ARGUMENTS['provisional']}, or a model trained with causal: true, as "
            "'daart-fast train --online' makes it"
        )
    if mode == "provisional":
        logging.warning(
            f"provisional answers suppose that the {after} later frames which the model reads "
            "are like the last: they differ from those of the whole session"
        )
        return mode, 0
    return "delayed", after


def _clock_of(times: list[float]) -> tuple[FrameClock | None, int]:
    """Return the clock of a state's times, and the frames since its last one.

    Raises
    ------
    ValueError
        there are no such times
    """
    time, untimed, *rest = times
    if math.isnan(time):
        return None, int(untimed)
    return FrameClock.checked(time, *rest), int(untimed)


def _mean_and_scale(model: Model, stats: Stats | None) -> tuple[np.ndarray, np.ndarray]:
    """Return what is taken off each channel and what it is multiplied by, (N,) float32 each."""

    n = model.config["input_size"]
    if stats is None:
        if model.config["normalization"] != "train":
            raise DataError(
                f"{model.model_dir or 'the model'}: it was trained with each session's own mean "
                "and spread, which are not known while a session goes on: expected "
                f"{ARGUMENTS['stats']}, or a model trained with normalization: train, as "
                "'daart-fast train --online' makes it"
            )
        mean, std = model.training_statistics()
    elif isinstance(stats, tuple):
        mean, std = (np.asarray(values, dtype=np.float64) for values in stats)
    else:
        mean, std = _statistics_of(model, Path(stats))
    for name, values in (("mean", mean), ("std", std)):
        if values.shape != (n,) or not (np.abs(values) < np.finfo(np.float32).max).all():
            raise DataError(
                f"stats: expected {name} of {n} finite numbers, one for each channel, got "
                f"{values.tolist() if values.shape == (n,) else f'shape {values.shape}'}"
            )
    session = Session("stats", np.empty((0, n), np.float32), [], mean=mean, std=std)
    return session.mean32, session.scale


def _statistics_of(model: Model, path: Path) -> tuple[np.ndarray, np.ndarray]:

    threshold = float(model.config["likelihood_threshold"])
    values, names = reader_of(model.config)(path, threshold)
    values = model._select(values, names, str(path), named=suffix_of(path) != ".npy")
    found: Mapping[str, np.ndarray] = statistics(values)
    return found["mean"], found["std"]


def _fingerprint(model: Model, segmenter: OnlineSegmenter) -> bytes:
    """Return what a state must agree in to be this segmenter's."""
    digest = hashlib.sha256()
    for name, values in model.model.state_dict().items():
        digest.update(name.encode() + values.cpu().numpy().tobytes())
    digest.update(segmenter.intake.mean.tobytes() + segmenter.intake.scale.tobytes())
    settings = (segmenter.mode, segmenter.streams, segmenter.layout, segmenter.keypoints)
    digest.update(repr((*settings, type(segmenter.engine).__name__)).encode())
    return digest.digest()
