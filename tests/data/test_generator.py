"""Which frames reach a training, how, and in which order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from daart_fast.data import DataGenerator, SingleDataset
from daart_fast.data.dataset import SIGNALS
from daart_fast.data.transforms import MotionEnergy, ZScore
from daart_fast.errors import ConfigError, DataError

CLASSES = ("background", "rest", "walk")
LENGTH, PAD = 10, 3


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., dict[str, Path | None]]:
    """A function that writes a session of random features and labels, and returns its paths."""

    def make(
        name: str,
        n_frames: int,
        labelled: bool = True,
        channels: tuple[str, ...] = ("a", "b"),
        classes: tuple[str, ...] = CLASSES,
        values: np.ndarray | None = None,
    ) -> dict[str, Path | None]:
        draw = np.random.default_rng(abs(hash_of(name)))
        if values is None:
            values = draw.normal(100.0, 5.0, (n_frames, len(channels)))
        one_hot = np.eye(len(classes), dtype=int)[draw.integers(0, len(classes), n_frames)]
        paths: dict[str, Path | None] = dict.fromkeys(SIGNALS)
        paths["markers"] = table(tmp_path / "features" / f"{name}.csv", channels, values)
        if labelled:
            paths["labels_strong"] = table(
                tmp_path / "labels-hand" / f"{name}.csv", classes, one_hot
            )
        return paths

    return make


def hash_of(name: str) -> int:
    return sum(map(ord, name))


def table(path: Path, names: tuple[str, ...], values: np.ndarray) -> Path:
    path.parent.mkdir(exist_ok=True)
    rows = [f"{i}," + ",".join(map(repr, row)) for i, row in enumerate(values.tolist())]
    path.write_text("\n".join([",".join(["", *names]), *rows]) + "\n")
    return path


def generator_of(sessions: dict[str, dict[str, Path | None]], **settings: Any) -> DataGenerator:
    n = len(sessions)
    transforms = settings.pop("transforms", [ZScore(), None, None, None])
    return DataGenerator(
        list(sessions),
        [SIGNALS] * n,
        [transforms] * n,
        [[paths[signal] for signal in SIGNALS] for paths in sessions.values()],
        **{
            "sequence_length": LENGTH,
            "sequence_pad": PAD,
            "batch_size": 2,
            "trial_splits": "3;1;1;0",
            **settings,
        },
    )


def rounds(generator: DataGenerator, dtype: str, n: int = 1) -> list[list[tuple[int, int]]]:
    """The (session, sequence) pairs of n rounds, in order."""
    all_pairs = []
    for _ in range(n):
        generator.reset_iterators(dtype)
        pairs: list[tuple[int, int]] = []
        for _ in range(generator.n_tot_batches[dtype]):
            batch, sessions = generator.next_batch(dtype)
            pairs += zip(sessions, batch["batch_idx"].tolist(), strict=True)
        all_pairs.append(pairs)
    return all_pairs


def padded_window(values: np.ndarray, first: int, missing: float) -> np.ndarray:
    """Frames [first, first + L + 2 pad) of values, one by one."""
    rows = [
        values[t] if 0 <= t < len(values) else np.full(values.shape[1:], missing)
        for t in range(first, first + LENGTH + 2 * PAD)
    ]
    return np.stack(rows)


# ------------------------------------------------------------------------------ sequences


@pytest.mark.parametrize("n_frames", [1, 3, 9, 10, 11, 20, 57])
@pytest.mark.parametrize("causal", [False, True])
def test_failure_03_every_frame_is_in_exactly_one_sequence_with_its_true_neighbours(
    write, n_frames, causal
):
    generator = generator_of({"s": write("s", n_frames)}, causal=causal)
    dataset = generator.datasets[0]
    before = 2 * PAD if causal else PAD
    answered = []
    for i, sequence in enumerate(dataset):
        first = i * LENGTH - before
        np.testing.assert_allclose(
            sequence["markers"], padded_window(dataset.normalised_inputs(), first, 0.0), atol=1e-6
        )
        labels = dataset.session.labels_strong
        np.testing.assert_array_equal(
            sequence["labels_strong"], padded_window(labels, first, -100.0)
        )
        exists = np.array([0 <= t < n_frames for t in range(first, first + LENGTH + 2 * PAD)])
        np.testing.assert_array_equal(sequence["frame_mask"], exists)
        answered += [t for t in range(i * LENGTH, (i + 1) * LENGTH) if exists[t - first]]
    assert answered == list(range(n_frames))


def test_a_sequence_is_cut_out_by_its_number_from_the_end_too(write):
    dataset = generator_of({"s": write("s", 57)}).datasets[0]
    assert len(dataset) == dataset.n_sequences == 6
    assert torch.equal(dataset[-1]["markers"], dataset[5]["markers"])
    with pytest.raises(IndexError, match="session s has 6 sequences, not 6"):
        dataset[6]


def test_all_sequences_of_a_dataset_can_be_had_at_once(write):
    dataset = generator_of({"s": write("s", 57)}).datasets[0]
    assert list(dataset.data) == ["markers", "labels_strong"]
    for signal, sequences in dataset.data.items():
        assert len(sequences) == 6
        np.testing.assert_array_equal(sequences[3], dataset[3][signal])
    assert (dataset.input_size, dataset.label_names) == (2, list(CLASSES))


def test_a_dataset_can_be_made_by_itself(write):
    paths = write("s", 57)
    dataset = SingleDataset(
        "s",
        ["markers", "labels_strong"],
        [ZScore(), None],
        [paths["markers"], paths["labels_strong"]],
        sequence_length=LENGTH,
        as_numpy=True,
    )
    assert isinstance(dataset[0]["markers"], np.ndarray)
    assert dataset[0]["markers"].shape == (LENGTH, 2)


# ------------------------------------------------------------------------------ normalisation


def test_each_session_is_normalised_by_itself(write):
    generator = generator_of({"s": write("s", 57), "t": write("t", 83)})
    for dataset in generator.datasets:
        values = dataset.normalised_inputs()
        np.testing.assert_allclose(values.mean(0), 0.0, atol=1e-5)
        np.testing.assert_allclose(values.std(0), 1.0, atol=1e-5)


def test_all_sessions_may_be_normalised_by_those_that_train(write):
    sessions = {name: write(name, n) for name, n in (("s", 57), ("t", 83), ("u", 70))}
    generator = generator_of(sessions, normalization="train", ids_test=["u"])
    together = np.concatenate([d.session.inputs for d in generator.datasets[:2]])
    for dataset in generator.datasets:
        expected = (dataset.session.inputs - together.mean(0)) / together.std(0)
        np.testing.assert_allclose(dataset.normalised_inputs(), expected, atol=1e-4)


def test_failure_07_integers_are_normalised_and_a_constant_channel_reads_as_zero(write):
    values = np.stack([np.arange(57), np.full(57, 7)], axis=1)
    dataset = generator_of({"s": write("s", 57, values=values)}).datasets[0]
    expected = (np.arange(57) - 28.0) / np.arange(57).std()
    np.testing.assert_allclose(dataset.normalised_inputs()[:, 0], expected, atol=1e-5)
    assert (dataset.normalised_inputs()[:, 1] == 0).all()


def test_without_a_transform_inputs_stay_as_they_are(write):
    dataset = generator_of({"s": write("s", 57)}, transforms=[None] * 4).datasets[0]
    np.testing.assert_array_equal(dataset.normalised_inputs(), dataset.session.inputs)


def test_another_transform_is_applied_to_the_whole_session(write):
    plain = generator_of({"s": write("s", 57)}, transforms=[None] * 4).datasets[0]
    moved = generator_of({"s": write("s", 57)}, transforms=[MotionEnergy(), *[None] * 3])
    expected = np.abs(np.diff(plain.session.inputs, axis=0, prepend=plain.session.inputs[:1]))
    np.testing.assert_allclose(moved.datasets[0].normalised_inputs(), expected)


# ------------------------------------------------------------------------------ splits


def test_no_frame_is_in_two_splits_and_gaps_are_in_none(write):
    generator = generator_of({"s": write("s", 400)}, trial_splits="3;1;1;1")
    dataset = generator.datasets[0]
    used = np.stack([dataset.frames_of(split) for split in ("train", "val", "test")])
    assert used.sum(0).max() == 1
    assert [int(row.sum()) for row in used] == [150, 50, 50]
    assert (used.sum(0) == 0).sum() == 150


def test_failure_03_a_session_of_fewer_sequences_than_a_block_trains_whole(write):
    generator = generator_of({"short": write("short", 38), "long": write("long", 120)})
    short, long = generator.datasets
    assert short.batch_idxs["train"].tolist() == list(range(4))
    assert len(long.batch_idxs["val"]) == 2
    assert generator.training_sessions == [0, 1]


def test_whole_sessions_can_be_held_out_instead_of_parts_of_each(write):
    sessions = {name: write(name, 120) for name in "stuv"}
    generator = generator_of(sessions, ids_val=["t"], ids_test=["v"])
    sizes = [[len(d.batch_idxs[s]) for s in ("train", "val", "test")] for d in generator.datasets]
    assert sizes == [[12, 0, 0], [0, 12, 0], [12, 0, 0], [0, 0, 12]]


def test_holding_sessions_out_for_test_alone_still_validates_on_parts(write):
    generator = generator_of({name: write(name, 120) for name in "st"}, ids_test=["t"])
    assert generator.n_tot_batches["val"] > 0
    assert len(generator.datasets[0].batch_idxs["test"]) == 0


@pytest.mark.parametrize(
    ("train_frac", "expected"), [(1.0, 12), (0.5, 6), (0.01, 1), (3, 3), (99, 12)]
)
def test_a_fraction_or_a_number_of_the_training_sequences_can_be_used(write, train_frac, expected):
    sessions = {name: write(name, 120) for name in "st"}
    generator = generator_of(sessions, trial_splits="1;0;0;0", train_frac=train_frac)
    chosen = [dataset.batch_idxs["train"] for dataset in generator.datasets]
    assert [len(numbers) for numbers in chosen] == [expected] * 2
    assert all(len(set(numbers.tolist())) == expected for numbers in chosen)


# ------------------------------------------------------------------------------ batches


@pytest.fixture
def two(write) -> DataGenerator:
    """157 and 83 frames: 16 and 9 sequences."""
    return generator_of({"s": write("s", 157), "t": write("t", 83)})


@pytest.mark.parametrize("dtype", ["train", "val", "test"])
def test_a_round_shows_each_sequence_of_the_split_once(two, dtype):
    expected = [(i, int(n)) for i, d in enumerate(two.datasets) for n in d.batch_idxs[dtype]]
    for pairs in rounds(two, dtype, n=2):
        assert sorted(pairs) == sorted(expected)


def test_training_is_shuffled_anew_each_round_and_alike_for_one_seed(write, two):
    again = generator_of({"s": write("s", 157), "t": write("t", 83)})
    other = generator_of({"s": write("s", 157), "t": write("t", 83)}, rng_seed=1)
    first, second = rounds(two, "train", n=2)
    assert first != second
    assert rounds(again, "train", n=2) == [first, second]
    assert rounds(other, "train", n=1)[0] != first


def test_validation_comes_in_one_order(two):
    first, second = rounds(two, "val", n=2)
    assert first == second


def test_validation_batches_are_as_large_as_makes_good_use_of_the_machine(write):
    generator = generator_of({"s": write("s", 400)}, trial_splits="1;3;0;0")
    assert generator.n_tot_batches["val"] == 1 < len(generator.datasets[0].batch_idxs["val"])


def test_batches_mix_sessions(two):
    two.reset_iterators("train")
    kinds = {len(set(two.next_batch("train")[1])) for _ in range(two.n_tot_batches["train"])}
    assert kinds == {1, 2}


def test_a_batch_holds_what_the_datasets_hold(two):
    two.reset_iterators("train")
    for _ in range(two.n_tot_batches["train"]):
        batch, sessions = two.next_batch("train")
        for row, session in enumerate(sessions):
            own = two.datasets[session][int(batch["batch_idx"][row])]
            for name in ("markers", "labels_strong", "frame_mask"):
                assert torch.equal(batch[name][row], own[name])


def test_the_last_batch_of_a_round_may_be_smaller(write):
    generator = generator_of({"s": write("s", 70)}, trial_splits="1;0;0;0", batch_size=4)
    generator.reset_iterators("train")
    sizes = [len(generator.next_batch("train")[1]) for _ in range(3)]
    assert sizes == [4, 3, 4]  # and then the next round begins


def test_batches_share_one_piece_of_memory(two):
    first, second = (two.next_batch("train")[0]["markers"].data_ptr() for _ in range(2))
    assert first == second
    assert two.next_batch("val")[0]["markers"].data_ptr() != first


def test_batches_may_be_arrays(write):
    generator = generator_of({"s": write("s", 157)}, as_numpy=True)
    batch, _ = generator.next_batch("train")
    assert all(isinstance(values, np.ndarray) for values in batch.values())


def test_an_empty_split_says_so(write):
    generator = generator_of({"s": write("s", 157)}, trial_splits="1;0;0;0")
    with pytest.raises(DataError, match="no sequences in the split 'val'"):
        generator.next_batch("val")


def test_iterators_go_on_from_a_saved_state(write, two):
    two.reset_iterators("train")
    for _ in range(3):
        two.next_batch("train")
    state = torch.tensor(list(two.state_dict()["train"])).tolist()
    rest = [two.next_batch("train")[0]["batch_idx"].tolist() for _ in range(12)]
    again = generator_of({"s": write("s", 157), "t": write("t", 83)})
    again.load_state_dict({"train": state})
    assert [again.next_batch("train")[0]["batch_idx"].tolist() for _ in range(12)] == rest


def test_the_shares_of_sessions_are_told(two):
    train = [len(d.batch_idxs["train"]) for d in two.datasets]
    np.testing.assert_allclose(two.batch_ratios, np.array(train) / sum(train))
    assert len(two) == 2
    assert two.n_tot_batches["train"] == -(-sum(train) // 2)


# ------------------------------------------------------------------------------ labels


def test_failure_04_an_unlabelled_session_of_any_length_takes_part(write):
    generator = generator_of({"s": write("s", 157), "u": write("u", 83, labelled=False)})
    generator.reset_iterators("train")
    for _ in range(generator.n_tot_batches["train"]):
        batch, sessions = generator.next_batch("train")
        for row, session in enumerate(sessions):
            labelled = bool((batch["labels_strong"][row] >= 0).any())
            assert labelled == (session == 0)


def test_failure_10_classes_are_counted_on_training_frames_alone(two):
    expected = np.zeros(3, dtype=int)
    for dataset in two.datasets:
        for number in dataset.batch_idxs["train"]:
            labels = dataset.session.labels_strong[number * LENGTH : (number + 1) * LENGTH]
            expected += np.bincount(labels, minlength=3)
    np.testing.assert_array_equal(two.count_class_examples(), expected)
    assert expected.sum() < 157 + 83


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8])
def test_failure_10_pseudo_labels_are_seen_in_training_alone(two, dtype):
    two.set_pseudo_labels(1, np.full(83, 2, dtype))
    two.reset_iterators("train")
    for _ in range(two.n_tot_batches["train"]):
        batch, sessions = two.next_batch("train")
        for row, session in enumerate(sessions):
            exists = batch["frame_mask"][row]
            expected = 2 if session == 1 else -100
            assert batch["labels_weak"].dtype == torch.int64
            assert (batch["labels_weak"][row][exists] == expected).all()
    assert "labels_weak" not in two.next_batch("val")[0]


def test_pseudo_labels_of_another_length_are_refused(two):
    with pytest.raises(DataError, match="session t: expected 83 pseudo-labels, got 82"):
        two.set_pseudo_labels(1, np.full(82, 2))
    with pytest.raises(TypeError, match="Cannot cast"):
        two.set_pseudo_labels(1, np.full(83, 0.5))


def test_several_behaviours_at_once_come_as_numbers_with_nan_for_none(write):
    generator = generator_of(
        {"s": write("s", 57), "u": write("u", 42, labelled=False)}, classifier_type="multibinary"
    )
    labelled, _ = generator.datasets
    assert labelled[5]["labels_strong"].shape == (LENGTH + 2 * PAD, 3)
    assert labelled[5]["labels_strong"][-1].isnan().all()  # beyond the session's end
    generator.reset_iterators("train")
    batch, _ = generator.next_batch("train")
    assert batch["labels_strong"].dtype == torch.float32


# ------------------------------------------------------------------------------ bad input


def test_a_session_listed_twice_is_refused(write):
    paths = [[write("s", 57)[signal] for signal in SIGNALS]] * 2
    with pytest.raises(ConfigError, match="listed more than once: s"):
        DataGenerator(["s", "s"], [SIGNALS] * 2, [[None] * 4] * 2, paths)


def test_an_unknown_signal_is_refused_with_the_nearest_name(write):
    with pytest.raises(ConfigError, match="no signal 'label_strong'.*did you mean 'labels_strong'"):
        DataGenerator(["s"], [["label_strong"]], [[None]], [[write("s", 57)["markers"]]])


def test_classes_that_differ_between_sessions_are_named(write):
    other = write("t", 57, classes=("background", "rest", "run"))
    with pytest.raises(
        DataError,
        match=r"session t: expected the classes of session s \(background, rest, walk\), "
        "found background, rest, run",
    ):
        generator_of({"s": write("s", 57), "t": other})


def test_channels_that_differ_between_sessions_are_named(write):
    other = write("t", 57, channels=("a", "c"))
    with pytest.raises(
        DataError, match="session t: expected the 2 channels of session s; missing: b; not in s: c"
    ):
        generator_of({"s": write("s", 57), "t": other})


def test_channels_in_another_order_are_put_in_order(write):
    values = np.random.default_rng(0).standard_normal((57, 2))
    straight = write("s", 57, values=values)
    crossed = write("t", 57, values=values[:, ::-1], channels=("b", "a"))
    first, second = generator_of({"s": straight, "t": crossed}).datasets
    np.testing.assert_allclose(first.normalised_inputs(), second.normalised_inputs())
    assert second.session.input_names == ["a", "b"]


def test_held_out_sessions_must_be_in_the_list_and_only_once(write):
    sessions = {name: write(name, 120) for name in "st"}
    with pytest.raises(ConfigError, match="x is held out, but is not in the list"):
        generator_of(sessions, ids_val=["x"])
    with pytest.raises(ConfigError, match="t: held out both"):
        generator_of(sessions, ids_val=["t"], ids_test=["t"])


def test_no_session_at_all_is_refused():
    with pytest.raises(ConfigError, match="expected at least one session"):
        generator_of({})
