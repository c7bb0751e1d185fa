"""The table of time budgets says what can be counted in the classes themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from daart_fast.eval.summary import describe_session
from daart_fast.eval.time_budget import COLUMNS, write_time_budget

NAMES = ["background", "rest", "walk"]
CLASSES = np.repeat([1, 2, 1, 2], [30, 10, 50, 30])


def table_of(tmp_path, **sessions) -> pd.DataFrame:
    write_time_budget(tmp_path / "time_budget.csv", sessions)
    return pd.read_csv(tmp_path / "time_budget.csv")


def test_a_row_for_each_session_and_class(tmp_path):
    first, second = (
        describe_session(CLASSES, NAMES, 2.0),
        describe_session(CLASSES[:40], NAMES, 2.0),
    )
    found = table_of(tmp_path, m1={**first, "split": "new"}, m2={**second, "split": "test"})
    assert list(found) == list(COLUMNS)
    assert found[["session", "class"]].to_numpy().tolist() == [
        [session, name] for session in ("m1", "m2") for name in NAMES
    ]
    assert found["split"].tolist() == ["new"] * 3 + ["test"] * 3


def test_shares_bouts_and_latency_are_those_of_the_classes(tmp_path):
    found = table_of(tmp_path, m1=describe_session(CLASSES, NAMES, 2.0)).set_index("class")
    rest, walk = found.loc["rest"], found.loc["walk"]
    assert (rest["frames"], walk["frames"], walk["session_frames"]) == (80, 40, 120)
    assert walk["share"] == pytest.approx(1 / 3)
    assert (walk["unit"], walk["total"], walk["bouts"]) == ("seconds", 20, 2)
    assert (walk["mean_bout"], walk["median_bout"]) == (10, 10)
    assert walk["bouts_per_minute"] == 2  # 120 frames are a minute
    assert (rest["latency"], walk["latency"]) == (0, 15)


def test_frames_add_up_to_the_session(tmp_path):
    classes = np.random.default_rng(0).integers(0, 3, 1000)
    found = table_of(tmp_path, m1=describe_session(classes, NAMES, 30.0))
    assert found["frames"].sum() == 1000
    assert found["total"].sum() == pytest.approx(1000 / 30, abs=1e-6)
    assert found["share"].sum() == pytest.approx(1)


def test_a_behaviour_that_never_occurs_has_no_durations(tmp_path):
    found = table_of(tmp_path, m1=describe_session(CLASSES, NAMES, 2.0)).set_index("class")
    absent = found.loc["background"]
    assert (absent["frames"], absent["bouts"], absent["bouts_per_minute"]) == (0, 0, 0)
    assert absent[["mean_bout", "median_bout", "latency"]].isna().all()


def test_without_a_frame_rate_durations_are_in_frames(tmp_path):
    found = table_of(tmp_path, m1=describe_session(CLASSES, NAMES)).set_index("class")
    walk = found.loc["walk"]
    assert (walk["unit"], walk["total"], walk["latency"]) == ("frames", 40, 30)
    assert np.isnan(walk["bouts_per_minute"])


def test_behaviours_that_occur_at_once_have_bouts_of_their_own(tmp_path):
    both = np.array([[0, 1], [1, 1], [1, 0], [0, 0]])
    found = table_of(tmp_path, m1=describe_session(both, ["rest", "walk"], 1.0)).set_index("class")
    assert found["frames"].tolist() == [2, 2] and found["latency"].tolist() == [1, 0]


def test_frames_that_are_labelled_and_scored_stand_beside_those_predicted(tmp_path):
    labels = np.where(np.arange(120) < 100, CLASSES, -100)
    labels[:5] = 0  # nobody looked
    contents = describe_session(CLASSES, NAMES, 2.0, labels, background=0)
    found = table_of(tmp_path, m1=contents).set_index("class")
    assert found["frames"].tolist() == [0, 80, 40]
    assert found["frames_scored"].tolist() == [0, 75, 20]
    assert found["frames_labelled"].tolist() == [0, 75, 20]
    assert set(found["session_scored"]) == {95}


def test_the_guide_explains_each_column():
    guide = (Path(__file__).parents[2] / "docs" / "guide.md").read_text(encoding="utf-8")
    for column, meaning in COLUMNS.items():
        assert f"| `{column}` | {meaning} |" in guide
