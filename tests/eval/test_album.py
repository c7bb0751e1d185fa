"""The pictures of a model show what its tables say."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from daart_fast.eval import Smoother, album
from daart_fast.eval.selection import SMOOTHER_FILE

NAMES = ["background", "rest", "walk"]
STATES = np.array([[0.1, 0.8, 0.1]] * 20 + [[0.1, 0.2, 0.7]] * 2 + [[0.1, 0.8, 0.1]] * 20)


@pytest.fixture
def drawn(monkeypatch) -> list[dict]:
    """What ethograms were drawn of."""
    calls: list[dict] = []
    monkeypatch.setattr(album, "plot_ethogram", lambda *given, **named: calls.append(named))
    return calls


@pytest.fixture
def generator() -> SimpleNamespace:
    session = SimpleNamespace(labels_strong=None)
    dataset = SimpleNamespace(id="m1", session=session)
    return SimpleNamespace(label_names=NAMES, ids=["m1"], datasets=[dataset])


def test_ethograms_show_the_classes_as_they_are_smoothed(tmp_path, generator, drawn):
    np.save(tmp_path / "m1_states.npy", STATES)
    Smoother("bouts", 5).save(tmp_path / SMOOTHER_FILE)
    album.draw_all({}, generator, tmp_path, {"scores": {}})
    assert [call["classes"].tolist() for call in drawn] == [[1] * len(STATES)]


def test_of_several_behaviours_at_once_nothing_is_drawn(tmp_path, generator, drawn):
    hparams = {"classifier_type": "multibinary"}
    assert album.draw_all(hparams, generator, tmp_path, {"scores": {}}) == [] == drawn


def test_scores_shown_are_those_of_the_frames_held_out_that_are_labelled():
    assert album.split_shown({"train": {}, "val": {}, "test": {}}) == "test"
    assert album.split_shown({"train": {}, "val": {}}) == "val"
    assert album.split_shown({"train": {}, "new": {}}) == "new"
    assert album.split_shown({"train": {}}) is None
