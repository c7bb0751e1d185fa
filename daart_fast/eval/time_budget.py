"""How much time each behaviour takes in each session, as one table over all of them.

A row for each session and class, which pandas and R read as it is. The rows of a session add up to
its frames, unless several behaviours may occur at once.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping
from typing import Any

from daart_fast.files import holds, replacing

__all__ = ["COLUMNS", "TIME_BUDGET", "time_budget", "time_budget_csv", "write_time_budget"]

TIME_BUDGET = "time_budget.csv"
#: what each column holds; a cell is empty where it has no value
COLUMNS = {
    "session": "the video",
    "split": "what training had of it: train, val, test, or new for a video that it had not",
    "class": "the behaviour",
    "frames": "frames that were predicted to be of this class",
    "session_frames": "all frames of the session",
    "share": "frames over session_frames",
    "frames_scored": "of frames, those that hand labels score; empty without hand labels",
    "frames_labelled": "scored frames that the hand labels give this class",
    "session_scored": "all scored frames of the session",
    "unit": "what durations are in: seconds, or frames where the frame rate is not known",
    "total": "how long all bouts are together",
    "bouts": "how many bouts there are",
    "mean_bout": "their mean duration",
    "median_bout": "their median duration",
    "bouts_per_minute": "bouts over the session's minutes",
    "latency": "from the first frame to the first bout",
}


def time_budget(sessions: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of the table.

    Parameters
    ----------
    sessions
        by name what `daart_fast.eval.describe_session` says, and perhaps their ``split``

    Returns
    -------
    list of dict
        values by `COLUMNS`; None where there is none
    """
    return [
        _row(session, contents, name)
        for session, contents in sessions.items()
        for name in contents["classes"]
    ]


def _row(session: str, contents: Mapping[str, Any], name: str) -> dict[str, Any]:
    found, seconds = contents["classes"][name], contents["seconds"]
    return {
        "session": session,
        "split": contents.get("split"),
        "class": name,
        "frames": found["frames"],
        "session_frames": contents["frames"],
        "share": found["share"],
        "frames_scored": found.get("frames_scored"),
        "frames_labelled": found.get("frames_labelled"),
        "session_scored": contents.get("frames_scored"),
        "unit": "frames" if seconds is None else "seconds",
        "total": found["total"],
        "bouts": round(found["bouts"]),
        "mean_bout": found["mean"],
        "median_bout": found["median"],
        "bouts_per_minute": found["bouts"] / (seconds / 60) if seconds else None,
        "latency": found["latency"],
    }


def time_budget_csv(sessions: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the table as csv; see `time_budget`."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(COLUMNS), lineterminator="\n")
    writer.writeheader()
    for row in time_budget(sessions):
        writer.writerow({column: _cell(value) for column, value in row.items()})
    return text.getvalue()


def write_time_budget(
    path: str | os.PathLike[str], sessions: Mapping[str, Mapping[str, Any]]
) -> None:
    """Write the table as csv, unless the file holds it already; see `time_budget`."""
    content = time_budget_csv(sessions).encode()
    if not holds(path, content):
        with replacing(path) as temporary:
            temporary.write_bytes(content)


def _cell(value: Any) -> Any:
    """Spell a number as short as it can be, and no value as an empty cell."""
    return f"{value:.10g}" if isinstance(value, float) else value
