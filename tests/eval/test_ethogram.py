"""Pictures of predictions."""

from __future__ import annotations

import numpy as np
import pytest

from daart_fast.errors import DataError
from daart_fast.eval import plot_ethogram
from daart_fast.eval.colours import BACKGROUND, class_colours

NAMES = ["background", "rest", "walk"]
STATES = np.array([[0.1, 0.8, 0.1]] * 4 + [[0.1, 0.2, 0.7]] * 6, dtype=np.float32)


def bars(panel):
    """The (colour, start, stop) of what is drawn in a strip, in order of time."""
    found = []
    for collection in panel.collections:
        colour = tuple(collection.get_facecolor()[0])
        for path in collection.get_paths():
            box = path.get_extents()
            found.append((colour, box.x0, box.x1))
    return sorted(found, key=lambda bar: bar[1])


def test_each_bout_is_a_bar_from_its_first_frame_to_its_last():
    labels = np.array([0, 0, 1, 1, 1, 2, 2, 2, 2, -100])
    truth, predicted, _ = plot_ethogram(STATES, NAMES, labels).axes
    assert [bar[1:] for bar in bars(truth)] == [(2, 5), (5, 9)]
    assert [bar[1:] for bar in bars(predicted)] == [(0, 4), (4, 10)]
    assert bars(truth)[0][0] == bars(predicted)[0][0] != bars(truth)[1][0]


def test_classes_that_are_given_are_drawn_in_place_of_the_likeliest():
    predicted, _ = plot_ethogram(STATES, NAMES, classes=np.array([1] * 9 + [-1])).axes
    assert [bar[1:] for bar in bars(predicted)] == [(0, 9)]


def test_time_is_in_seconds_where_the_frame_rate_is_known():
    predicted, probabilities = plot_ethogram(STATES, NAMES, fps=5).axes
    assert [bar[1:] for bar in bars(predicted)] == [(0, 0.8), (0.8, 2)]
    assert probabilities.get_xlabel() == "seconds"


def test_probabilities_are_drawn_of_every_class_but_the_background():
    probabilities = plot_ethogram(STATES, NAMES).axes[-1]
    assert [line.get_label() for line in probabilities.lines] == ["rest", "walk"]
    np.testing.assert_array_equal(probabilities.lines[1].get_ydata(), STATES[:, 2])


def test_the_picture_is_written(tmp_path):
    plot_ethogram(STATES[:1], NAMES, save_file=tmp_path / "new" / "ethogram.png")
    assert (tmp_path / "new" / "ethogram.png").read_bytes().startswith(b"\x89PNG")


def test_the_background_is_grey_and_other_colours_differ():
    colours = class_colours(["background", *map(str, range(9))])
    assert colours[0] == BACKGROUND and len(set(colours)) == 10


def test_what_does_not_fit_is_refused():
    with pytest.raises(DataError, match=r"shape \(frames, 2\), got \(10, 3\)"):
        plot_ethogram(STATES, NAMES[:2])
    with pytest.raises(DataError, match=r"expected 10 labels, one for each frame, got \(9,\)"):
        plot_ethogram(STATES, NAMES, labels=np.zeros(9, int))
    with pytest.raises(DataError, match=r"expected 10 classes, one for each frame, got \(10, 3\)"):
        plot_ethogram(STATES, NAMES, classes=np.zeros((10, 3), int))
