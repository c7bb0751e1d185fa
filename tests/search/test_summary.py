"""The table of a search's trials, from what their folders hold."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

import pytest

from daart_fast.config import with_defaults
from daart_fast.search.fit import fit
from daart_fast.search.summary import read_row


def row_of(folder, held_out=()):
    return read_row(1, "finished", {}, str(folder), held_out).results


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
