"""What all static pictures share: size and type for a paper, colours, legends, times, files.

Widths are those of journals: `COLUMN` and `PAGE` millimetres. Text is `FONT` points, which stays
readable in print; pixels come at `DPI`. Figures draw without a screen. They change neither the
user's pyplot nor the user's settings of matplotlib.
"""

from __future__ import annotations

import logging
import math
import os
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from daart_fast.config import PICTURE_FORMATS
from daart_fast.files import replacing
from daart_fast.readers.frames import frames_before

__all__ = [
    "ACCENT",
    "COLUMN",
    "FONT",
    "INK",
    "PAGE",
    "UNSCORED",
    "drawing",
    "heading",
    "legend_below",
    "remove",
    "save",
    "shortened",
    "time_axis",
    "write",
]

#: Widths in millimetres: one column of a journal, and the page.
COLUMN, PAGE = 89.0, 183.0
FONT = 7.0
DPI = 250
#: What is not of one class: the blue of Okabe and Ito; hand labels; what was not scored.
ACCENT, INK, UNSCORED = "#0072B2", "#222222", "#BBBBBB"

STYLE: dict[str, Any] = {
    "font.family": "sans-serif", "font.size": FONT, "axes.titlesize": FONT, "axes.labelsize": FONT,
    "figure.titlesize": FONT + 1, "legend.fontsize": FONT, "legend.frameon": False,
    "xtick.labelsize": FONT - 1, "ytick.labelsize": FONT - 1, "axes.linewidth": 0.6,
    "lines.linewidth": 1.0, "lines.markersize": 3.5, "hatch.linewidth": 0.5,
    "xtick.major.width": 0.6, "ytick.major.width": 0.6, "xtick.minor.width": 0.4,
    "axes.spines.top": False, "axes.spines.right": False, "text.parse_math": False,  # a$b$c
    "pdf.fonttype": 42, "svg.fonttype": "none",  # text stays text, for whoever edits it
    "svg.hashsalt": "daart_fast",  # the same picture is the same file
}  # fmt: skip


def _style() -> Any:
    """Return the context in which figures are drawn and written: matplotlib's defaults, `STYLE`."""
    import matplotlib

    defaults: dict[Any, Any] = dict(matplotlib.rcParamsDefault)
    kept = {name: value for name, value in defaults.items() if "backend" not in name}
    return matplotlib.rc_context(kept | STYLE)


@contextmanager
def drawing(width: float, height: float) -> Iterator[Any]:
    """Yield a figure of so many millimetres; what the block draws has the common style."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with _style():
        figure = Figure(figsize=(width / 25.4, height / 25.4), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure


# --------------------------------------------------------------------------------------------
# files
# --------------------------------------------------------------------------------------------
def save(figure: Any, path: str | os.PathLike[str] | None) -> Any:
    """Write a figure in the format of the file's extension, if there is a path; return it."""
    if path is not None:
        _save(figure, Path(path), Path(path).suffix[1:] or "png")
    return figure


def write(figure: Any, path: str | os.PathLike[str], formats: str = "png") -> list[Path]:
    """Write a figure in each format, and remove what an earlier call wrote in another format.

    A picture of earlier scores beside one of the present ones would mislead.

    Parameters
    ----------
    figure
        What `drawing` yielded.
    path
        The files, without their extension.
    formats
        As ``picture_format`` in a config: ``"png"``, ``"png;pdf"``.

    Returns
    -------
    list of Path
        The files.
    """
    wanted = formats.split(";")
    files = [_named(path, format) for format in wanted]
    for file, format in zip(files, wanted, strict=True):
        _save(figure, file, format)
    remove(path, [format for format in PICTURE_FORMATS if format not in wanted])
    return files


def remove(path: str | os.PathLike[str], formats: Sequence[str] = PICTURE_FORMATS) -> None:
    """Remove a picture that an earlier call wrote, in each of the formats."""
    for file in (_named(path, format) for format in formats):
        if file.is_file():
            file.unlink()
            logging.info(f"{file}: removed, as it is of an earlier evaluation")


def _named(path: str | os.PathLike[str], format: str) -> Path:
    return Path(f"{os.fspath(path)}.{format}")  # a session's name may hold points


def _save(figure: Any, path: Path, format: str) -> None:
    dates = {"pdf": "CreationDate", "svg": "Date"}  # the same picture is the same file
    metadata = {dates[format]: None} if format in dates else None
    with _style(), replacing(path) as temporary:
        figure.savefig(temporary, dpi=DPI, format=format, metadata=metadata)


# --------------------------------------------------------------------------------------------
# names
# --------------------------------------------------------------------------------------------
def shortened(names: Sequence[str], most: int = 24) -> list[str]:
    """Cut the middle out of long names; names that differ still do.

    Parameters
    ----------
    names
        Of sessions or classes.
    most
        How many characters a name may have; more where shorter names would be equal.
    """
    for length in range(most, max(map(len, names), default=0)):
        short = [_without_middle(name, length) for name in names]
        if len(set(short)) == len(set(names)):
            return short
    return list(names)


def _without_middle(name: str, length: int) -> str:
    if len(name) <= length:
        return name
    end = (length - 1) // 3
    return name[: length - 1 - end] + "…" + name[len(name) - end :]


def heading(figure: Any, text: str) -> None:
    """Write a title over all panels, on as many lines as it needs."""
    characters = int(figure.get_figwidth() * 25.4 / 1.6)  # of 8 points
    figure.suptitle(textwrap.fill(text, characters))


def legend_below(figure: Any, handles: Sequence[Any], names: Sequence[str], **more: Any) -> None:
    """Put a legend below everything, in as many columns as fit; the figure grows by its height."""
    for n_columns in range(len(names), 0, -1):
        legend = figure.legend(handles, names, loc="outside lower center", ncols=n_columns, **more)
        box = legend.get_window_extent(figure.canvas.get_renderer())
        if box.width <= figure.bbox.width or n_columns == 1:
            figure.set_figheight(figure.get_figheight() + box.height / figure.dpi)
            return
        legend.remove()


# --------------------------------------------------------------------------------------------
# times
# --------------------------------------------------------------------------------------------
MINUTE, HOUR, DAY = 60, 3600, 86400
STEPS = (
    1, 2, 5, 10, 20, 30, MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 20 * MINUTE, 30 * MINUTE,
    HOUR, 2 * HOUR, 4 * HOUR, 6 * HOUR, 12 * HOUR,
)  # fmt: skip
MOST_TICKS = 9


def time_axis(panel: Any, n_frames: int, fps: float | None, first_frame: int = 0) -> None:
    """Mark time along a panel whose x is seconds, or frames without `fps`, up to its very end.

    Seconds are seconds in a recording of up to two minutes, then minutes, from an hour on hours.
    x counts from the session's first frame, and what is written there is the video's time, or the
    frame's number.
    """
    begin = (frames_before(first_frame) if fps else first_frame) / (fps or 1.0)
    end = begin + n_frames / (fps or 1.0)
    step = _step(end - begin, fps is not None)
    ticks = [i * step for i in range(math.ceil(begin / step), int(end // step) + 1)]
    if len(ticks) > 1 and end - ticks[-1] < 0.6 * step:
        ticks.pop()  # there would be no room beside the end's
    ticks.append(end)
    unit, spell = _clock(end) if fps else ("frame", "{:,.0f}".format)
    panel.set_xlim(0, max(end - begin, 1e-9))
    panel.set_xticks([tick - begin for tick in ticks], [spell(tick) for tick in ticks])
    panel.set_xlabel(unit)


def _step(end: float, in_time: bool) -> float:
    """Return the distance between ticks."""
    if in_time and end > MOST_TICKS:
        steps = (*STEPS, *(DAY * 2**i for i in range(16)))
        return next((step for step in steps if end / step < MOST_TICKS), end)
    size = 10.0 ** math.floor(math.log10(max(end, 1e-6) / MOST_TICKS))
    step = next(step for step in (size, 2 * size, 5 * size, 10 * size) if end / step < MOST_TICKS)
    return step if in_time else max(step, 1.0)


def _clock(end: float) -> tuple[str, Callable[[float], str]]:
    """Return what a recording's time is in, and how a time is spelled."""
    if end <= 2 * MINUTE:
        return "time (s)", "{:.4g}".format
    if end < HOUR:
        return "time (min:s)", lambda t: f"{int(t) // 60}:{int(t) % 60:02d}"
    return "time (h:min)", lambda t: f"{int(t) // HOUR}:{int(t) % HOUR // 60:02d}"
