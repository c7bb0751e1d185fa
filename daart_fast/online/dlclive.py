"""DeepLabCut-Live: a processor that tells the behaviour of every pose.

from dlclive import DLCLive
from daart_fast.online import Rule
from daart_fast.online.dlclive import BehaviourProcessor

def stimulate(event):
    laser.on() if event.on else laser.off()

processor = BehaviourProcessor(
    "results/.../version_0",
    rules={"groom": Rule(on=0.8, off=0.5, minimum=0.1, refractory=2)},
    on_event=stimulate,
)
live = DLCLive("exported_model", processor=processor)
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from daart_fast.errors import ConfigError, DataError
from daart_fast.files import replacing
from daart_fast.online.debounce import Debounce, Event, Rule
from daart_fast.online.segmenter import OnlineSegmenter

__all__ = ["BehaviourProcessor"]


def _base() -> type:
    """DeepLabCut-Live's own class where it is installed; it asks for its two methods alone."""
    try:
        from dlclive import Processor  # type: ignore[import-not-found]
    except ImportError:
        return object
    return Processor


class BehaviourProcessor(_base()):  # type: ignore[misc]
    """A DeepLabCut-Live ``Processor``: poses pass through it unchanged.

    Parameters
    ----------
    model_dir
        A trained model, or an `OnlineSegmenter` of one stream.
    rules
        When to tell of which behaviour, by class name.
    on_event
        Called with each `Event`, in the thread that the poses come in. What it raises comes out of
        `process`, once it was called with the frame's other events.
    **arguments
        Those of `OnlineSegmenter`; ``layout`` is ``pose``.

    Attributes
    ----------
    probabilities : np.ndarray or None
        (C,), of the last frame that was answered.
    n_errors : int
        Poses that could not be used: they were logged. One of another shape is held as missing;
        one whose time is not after the last one's is passed over.
    """

    def __init__(
        self,
        model_dir: str | os.PathLike[str] | OnlineSegmenter,
        *,
        rules: Mapping[str, Rule] | None = None,
        on_event: Callable[[Event], Any] | None = None,
        **arguments: Any,
    ) -> None:
        super().__init__()
        if isinstance(model_dir, OnlineSegmenter):
            self.segmenter = model_dir
        else:
            arguments.setdefault("layout", "pose")
            self.segmenter = OnlineSegmenter.from_dir(model_dir, **arguments)
        if self.segmenter.streams is not None or self.segmenter.layout != "pose":
            raise ConfigError("expected a segmenter of one stream that takes layout 'pose'")
        self.debounce = Debounce(self.segmenter.names, rules or {})
        self.on_event = on_event
        self.reset()

    def reset(self) -> None:
        """Begin a new session: forget all that was seen and recorded."""
        self.segmenter.reset()
        self.debounce.reset()
        self.probabilities: np.ndarray | None = None
        self.n_errors = 0
        self.events: list[Event] = []
        self._times: list[float] = []
        self._frames: list[int] = []
        self._answers: list[np.ndarray] = []

    def process(self, pose: np.ndarray, **kwargs: Any) -> np.ndarray:
        """Take a pose (K, 3), as DLCLive calls it for every image; return it as it is.

        ``frame_time`` in kwargs is when the image was taken, in seconds; without it, now.
        """
        when = kwargs.get("frame_time")
        when = time.perf_counter() if when is None else float(when)
        answer = self._answer(pose, when)
        if answer is not None:
            self.probabilities = answer
            self._record(when, answer)
            events = self.debounce.update(when, answer)
            self.events += events
            self._tell(events)
        self.segmenter.prepare()
        return pose

    def _answer(self, pose: np.ndarray, when: float) -> np.ndarray | None:
        """Answer, whatever the pose, as the camera goes on; None where there is no answer."""
        try:
            return self.segmenter.step(pose, time=when)
        except DataError as error:
            self.n_errors += 1
            logging.warning(f"pose at {when:.3f} s: {error}")
        with suppress(DataError):  # its time can't be used either
            return self.segmenter.step(None, time=when)
        return None

    def _tell(self, events: Sequence[Event]) -> None:
        """Tell of each event, also after one that ends in an error: another may end a stimulus."""
        if self.on_event is None:
            return
        failed: Exception | None = None
        for event in events:
            try:
                self.on_event(event)
            except Exception as error:
                failed = failed or error
        if failed is not None:
            raise failed

    def _record(self, when: float, answer: np.ndarray) -> None:
        self._times.append(when)
        self._frames.append(self.segmenter.n_frames - 1 - self.segmenter.delay)
        self._answers.append(answer)

    def save(self, file: str | os.PathLike[str] = "") -> int:
        """Write all answers and events to an .npz file; without a name, nothing.

        It holds ``frame`` (T,), ``time`` (T,) seconds (when the answer was given), ``states``
        (T, C) probabilities, ``names`` (C,), and ``event_name``, ``event_on``, ``event_time``.
        """
        if not str(file):
            return 0
        path = Path(file)
        path = path if path.suffix == ".npz" else path.with_name(path.name + ".npz")
        n_classes = len(self.segmenter.names)
        with replacing(path) as temporary, open(temporary, "wb") as stream:
            np.savez(
                stream,
                frame=np.array(self._frames, dtype=np.int64),
                time=np.array(self._times),
                states=np.array(self._answers, dtype=np.float32).reshape(-1, n_classes),
                names=np.array(self.segmenter.names),
                event_name=np.array([event.name for event in self.events], dtype=str),
                event_on=np.array([event.on for event in self.events], dtype=bool),
                event_time=np.array([event.time for event in self.events], dtype=np.float64),
            )
        return 1
