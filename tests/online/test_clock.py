"""Frames that are missing are distinguished from frames that are late."""

from __future__ import annotations

import numpy as np
import pytest

from daart_fast.online.clock import FrameClock

FPS = 30.0


def numbers_of(times: np.ndarray) -> np.ndarray:
    """Number the frames that came at these times, with those that are reported as missing."""
    clock, numbers = FrameClock.at(times[0]), [0]
    for time in times[1:]:
        missing, clock = clock.after(time, 0, FPS)
        numbers.append(numbers[-1] + 1 + missing)
    return np.array(numbers)


def times_of(n_frames: int, jitter: float, fps: float = FPS, seed: int = 0) -> np.ndarray:
    """When frames come: late, by a time that is half-normal, and in their order; since 1970."""
    late = np.abs(np.random.default_rng(seed).normal(0, jitter, n_frames))
    return 1.7e9 + np.sort(np.arange(n_frames) / fps + late)


@pytest.mark.parametrize("jitter", [0, 0.002, 0.005, 0.008, 0.012])
def test_of_frames_that_are_late_one_at_most_is_told_to_be_missing(jitter):
    for seed in range(5):
        numbers = numbers_of(times_of(5000, jitter, seed=seed))
        assert numbers[-1] - 4999 <= (1 if jitter > 0.005 else 0)


@pytest.mark.slow
@pytest.mark.parametrize("jitter", [0, 0.002, 0.008, 0.012])
@pytest.mark.parametrize("fps", [29.97, 30, 30.03])
@pytest.mark.parametrize("share", [0.001, 0.02, 0.1])
def test_frames_that_were_lost_are_found_in_spite_of_jitter_and_drift(jitter, fps, share):
    n_frames = 10_000
    for seed in range(2):
        came = np.random.default_rng(seed).random(n_frames) >= share
        came[0] = True
        numbers = numbers_of(times_of(n_frames, jitter, fps, seed)[came])
        wrong = numbers - np.flatnonzero(came)
        assert np.abs(wrong).max() <= (1 if jitter > 0.005 else 0)


@pytest.mark.slow
@pytest.mark.parametrize("fps", [29.97, 30.03])
def test_a_camera_whose_clock_differs_for_hours_adds_nothing_up(fps):
    n_frames = 200_000  # the clocks are 200 frames apart in the end
    came = np.random.default_rng(0).random(n_frames) >= 0.01
    came[0] = True
    numbers = numbers_of(times_of(n_frames, 0.008, fps)[came])
    assert np.abs(numbers - np.flatnonzero(came)).max() <= 1


@pytest.mark.parametrize("lost", [1, 2, 5, 100, 100_000])
def test_frames_that_were_lost_are_told_of_at_once(lost):
    times = times_of(100, 0.002)
    times[50:] += lost / FPS
    np.testing.assert_array_equal(numbers_of(times), np.arange(100) + lost * (np.arange(100) > 49))


def test_frames_that_waited_and_come_together_are_made_up_for_by_the_next_that_are_lost():
    times = times_of(300, 0)
    times[50:56] = times[56] - np.arange(6, 0, -1) / 1000  # held up, and all of them are there
    times[200:] += 7 / FPS
    numbers = numbers_of(times)
    assert numbers[56] == 56 + 6  # it could not be known
    assert numbers[199] == 199 + 6 and numbers[200] == numbers[-1] - 99 == 200 + 7


def test_a_first_frame_that_is_late_hides_none_that_is_lost():
    times = times_of(100, 0.001)
    times[0] += 0.9 / FPS
    times[50:] += 1 / FPS
    assert numbers_of(times)[-1] == 100


def test_after_a_long_gap_the_clock_goes_by_the_frames_that_come():
    """Clocks drift by parts of a frame's time in it: these are no lateness."""
    times = times_of(4000, 0.004)
    times[2000:] += 1800.6 / FPS
    numbers = numbers_of(times)
    assert numbers[-1] - numbers[2100] == 1899
    assert 3999 + 1800 <= numbers[-1] <= 3999 + 1802


def test_frames_without_a_time_are_counted():
    clock = FrameClock.at(1.0)
    missing, clock = clock.after(2.0, 9, 10.0)
    assert missing == 0
    missing, clock = clock.after(3.0, 5, 10.0)
    assert missing == 4
