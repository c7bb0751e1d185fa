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
    plot_settings,
    reliability,
)
from daart_fast.experiment.stored import export_hparams

NAMES = ["background", "rest", "walk"]


def test_a_class_has_its_colour_whatever_the_order():
    one = dict(zip("abcd", class_colours(list("abcd"), None), strict=True))
    other = dict(zip("dcab", class_colours(list("dcab"), None), strict=True))
    assert one == other and len(set(one.values())) == 4
    assert class_colours(["x", "a"])[1] == class_colours(["a"], None)[0]


def test_more_classes_than_colours_have_some_twice():
    assert len(class_colours([str(i) for i in range(30)], None)) == 30


def texts(legend) -> list[str]:
    return [text.get_text() for text in legend.get_texts()]


def ticks_seen(axis) -> list:
    low, high = sorted(axis.get_view_interval())
    ticks = [tick for tick in axis.get_major_ticks() if tick.label1.get_visible()]
    return [tick.label1 for tick in ticks if low <= tick.get_loc() <= high]


def assert_all_fits(figure) -> None:
    """Check that legend, titles and the names of ticks lie inside the picture."""
    figure.draw_without_rendering()
    parts = [*figure.legends, *([figure._suptitle] if figure._suptitle else [])]
    for panel in figure.axes:
        if panel.get_visible():
            parts += [panel.title, *ticks_seen(panel.xaxis), *ticks_seen(panel.yaxis)]
    for part in parts:
        box = part.get_window_extent()
        if box.width:
            assert box.x0 >= -1 and box.x1 <= figure.bbox.x1 + 1, part
            assert box.y0 >= -1 and box.y1 <= figure.bbox.y1 + 1, part


@pytest.mark.slow
def test_a_confusion_matrix_shows_shares_of_each_true_class(tmp_path):
    matrix = [[0, 0, 0], [0, 30, 10], [5, 0, 5]]
    title = "held-out videos: 50 frames of 1 session"
    figure = plot_confusion(matrix, NAMES, save_file=tmp_path / "c.png", title=title)
    panel, shades = figure.axes
    assert [text.get_text() for text in panel.texts] == [
        "0.00\n0", "0.75\n30", "0.25\n10", "0.50\n5", "0.00\n0", "0.50\n5"
    ]  # fmt: skip
    assert [label.get_text() for label in panel.get_yticklabels()] == ["rest", "walk"]
    assert figure.get_suptitle() == title
    assert shades.get_ylabel() == "share of the row's frames"
    assert (tmp_path / "c.png").stat().st_size > 0
    with pytest.raises(DataError, match="counts of 3 classes"):
        plot_confusion([[1]], NAMES)


@pytest.mark.slow
def test_bout_lengths_are_distributions_in_seconds(tmp_path):
    tracks = {
        "hand labels": [np.repeat([1, 2, 1, -1], [10, 20, 40, 9])],
        "predicted": [np.repeat([1, -1], [70, 9])],
    }
    path = tmp_path / "b.pdf"
    figure = plot_bout_lengths(tracks, NAMES, fps=10, save_file=path, title="held-out videos")
    rest, walk = figure.axes
    true, predicted = rest.lines
    assert true.get_xdata().tolist() == [1, 4] and predicted.get_xdata().tolist() == [7]
    assert rest.get_title() == "rest\nbouts: hand labels 2, predicted 1"
    assert len(walk.lines) == 1 and rest.get_xlabel() == "length of a bout (s)"
    assert figure.get_suptitle() == "held-out videos"
    assert texts(figure.legends[0]) == ["hand labels", "predicted"]
    assert path.read_bytes().startswith(b"%PDF")
    plot_bout_lengths({}, NAMES)
    plot_bout_lengths({}, NAMES[:1])


@pytest.mark.slow
def test_lengths_are_plain_numbers_on_the_same_axis_for_each_class():
    tracks = [np.repeat([1, 2, -1], [2, 3000, 9])]
    figure = plot_bout_lengths({"hand labels": tracks}, NAMES, fps=10)
    figure.draw_without_rendering()
    rest, walk = figure.axes
    assert rest.get_xlim() == walk.get_xlim() and rest.get_xscale() == "log"
    named = {label.get_text() for label in rest.get_xticklabels()}
    assert {"0.1", "1", "10", "100"} <= named


def test_bouts_of_several_behaviours_at_once_may_overlap():
    tracks = [np.array([[1, 0]] * 5 + [[1, 1]] * 5 + [[0, 1]] * 10)]
    rest, walk = plot_bout_lengths({"hand labels": tracks}, NAMES[1:], None).axes
    assert rest.lines[0].get_xdata().tolist() == [10]
    assert walk.lines[0].get_xdata().tolist() == [15]


def test_a_single_bout_is_seen():
    tracks = [np.repeat([1, 2, 1, -1], [10, 20, 40, 9])]
    figure = plot_bout_lengths({"hand labels": tracks, "predicted": tracks}, NAMES)
    rest, walk = figure.axes
    assert {line.get_marker() for line in rest.lines} == {"None"}
    assert [line.get_marker() for line in walk.lines] == ["o", "x"]  # both are seen in one place


@pytest.mark.slow
@pytest.mark.parametrize("n_classes", [1, 2, 12, 30])
def test_long_names_of_many_classes_fit(n_classes):
    names = [f"behaviour {i} with a name that is rather long" for i in range(n_classes)]
    title = "held-out pieces of training videos: 123,456 frames of 12 sessions"
    assert_all_fits(plot_confusion(np.full((n_classes,) * 2, 123456), names, None, title=title))
    tracks = [np.repeat(np.arange(n_classes), 30)]
    pairs = {"hand labels": tracks, "predicted": tracks}
    assert_all_fits(plot_bout_lengths(pairs, names, None, 30, title=title))


@pytest.mark.slow
def test_reliability_compares_being_sure_with_being_right():
    states = np.array([[0.05, 0.95, 0], [0.05, 0.95, 0], [0.2, 0.65, 0.15], [1, 0, 0]])
    confidence, accuracy, frames, error = reliability([1, 2, 1, 0], states)
    assert frames.tolist() == [0, 0, 0, 0, 0, 0, 1, 0, 0, 2]
    assert confidence[9] == pytest.approx(0.95) and accuracy[9] == 0.5
    assert error == pytest.approx((0.35 + 2 * 0.45) / 3)
    figure = plot_reliability([1, 2, 1, 0], states, title="new videos: 3 frames of 1 session")
    top, _ = figure.axes
    assert top.lines[1].get_xdata().tolist() == pytest.approx([0.65, 0.95])
    assert figure.get_suptitle() == "new videos: 3 frames of 1 session"
    assert_all_fits(figure)
    assert np.isnan(reliability([0], [[1.0, 0.0]])[3])
    assert plot_reliability([0], [[1.0, 0.0]]).axes[0].get_title() == "nothing to score"


def test_bins_of_few_frames_are_marked_and_each_has_its_interval():
    states = np.array([[0, 0.95, 0.05]] * 400 + [[0, 0.65, 0.35]] * 2)
    figure = plot_reliability([1] * 300 + [2] * 100 + [1, 2], states)
    top = figure.axes[0]
    assert texts(figure.legends[0]) == [
        "as often right as sure", "a bin of frames, 95% interval", "under 1% of the frames"
    ]  # fmt: skip
    many, few = top.containers
    assert many.lines[0].get_xdata().tolist() == pytest.approx([0.95])
    assert few.lines[0].get_markerfacecolor() == "white"
    assert few.lines[0].get_xdata().tolist() == pytest.approx([0.65])
    (low, high) = many.lines[2][0].get_segments()[0][:, 1]
    assert (low, high) == pytest.approx((0.7054, 0.7899), abs=1e-3)  # Wilson's, of 300 in 400


@pytest.mark.slow
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
    dots = [line.get_ydata().tolist() for line in lags.lines if line.get_marker() == "o"]
    assert dots == [pytest.approx([0.5]), pytest.approx([0.6, 0.8]), pytest.approx([0.7])]
    plot_search(folders[:1], tmp_path / "search.png")
    with pytest.raises(DataError, match="found none among 1; daart-fast evaluate writes it"):
        plot_search([tmp_path / "unfinished"])


def test_settings_are_compared_by_means_and_standard_deviations_without_lines_between_them():
    settings = [{"input_type": kind, "search_fold": i} for kind in ("a", "b") for i in range(2)]
    figure = plot_settings(settings, [0.1, 0.3, 0.5, 0.5], "test_f1")
    kinds, folds = figure.axes
    assert kinds.get_ylabel() == "macro-F1 (sessions held out)"
    assert folds.get_xlabel() == "fold of sessions held out"
    assert texts(figure.legends[0]) == ["one model", "mean and standard deviation"]
    first, _ = kinds.containers
    assert first.lines[0].get_ydata().tolist() == pytest.approx([0.2])
    (segment,) = first.lines[2][0].get_segments()
    assert segment[1, 1] - segment[0, 1] == pytest.approx(2 * 0.1 * 2**0.5)
    assert {line.get_linestyle() for line in kinds.lines} == {"None"}


def test_long_settings_fit():
    values = [f"a_rather_long_kind_of_inputs_{i}" for i in range(5)]
    assert_all_fits(plot_settings([{"input_type": v} for v in values], [0.5] * 5, "val_f1"))
