"""Frame by frame, the answers are those of the whole session."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
import time
import tracemalloc
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from daart_fast.api import Model
from daart_fast.errors import ConfigError, DataError
from daart_fast.online import OnlineSegmenter
from daart_fast.ops.native import native
from daart_fast.readers.inputs import read_inputs

from .conftest import draw_frames, draw_models, make_model, offline, write_poses

CLOSE = {"rtol": 0, "atol": 1e-5}
needs_native = pytest.mark.skipif(native is None, reason="the native module is not built")


def answers_of(online: OnlineSegmenter, frames: np.ndarray) -> np.ndarray:
    """All answers to a session, step by step, those that come late at their place."""
    steps = [online.step(frame) for frame in frames]
    assert all((answer is None) == (t < online.delay) for t, answer in enumerate(steps))
    return np.stack([*(answer for answer in steps if answer is not None), *online.flush()])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_every_frame_equals_the_whole_session(engine, seed):
    (model,) = draw_models(1, seed)
    online = OnlineSegmenter(model)
    assert online.delay == (
        0 if model.config["causal"] else model.model.model["encoder"].context[1]
    )
    for n_frames in (1, online.delay + 3, 90):
        frames = draw_frames(model, n_frames, seed)
        expected = offline(model, frames)
        # twice: a stream that was flushed begins again
        for _ in range(2):
            np.testing.assert_allclose(answers_of(online, frames), expected, **CLOSE)


def test_answers_say_something():
    """What the others compare is not the same in every frame."""
    spreads = [offline(m, draw_frames(m, 90)).std(0).max() for m in draw_models(12, 0)]
    assert np.median(spreads) > 0.05


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("backbone", ["dtcn", "temporal-mlp"])
def test_any_chunking_is_the_same(engine, backbone, causal):
    model = make_model(backbone=backbone, causal=causal)
    frames = draw_frames(model, 100)
    online = OnlineSegmenter(model)
    parts, first = [], 0
    for n in (1, 0, 40, 3, 2, 54):
        part = frames[first : first + n]
        parts.append(online.run(part) if n != 3 else np.stack([online.step(f) for f in part]))
        first += n
    together = np.concatenate([*parts, online.flush()])
    np.testing.assert_allclose(together, offline(model, frames), **CLOSE)


@pytest.mark.parametrize("streams", [1, 3, 4, 9])
def test_streams_are_answered_side_by_side(engine, streams):
    model = make_model(causal=False, n_hid_units=33)
    frames = np.stack([draw_frames(model, 60, seed) for seed in range(streams)], axis=1)
    online = OnlineSegmenter(model, streams=streams)
    answers = np.concatenate([online.run(frames), online.flush()])
    for i in range(streams):
        np.testing.assert_allclose(answers[:, i], offline(model, frames[:, i]), **CLOSE)


@pytest.mark.slow
def test_a_state_goes_on_elsewhere(engine):
    model = make_model(causal=False)
    frames = draw_frames(model, 80)
    frames[50, 1] = np.nan  # what was held is part of the state
    whole = OnlineSegmenter(model).run(frames)
    online = OnlineSegmenter(model)
    first = online.run(frames[:51])
    state = online.save_state()
    online.run(frames)  # goes elsewhere meanwhile
    other = OnlineSegmenter(model)
    for one in (other, online):
        one.load_state(state)
        np.testing.assert_array_equal(np.concatenate([first, one.run(frames[51:])]), whole)


def test_states_of_others_are_refused(engine):
    model, other = make_model(), make_model(rng_seed_model=1)
    online = OnlineSegmenter(model)
    with pytest.raises(DataError, match="another model"):
        online.load_state(OnlineSegmenter(other).save_state())
    with pytest.raises(DataError, match="number of streams"):
        online.load_state(OnlineSegmenter(model, streams=1).save_state())
    with pytest.raises(DataError, match="as save_state returns it"):
        online.load_state(b"nothing")


@pytest.mark.slow
@needs_native
def test_no_drift_over_ten_million_frames():
    """Nothing is carried from frame to frame but the frames: the last are as the first."""
    model = make_model(n_hid_layers=1, n_lags=1, input_size=2)
    frames = draw_frames(model, 100_000)
    online = OnlineSegmenter(model)
    for _ in range(100):
        last = online.run(frames)
    twice = offline(model, np.concatenate([frames[-100:], frames]))[100:]
    np.testing.assert_allclose(last, twice, **CLOSE)
    assert online.n_frames == 10_000_000


@pytest.mark.parametrize("backbone", ["dtcn", "temporal-mlp"])
def test_provisional_supposes_that_the_frame_stays(engine, backbone, caplog):
    model = make_model(backbone=backbone, causal=False)
    frames = draw_frames(model, 40)
    online = OnlineSegmenter(model, mode="provisional")
    assert "differ from those of the whole session" in caplog.text
    assert not online.exact and online.delay == 0
    after = model.model.model["encoder"].context[1]
    for t, frame in enumerate(frames):
        supposed = np.concatenate([frames[: t + 1], np.repeat(frame[None], after, 0)])
        np.testing.assert_allclose(online.step(frame), offline(model, supposed)[t], **CLOSE)
    assert online.flush().shape == (0, 3)


@pytest.mark.parametrize("backbone", ["lstm", "gru"])
@pytest.mark.parametrize("length", [3, 17, 500])
@pytest.mark.parametrize("causal", [True, False])
def test_recurrent_models_run_in_the_windows_of_whole_sessions(backbone, length, causal):
    model = make_model(
        backbone=backbone, bidirectional=False, sequence_length=length, causal=causal,
        sequence_pad=4,
    )  # fmt: skip
    frames = draw_frames(model, 60)
    online = OnlineSegmenter(model)
    first = online.run(frames[:35])
    state = online.save_state()
    online.reset()
    online.load_state(state)
    answers = np.concatenate([first, online.run(frames[35:]), online.flush()])
    if causal:
        expected = offline(model, frames)
    else:  # its windows end with frames that don't matter to it
        expected = offline(model, np.concatenate([frames, np.zeros_like(frames[:4])]))[:60]
    np.testing.assert_allclose(answers, expected, **CLOSE)


def test_preparing_changes_nothing_but_when(engine):
    model = make_model(causal=False)
    frames = draw_frames(model, 50)
    expected = OnlineSegmenter(model).run(frames)
    online = OnlineSegmenter(model)
    answers = []
    for frame in frames:
        answers.append(online.step(frame))
        online.prepare()
        online.prepare()
    answers = np.stack([a for a in answers if a is not None])
    np.testing.assert_array_equal(answers, expected)


@needs_native
def test_a_step_allocates_nothing_of_its_own():
    model = make_model()
    online = OnlineSegmenter(model)
    frame, out = draw_frames(model, 1)[0], np.empty(3, dtype=np.float32)
    for _ in range(300):
        online.step(frame, out=out)
    tracemalloc.start()
    before = tracemalloc.take_snapshot()
    for _ in range(300):
        online.step(frame, out=out)
    grown = sum(d.size_diff for d in tracemalloc.take_snapshot().compare_to(before, "filename")
                if "tracemalloc" not in str(d.traceback))  # fmt: skip
    tracemalloc.stop()
    assert grown < 4096


@pytest.mark.slow
@needs_native
def test_other_threads_run_while_many_frames_are_answered():
    model = make_model(n_hid_layers=3, n_hid_units=64, n_lags=4)
    online = OnlineSegmenter(model)
    frames = draw_frames(model, 30_000)
    counted, done = [], threading.Event()

    def count() -> None:
        while not done.is_set():
            counted.append(None)
            time.sleep(0.001)

    thread = threading.Thread(target=count)
    thread.start()
    before = len(counted)
    online.run(frames)
    assert len(counted) > before + 5
    done.set()
    thread.join()


@pytest.mark.slow
def test_importing_it_is_light():
    code = "import sys, torch; before = set(sys.modules); import daart_fast.online\n"
    heavy = ("pandas", "numba", "scipy", "h5py", "matplotlib", "tqdm", "dlclive")
    code += f"print([name for name in {heavy} if name in set(sys.modules) - before])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ------------------------------------------------------------------------ frames that aren't good


def held(frames: np.ndarray) -> np.ndarray:
    """The twin of holding: pandas' forward fill."""
    import pandas as pd

    return pd.DataFrame(frames).ffill().to_numpy(dtype=np.float32)


def test_missing_values_are_held(engine):
    model = make_model()
    frames = draw_frames(model, 80)
    gappy = frames.copy()
    gappy[1:][np.random.default_rng(1).random((79, 4)) < 0.3] = np.nan
    gappy[20] = np.nan
    expected = offline(model, held(gappy))
    gappy[30, 2] = np.inf if np.isnan(gappy[30, 2]) else gappy[30, 2]
    online = OnlineSegmenter(model)
    for t, frame in enumerate(gappy):
        answer = online.step(None if t == 20 else frame)
        np.testing.assert_allclose(answer, expected[t], **CLOSE)
        assert online.held == [np.count_nonzero(~np.isfinite(frame))]


@pytest.mark.parametrize("value", [3.3e38, -1e18])
def test_a_value_that_no_camera_gives_is_held(engine, value):
    model = make_model()
    frames = draw_frames(model, 30)
    gappy = frames.copy()
    frames[12:15, 1] = value
    gappy[12:15, 1] = np.nan
    answers = OnlineSegmenter(model).run(frames)
    np.testing.assert_allclose(answers, offline(model, held(gappy)), **CLOSE)


def test_before_the_first_value_there_is_the_mean(engine):
    model = make_model()
    frames = np.tile(np.float32(model.config["input_mean"]), (3, 1))
    online = OnlineSegmenter(model)
    for expected in offline(model, frames):
        np.testing.assert_allclose(online.step(None), expected, **CLOSE)


@pytest.mark.parametrize(
    "bad", [np.zeros(3), np.zeros((2, 4)), np.zeros(0), "pose", [1, 2, "x", 4], {"x": 1}]
)
def test_a_bad_frame_is_told_and_leaves_no_trace(engine, bad):
    model = make_model()
    frames = draw_frames(model, 12)
    online = OnlineSegmenter(model)
    answers = []
    for frame in frames:
        with pytest.raises(DataError, match="frame: expected (4 channels|numbers)"):
            online.step(bad)
        answers.append(online.step(frame))
    np.testing.assert_allclose(answers, offline(model, frames), **CLOSE)


def test_a_bad_frame_of_streams(engine):
    online = OnlineSegmenter(make_model(), streams=2)
    with pytest.raises(DataError, match=r"expected \(2, 4\) of streams and channels, got .*\(4, 2"):
        online.step(np.zeros((4, 2)))
    assert online.step(np.zeros((2, 4))).shape == (2, 3)


def test_time_going_backwards_is_told_and_frames_that_were_skipped_are_held(engine):
    model = make_model(causal=False)
    frames = draw_frames(model, 60)
    gone = {7, 8, 30}
    gappy = frames.copy()
    gappy[list(gone)] = np.nan
    expected = offline(model, held(gappy))
    online = OnlineSegmenter(model, fps=25)
    for t in (t for t in range(60) if t not in gone):
        with pytest.raises(DataError, match="expected 4 channels|expected 4 numbers"):
            online.step(frames[t, :2], time=t / 25)
        answer = online.step(frames[t], time=t / 25 + 0.004 * (t % 3))
        assert online.missed == {9: 2, 31: 1}.get(t, 0) and online.n_frames == t + 1
        if answer is not None:
            np.testing.assert_allclose(answer, expected[t - online.delay], **CLOSE)
        for bad in (t / 25, float("nan")):
            with pytest.raises(DataError, match=f"frame {t + 1}: expected a time after"):
                online.step(frames[t], time=bad)
    np.testing.assert_allclose(online.flush(), expected[-online.delay :], **CLOSE)


@pytest.mark.parametrize("backbone", ["dtcn", "gru"])
def test_a_long_gap_takes_no_longer_than_the_model_remembers(engine, backbone):
    model = make_model(backbone=backbone, bidirectional=False, sequence_length=7, sequence_pad=2)
    frames = draw_frames(model, 2)
    for gap in (3, 20, 101, 250):
        online = OnlineSegmenter(model, fps=100)
        online.step(frames[0], time=0)
        answer = online.step(frames[1], time=(gap + 1) / 100)
        assert online.missed == gap and online.n_frames == gap + 2
        session = np.concatenate([np.repeat(frames[:1], gap + 1, 0), frames[1:]])
        np.testing.assert_allclose(answer, offline(model, session)[-1], **CLOSE)
    online.step(frames[0], time=1e7)
    assert online.missed > 9 * 10**8


# ------------------------------------------------------------------------ poses, and statistics


def test_a_pose_is_read_by_its_keypoints(engine):
    names = [f"{part}_{axis}" for axis in "xy" for part in ("nose", "tail", "ear")]
    model = make_model(input_size=6, input_names=names, likelihood_threshold=0.6)
    draw = np.random.default_rng(0)
    poses = draw.normal(size=(40, 3, 3))
    poses[..., 2] = draw.random((40, 3))
    poses[0, :, 2] = 1
    xs, ys = (np.where(poses[..., 2] < 0.6, np.nan, poses[..., axis]) for axis in (0, 1))
    expected = offline(model, held(np.concatenate([xs, ys], axis=1)))
    assert OnlineSegmenter(model, layout="pose").keypoints == ["nose", "tail", "ear"]
    for order in ([0, 1, 2], [2, 0, 1]):
        keypoints = [("nose", "tail", "ear")[i] for i in order]
        online = OnlineSegmenter(model, layout="pose", keypoints=keypoints)
        np.testing.assert_allclose(online.run(poses[:, order]), expected, **CLOSE)
    with pytest.raises(ConfigError, match="'tail_x' is not in the pose.*did you mean 'tial'"):
        OnlineSegmenter(model, layout="pose", keypoints=["nose", "tial", "ear"])


@pytest.mark.parametrize("threshold", [0.0, 0.6])
def test_poses_without_likelihoods_are_as_in_a_file(engine, tmp_path, threshold):
    """The last frames alone lack some: gaps at the end are held by both."""
    model = make_model(
        input_size=4,
        input_names=["nose_x", "tail_x", "nose_y", "tail_y"],
        likelihood_threshold=threshold,
    )
    poses = np.random.default_rng(0).normal(size=(30, 2, 3)).astype(np.float32)
    poses[..., 2] = 0.9
    poses[20:, 1, 2] = np.nan
    values = read_inputs(write_poses(tmp_path / "s.csv", poses, ["nose", "tail"]), threshold).values
    online = OnlineSegmenter(model, layout="pose")
    np.testing.assert_allclose(online.run(poses), offline(model, values), **CLOSE)
    online.step(poses[-1])
    assert online.held == [2 if threshold else 0]


def test_statistics_are_needed_and_can_be_given(tmp_path):
    model = make_model(normalization="session")
    with pytest.raises(DataError, match="expected stats=, a recording of the same animal"):
        OnlineSegmenter(model)
    frames = draw_frames(model, 50)
    np.save(tmp_path / "calibration.npy", frames)
    mean, std = frames.mean(0, dtype=float), frames.std(0, dtype=float)
    by_file = OnlineSegmenter(model, stats=tmp_path / "calibration.npy").run(frames)
    by_array = OnlineSegmenter(model, stats=(mean, std)).run(frames)
    np.testing.assert_allclose(by_file, by_array, **CLOSE)
    model.config.update(input_mean=mean.tolist(), input_std=std.tolist())
    np.testing.assert_allclose(by_file, offline(model, frames), **CLOSE)
    with pytest.raises(DataError, match="expected std of 4 finite numbers"):
        OnlineSegmenter(model, stats=(mean, std[:2]))


def test_a_model_directory(tmp_path):
    model = make_model()
    model.model.save(tmp_path / "best_val_model.pt")
    (tmp_path / "hparams.yaml").write_text(yaml.safe_dump(model.config))
    frames = draw_frames(model, 30)
    np.save(tmp_path / "session.npy", frames)
    answers = OnlineSegmenter.from_dir(tmp_path).run(frames)
    np.testing.assert_allclose(answers, offline(model, frames), **CLOSE)


@pytest.mark.parametrize(
    ("changes", "arguments", "words"),
    [
        ({"causal": False}, {"mode": "causal"}, "reads 12 later frames: expected mode='delayed'"),
        ({}, {"mode": "late"}, "expected one of causal, delayed, provisional"),
        ({}, {"streams": 0}, "streams: expected at least 1"),
        ({}, {"layout": "poses"}, "did you mean 'pose'"),
        ({}, {"keypoints": ["a"]}, "layout is 'channels'"),
        ({}, {"layout": "pose"}, "expected keypoints="),
        ({"backbone": "lstm", "causal": False, "bidirectional": True}, {}, "bidirectional: false"),
    ],
)
def test_arguments_that_do_not_fit(changes, arguments, words):
    with pytest.raises(ConfigError, match=words):
        OnlineSegmenter(make_model(**changes), **arguments)


# ------------------------------------------------------------------------ kinematic features


PARTS = ["nose", "ear", "tail"]


def kinematic_model() -> tuple[Model, np.ndarray, np.ndarray]:
    """A causal model of features, poses (60, 3, 3), and the features of these."""
    from daart_fast.features import Kinematics
    from daart_fast.readers.markers import Markers

    settings = {
        "input_type": "features-kinematic",
        "kinematic_groups": "distances;speeds;angles;egocentric;likelihoods",
        "kinematic_windows": "0.2;0.5",
        "kinematic_axis": "tail;nose",
        "fps": 20,
        "causal": True,
    }
    draw = np.random.default_rng(0)
    poses = draw.normal(0, 5, (60, 3, 3)).cumsum(0)
    poses[..., 2] = 1
    kinematics = Kinematics.from_hparams(settings)
    values, names = kinematics(Markers(*np.moveaxis(poses, 2, 0), PARTS))
    return make_model(**settings, input_size=len(names), input_names=names), poses, values


@pytest.mark.slow
def test_causal_features_are_built_as_frames_come():
    model, poses, values = kinematic_model()
    online = OnlineSegmenter(model)
    assert online.layout == "pose" and online.keypoints == PARTS
    first = [online.step(pose) for pose in poses[:30]]
    state = online.save_state()
    online.reset()
    online.load_state(state)
    answers = np.stack(first + [online.step(pose) for pose in poses[30:]])
    np.testing.assert_allclose(answers, offline(model, values), rtol=0, atol=1e-4)
    with pytest.raises(DataError, match=r"expected a pose of shape \(3, 3\), got \(2, 3\)"):
        online.step(poses[0, :2])
    with pytest.raises(ConfigError, match="look at later frames"):
        OnlineSegmenter(make_model(**{**model.config, "causal": False}))


def test_a_pose_with_nowhere_to_go_leaves_no_trace():
    model, poses, _ = kinematic_model()
    online = OnlineSegmenter(model)
    online.step(poses[0])
    before = online.save_state()
    with pytest.raises(DataError, match="out: expected"):
        online.step(poses[1], out=np.zeros(1))
    with pytest.raises(DataError, match="expected a pose of shape"):
        online.step(poses[1][:, :2])
    assert online.save_state() == before


@pytest.mark.parametrize("shape", [(2, 1, 3), (10_000, 3, 3), (3,)])
def test_a_state_with_poses_of_another_kind_is_refused(shape):
    model, poses, _ = kinematic_model()
    online = OnlineSegmenter(model)
    online.step(poses[0])
    with np.load(io.BytesIO(online.save_state())) as file:
        parts = dict(file) | {"poses": np.zeros(shape)}
    with io.BytesIO() as changed:
        np.savez(changed, **parts)
        with pytest.raises(DataError, match="as save_state returns it"):
            online.load_state(changed.getvalue())


def test_results_need_no_gradient():
    """Nothing of torch's bookkeeping is kept."""
    assert torch.is_grad_enabled()
    OnlineSegmenter(make_model()).run(np.zeros((3, 4)))
    assert torch.is_grad_enabled()


# ------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize("streams", [None, 2])
def test_a_refused_frame_leaves_no_trace_even_after_a_gap(streams: int | None) -> None:
    online = OnlineSegmenter(make_model(), streams=streams, fps=30)
    frame = np.zeros(4 if streams is None else (streams, 4))
    online.step(frame, time=0.0)
    before = online.save_state()
    for bad, out in ((np.zeros((4, 2)), None), ("x", None), (frame, np.zeros(3)), ({}, None)):
        with pytest.raises(DataError):
            online.step(bad, time=1.0, out=out)
        assert online.save_state() == before
    online.step(frame, time=1.0)
    assert (online.n_frames, online.missed) == (31, 29)


def test_frames_without_a_time_are_not_missed_again() -> None:
    online = OnlineSegmenter(make_model(), fps=10)
    online.step(np.zeros(4), time=0.0)
    for _ in range(5):
        online.step(np.zeros(4))
    online.run(np.zeros((3, 4)))
    twin = OnlineSegmenter(make_model(), fps=10)
    twin.load_state(online.save_state())
    for one in (online, twin):
        one.step(np.zeros(4), time=1.0)
        assert (one.missed, one.n_frames) == (1, 11)


def late_times(n_frames: int, seed: int) -> np.ndarray:
    """Times of frames at 30 a second, late by half a frame's time and more."""
    late = np.abs(np.random.default_rng(seed).normal(0, 0.012, n_frames))
    return np.sort(np.arange(n_frames) / 30 + late)


def test_frames_that_are_late_are_not_taken_for_missing_ones_again_and_again() -> None:
    online = OnlineSegmenter(make_model(), fps=30)
    for when in late_times(1000, seed=0):
        online.step(np.zeros(4), time=when)
    assert 1000 <= online.n_frames <= 1001


@pytest.mark.slow
def test_a_state_knows_which_frames_were_late() -> None:
    online = OnlineSegmenter(make_model(), fps=30)
    other = OnlineSegmenter(make_model(), fps=30)
    for when in late_times(300, seed=1):
        other.load_state(online.save_state())
        for one in (online, other):
            one.step(np.zeros(4), time=when)
        assert (online.missed, online.save_state()) == (other.missed, other.save_state())


def with_times(state: bytes, times: list[float]) -> bytes:
    """A state that holds other times."""
    with np.load(io.BytesIO(state)) as file, io.BytesIO() as changed:
        np.savez(changed, **(dict(file) | {"time": np.array(times)}))
        return changed.getvalue()


@pytest.mark.parametrize(
    "times",
    [
        [],
        [2.0],
        [2.0, 0],
        [np.inf, 0, np.inf, 0, 0, 0.5],
        [2.0, 2, 2.0, 0, 0, 0.5],
        [2.0, 0, 2.0],
        [2.0, 0, 3.0, 0, 0, 0.5],  # due after it came
        [2.0, 0, 2.0, -1, 0, 0.5],
        [2.0, 0, 2.0, np.nan, 0, 0.5],
        [2.0, 0, 2.0, 0, 8, 0.5],
        [2.0, 0, 2.0, 0, 1, np.nan],
    ],
)
def test_a_state_of_impossible_times_is_refused(times: list[float]) -> None:
    online = OnlineSegmenter(make_model(), fps=30)
    online.step(np.zeros(4), time=2.0)
    with pytest.raises(DataError, match="as save_state returns it"):
        online.load_state(with_times(online.save_state(), times))


@pytest.mark.parametrize("time", ["soon", 1e308, float("nan"), object()])
def test_a_time_that_is_none_is_named(time: Any) -> None:
    online = OnlineSegmenter(make_model(), fps=30)
    online.step(np.zeros(4), time=0.0)
    with pytest.raises(DataError, match="frame 1: expected (a time|seconds)"):
        online.step(np.zeros(4), time=time)
    assert online.n_frames == 1


@pytest.mark.parametrize("fps", [float("nan"), float("inf"), -30.0])
def test_frames_a_second_are_a_number(fps: float) -> None:
    with pytest.raises(ConfigError, match="fps: expected frames a second"):
        OnlineSegmenter(make_model(), fps=fps)


def test_stats_that_float32_cannot_hold_are_refused() -> None:
    with pytest.raises(DataError, match="stats: expected mean"):
        OnlineSegmenter(make_model(), stats=(np.full(4, 1e300), np.ones(4)))
