"""Pictures of predictions."""

from __future__ import annotations

import numpy as np
import pytest

from daart_fast.errors import DataError
from daart_fast.eval import plot_ethogram
from daart_fast.eval.colours import BACKGROUND, class_colours

NAMES = ["background", "rest", "walk"]
STATES = np.array([[0.1, 0.8, 0.1]] * 4 + [[0.1, 0.2, 0.7]] * 6, dtype=np.float32)
LABELS = np.array([0, 0, 1, 1, 1, 2, 2, 2, 2, -100])
LONG = "rat_26DLC_dlcrnetms5_ratJan24shuffle1_5000_el_filtered_and_then_some_more_of_the_same_name"


def bars(figure, name: str) -> list[tuple[float, float]]:
    """Return (start, stop) of the bars of this name, such as 'predicted rest'."""
    (found,) = [one for panel in figure.axes for one in panel.collections if one.get_gid() == name]
    boxes = [path.get_extents() for path in found.get_paths()]
    return [(float(box.x0), float(box.x1)) for box in boxes]


def legend(figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_each_bout_is_a_bar_from_its_first_frame_to_its_last():
    figure = plot_ethogram(STATES, NAMES, LABELS)
    assert bars(figure, "hand labels rest") == [(2, 5)]
    assert bars(figure, "hand labels walk") == [(5, 9)]
    assert bars(figure, "predicted rest") == [(0, 4)]
    assert bars(figure, "predicted walk") == [(4, 10)]


def test_every_class_but_the_background_has_a_strip():
    (panel,) = plot_ethogram(STATES, NAMES, LABELS).axes
    assert [label.get_text() for label in panel.get_yticklabels()] == ["rest", "walk"]


def test_frames_that_nobody_scored_are_marked_and_explained():
    figure = plot_ethogram(STATES, NAMES, LABELS)
    assert bars(figure, "not scored walk") == [(0, 2), (9, 10)]
    assert legend(figure) == ["hand labels", "not scored", "predicted", "probability"]
    scored = plot_ethogram(STATES, NAMES, np.ones(10, int))
    assert legend(scored) == ["hand labels", "predicted", "probability"]
    assert legend(plot_ethogram(STATES, NAMES)) == ["predicted", "probability"]


def test_classes_that_are_given_are_drawn_in_place_of_the_likeliest():
    figure = plot_ethogram(STATES, NAMES, classes=np.array([1] * 9 + [-1]))
    assert bars(figure, "predicted rest") == [(0, 9)] and bars(figure, "predicted walk") == []


def test_time_is_in_seconds_where_the_frame_rate_is_known():
    figure = plot_ethogram(STATES, NAMES, fps=5)
    assert bars(figure, "predicted walk") == [(0.8, 2)]
    assert figure.axes[-1].get_xlabel() == "time (s)"
    assert plot_ethogram(STATES, NAMES).axes[-1].get_xlabel() == "frame"


def test_the_session_and_what_its_frames_were_used_for_are_named():
    splits = {"frames trained on": np.arange(10) < 7, "held-out videos": np.zeros(10, bool)}
    figure = plot_ethogram(STATES, NAMES, LABELS, title="rat_26", splits=splits)
    assert figure.axes[0].get_title(loc="left") == "rat_26"
    assert bars(figure, "frames trained on") == [(0, 7)]
    assert legend(figure)[-1] == "frames trained on"


@pytest.mark.slow
def test_probabilities_are_means_where_frames_are_too_many_to_see():
    states = np.repeat([[0.0, 0.25, 0.75], [0.0, 1.0, 0.0]], 50_000, axis=0)
    (panel,) = plot_ethogram(states, NAMES).axes
    heights, edges, baseline = panel.patches[0].get_data()
    assert len(heights) == 2000 and edges[-1] == 100_000
    whole = baseline - heights[-1]
    np.testing.assert_allclose((baseline - heights[:1000]) / whole, 0.25, atol=1e-6)


def test_several_behaviours_at_once_have_a_strip_each():
    labels = np.array([[1, 1]] * 4 + [[0, np.nan]] * 6)
    classes = np.array([[1, 0]] * 5 + [[0, 1]] * 5)
    figure = plot_ethogram(STATES[:, 1:], NAMES[1:], labels, background=None, classes=classes)
    assert bars(figure, "hand labels rest") == [(0, 4)] == bars(figure, "hand labels walk")
    assert bars(figure, "not scored rest") == [] and bars(figure, "not scored walk") == [(4, 10)]
    assert bars(figure, "predicted rest") == [(0, 5)]


@pytest.mark.slow
@pytest.mark.parametrize("n_classes", [1, 12, 40])
def test_names_of_any_length_and_number_fit(n_classes):
    names = [f"behaviour {i} with a name that is rather long" for i in range(n_classes)]
    states = np.random.default_rng(0).dirichlet(np.ones(n_classes), 500)
    labels = np.repeat([-1, 0], 250)
    splits = {"frames trained on": labels < 0, "pieces of training videos": labels >= 0}
    figure = plot_ethogram(states, names, labels, 30, None, title=LONG, splits=splits)
    figure.draw_without_rendering()
    (legend,) = figure.legends
    texts = [*figure.axes[-1].get_yticklabels(), *figure.axes[-1].get_xticklabels()]
    for part in (legend, figure.axes[0]._left_title, *texts):
        box = part.get_window_extent()
        assert box.x0 >= -1 and box.x1 <= figure.bbox.x1 + 1 and box.y0 >= -1
    assert figure.axes[-1].get_window_extent().width > 0.5 * figure.bbox.width


@pytest.mark.parametrize("n_frames", [0, 1])
def test_the_shortest_sessions_are_drawn(tmp_path, n_frames):
    path = tmp_path / "new" / "ethogram.png"
    plot_ethogram(STATES[:n_frames], NAMES, LABELS[:n_frames], save_file=path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_the_background_is_grey_and_other_colours_differ():
    colours = class_colours(["background", *map(str, range(9))])
    assert colours[0] == BACKGROUND and len(set(colours)) == 10


def test_what_does_not_fit_is_refused():
    with pytest.raises(DataError, match=r"shape \(frames, 2\), got \(10, 3\)"):
        plot_ethogram(STATES, NAMES[:2])
    with pytest.raises(DataError, match=r"expected 10 labels, one for each frame, got \(9,\)"):
        plot_ethogram(STATES, NAMES, labels=np.zeros(9, int))
    with pytest.raises(DataError, match=r"expected 10 classes, one for each frame, got \(10, 2\)"):
        plot_ethogram(STATES, NAMES, classes=np.zeros((10, 2), int))
