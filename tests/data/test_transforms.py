"""Transforms of a session's signal."""

from __future__ import annotations

import numpy as np
import pytest

from daart_fast.data.transforms import (
    BlockShuffle,
    Compose,
    MakeOneHot,
    MotionEnergy,
    Transform,
    Unitize,
    ZScore,
)


def signal(n_frames: int = 50, n_channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).normal([0, 5, -100], [1, 0.1, 30], (n_frames, n_channels))


def test_a_z_score_has_mean_0_and_spread_1():
    scored = ZScore()(signal())
    np.testing.assert_allclose(scored.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(scored.std(0), 1)


@pytest.mark.parametrize("kind", ["int64", "uint8", "float32", "bool"])
def test_failure_07_whole_numbers_have_a_z_score(kind):
    values = np.array([[0, 1], [1, 1]]).astype(kind)
    assert ZScore()(values).tolist() == [[-1, 0], [1, 0]]


@pytest.mark.filterwarnings("error")
def test_a_constant_channel_becomes_0():
    for value in (0.0, 0.1, 1e-30, 1e30):
        values = np.full((7, 2), value)
        values[0, 1] += 1
        assert np.all(ZScore()(values)[:, 0] == 0)
        assert np.all(Unitize()(values)[:, 0] == 0)


def test_unitize_puts_a_channel_between_0_and_1():
    values = signal()
    unit = Unitize()(values)
    assert unit.min(0).tolist() == [0, 0, 0] and unit.max(0).tolist() == [1, 1, 1]
    assert np.array_equal(unit.argsort(0), values.argsort(0))
    assert Unitize()(np.array([[0], [255]], dtype="uint8")).tolist() == [[0], [1]]
    assert Unitize()(np.array([[-128], [127]], dtype="int8")).tolist() == [[0], [1]]


@pytest.mark.parametrize("kind", ["float64", "int64", "uint8", "int8"])
def test_motion_energy_is_the_size_of_each_step(kind):
    values = np.array([[100, 3], [0, 3], [120, 4]]).astype(kind)
    energy = MotionEnergy()(values)
    assert energy.tolist() == [[0, 0], [100, 0], [120, 1]]
    widest = np.array([[-128], [127]], dtype="int8")
    assert MotionEnergy()(widest).tolist() == [[0], [255]]


def test_class_numbers_become_one_hot_rows():
    one_hot = MakeOneHot()(np.array([2, 0, 1, 2]))
    assert one_hot.dtype == np.int64
    assert one_hot.tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert MakeOneHot()(one_hot) is one_hot
    assert MakeOneHot()(np.array([1.0, 0.0])).tolist() == [[0, 1], [1, 0]]


def test_frames_without_a_label_belong_to_no_class():
    assert MakeOneHot()(np.array([1, -100, -1, 0])).tolist() == [[0, 1], [0, 0], [0, 0], [1, 0]]


@pytest.mark.parametrize("seed", range(5))
def test_bouts_are_shuffled_and_stay_whole(seed):
    labels = np.repeat([0, 1, 0, 2, 1, 3], [3, 2, 5, 1, 4, 2])
    shuffled = BlockShuffle(seed)(labels)
    assert sorted(shuffled) == sorted(labels)
    # neighbours of one class may meet, but none is split
    assert np.sum(np.diff(shuffled) != 0) <= np.sum(np.diff(labels) != 0)
    assert np.array_equal(BlockShuffle(seed)(labels), shuffled)
    one_hot = MakeOneHot()(labels)
    assert np.array_equal(BlockShuffle(seed)(one_hot).argmax(1), shuffled)


def test_another_seed_is_another_order():
    labels = np.arange(20)
    orders = {tuple(BlockShuffle(seed)(labels)) for seed in range(5)}
    assert len(orders) == 5 and all(sorted(order) == list(range(20)) for order in orders)


def test_one_bout_stays_as_it_is():
    assert BlockShuffle(0)(np.ones(4)).tolist() == [1] * 4


def test_transforms_are_applied_in_turn():
    values = signal()
    composed = Compose([MotionEnergy(), ZScore()])
    assert np.array_equal(composed(values), ZScore()(MotionEnergy()(values)))
    assert Compose([])(values) is values


def test_transforms_leave_what_they_are_given_as_it_was():
    for transform in (ZScore(), Unitize(), MotionEnergy(), BlockShuffle(0)):
        values = signal()
        transform(values)
        assert np.array_equal(values, signal())


def test_transforms_say_what_they_are():
    composed = Compose([ZScore(), BlockShuffle(3)])
    assert repr(composed) == "Compose(ZScore(), BlockShuffle(rng_seed=3))"
    with pytest.raises(NotImplementedError):
        Transform()(signal())
