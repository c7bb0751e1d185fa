"""What all pictures share: their size, names that fit, times, and the files they go to."""

from __future__ import annotations

import matplotlib
import pytest

from daart_fast.eval.figures import (
    COLUMN,
    drawing,
    legend_below,
    remove,
    save,
    shortened,
    time_axis,
    write,
)


def ticks(n_frames: int, fps: float | None, first_frame: int = 0) -> tuple[list[str], str]:
    """What stands below a panel of so many frames."""
    with drawing(183, 40) as figure:
        panel = figure.subplots()
        time_axis(panel, n_frames, fps, first_frame)
        return [label.get_text() for label in panel.get_xticklabels()], panel.get_xlabel()


def test_a_figure_has_its_width_in_millimetres_and_leaves_the_settings_alone():
    before = dict(matplotlib.rcParams)
    with drawing(COLUMN, 50) as figure:
        text = figure.text(0, 0, "a$b$c")
    assert figure.get_figwidth() * 25.4 == pytest.approx(89)
    assert text.get_fontsize() == 7 and not text.get_parse_math()
    assert dict(matplotlib.rcParams) == before


def test_seconds_minutes_and_hours_are_ticked_as_such_up_to_the_end():
    assert ticks(300, 30) == (["0", "2", "4", "6", "8", "10"], "time (s)")
    assert ticks(14550, 30) == (
        ["0:00", "1:00", "2:00", "3:00", "4:00", "5:00", "6:00", "7:00", "8:05"],
        "time (min:s)",
    )
    assert ticks(2 * 3600 * 30 + 400, 30)[0][-2:] == ["1:40", "2:00"]
    assert ticks(2 * 3600 * 30, 30)[1] == "time (h:min)"
    assert ticks(24 * 3600 * 30, 30)[0][-1] == "24:00"


def test_frames_are_ticked_in_whole_numbers():
    expected = ["0", "2,000", "4,000", "6,000", "8,000", "10,000", "12,345"]
    assert ticks(12345, None) == (expected, "frame")
    assert ticks(2, None)[0] == ["0", "1", "2"]
    assert ticks(0, 30)[0][-1] == "0"


def test_an_axis_of_late_tracks_shows_the_videos_time():
    assert ticks(300, 30, 1) == ticks(300, 30)
    assert ticks(300, 30, 60) == (["2", "4", "6", "8", "10", "12"], "time (s)")
    assert ticks(300, None, 1000)[0][::2] == ["1,000", "1,100", "1,200", "1,300"]


def test_long_names_lose_their_middle_and_still_differ():
    assert shortened(["short", "rat_21DLC_resnet50_cage_5000"], 16) == ["short", "rat_21DLC_…_5000"]
    names = [f"a_very_long_name_that_differs_{i}_in_the_middle_of_it" for i in range(3)]
    assert len(set(shortened(names, 10))) == 3
    assert shortened([]) == []


@pytest.mark.slow
@pytest.mark.parametrize("n_names", [1, 12, 40])
def test_a_legend_lies_inside_the_figure_whatever_it_holds(n_names):
    names = [f"a rather long name of a class {i}" for i in range(n_names)]
    with drawing(COLUMN, 50) as figure:
        panel = figure.subplots()
        lines = [panel.plot([0, 1], [0, i])[0] for i in range(n_names)]
        legend_below(figure, lines, names)
        figure.draw_without_rendering()
        box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1
    assert panel.get_window_extent().height > 0.5 * 50 / 25.4 * figure.dpi


@pytest.mark.slow
def test_a_picture_is_written_in_each_format_and_older_ones_go(tmp_path):
    with drawing(COLUMN, 50) as figure:
        figure.subplots().plot([0, 1])
    path = tmp_path / "s1.day2"
    first = write(figure, path, "png;pdf")
    assert [file.name for file in first] == ["s1.day2.png", "s1.day2.pdf"]
    assert first[0].read_bytes().startswith(b"\x89PNG") and first[1].read_bytes()[:4] == b"%PDF"
    assert [file.name for file in write(figure, path, "svg")] == ["s1.day2.svg"]
    assert [file.name for file in tmp_path.iterdir()] == ["s1.day2.svg"]
    remove(path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("format", ["png", "pdf", "svg"])
def test_the_same_picture_is_the_same_file(tmp_path, format):
    files = [tmp_path / f"{i}.{format}" for i in range(2)]
    for file in files:
        with drawing(COLUMN, 50) as figure:
            figure.subplots().plot([0, 1])
            assert save(figure, file) is figure
    assert files[0].read_bytes() == files[1].read_bytes()
