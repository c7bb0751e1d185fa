"""What the frames of a score are, in words: the same in tables, pictures and reports."""

from __future__ import annotations

__all__ = ["PRINTED", "describe_split", "split_title"]

#: Splits in the order in which people should read their scores.
PRINTED = ("new", "test", "val", "train")

#: By split, and by whether it consists of whole sessions: a title, and what its score is worth.
WORDS = {
    ("new", True): ("new videos", "not among the videos of this training"),
    ("test", True): ("held-out videos", "never trained on"),
    ("val", True): ("validation videos", "used to choose when to stop: optimistic"),
    ("train", True): ("frames trained on", "no measure"),
    ("test", False): (
        "held-out pieces of training videos",
        "much like their neighbours: optimistic",
    ),
    ("val", False): ("pieces of training videos", "used to choose when to stop: optimistic"),
    ("train", False): ("frames trained on", "no measure"),
}


def split_title(split: str, whole_sessions: bool) -> str:
    """Return what to call the frames of a split.

    Parameters
    ----------
    split
        ``"train"``, ``"val"``, ``"test"`` or ``"new"``
    whole_sessions
        whether the split consists of whole sessions; ``scores[split]["whole_sessions"]`` of a
        summary
    """
    return _words(split, whole_sessions)[0]


def describe_split(split: str, whole_sessions: bool) -> str:
    """Return the title of a split, and in parentheses what its score is worth."""
    title, worth = _words(split, whole_sessions)
    return f"{title} ({worth})" if worth else title


def _words(split: str, whole_sessions: bool) -> tuple[str, str]:
    return WORDS.get((split, bool(whole_sessions)), WORDS.get((split, True), (split, "")))
