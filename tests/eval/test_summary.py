"""The files that a model's predictions are written to, and every score in the summary."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from daart_fast.data import DataGenerator
from daart_fast.data.ignored import ignored_class
from daart_fast.errors import DataError
from daart_fast.eval import (
    describe_session,
    edit_score,
    macro_f1,
    score,
    segment_f1,
    smoother_of,
    summarise,
    write_bouts,
    write_predictions,
)
from daart_fast.eval.printed import print_scores
from daart_fast.eval.selection import background_of

NAMES = ["background", "rest", "walk"]
CLASSES = np.repeat([0, 1, 2, 1], [5, 20, 10, 65])


def rows(path: Path) -> list[list[str]]:
    with open(path, newline="") as file:
        return list(csv.reader(file))


def sure_of(classes: np.ndarray, n_classes: int = 3) -> np.ndarray:
    return (np.eye(n_classes) * 0.7 + 0.1)[classes].astype(np.float32)


# ------------------------------------------------------------------------------ tables


def test_predictions_have_a_row_a_frame(tmp_path):
    states = sure_of(np.array([1, 2]))
    write_predictions(tmp_path / "p.csv", states, np.array([1, 2]), NAMES, fps=4)
    assert rows(tmp_path / "p.csv") == [
        ["frame", "time", "class", *NAMES],
        ["0", "0", "rest", "0.1", "0.8", "0.1"],
        ["1", "0.25", "walk", "0.1", "0.1", "0.8"],
    ]


def test_without_fps_time_is_left_empty(tmp_path):
    write_predictions(tmp_path / "p.csv", sure_of(np.array([1])), np.array([1]), NAMES)
    assert rows(tmp_path / "p.csv")[1] == ["0", "", "rest", "0.1", "0.8", "0.1"]


def test_long_tables_are_rounded_to_what_numbers_mean(tmp_path):
    draw = np.random.default_rng(0)
    states = draw.dirichlet([0.1] * 3, 10_000).astype(np.float32)
    classes, names = states.argmax(1), ["a,b", 'say "c"', "d"]
    write_predictions(tmp_path / "p.csv", states, classes, names, fps=29.97)
    found = pd.read_csv(tmp_path / "p.csv")
    assert list(found.columns) == ["frame", "time", "class", *names]
    assert found["frame"].tolist() == list(range(10_000))
    assert found["class"].tolist() == [names[i] for i in classes]
    np.testing.assert_allclose(found["time"], np.arange(10_000) / 29.97, rtol=0, atol=5.1e-7)
    np.testing.assert_allclose(found[names], states, rtol=0, atol=5.1e-6)


@pytest.mark.slow
def test_times_of_a_long_recording_are_told_to_the_frame(tmp_path):
    classes = np.zeros(1_300_000, dtype=np.int64)
    classes[1_234_567:1_234_574] = 1
    write_bouts(tmp_path / "b.csv", classes, NAMES)
    assert rows(tmp_path / "b.csv")[2] == ["rest", "1234567", "1234574", "7"]
    write_bouts(tmp_path / "b.csv", classes, NAMES, fps=29.97)
    start, stop = map(float, rows(tmp_path / "b.csv")[2][1:3])
    assert (start * 29.97, stop * 29.97) == pytest.approx((1_234_567, 1_234_574), abs=1e-3)
    states = np.ones((200_000, 1), dtype=np.float32)
    write_predictions(tmp_path / "p.csv", states, states[:, 0].astype(int) * 0, ["a"], fps=1000)
    assert len({row[1] for row in rows(tmp_path / "p.csv")[1:]}) == 200_000


def test_behaviours_that_occur_at_once_are_named_together(tmp_path):
    both = np.array([[0, 1], [1, 1], [0, 0]])
    write_predictions(tmp_path / "p.csv", both * 0.8, both, ["rest", "walk"])
    assert [row[2] for row in rows(tmp_path / "p.csv")[1:]] == ["walk", "rest+walk", ""]
    write_bouts(tmp_path / "b.csv", both, ["rest", "walk"])
    assert rows(tmp_path / "b.csv")[1:] == [["walk", "0", "2", "2"], ["rest", "1", "2", "1"]]


def test_bouts_are_in_seconds_where_the_frame_rate_is_known(tmp_path):
    write_bouts(tmp_path / "b.csv", CLASSES, NAMES, fps=20)
    assert rows(tmp_path / "b.csv") == [
        ["class", "start", "stop", "duration"],
        ["background", "0", "0.25", "0.25"],
        ["rest", "0.25", "1.25", "1"],
        ["walk", "1.25", "1.75", "0.5"],
        ["rest", "1.75", "5", "3.25"],
    ]
    write_bouts(tmp_path / "b.csv", CLASSES, NAMES)
    assert rows(tmp_path / "b.csv")[3] == ["walk", "25", "35", "10"]


# ------------------------------------------------------------------------------ scores


def test_scores_of_several_sessions_are_pooled():
    draw = np.random.default_rng(0)
    labels = [np.repeat(draw.choice([-100, 0, 1, 2], 20), 10) for _ in range(2)]
    states = [draw.dirichlet(np.ones(3), 200) for _ in labels]
    classes = [own.argmax(1) for own in states]
    found = score(labels, states, classes, NAMES, fps=10)
    true, pred = np.concatenate(labels), np.concatenate(classes)
    assert found["macro_f1"] == pytest.approx(macro_f1(true, pred))
    assert found["frames"] == (true > 0).sum() == np.sum(found["confusion"])
    apart = [np.append(own, -100) for own in labels]  # no bout runs from one session into the next
    joined = np.concatenate(apart), np.concatenate([np.append(own, 1) for own in classes])
    assert found["segment_f1"]["0.10"] == pytest.approx(segment_f1(*joined, 0.1))
    weights = [(own > 0).sum() for own in labels]
    edits = [edit_score(*pair) for pair in zip(labels, classes, strict=True)]
    assert found["edit"] == pytest.approx(np.average(edits, weights=weights))
    rest = found["classes"]["rest"]
    assert rest["frames"] == (true == 1).sum()
    assert rest["true_bouts"]["total"] == pytest.approx((true == 1).sum() / 10)
    assert list(found["classes"]) == ["rest", "walk"]
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("several", [False, True])
def test_pieces_of_sessions_have_no_bouts(several):
    labels = [np.repeat([1, 2, 1], 10)]
    if several:
        labels = [np.eye(3)[labels[0]]]
    classes = [own.astype(int) for own in labels]
    whole = score(labels, [np.ones((30, 3))], classes, NAMES, None)
    pieces = score(labels, [np.ones((30, 3))], classes, NAMES, None, whole_sessions=False)
    assert whole["whole_sessions"] and not pieces["whole_sessions"]
    assert pieces["edit"] is None and pieces["segment_f1"] is None
    assert pieces["macro_f1"] == whole["macro_f1"] == 1
    for name, of_pieces in pieces["classes"].items():
        about_bouts = {"segment_f1", "true_bouts", "predicted_bouts"}
        assert {key for key, value in of_pieces.items() if value is None} >= about_bouts
        assert whole["classes"][name]["true_bouts"] is not None
        same = of_pieces.keys() - about_bouts
        assert {k: of_pieces[k] for k in same} == {k: whole["classes"][name][k] for k in same}


def test_a_class_that_is_neither_true_nor_predicted_has_no_score():
    found = score([np.array([1, 1])], [np.ones((2, 3))], [np.array([1, 1])], NAMES)
    assert found["classes"]["walk"]["f1"] is None and found["classes"]["rest"]["f1"] == 1


def test_nothing_to_score_is_null():
    found = score([np.array([-100, 0])], [np.ones((2, 3))], [np.array([1, 1])], NAMES)
    assert found["frames"] == 0 and found["macro_f1"] is None and found["edit"] is None


def test_of_several_behaviours_a_false_alarm_counts():
    labels = np.array([[1.0, 0.0], [1.0, 0.0], [np.nan, 0.0], [0.0, 0.0]])
    found = score([labels], [np.full((4, 2), 0.5)], [np.ones((4, 2), int)], ["rest", "walk"], None)
    assert found["classes"]["rest"]["precision"] == pytest.approx(2 / 3)
    assert found["classes"]["rest"]["recall"] == 1
    assert found["classes"]["walk"]["f1"] == 0
    assert found["macro_f1"] == pytest.approx(0.4) and found["frames"] == 4


def test_frames_of_a_multibinary_background_never_count():
    labels = np.array([[1, 0, 0], [0, 1, 0], [0, 1, 1], [0, 0, 0]], dtype=float)
    alarms = labels.copy()
    alarms[0] = [1, 1, 1]  # in a frame that nobody looked at
    found = score([labels], [alarms], [alarms.astype(int)], NAMES, background=0)
    assert list(found["classes"]) == ["rest", "walk"]
    assert found["frames"] == 3 and found["macro_f1"] == 1
    assert found["classes"]["rest"]["predicted_bouts"]["total"] == 2
    assert found["classes"]["rest"]["average_precision"] == 1
    described = describe_session(alarms.astype(int), NAMES, None, labels, 0)
    assert described["frames_scored"] == 3
    assert described["classes"]["walk"]["frames_scored"] == 1


@pytest.mark.parametrize("kind", ["multiclass", "binary", "multibinary"])
@pytest.mark.parametrize("ignored", [0, 1, -100, None])
@pytest.mark.parametrize("names", [NAMES, ["groom", "rest", "walk"]])
def test_scores_leave_out_the_class_that_the_loss_leaves_out(kind, ignored, names):
    hparams = {"classifier_type": kind, "ignore_class": ignored}
    in_loss = ignored_class({**hparams, "label_names": names})
    assert background_of(hparams, names) == (in_loss if in_loss >= 0 else None)


def test_a_multibinary_background_counts_in_no_file_of_the_summary(tmp_path):
    labels = np.eye(3, dtype=int)[CLASSES]
    labels[40:] = [1, 0, 0]
    np.save(tmp_path / "s.npy", np.random.default_rng(0).random((100, 2)))
    np.save(tmp_path / "s_states.npy", np.where(np.arange(100)[:, None] < 40, labels, 1.0))
    lines = [f"{i}," + ",".join(map(str, row)) for i, row in enumerate(labels.tolist())]
    (tmp_path / "s.csv").write_text("\n".join(["," + ",".join(NAMES), *lines]))
    generator = DataGenerator(
        ["s"],
        [["markers", "labels_strong"]],
        [[None, None]],
        [[tmp_path / "s.npy", tmp_path / "s.csv"]],
        trial_splits="4;1;0;0",
        sequence_length=10,
        ids_test=["s"],
        classifier_type="multibinary",
    )
    summary = summarise({"classifier_type": "multibinary"}, generator, tmp_path)
    assert summary["background"] == 0
    scores = summary["scores"]["test"]
    assert scores["frames"] == summary["sessions"]["s"]["frames_scored"] == 35
    assert scores["macro_f1"] == 1 and "background" not in scores["classes"]


# ------------------------------------------------------------------------------ the summary


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., tuple[DataGenerator, Path]]:
    """A function that writes sessions s (for training) and t (for testing), and their states."""

    def make(states: np.ndarray | None = None) -> tuple[DataGenerator, Path]:
        for session in "st":
            np.save(tmp_path / f"{session}.npy", np.random.default_rng(0).random((100, 2)))
            labels = np.eye(3, dtype=int)[CLASSES].tolist()
            lines = [f"{i}," + ",".join(map(str, row)) for i, row in enumerate(labels)]
            (tmp_path / f"{session}.csv").write_text("\n".join(["," + ",".join(NAMES), *lines]))
            np.save(
                tmp_path / f"{session}_states.npy", sure_of(CLASSES) if states is None else states
            )
        generator = DataGenerator(
            ["s", "t"],
            [["markers", "labels_strong"]] * 2,
            [[None, None]] * 2,
            [[tmp_path / f"{session}.npy", tmp_path / f"{session}.csv"] for session in "st"],
            trial_splits="4;1;0;0",
            sequence_length=10,
            ids_test=["t"],
        )
        return generator, tmp_path

    return make


def test_each_session_and_each_split_is_in_the_summary(project):
    generator, folder = project()
    summary = summarise({"fps": 10.0}, generator, folder)
    assert json.loads((folder / "summary.json").read_text()) == summary
    assert summary["scores"]["test"]["macro_f1"] == 1.0
    assert summary["scores"]["test"]["frames"] == 95
    assert set(summary["scores"]) == {"train", "val", "test"}
    assert summary["sessions"]["t"]["scores"]["test"]["segment_f1"]["0.50"] == 1.0
    assert summary["sessions"]["t"]["seconds"] == 10
    walk = summary["sessions"]["t"]["classes"]["walk"]
    assert walk["share"] == pytest.approx(0.1) and walk["bouts"] == 1 and walk["mean"] == 1.0
    assert summary["smoothing"] == {"method": None} and summary["unit"] == "seconds"
    for session in "st":
        assert len(rows(folder / f"{session}_predictions.csv")) == 101
        assert len(rows(folder / f"{session}_bouts.csv")) == 5


def test_bouts_are_of_whole_sessions_or_of_none(project):
    summary = summarise({"fps": 10.0}, *project())
    test, val = summary["scores"]["test"], summary["scores"]["val"]
    assert test["whole_sessions"] and test["classes"]["walk"]["true_bouts"]["bouts"] == 1
    assert test["edit"] == 1.0 and test["segment_f1"]["0.50"] == 1.0
    for pieces in (val, summary["scores"]["train"], summary["sessions"]["s"]["scores"]["val"]):
        assert not pieces["whole_sessions"] and pieces["edit"] is None
        assert pieces["classes"]["walk"]["true_bouts"] is None


def test_a_split_tells_how_its_sessions_differ(project, tmp_path):
    generator, folder = project()
    summary = summarise({}, generator, folder)
    assert summary["scores"]["test"]["sessions"] == 1
    assert summary["scores"]["test"]["by_session"] is None  # one session has no spread
    generator.datasets[0].batch_idxs, generator.datasets[1].batch_idxs = (
        generator.datasets[1].batch_idxs,
    ) * 2
    np.save(folder / "t_states.npy", sure_of(np.where(np.arange(100) < 50, 1, CLASSES)))
    found = summarise({}, generator, folder)
    alone = [found["sessions"][name]["scores"]["test"]["macro_f1"] for name in "st"]
    assert alone[0] == 1.0 and alone[1] < 0.6
    assert found["scores"]["test"]["sessions"] == 2
    spread = found["scores"]["test"]["by_session"]["macro_f1"]
    assert spread["mean"] == pytest.approx(np.mean(alone))
    assert spread["sd"] == pytest.approx(np.std(alone, ddof=1))
    assert (spread["lowest"], spread["highest"]) == (alone[1], alone[0])


def test_a_score_without_held_out_videos_comes_with_a_caution(project):
    generator, folder = project()
    assert summarise({}, generator, folder)["cautions"] == []
    held_out = generator.datasets[1]
    held_out.batch_idxs = generator.datasets[0].batch_idxs
    (caution,) = summarise({}, generator, folder)["cautions"]
    assert caution.startswith("no video was held out")
    held_out.session.labels_strong[:] = -100
    generator.datasets[1] = replace_labels(held_out, None)
    (caution,) = summarise({}, generator, folder)["cautions"]
    assert caution.startswith("only one video has hand labels")


def test_a_model_of_a_single_scored_class_comes_with_a_caution_first(project):
    generator, folder = project()
    for dataset in generator.datasets:
        labels = dataset.session.labels_strong
        labels[labels > 0] = 1
    generator.datasets[1].batch_idxs = generator.datasets[0].batch_idxs
    first, second = summarise({}, generator, folder)["cautions"]
    name = generator.label_names[1]
    assert first.startswith(f"{name!r} is the only class that is scored")
    assert "has a perfect score" in first and second.startswith("no video was held out")


def replace_labels(dataset, labels):
    dataset.session = dataclasses.replace(dataset.session, labels_strong=labels)
    return dataset


def test_held_out_videos_that_nobody_scored_are_named(project):
    generator, folder = project()
    generator.datasets[1].session.labels_strong[:] = -100
    (caution,) = summarise({"expt_ids_test": ["t"]}, generator, folder)["cautions"]
    assert caution.startswith("the held-out videos (t) have no scored frames")


def test_printed_scores_say_what_they_are_of(project, capsys):
    summary = summarise({}, *project())
    print_scores(summary)
    printed = capsys.readouterr().out
    held_out, pieces = printed.index("held-out videos (never"), printed.index("pieces of training")
    assert held_out < printed.index("  t  ") < pieces < printed.index("frames trained on (no mea")
    assert "optimistic" in printed and "Read this first" not in printed
    del summary["scores"]["test"]
    print_scores(summary | {"cautions": ["no video was held out"]})
    printed = capsys.readouterr().out
    assert printed.endswith("Read this first:\n- no video was held out\n")
    row = next(line for line in printed.splitlines() if line.startswith("  walk"))
    assert row.split()[-2:] == ["-", "-"]  # pieces have no bouts


def test_classes_are_smoothed_and_probabilities_stay_as_they_are(project):
    flicker = CLASSES.copy()
    flicker[50] = 2
    generator, folder = project(sure_of(flicker))
    hparams: dict[str, Any] = {"smoothing": "bouts", "smoothing_frames": 5}
    summary = summarise(hparams, generator, folder)
    assert summary["smoothing"] == {"method": "bouts", "frames": 5}
    assert summary["scores"]["test"]["macro_f1"] == 1.0
    row = rows(folder / "t_predictions.csv")[51]
    assert row[2:] == ["rest", "0.1", "0.1", "0.8"]
    assert np.array_equal(np.load(folder / "t_states.npy"), sure_of(flicker))
    assert smoother_of(folder)(sure_of(flicker)).tolist() == CLASSES.tolist()


def test_states_that_are_missing_or_too_few_are_named(project):
    generator, folder = project()
    np.save(folder / "t_states.npy", sure_of(CLASSES)[:-1])
    with pytest.raises(DataError, match="t_states.npy: expected 100 rows, one a frame, found 99"):
        summarise({}, generator, folder)
    (folder / "t_states.npy").unlink()
    with pytest.raises(DataError, match="t_states.npy: no such file"):
        summarise({}, generator, folder)
