"""What hparams ask of the data, and what the data tell hparams."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daart_fast.config import KEYS
from daart_fast.data.from_config import build_data_generator
from daart_fast.data.sequences import SPLITS
from daart_fast.errors import ConfigError, DataError
from daart_fast.readers.label_record import LabelFile, write_label_record

CLASSES = ("background", "rest", "walk", "groom")


def write_table(path: Path, names: tuple[str, ...], values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [f"{i}," + ",".join(map(repr, row)) for i, row in enumerate(values.tolist())]
    path.write_text("\n".join([",".join(["", *names]), *rows]) + "\n")


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """A function that writes sessions of 300 frames and returns the hparams for them.

    Of the first 150 frames 100 are of class 1 and 50 of class 2; the rest is background.
    """

    def make(*sessions: str, folders: tuple[str, ...] = ("labels-hand",), **settings: Any) -> dict:
        data = tmp_path / "data"
        classes = np.repeat([1, 2, 0], [100, 50, 150])
        for session in sessions:
            draw = np.random.default_rng(len(session))
            write_table(
                data / "features" / f"{session}.csv", ("a", "b"), draw.standard_normal((300, 2))
            )
            for folder in folders:
                one_hot = np.eye(4, dtype=int)[classes]
                write_table(data / folder / f"{session}.csv", CLASSES, one_hot)
        return {
            **{name: key.default for name, key in KEYS.items()},
            "input_type": "features",
            "expt_ids": list(sessions),
            "data_dir": str(data),
            "sequence_length": 25,
            "trial_splits": "4;1;0;0",
            **settings,
        }

    return make


def test_hparams_learn_of_the_data(project):
    hparams = project("s", n_lags=2, n_hid_layers=3)
    build_data_generator(hparams)
    assert hparams["input_size"] == 2 and hparams["input_names"] == ["a", "b"]
    assert hparams["output_size"] == 4 and hparams["label_names"] == list(CLASSES)
    assert hparams["sequence_pad"] == 2 * 2 * (1 + 2 + 4)


def test_classes_weigh_by_the_largest_count_and_ignored_and_empty_ones_nothing(project):
    hparams = project("s")
    counts = build_data_generator(hparams).count_class_examples()
    assert counts[1] > counts[2] > 0 and counts[3] == 0
    expected = [0, counts[1:].max() / counts[1], counts[1:].max() / counts[2], 0]
    np.testing.assert_allclose(hparams["class_weights"], expected)


def test_with_no_ignored_class_the_background_weighs_too(project):
    hparams = project("s", ignore_class=-100)
    build_data_generator(hparams)
    assert hparams["class_weights"][0] == 1.0


def test_weights_are_left_out_where_not_wanted(project):
    hparams = project("s", weight_classes=False)
    build_data_generator(hparams)
    assert hparams["class_weights"] is None


@pytest.fixture
def relabel(tmp_path: Path) -> Callable[..., None]:
    """A function that writes a session's labels again, (frames, classes) of 0 and 1."""

    def write(values: np.ndarray, names=CLASSES, folder: str = "labels-hand", session="s") -> None:
        write_table(tmp_path / "data" / folder / f"{session}.csv", names, values.astype(int))

    return write


def behaviours(*shares: float) -> np.ndarray:
    """Labels of 300 frames, of which each behaviour has a share of its own."""
    return np.random.default_rng(0).random((300, len(shares))) < shares


def test_of_several_behaviours_at_once_each_weighs_the_first_one_too(project, relabel):
    hparams = project("s", classifier_type="multibinary")
    relabel(behaviours(0.3, 0.6), names=("groom", "rear"))
    counts = build_data_generator(hparams).count_class_examples()
    assert hparams["ignore_class"] == 0
    assert hparams["class_weights"] == [counts[1] / counts[0], 1.0]


@pytest.mark.parametrize("name", ["background", "Background"])
def test_of_several_behaviours_at_once_a_background_weighs_nothing(project, relabel, name):
    hparams = project("s", classifier_type="multibinary")
    relabel(behaviours(0.1, 0.5, 0.5), names=(name, "groom", "rear"))
    build_data_generator(hparams)
    first, *others = hparams["class_weights"]
    assert first == 0 and min(others) == 1


def test_of_several_behaviours_at_once_one_never_seen_teaches_its_absence(project, relabel):
    hparams = project("s", classifier_type="multibinary")
    relabel(behaviours(0.1, 0.5, 0.0, 0.5), names=("background", "groom", "rear", "walk"))
    build_data_generator(hparams)
    first, _, absent, _ = hparams["class_weights"]
    assert (first, absent) == (0, 1)


def test_a_class_that_only_heuristics_show_weighs_by_their_count(project, relabel):
    hparams = project("s", folders=("labels-hand", "labels-heuristic"), lambda_weak=1.0)
    by_hand = dict(hparams, lambda_weak=0.0)
    build_data_generator(by_hand)
    heuristic = np.repeat([0, 1, 3], [100, 50, 150])
    relabel(np.eye(4)[heuristic], folder="labels-heuristic")
    generator = build_data_generator(hparams)
    heuristic = heuristic[generator.datasets[0].frames_of("train")]
    assert hparams["class_weights"][:3] == by_hand["class_weights"][:3]
    assert by_hand["class_weights"][3] == 0 and hparams["class_weights"][3] == 1
    relabel(np.eye(4)[np.repeat([0, 1, 3], [50, 200, 50])], folder="labels-heuristic")
    build_data_generator(hparams)
    assert hparams["class_weights"][3] > 2


def test_heuristic_labels_alone_weigh_their_classes(project):
    by_hand = project("s")
    build_data_generator(by_hand)
    hparams = project("k", folders=("labels-heuristic",), lambda_strong=0, lambda_weak=1)
    build_data_generator(hparams)
    assert hparams["class_weights"] == by_hand["class_weights"]


def test_the_mean_and_spread_of_training_go_with_the_model(project):
    hparams = project("s", "tt", normalization="train")
    generator = build_data_generator(hparams)
    assert hparams["input_mean"] == generator.datasets[0].session.mean.tolist()
    assert len(hparams["input_std"]) == 2


def test_hand_labels_are_used_of_the_sessions_kept_and_of_no_other_by_a_like_name(project):
    hparams = project("mouse1", "mouse10", expt_ids_to_keep=["mouse1"])
    kept, other = build_data_generator(hparams).datasets
    assert kept.session.labels_strong is not None
    assert other.session.labels_strong is None


def test_ids_may_come_joined_as_test_tube_holds_them(project):
    assert build_data_generator(project("s", "tt", expt_ids="s;tt")).ids == ["s", "tt"]


def test_held_out_sessions_are_read_though_not_listed_to_train_on(project):
    hparams = project("s", "tt", "uuu", expt_ids=["s"], expt_ids_val=["tt"], expt_ids_test=["uuu"])
    generator = build_data_generator(hparams)
    assert generator.ids == ["s", "tt", "uuu"]
    assert [len(d.batch_idxs[s]) for d, s in zip(generator.datasets, SPLITS, strict=True)] == [
        12
    ] * 3
    assert generator.training_sessions == [0]


@pytest.mark.parametrize(
    ("settings", "has"),
    [
        ({}, False),
        ({"lambda_weak": 1.0}, True),
        ({"lambda_weak": 1.0, "semi_supervised_algo": "pseudo_labels"}, False),
    ],
)
def test_heuristic_labels_are_read_where_they_are_learned_from(project, settings, has):
    hparams = project("s", folders=("labels-hand", "labels-heuristic"), **settings)
    session = build_data_generator(hparams).datasets[0].session
    assert (session.labels_weak is not None) == has


def test_heuristic_labels_alone_will_do(project):
    hparams = project("s", folders=("labels-heuristic",), lambda_strong=0, lambda_weak=1)
    generator = build_data_generator(hparams)
    assert hparams["label_names"] == list(CLASSES)
    assert "labels_strong" not in generator.next_batch("train")[0]


# ------------------------------------------------------------------------------ bad input


def test_no_hand_labels_anywhere_is_an_error_that_says_where_they_were_looked_for(project):
    with pytest.raises(DataError, match=r"labels-hand: lambda_strong is 1, but no session has"):
        build_data_generator(project("s", folders=()))


def test_labels_of_other_sessions_are_listed(project, tmp_path):
    project("other")
    hparams = project("s", folders=())
    with pytest.raises(DataError, match=r"expected s\.csv, \.\.\.; the folder holds other\.csv"):
        build_data_generator(hparams)


@pytest.mark.parametrize(
    ("key", "folder"), [("lambda_weak", "labels-heuristic"), ("lambda_task", "tasks")]
)
def test_a_loss_without_anything_to_learn_from_is_an_error(project, key, folder):
    with pytest.raises(DataError, match=f"{folder}: {key} is 0.5, but no session"):
        build_data_generator(project("s", **{key: 0.5}))


def test_a_session_that_teaches_nothing_is_told_of(project, caplog):
    hparams = project("s", "tt", expt_ids_to_keep=["s"])
    build_data_generator(hparams)
    assert "session tt has no labels, so nothing is learned from it" in caplog.text


@pytest.mark.parametrize("ignored", [4, 100])
def test_an_ignored_class_beyond_the_classes_is_an_error_that_lists_them(project, ignored):
    expected = (
        rf"'ignore_class' is {ignored}: expected .* 0 \(background\), .* 3 \(groom\), or -100"
    )
    with pytest.raises(ConfigError, match=expected):
        build_data_generator(project("s", ignore_class=ignored))


@pytest.mark.parametrize("ignored", [0, 3, -1, -100, None])
def test_an_ignored_class_may_be_any_of_the_classes_or_none(project, ignored, caplog):
    build_data_generator(project("s", ignore_class=ignored))
    assert "ignore_class is" not in caplog.text


@pytest.mark.parametrize(("ignored", "level"), [(1, "WARNING"), (0, "INFO")])
def test_a_behaviour_that_multibinary_was_to_ignore_is_told_to_be_learned(
    project, relabel, caplog, ignored, level
):
    hparams = project("s", classifier_type="multibinary", ignore_class=ignored)
    relabel(behaviours(0.3, 0.6), names=("groom", "rear"))
    with caplog.at_level("INFO"):
        build_data_generator(hparams)
    (record_text,) = [record for record in caplog.records if "ignore_class" in record.message]
    assert record_text.levelname == level
    assert f"'{('groom', 'rear')[ignored]}' is learned like the others" in record_text.message


def test_sessions_held_out_of_which_none_has_labels_cannot_validate(project):
    hparams = project("s", "tt", expt_ids=["s"], expt_ids_val=["tt"], expt_ids_to_keep=["s"])
    expected = (
        r"nothing would validate: of expt_ids_val \(tt\) no session has labels that are used"
        r" \(expt_ids_to_keep lists s\)"
    )
    with pytest.raises(DataError, match=expected):
        build_data_generator(hparams)
    build_data_generator({**hparams, "expt_ids_to_keep": ["s", "tt"]})


@pytest.mark.parametrize(
    ("held_out", "settings"), [(["tt", "uuu"], {}), (["tt"], {"lambda_pred": 1.0})]
)
def test_a_session_that_validates_nothing_is_told_of(project, held_out, settings, caplog):
    hparams = project("s", "tt", "uuu", expt_ids=["s"], expt_ids_val=held_out, **settings)
    build_data_generator({**hparams, "expt_ids_to_keep": ["s", "uuu"]})
    assert "session tt of expt_ids_val has no labels that are used" in caplog.text
    assert "session uuu" not in caplog.text


def test_no_validation_sequence_anywhere_is_an_error(project):
    with pytest.raises(
        DataError,
        match=r"no sequence of any session is for validation: one block of trial_splits 9;1;0;1 is "
        r"13 sequences of 25 frames \(s has 12\).*expt_ids_val",
    ):
        build_data_generator(project("s", trial_splits="9;1;0;1"))


def test_an_unknown_session_is_an_error_that_lists_what_there_is(project):
    project("mouse1", "mouse2")
    hparams = project("mouse1", expt_ids=["mouse_1"])
    with pytest.raises(DataError, match=r"no inputs of session 'mouse_1' \(did you mean 'mouse1'"):
        build_data_generator(hparams)


def test_a_finished_model_that_was_trained_with_what_is_refused_now_can_be_looked_at(project):
    settings = {"ignore_class": 100, "training_completed": True}
    assert build_data_generator(project("s", **settings)).n_datasets == 1


def test_one_session_spelled_in_two_ways_would_be_trained_on_and_held_out(project):
    hparams = project("m1DLC_net", "m2DLC_net", expt_ids_test="m1")
    with pytest.raises(ConfigError, match="'m1DLC_net' and 'm1' are one session, .*m1DLC_net.csv"):
        build_data_generator(hparams)


# ------------------------------------------------------------------------------ scored frames


@pytest.fixture
def one_behaviour(project, relabel):
    """A project in which walk is the only class beside the background, as labs score it."""
    hparams = project("s", "t")
    for session in ("s", "t"):
        relabel(np.eye(4)[np.repeat([2, 0], [100, 200])], session=session)
    return hparams


def test_labels_of_a_single_scored_class_cannot_be_learned(one_behaviour):
    with pytest.raises(DataError) as caught:
        build_data_generator(one_behaviour)
    said = str(caught.value)
    assert said.startswith(f"{one_behaviour['data_dir']}: the labels of the training frames cannot")
    assert "'walk' is the only class that is scored" in said
    assert "frames of 'background' are neither learned nor scored, as nobody looked at them" in said
    assert "convert the labels again" in said and "ignore_class: -100" in said


@pytest.mark.parametrize(
    "settings",
    [
        {"ignore_class": -100},
        {"lambda_strong": 0, "lambda_pred": 1},
        {"training_completed": True},  # a model that is there already is scored, with a caution
    ],
)
def test_a_single_class_is_no_error_where_it_is_not_all_that_is_learned(one_behaviour, settings):
    build_data_generator(one_behaviour | settings)


def test_few_scored_frames_are_said_before_training(project, relabel, caplog):
    hparams = project("s", ignore_class=0)
    relabel(np.eye(4)[np.repeat([0, 1, 2, 0], [30, 5, 5, 260])])
    build_data_generator(hparams)
    (said,) = caplog.messages
    assert said.startswith(
        "only 10 of 300 frames (3.3%) are scored. The 290 frames of 'background'"
    )


def test_a_background_that_no_conversion_decided_on_is_said(project, caplog):
    hparams = project("s")
    build_data_generator(hparams)
    (said,) = caplog.messages
    labels = Path(hparams["data_dir"]) / "labels-hand"
    assert said.startswith(f"{labels}: the 150 frames of 'background' are neither learned nor")
    caplog.clear()
    write_label_record(labels, {"s.csv": LabelFile("b.csv", "boris", 30, 300, None)})
    build_data_generator(hparams)
    assert not caplog.messages


@pytest.mark.parametrize("ignored", [-100, 0])
def test_heuristic_labels_that_teach_nothing_are_reported(project, relabel, caplog, ignored):
    folders = ("labels-hand", "labels-heuristic")
    hparams = project("s", folders=folders, lambda_weak=1.0, ignore_class=ignored)
    build_data_generator(hparams)
    assert "the weak loss has nothing to score" in caplog.text
    caplog.clear()
    relabel(np.eye(4)[np.repeat([1, 2, 0], [100, 50, 150])], folder="labels-heuristic")
    if ignored == 0:
        relabel(np.eye(4)[np.repeat([1, 0, 2], [100, 150, 50])], folder="labels-heuristic")
        build_data_generator(hparams)
        assert "nothing to score" not in caplog.text
