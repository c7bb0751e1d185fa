"""The processor, called as DeepLabCut-Live calls it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from daart_fast.errors import ConfigError
from daart_fast.online import OnlineSegmenter, Rule
from daart_fast.online.debounce import Event
from daart_fast.online.dlclive import BehaviourProcessor

from .conftest import make_model, offline

NAMES = [f"{part}_{axis}" for axis in "xy" for part in ("nose", "tail")]


MODEL = make_model(input_names=NAMES, label_names=["rest", "groom", "rear"], causal=False)


@pytest.fixture
def processor() -> BehaviourProcessor:
    segmenter = OnlineSegmenter(MODEL, layout="pose", fps=30)
    return BehaviourProcessor(segmenter, rules={name: Rule(0.4, 0.3) for name in segmenter.names})


def poses_of(n: int) -> np.ndarray:
    poses = np.random.default_rng(0).normal(size=(n, 2, 3))
    poses[..., 2] = 0.9
    return poses


class DocumentedDLCLive:
    """What DLCLive does with a processor, by its documentation: each pose goes through it."""

    def __init__(self, poses: np.ndarray, processor: Any) -> None:
        self.poses, self.processor = list(poses), processor

    def get_pose(self, frame: np.ndarray, **kwargs: Any) -> np.ndarray:
        return self.processor.process(self.poses[int(frame[0, 0])], **kwargs)


def real_dlclive(poses: np.ndarray, processor: Any) -> Any:
    """The real class, with a runner that gives these poses in place of a network."""
    dlclive = pytest.importorskip("dlclive")

    class Runner:
        def get_pose(self, frame: np.ndarray) -> np.ndarray:
            return poses[int(frame[0, 0])].copy()

    live = dlclive.DLCLive.__new__(dlclive.DLCLive)
    live.processor, live.runner = processor, Runner()
    live.display = live.resize = live.cropping = live.dynamic_cropping = None
    live.convert2rgb, live.dynamic, live.is_initialized = False, (False, 0.5, 10), True
    live.process_frame = lambda frame: frame
    assert isinstance(processor, dlclive.Processor)
    return live


@pytest.mark.parametrize("live_class", [DocumentedDLCLive, real_dlclive])
def test_every_pose_is_answered_and_recorded(processor, live_class, tmp_path):
    poses = poses_of(60)
    live = live_class(poses, processor)
    seen = []
    processor.on_event = seen.append
    for t in range(60):
        image = np.full((4, 4), t)
        np.testing.assert_array_equal(live.get_pose(image, frame_time=100 + t / 30), poses[t])
    delay = processor.segmenter.delay
    channels = np.concatenate([poses[..., 0], poses[..., 1]], axis=1).astype(np.float32)
    expected = offline(MODEL, channels)[: 60 - delay]
    assert processor.save(tmp_path / "session") == 1
    with np.load(tmp_path / "session.npz") as saved:
        assert saved["frame"].tolist() == list(range(60 - delay))
        np.testing.assert_allclose(saved["states"], expected, rtol=0, atol=1e-5)
        np.testing.assert_allclose(saved["time"], 100 + np.arange(delay, 60) / 30)
        assert saved["names"].tolist() == ["rest", "groom", "rear"]
        assert saved["event_name"].tolist() == [event.name for event in seen]
        assert saved["event_on"].tolist() == [event.on for event in seen]
        assert len(seen) > 0


@pytest.mark.parametrize("fps", [None, 30])
def test_a_pose_that_cannot_be_used_is_logged_and_the_camera_goes_on(fps, caplog):
    processor = BehaviourProcessor(OnlineSegmenter(MODEL, layout="pose", fps=fps))
    poses = poses_of(30)
    for t, pose in enumerate(poses):
        if t == 10:
            assert processor.process(pose[:1], frame_time=1 + t / 30).shape == (1, 3)
            processor.process(pose, frame_time=1.0)
        else:
            processor.process(pose, frame_time=1 + t / 30)
    assert processor.n_errors == 2
    assert "expected 6 channels" in caplog.text and "expected a time after" in caplog.text
    assert processor.segmenter.n_frames == 30
    channels = np.concatenate([poses[..., 0], poses[..., 1]], axis=1).astype(np.float32)
    channels[10] = channels[9]  # it was held
    answered = 30 - processor.segmenter.delay
    np.testing.assert_allclose(processor._answers, offline(MODEL, channels)[:answered], atol=1e-5)
    assert processor._frames == list(range(answered))


def test_an_event_is_told_of_though_another_of_its_frame_ended_in_an_error(processor, monkeypatch):
    events_text = []

    def fails_to_start(event):
        events_text.append(event)
        if event.on:
            raise RuntimeError("the laser does not answer")

    both = [Event("groom", True, 2.0), Event("rear", False, 2.0)]
    monkeypatch.setattr(processor.debounce, "update", lambda time, answer: both)
    processor.on_event = fails_to_start
    poses = poses_of(processor.segmenter.delay + 1)
    for t, pose in enumerate(poses[:-1]):
        processor.process(pose, frame_time=1 + t / 30)
    with pytest.raises(RuntimeError, match="does not answer"):
        processor.process(poses[-1], frame_time=2.0)
    assert events_text == processor.events == both


def test_without_a_name_nothing_is_saved(processor):
    assert processor.save() == 0


def test_a_segmenter_that_takes_no_poses():
    with pytest.raises(ConfigError, match="takes layout 'pose'"):
        BehaviourProcessor(OnlineSegmenter(MODEL))
