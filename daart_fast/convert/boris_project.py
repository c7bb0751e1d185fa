"""BORIS' project files (.boris, JSON): bouts into one, and bouts out of one that was corrected."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daart_fast.convert.annotation import Annotation, Bout, stem_of
from daart_fast.errors import DataError, unreadable

__all__ = ["PREDICTED", "Observation", "event_rows", "project_text", "read_project"]

#: The comment of events that a model predicted. BORIS keeps comments in its projects and exports,
#: so that no file with it is taken for hand labels by accident.
PREDICTED = "predicted by daart-fast"
#: The version of the format, which BORIS 7, 8 and later ones open.
VERSION = "7.0"
PLAYERS = 8
KEYS = "abcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True)
class Observation:
    """One session of a project.

    Attributes
    ----------
    bouts
        class, first frame, frame after the last
    n_frames
        frames of the video
    fps
        frames a second
    video
        the path of the video
    """

    bouts: Sequence[Bout]
    n_frames: int
    fps: float
    video: str


def project_text(
    name: str, classes: Sequence[str], observations: Mapping[str, Observation], date: str
) -> str:
    """Return a project with these observations, as BORIS opens and imports it.

    Parameters
    ----------
    name
        of the project
    classes
        the behaviours, also those that never occur; all are state events
    observations
        by session
    date
        of the project, as 2026-12-01T00:00:00
    """
    project = {
        "time_format": "hh:mm:ss",
        "project_date": date,
        "project_name": name,
        "project_description": f"{PREDICTED}: correct it, and save it",
        "project_format_version": VERSION,
        "subjects_conf": {},
        "behaviors_conf": {
            str(i): {
                "type": "State event",
                "key": KEYS[i % len(KEYS)],
                "code": code,
                "description": "",
                "color": "",
                "category": "",
                "modifiers": {},
                "excluded": "",
                "coding map": "",
            }
            for i, code in enumerate(classes)
        },
        "observations": {
            session: _observation(observation, date)
            for session, observation in observations.items()
        },
        "behavioral_categories": [],
        "independent_variables": {},
        "coding_map": {},
        "behaviors_coding_map": [],
        "converters": {},
    }
    return json.dumps(project, indent=1, ensure_ascii=True) + "\n"


def _observation(observation: Observation, date: str) -> dict[str, Any]:
    video, fps = observation.video, observation.fps
    return {
        "file": {str(i): [video] if i == 1 else [] for i in range(1, PLAYERS + 1)},
        "type": "MEDIA",
        "date": date,
        "description": PREDICTED,
        "time offset": 0.0,
        "events": event_rows(observation.bouts, fps),
        "observation time interval": [0, 0],
        "independent_variables": {},
        "visualize_spectrogram": False,
        "visualize_waveform": False,
        "media_creation_date_as_offset": False,
        "media_scan_sampling_duration": 0,
        "image_display_duration": 1,
        "close_behaviors_between_videos": False,
        "media_info": {
            "length": {video: observation.n_frames / fps},
            "fps": {video: fps},
            "hasVideo": {video: True},
            "hasAudio": {video: False},
        },
    }


def event_rows(bouts: Sequence[Bout], fps: float) -> list[list[Any]]:
    """Return start and stop of each bout, in order of time; what stops comes first.

    Each is time in seconds, subject, behaviour, modifier, comment, frame.
    """
    marks = [(stop, 0, label) for label, _, stop in bouts]
    marks += [(start, 1, label) for label, start, _ in bouts]
    return [
        [round(frame / fps, 6), "", label, "", PREDICTED, frame]
        for frame, _, label in sorted(marks)
    ]


def read_project(path: Path, subject: str | None = None) -> list[Annotation]:
    """Read the observations of a project that have one video each.

    Parameters
    ----------
    path
        the .boris file
    subject
        only this subject's behaviours; None: everybody's

    Raises
    ------
    DataError
        it is no project; an observation has several videos or no frame rate; a behaviour that is
        no point event starts and never stops
    """
    try:
        project = json.loads(path.read_text(encoding="utf-8"))
        behaviours = project["behaviors_conf"].values()
        points = {one["code"] for one in behaviours if "point" in one["type"].lower()}
        states = [one["code"] for one in behaviours]
        return [
            _annotation(path, name, content, points, states, subject)
            for name, content in project["observations"].items()
        ]
    except DataError:
        raise
    except (OSError, ValueError) as error:
        raise DataError(unreadable(path, error, "a project file of BORIS")) from None
    except (KeyError, TypeError, AttributeError, IndexError):
        raise DataError(f"{path}: expected a project file of BORIS 7 or newer") from None


def _annotation(
    path: Path,
    name: str,
    content: Mapping[str, Any],
    points: set[str],
    classes: Sequence[str],
    subject: str | None,
) -> Annotation:
    """Return what an observation says."""
    videos = [video for player in content["file"].values() for video in player]
    if len(videos) != 1:
        raise DataError(
            f"{path}: observation {name} has {len(videos)} videos; expected one. Export it as "
            f"tabular events of BORIS, and convert these"
        )
    fps = float(content["media_info"]["fps"].get(videos[0]) or 0)
    if fps <= 0:
        raise DataError(f"{path}: observation {name} has no frame rate; open its video in BORIS")
    found = Annotation([name, stem_of(videos[0])], [], fps=fps, classes=list(classes))
    if seconds := content["media_info"]["length"].get(videos[0]):
        found.n_observed = round(float(seconds) * fps)
    offset = float(content.get("time offset") or 0)
    begun: dict[tuple[str, str, str], int] = {}
    for time, who, label, modifier, comment, *_ in sorted(
        content["events"], key=lambda event: float(event[0])
    ):
        found.all_subjects.add(who)
        found.predicted |= PREDICTED in comment
        frame = round((float(time) - offset) * fps)
        if subject is not None and who != subject:
            continue
        if label in points:
            found.bouts.append((label, frame, frame + 1))
        elif (begin := begun.pop((who, label, modifier), None)) is None:
            begun[who, label, modifier] = frame
            continue
        else:
            found.bouts.append((label, begin, frame))
        found.subjects.append(who)
    for (_, label, _), frame in begun.items():
        raise DataError(
            f"{path}: observation {name}: {label} starts at {frame / fps:g} s and never stops; "
            f"correct it in BORIS"
        )
    return found
