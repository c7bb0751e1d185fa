"""The table of a search's trials, from what their folders hold."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

import pytest

from daart_fast.config import with_defaults
from daart_fast.search.fit import fit
from daart_fast.search.summary import (
    Row,
    best_setting,
    draw,
    read_row,
    score_of,
    settings_table,
    without,
)


def row_of(folder, held_out=()):
    return read_row(1, "finished", {}, str(folder), held_out).results


@pytest.mark.slow
@pytest.mark.parametrize("ignored", [0, 2])
def test_the_class_that_the_loss_ignores_is_not_scored(settings, capsys, ignored):
    trial = Namespace(**with_defaults(settings | {"ignore_class": ignored, "tt_n_cpu_workers": 1}))
    folder = fit(trial)
    summary = json.loads((Path(folder) / "summary.json").read_text())
    assert summary["background"] == ignored
    expected = summary["scores"]["val"]["macro_f1"]
    assert expected is not None
    assert row_of(folder)["val_f1"] == expected
    assert row_of(folder)["test_f1"] is None


@pytest.fixture
def folder(tmp_path):
    """A finished folder of two test sessions, each with a score of its own."""
    sessions = {"a": 0.5, "b": 0.9, "c": None}
    summary = {
        "scores": {"test": {"macro_f1": 0.8}},
        "sessions": {name: {"scores": {"test": {"macro_f1": f1}}} for name, f1 in sessions.items()}
        | {"d": {}},
    }
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    (tmp_path / "hparams.yaml").write_text("expt_ids: [a, b, c, d]\nbest_val_epoch: 3\n")
    return tmp_path


def test_all_sessions_are_pooled(folder):
    assert row_of(folder)["test_f1"] == 0.8


@pytest.mark.parametrize(
    ("held_out", "f1"), [(["a"], 0.5), (["a", "b", "c", "d"], 0.7), (["d"], None)]
)
def test_of_a_fold_the_sessions_held_out_count(folder, held_out, f1):
    assert row_of(folder, held_out)["test_f1"] == pytest.approx(f1)


def test_a_folder_without_scores_has_none(folder):
    (folder / "summary.json").unlink()
    assert row_of(folder)["test_f1"] is None
    assert row_of(folder)["best_val_epoch"] == 3


# ------------------------------------------------------------------------------ the best


def folds_of(n_lags, *scores):
    """A setting's folds, None being one that failed."""
    return [
        Row(
            number=10 * n_lags + fold,
            status="failed" if f1 is None else "finished",
            settings={"n_lags": n_lags, "search_fold": fold},
            results={"test_f1": f1},
            folder=None,
        )
        for fold, f1 in enumerate(scores)
    ]


def test_the_best_setting_is_one_with_all_of_its_folds():
    rows = folds_of(1, 0.9, None, None) + folds_of(2, 0.95, 0.5, 0.6) + folds_of(3, 0.7, 0.7, 0.7)
    table = settings_table(rows, "test_f1")
    assert [line["folds"] for line in table] == [1, 3, 3]
    assert best_setting(table, more=True)["n_lags"] == 3
    assert best_setting(table, more=False)["n_lags"] == 2


def test_where_no_setting_has_all_folds_those_with_most_are_compared():
    rows = folds_of(1, 0.9, None, None) + folds_of(2, 0.6, 0.5, None) + folds_of(3, 0.4, 0.4, None)
    assert best_setting(settings_table(rows, "test_f1"), more=True)["n_lags"] == 2


def test_trials_are_compared_by_a_score_that_all_finished_ones_have():
    rows = folds_of(1, 0.9, 0.8, None)
    assert score_of(rows, held_out=True) == ("test_f1", True)
    rows[1].results = {"test_loss": 2.0}
    assert score_of(rows, held_out=True) is None and without(rows, "test_f1") == [11]
    rows[0].results["test_loss"] = 1.0
    assert score_of(rows, held_out=True) == ("test_loss", False)


@pytest.mark.slow
def test_the_picture_of_a_search_is_written_in_each_format(tmp_path):
    rows = [
        Row(i, "finished", {"dropout": i / 10, "search_fold": i}, {"test_f1": 0.5}, None)
        for i in range(3)
    ]
    rows.append(Row(4, "failed", {"dropout": 0.9, "search_fold": 0}, {}, None))
    files = draw(tmp_path / "search_summary", rows, "test_f1", "png;svg")
    assert [file.name for file in files] == ["search_summary.png", "search_summary.svg"]
    text = files[1].read_text(encoding="utf-8")
    assert "macro-F1 (sessions held out)" in text and ">dropout<" in text and ">0.9<" not in text
