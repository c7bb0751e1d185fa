"""The one score on top of a report, or why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from daart_fast.eval.splits import split_title

__all__ = ["headline"]


def headline(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return the score that stands for a model: of whole videos that no choice was made on.

    Parameters
    ----------
    summary
        what `daart_fast.eval.summarise` returns

    Returns
    -------
    dict
        ``macro_f1``, the mean over ``sessions``, what they are (``title``), their ``spread`` (None
        for one), and the score of all frames together (``pooled``). Without such videos ``why``, a
        clause.
    """
    for split in ("new", "test"):
        scores = summary["scores"].get(split)
        if scores and scores["whole_sessions"] and scores["macro_f1"] is not None:
            spread = (scores["by_session"] or {}).get("macro_f1")
            return {
                "macro_f1": spread["mean"] if spread else scores["macro_f1"],
                "title": split_title(split, True),
                "sessions": scores["sessions"],
                "spread": spread,
                "pooled": scores["macro_f1"],
            }
    if not summary["scores"]:
        return {"why": "these videos have no hand labels"}
    return {"why": "no video with hand labels was held out"}
