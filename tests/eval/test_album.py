"""The pictures of a model show what its tables say."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from daart_fast.data.sessions import Session
from daart_fast.eval import Smoother, album, score
from daart_fast.eval.new_sessions import NewSession, NewSessions
from daart_fast.eval.selection import SMOOTHER_FILE

NAMES = ["background", "rest", "walk"]
STATES = np.array([[0.1, 0.8, 0.1]] * 20 + [[0.1, 0.2, 0.7]] * 2 + [[0.1, 0.8, 0.1]] * 20)
LABELS = np.repeat([0, 1, 2], [2, 20, 20])


@pytest.fixture
def drawn(monkeypatch) -> dict[str, dict]:
    """What each picture was drawn with, by the function's name."""
    calls: dict[str, dict] = {}

    def note(name: str) -> None:
        draw = getattr(album, name)
        monkeypatch.setattr(
            album, name, lambda *a, **k: (calls.update({name: k}), draw(*a, **k))[1]
        )

    for name in ("plot_ethogram", "plot_confusion", "plot_bout_lengths", "plot_reliability"):
        note(name)
    return calls


def sessions(folder, states=STATES, labels=None, **splits: np.ndarray) -> NewSessions:
    """One session, m1, whose probabilities are written."""
    np.save(folder / "m1_states.npy", states)
    session = Session("m1", np.empty((len(states), 0)), [], labels_strong=labels)
    return NewSessions(folder, [NewSession(session, splits)], NAMES)


def scores_of(labels, whole_sessions: bool = True, states=STATES) -> dict:
    classes = states.argmax(1) if labels.ndim == 1 else (states > 0.5).astype(int)
    background = 0 if labels.ndim == 1 else None
    return score([labels], [states], [classes], NAMES, background, None, whole_sessions)


def test_ethograms_show_the_classes_as_they_are_smoothed(tmp_path, drawn):
    Smoother("bouts", 5).save(tmp_path / SMOOTHER_FILE)
    album.draw_all({}, sessions(tmp_path), tmp_path, {"scores": {}})
    assert drawn["plot_ethogram"]["classes"].tolist() == [1] * len(STATES)
    assert drawn["plot_ethogram"]["title"] == "m1"


@pytest.mark.slow
def test_pictures_of_whole_sessions_say_which_frames_they_are_of(tmp_path, drawn):
    generator = sessions(tmp_path, labels=LABELS, test=np.ones(42, bool))
    summary = {"scores": {"train": {}, "test": scores_of(LABELS)}}
    files = album.draw_all({}, generator, tmp_path, summary)
    names = ["m1_ethogram", "confusion", "bout_lengths", "reliability"]
    assert files == [tmp_path / f"{name}.png" for name in names]
    assert all(file.stat().st_size > 1000 for file in files)
    title = "held-out videos: 40 frames of 1 session"
    assert {k["title"] for name, k in drawn.items() if name != "plot_ethogram"} == {title}
    used = {name: frames.sum() for name, frames in drawn["plot_ethogram"]["splits"].items()}
    assert used.pop("held-out videos") == 42 and set(used.values()) == {0}


@pytest.mark.slow
def test_pieces_of_videos_have_no_lengths_of_bouts_and_older_ones_go(tmp_path, caplog):
    half = np.arange(42) < 21
    generator = sessions(tmp_path, labels=LABELS, val=half, train=~half)
    summary = {"scores": {"val": scores_of(np.where(half, LABELS, -100), False)}}
    (tmp_path / "bout_lengths.png").write_bytes(b"of earlier scores")
    files = album.draw_all({}, generator, tmp_path, summary)
    assert [file.name for file in files] == ["m1_ethogram.png", "confusion.png", "reliability.png"]
    assert not (tmp_path / "bout_lengths.png").exists()
    assert "not drawn, as pieces of training videos cut bouts where they end" in caplog.text


@pytest.mark.slow
def test_pictures_are_written_in_the_formats_asked_for(tmp_path):
    generator = sessions(tmp_path, labels=LABELS, test=np.ones(42, bool))
    summary = {"scores": {"test": scores_of(LABELS)}}
    album.draw_all({}, generator, tmp_path, summary)
    files = album.draw_all({"picture_format": "pdf;svg"}, generator, tmp_path, summary)
    assert len(files) == 8 and {file.suffix for file in files} == {".pdf", ".svg"}
    assert list(tmp_path.glob("*.png")) == []  # a picture is in the formats of the last call


@pytest.mark.slow
def test_of_several_behaviours_at_once_there_are_ethograms_and_bouts(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    labels = np.column_stack([c == LABELS for c in range(3)]).astype(float)
    generator = sessions(tmp_path, labels=labels, test=np.ones(42, bool))
    Smoother(multibinary=True).save(tmp_path / SMOOTHER_FILE)
    summary = {"scores": {"test": scores_of(labels)}}
    hparams = {"classifier_type": "multibinary"}
    files = album.draw_all(hparams, generator, tmp_path, summary)
    assert [file.name for file in files] == ["m1_ethogram.png", "bout_lengths.png"]
    assert caplog.text == ""


def test_scores_shown_are_those_of_the_frames_held_out_that_are_labelled():
    assert album.split_shown({"train": {}, "val": {}, "test": {}}) == "test"
    assert album.split_shown({"train": {}, "val": {}}) == "val"
    assert album.split_shown({"train": {}}) is None
