"""Which frames make which sequence, and which sequences train, validate and test."""

from __future__ import annotations

import numpy as np
import pytest

from daart_fast.data import sequences
from daart_fast.data.sequences import (
    compute_sequence_pad,
    compute_sequences,
    count_windows,
    n_shared_windows,
    split_trials,
    splits_of,
    trial_splits_of,
)
from daart_fast.errors import ConfigError, DataError

# --------------------------------------------------------------------- padding


@pytest.mark.parametrize(
    ("backbone", "pad"),
    [("dtcn", 2 * 3 * (1 + 2 + 4 + 8)), ("temporal-mlp", 3), ("lstm", 4), ("gru", 4), ("DTCN", 90)],
)
def test_padding_covers_what_a_backbone_sees(backbone, pad):
    assert compute_sequence_pad({"backbone": backbone, "n_lags": 3, "n_hid_layers": 4}) == pad


def test_a_backbone_that_does_not_exist_is_named():
    with pytest.raises(ConfigError, match=r"not 'dtnc' \(did you mean 'dtcn'\?\)"):
        compute_sequence_pad({"backbone": "dtnc", "n_lags": 3, "n_hid_layers": 4})


# --------------------------------------------------------------------- compute_sequences


@pytest.mark.parametrize("n_frames", [10, 11, 19, 20, 29])
@pytest.mark.parametrize("shape", [(), (3,), (3, 2)])
@pytest.mark.parametrize("pad", [0, 4, 25])
def test_full_sequences_with_their_neighbours(n_frames, shape, pad):
    data = np.random.default_rng(0).normal(size=(n_frames, *shape))
    sequences = compute_sequences(data, 10, pad)
    assert len(sequences) == n_frames // 10
    for i, sequence in enumerate(sequences):
        assert sequence.shape == (10 + 2 * pad, *shape)
        for row, frame in enumerate(range(10 * i - pad, 10 * i + 10 + pad)):
            expected = data[frame] if 0 <= frame < n_frames else np.zeros(shape)
            np.testing.assert_array_equal(sequence[row], expected)


def test_sequences_are_copies_of_the_same_type():
    data = np.arange(20)
    sequences = compute_sequences(data, 10)
    assert sequences[0].dtype == data.dtype
    sequences[0][:] = -1
    assert data[0] == 0 and sequences[1][0] == 10


def test_too_few_frames_for_one_sequence_is_an_error():
    with pytest.raises(DataError, match="at least sequence_length = 10 frames, found 9"):
        compute_sequences(np.zeros(9), 10)


def test_a_list_is_cut_already():
    assert compute_sequences([1, 2, 3], 10) == [1, 2, 3]


def test_the_partial_window_at_the_end_counts():
    assert [count_windows(n, 10) for n in (1, 9, 10, 11, 20, 21)] == [1, 1, 1, 2, 2, 3]


# --------------------------------------------------------------------- split_trials


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("sizes", [(8, 1, 1, 0), (9, 1, 0, 0), (3, 2, 1, 1), (1, 0, 0, 2)])
@pytest.mark.parametrize("n_trials", [10, 11, 37, 100])
def test_blocks_share_sequences_out(n_trials, sizes, seed):
    parts = split_trials(n_trials, seed, *sizes)
    train, val, test, gap = sizes
    block = train + val + test + 3 * gap
    n_blocks, rest = divmod(n_trials, block)
    assert list(parts) == ["train", "val", "test"]
    assert [len(parts[name]) for name in parts] == [
        n_blocks * train + rest, n_blocks * val, n_blocks * test,
    ]  # fmt: skip
    used = np.concatenate(list(parts.values()))
    assert len(set(used)) == len(used) and used.dtype.kind == "i"
    assert used.min() >= 0 and used.max() < n_trials
    random = np.random.RandomState(seed)
    random.permutation(n_blocks)  # the order of the blocks comes first
    shift = random.randint(n_trials)
    parts = {name: (numbers - shift) % n_trials for name, numbers in parts.items()}
    assert set(range(n_blocks * block, n_trials)) <= set(parts["train"])  # what fills no block
    places = {name: parts[name][parts[name] < n_blocks * block] % block for name in parts}
    assert set(places["train"]) <= set(range(train))
    assert set(places["val"]) <= set(range(train + gap, train + gap + val))
    assert set(places["test"]) <= set(range(block - gap - test, block - gap))


def test_gaps_keep_splits_apart():
    parts = split_trials(60, 0, 3, 2, 1, 2)
    held_out = np.concatenate([parts["val"], parts["test"]])
    distances = np.abs(parts["train"][:, None] - held_out[None, :])
    assert np.minimum(distances, 60 - distances).min() == 3  # in a circle


def test_a_seed_says_how_blocks_are_ordered_and_shifted():
    first, again, different = (split_trials(100, seed)["val"].tolist() for seed in (3, 3, 4))
    assert first == again
    assert sorted(first) != sorted(different)  # daart 1.2 validates on other sequences too


def test_too_few_sequences_for_one_block_is_an_error():
    with pytest.raises(
        ValueError, match="at least 13 sequences, as one block of the splits 8;1;1;1"
    ):
        split_trials(12, 0, 8, 1, 1, 1)


def test_a_block_of_nothing_is_an_error():
    with pytest.raises(ValueError, match="0;0;0;0"):
        split_trials(12, 0, 0, 0, 0, 0)


# --------------------------------------------------------------------- a session's splits


@pytest.mark.parametrize("splits", ["9;1;0;0", {"train_tr": 9, "val_tr": 1}])
def test_splits_may_be_written_or_listed(splits):
    parts = splits_of(40, splits, 5)
    blocks = np.random.RandomState(5).permutation(4)
    assert parts["val"].tolist() == (blocks * 10 + 9).tolist()  # the last of each block
    assert len(parts["train"]) == 36 and len(parts["test"]) == 0


def test_the_splits_of_a_model_that_daart_trained_are_shifted(caplog):
    sequences._warn_of_daart.cache_clear()  # it warns once in a process
    hparams = {"trial_splits": "9;1;0;0", "training_completed": True}
    shifted = trial_splits_of(hparams)
    assert "trained by daart" in caplog.text
    parts = splits_of(n_shared_windows(5120, 250, shifted), shifted, 0)
    for name, expected in split_trials(20, 0, 9, 1, 0, 0).items():
        np.testing.assert_array_equal(parts[name], expected)
    stored_here = {**hparams, "input_names": ["nose_x"]}
    assert trial_splits_of(stored_here) == "9;1;0;0"
    assert n_shared_windows(5120, 250, "9;1;0;0") == 21  # the partial one among them


@pytest.mark.parametrize("n_windows", [0, 1, 12])
def test_a_session_too_short_for_a_block_trains_whole(n_windows):
    parts = splits_of(n_windows, "8;1;1;1", 0)
    assert parts["train"].tolist() == list(range(n_windows))
    assert len(parts["val"]) == len(parts["test"]) == 0
    assert len(splits_of(13, "8;1;1;1", 0)["val"]) == 1


def test_what_whole_sessions_are_held_out_for_takes_no_windows():
    parts = splits_of(40, "8;1;1;0", 0, without=["val"])
    assert len(parts["val"]) == 0 and len(parts["test"]) == 4
    assert sorted(np.concatenate(list(parts.values()))) == list(range(40))
    parts = splits_of(40, "8;1;1;2", 0, without=["val", "test"])
    assert parts["train"].tolist() == list(range(40))
