"""Names: what column 0 of labels is called, and what programs add to the name of a video.

A session is called as its video, without what was added.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

__all__ = ["BACKGROUND", "Name", "parts_of", "session_name"]

#: What column 0 of labels is called: frames that nobody looked at.
BACKGROUND = "background"

#: What programs put behind the name of a video, from the end inwards: what it is, and its pattern.
ADDED = (
    ("labeled", r"_labeled"),  # daart
    ("skeleton", r"_skeleton"),  # DeepLabCut: lengths and angles of bones, and no points
    ("filtered", r"_filtered"),  # DeepLabCut: the same points, smoothed over time
    ("scorer", r"_?(?:DLC|DeepCut)_.+|_superanimal_.+"),  # DeepLabCut: the network
    ("scorer", r"(?:\.\w{2,4})?\.predictions"),  # SLEAP
)


class Name(NamedTuple):
    """The parts of a file's name, without its ending; empty for what it lacks."""

    session: str
    scorer: str = ""
    filtered: str = ""
    skeleton: str = ""
    labeled: str = ""


def parts_of(name: str) -> Name:
    """Part a name, without the file's ending, into the video's name and what was added to it.

    Letters with accents become one character each: macOS writes them as two.
    """
    name, added = unicodedata.normalize("NFC", name), {}
    for what, pattern in ADDED:
        if found := re.fullmatch(rf"(.+?)({pattern})", name, re.DOTALL):
            name, added[what] = found.groups()
    return Name(name, **added)


def session_name(name: str) -> str:
    """Return the name of the video that a name, without the file's ending, begins with."""
    return parts_of(name).session
