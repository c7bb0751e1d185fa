"""Which trials have been submitted to Slurm, by whatever call: so that none is submitted twice.

A search's folder notes the job of each trial that was submitted from it. The parameters tell a
trial, as its number may be another in the next call.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from daart_fast.config import KEYS
from daart_fast.files import replacing
from daart_fast.search.trials import Job

__all__ = ["Submission", "note_submissions", "submissions_of"]

NOTE = "submitted.json"


@dataclass(frozen=True)
class Submission:
    """A trial's job."""

    #: Slurm's, as ``12_3``
    job_id: str
    #: where submitit keeps its files
    folder: str
    #: where the trial's output goes
    log: str
    #: what identifies the trial: its parameters
    parameters: str
    #: and its data
    data_dir: str


def note_submissions(search: Path, submissions: Iterable[tuple[Job, str, Path]]) -> None:
    """Note in a search's folder each trial, its job's id, and where submitit keeps its files."""
    notes = [
        asdict(Submission(job_id, str(folder), str(job.log), *_key(job.trial)))
        for job, job_id, folder in submissions
    ]
    with replacing(search / NOTE) as temporary:
        temporary.write_text(json.dumps(notes, indent=1) + "\n", encoding="utf-8")


def submissions_of(jobs: Sequence[Job], searches: Path) -> dict[int, Submission]:
    """Return the last submission of each trial that has one, by the trial's number.

    Parameters
    ----------
    jobs
        The trials.
    searches
        The folder that the searches' folders are in.
    """
    notes: list[Submission] = []
    for path in sorted(searches.glob(f"search_*/{NOTE}"), key=lambda path: path.stat().st_mtime):
        notes += [Submission(**note) for note in json.loads(path.read_text(encoding="utf-8"))]
    last = {(note.parameters, note.data_dir): note for note in notes}
    return {job.number: last[key] for job in jobs if (key := _key(job.trial)) in last}


def _key(trial: Any) -> tuple[str, str]:
    """Return what distinguishes a trial: its parameters, and where its data are."""
    values = {name: vars(trial).get(name) for name, key in KEYS.items() if not key.neutral}
    parameters = json.dumps(values, sort_keys=True, default=str)
    return parameters, str(vars(trial).get("data_dir") or "")
