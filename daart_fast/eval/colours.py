"""Colours that colour-blind readers tell apart, the same for a class in every picture."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

__all__ = ["BACKGROUND", "COLOURS", "class_colours"]

#: Tol's 'muted' scheme (Paul Tol, Colour Schemes, SRON/EPS/TN/09-002).
COLOURS = (
    "#CC6677", "#332288", "#DDCC77", "#117733", "#88CCEE", "#882255", "#44AA99", "#999933",
    "#AA4499",
)  # fmt: skip
BACKGROUND = "#DDDDDD"


def class_colours(label_names: Sequence[str], background: int | None = 0) -> list[str]:
    """Return a colour for each class: grey for the background, else by its name.

    A name has a colour of its own whatever the order of the classes. Where two names of a set
    have the same, the one that is later in the alphabet gets the next that is free; with more
    than nine classes colours come again.
    """
    rest = sorted(name for i, name in enumerate(label_names) if i != background)
    taken: dict[str, int] = {}
    for name in rest:
        place = zlib.crc32(name.encode()) % len(COLOURS)
        while place in taken.values() and len(taken) < len(COLOURS):
            place = (place + 1) % len(COLOURS)
        taken[name] = place
    return [
        BACKGROUND if i == background else COLOURS[taken[name]]
        for i, name in enumerate(label_names)
    ]
