"""Pictures of scores show what they should."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from daart_fast.errors import DataError
from daart_fast.eval.colours import class_colours
from daart_fast.eval.pictures import (
    plot_bout_lengths,
    plot_confusion,
    plot_reliability,
    plot_search,
    reliability,
)
from daart_fast.io import export_hparams

NAMES = ["background", "rest", "walk"]


def test_a_class_has_its_colour_whatever_the_order():
    one = dict(zip("abcd", class_colours(list("abcd"), None), strict=True))
    other = dict(zip("dcab", class_colours(list("dcab"), None), strict=True))
    assert one == other and len(set(one.values())) == 4
    assert class_colours(["x", "a"])[1] == class_colours(["a"], None)[0]


def test_more_classes_than_colours_have_some_twice():
    assert len(class_colours([str(i) for i in range(30)], None)) == 30


def test_a_confusion_matrix_shows_shares_of_each_true_class(tmp_path):
    matrix = [[0, 0, 0], [0, 30, 10], [5, 0, 5]]
    (panel,) = plot_confusion(matrix, NAMES, save_file=tmp_path / "c.png").axes
    assert [text.get_text() for text in panel.texts] == [
        "0.00\n0", "0.75\n30", "0.25\n10", "0.50\n5", "0.00\n0", "0.50\n5"
    ]  # fmt: skip
    assert [label.get_text() for label in panel.get_yticklabels()] == ["rest", "walk"]
    assert (tmp_path / "c.png").stat().st_size > 0
    with pytest.raises(DataError, match="counts of 3 classes"):
        plot_confusion([[1]], NAMES)


def test_bout_lengths_are_distributions_in_seconds(tmp_path):
    tracks = {
        "hand labels": [np.repeat([1, 2, 1, -1], [10, 20, 40, 9])],
        "predicted": [np.repeat([1, -1], [70, 9])],
    }
    rest, walk = plot_bout_lengths(tracks, NAMES, fps=10, save_file=tmp_path / "b.pdf").axes
    true, predicted = rest.lines
    assert true.get_xdata().tolist() == [1, 4] and predicted.get_xdata().tolist() == [7]
    assert len(walk.lines) == 1 and rest.get_xlabel() == "seconds"
    plot_bout_lengths({}, NAMES)
    plot_bout_lengths({}, NAMES[:1])


def test_a_lone_bout_is_seen():
    tracks = [np.repeat([1, 2, 1, -1], [10, 20, 40, 9])]
    figure = plot_bout_lengths({"hand labels": tracks, "predicted": tracks}, NAMES)
    rest, walk = figure.axes
    assert {line.get_marker() for line in rest.lines} == {"None"}
    assert [line.get_marker() for line in walk.lines] == ["o", "x"]  # both are seen in one place


def test_reliability_compares_being_sure_with_being_right():
    states = np.array([[0.05, 0.95, 0], [0.05, 0.95, 0], [0.2, 0.65, 0.15], [1, 0, 0]])
    confidence, accuracy, frames, error = reliability([1, 2, 1, 0], states)
    assert frames.tolist() == [0, 0, 0, 0, 0, 0, 1, 0, 0, 2]
    assert confidence[9] == pytest.approx(0.95) and accuracy[9] == 0.5
    assert error == pytest.approx((0.35 + 2 * 0.45) / 3)
    top, bottom = plot_reliability([1, 2, 1, 0], states).axes
    assert top.lines[1].get_xdata().tolist() == pytest.approx([0.65, 0.95])
    assert np.isnan(reliability([0], [[1.0, 0.0]])[3])
    plot_reliability([0], [[1.0, 0.0]])


def test_a_search_is_drawn_against_each_setting_that_differs(tmp_path: Path):
    folders = []
    for i, (lags, dropout) in enumerate([(2, 0.1), (4, 0.1), (16, 0.1), (4, 0.2)]):
        folders.append(tmp_path / f"version_{i}")
        export_hparams({"n_lags": lags, "dropout": dropout}, folders[-1] / "hparams.yaml")
        summary = {"scores": {"val": {"macro_f1": 0.5 + 0.1 * i}}}
        (folders[-1] / "summary.json").write_text(json.dumps(summary))
    (tmp_path / "unfinished").mkdir()
    lags, dropout = plot_search([*folders, tmp_path / "unfinished"]).axes
    assert lags.get_xlabel() == "n_lags" and dropout.get_xlabel() == "dropout"
    assert [tick.get_text() for tick in lags.get_xticklabels()] == ["2", "4", "16"]
    assert lags.lines[0].get_ydata().tolist() == pytest.approx([0.5, 0.6, 0.7, 0.8])
    plot_search(folders[:1], tmp_path / "search.png")
    with pytest.raises(DataError, match="found none among 1; daart-fast evaluate writes it"):
        plot_search([tmp_path / "unfinished"])
