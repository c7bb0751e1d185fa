"""Groups of animals compared: what each animal did, and means over animals with intervals.

An animal counts once, however long it was watched and in however many sessions: frames and bouts
of one animal depend on each other, so they are no sample of anything. Its sessions are taken
together first; means and intervals are over animals.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from daart_fast.errors import DataError, some
from daart_fast.eval.segments import bouts

__all__ = [
    "MEASURES",
    "Track",
    "check_classes",
    "measure_animals",
    "read_track",
    "summarise_groups",
]

#: what is measured of each behaviour, and its unit (where the frame rate is known)
MEASURES = {
    "time": "% of all frames",
    "bouts_per_minute": "bouts a minute",
    "median_bout": "seconds",
}
TRANSITION = "transition"
#: intervals hold the mean with this probability, as far as the bootstrap can say
LEVEL, RESAMPLES, SEED = 0.95, 10_000, 0


@dataclass(frozen=True)
class Track:
    """What was predicted in one session.

    Attributes
    ----------
    classes
        (T,) numbers of `names`, -1 for none; (T, C) of 0 and 1 where several may occur at once
    names
        the C classes
    fps
        frames a second; None where the file does not say
    """

    classes: np.ndarray
    names: list[str]
    fps: float | None


def read_track(path: str | os.PathLike[str]) -> Track:
    """Read a SESSION_predictions.csv, as `daart_fast.eval.write_predictions` writes it.

    Raises
    ------
    DataError
        it is another file, or holds a class that its header does not name
    """
    import pandas as pd

    try:
        table = pd.read_csv(path, usecols=["frame", "time", "class"], dtype=str, na_filter=False)
        names = list(pd.read_csv(path, nrows=0).columns[3:])
    except (ValueError, OSError) as error:
        raise DataError(
            f"{path}: expected the columns frame, time and class, as predict writes them ({error})"
        ) from None
    times, cells = table["time"], table["class"]
    fps = None
    if len(times) > 1 and times.iloc[-1]:
        fps = round((len(times) - 1) / (float(times.iloc[-1]) - float(times.iloc[0])), 4)
    number = {name: i for i, name in enumerate(names)} | {"": -1}
    found = list(dict.fromkeys(cells))
    if all(cell in number for cell in found):
        return Track(cells.map(number).to_numpy(np.int64), names, fps)
    rows = {}
    for cell in found:
        parts = cell.split("+") if cell else []
        if unknown := [part for part in parts if part not in number]:
            line = int(np.flatnonzero(cells == cell)[0]) + 2
            raise DataError(
                f"{path}, line {line}: expected one of the classes {', '.join(names)}; "
                f"found {unknown[0]!r}"
            )
        rows[cell] = [int(name in parts) for name in names]
    return Track(np.array([rows[cell] for cell in cells], dtype=np.int64), names, fps)


def measure_animals(animals: Mapping[str, Sequence[Track]]) -> list[dict[str, Any]]:
    """Measure every behaviour of every animal.

    Parameters
    ----------
    animals
        the sessions of each animal; all have the same classes

    Returns
    -------
    list of dict
        ``animal``, ``class``, ``next`` (of a transition, else None), ``measure``, ``unit`` and
        ``value``, which is None where there is none: a behaviour that never occurs has no
        duration. A class that no animal ever shows is left out. ``transition`` is the share of
        the bouts of ``class`` that have a bout after them, and are followed by ``next`` at once.
    """
    rows = []
    names = next(iter(animals.values()))[0].names
    seen = [
        any(_is(track, i).any() for tracks in animals.values() for track in tracks)
        for i in range(len(names))
    ]
    for animal, tracks in animals.items():
        measured = [*_behaviours(tracks), *_transitions(tracks)]
        for i, following, measure, unit, value in measured:
            if seen[i] and (following is None or seen[following]):
                after = None if following is None else names[following]
                rows.append(
                    {
                        "animal": animal,
                        "class": names[i],
                        "next": after,
                        "measure": measure,
                        "unit": unit,
                        "value": value,
                    }
                )
    return rows


def _is(track: Track, i: int) -> np.ndarray:
    """Return (T,) bool: whether each frame is of a class."""
    return track.classes[:, i] == 1 if track.classes.ndim == 2 else track.classes == i


def _behaviours(tracks: Sequence[Track]) -> list[tuple[int, None, str, str, float | None]]:
    """Return class, None, measure, unit and value of each class of an animal."""
    n_frames = sum(len(track.classes) for track in tracks)
    timed = all(track.fps for track in tracks)
    minutes = sum(len(track.classes) / (track.fps or 1) for track in tracks) / 60
    found: list[tuple[int, None, str, str, float | None]] = []
    for i in range(len(tracks[0].names)):
        durations: list[float] = []
        for track in tracks:
            own = bouts(_is(track, i).astype(np.int64), 0)
            durations += ((own[:, 2] - own[:, 1]) / (track.fps or 1 if timed else 1)).tolist()
        frames = sum(int(_is(track, i).sum()) for track in tracks)
        median = float(np.median(durations)) if durations else None
        found.append((i, None, "time", MEASURES["time"], 100 * frames / n_frames))
        if timed:
            unit = MEASURES["bouts_per_minute"]
            found.append((i, None, "bouts_per_minute", unit, len(durations) / minutes))
        found.append((i, None, "median_bout", "seconds" if timed else "frames", median))
    return found


def _transitions(tracks: Sequence[Track]) -> list[tuple[int, int, str, str, float | None]]:
    """Return class, next class, measure, unit and share; none of behaviours that may overlap."""
    if any(track.classes.ndim == 2 for track in tracks):
        return []
    n = len(tracks[0].names)
    counts = np.zeros((n, n))
    for track in tracks:
        found = bouts(track.classes)
        joined = found[:-1, 2] == found[1:, 1]
        np.add.at(counts, (found[:-1][joined, 0], found[1:][joined, 0]), 1)
    return [
        (i, j, TRANSITION, "% of its bouts", 100 * counts[i, j] / total if total else None)
        for i, total in enumerate(counts.sum(1))
        for j in range(n)
        if i != j
    ]


def summarise_groups(
    rows: Sequence[Mapping[str, Any]], groups: Mapping[str, str], reference: str
) -> list[dict[str, Any]]:
    """Return the mean over animals of each group, and how it differs from a reference.

    Intervals are percentiles of a bootstrap: animals are drawn with replacement, each group by
    itself, always from the same seed.

    Parameters
    ----------
    rows
        what `measure_animals` returns
    groups
        the group of each animal
    reference
        the group that the other ones are compared with

    Returns
    -------
    list of dict
        ``group``, ``class``, ``next``, ``measure``, ``unit``; ``animals`` that have a value, their
        ``mean``, ``low`` and ``high``; ``difference`` of the means from the reference with
        ``difference_low`` and ``difference_high``. Intervals need two animals (in both groups).
    """
    values: dict[tuple[Any, ...], dict[str, list[float]]] = {}
    for row in rows:
        key = tuple(row[name] for name in ("class", "next", "measure", "unit"))
        kept = values.setdefault(key, {}).setdefault(groups[row["animal"]], [])
        if row["value"] is not None:
            kept.append(row["value"])
    found = []
    for key, by_group in values.items():
        means = {
            group: _bootstrap(np.asarray(by_group.get(group, [])), number)
            for number, group in enumerate(dict.fromkeys(groups.values()))
        }
        for group, (mean, drawn) in means.items():
            row = {"group": group} | dict(
                zip(("class", "next", "measure", "unit"), key, strict=True)
            )
            row |= {"animals": len(by_group.get(group, [])), "mean": mean}
            row |= dict(zip(("low", "high"), _interval(drawn), strict=True))
            row |= _apart(means[group], means[reference]) if group != reference else _apart()
            found.append(row)
    return found


#: the mean of a group, and those of resampled animals, where there are any
_Mean = tuple[float | None, np.ndarray | None]


def _apart(own: _Mean = (None, None), reference: _Mean = (None, None)) -> dict[str, Any]:
    """Return how far apart two groups' means are, with the interval."""
    drawn = None
    if own[1] is not None and reference[1] is not None:
        drawn = own[1] - reference[1]
    low, high = _interval(drawn)
    difference = None
    if own[0] is not None and reference[0] is not None:
        difference = own[0] - reference[0]
    return {"difference": difference, "difference_low": low, "difference_high": high}


def _bootstrap(values: np.ndarray, number: int) -> _Mean:
    """Return the mean of a group, and means of resampled animals (RESAMPLES,) if it has two."""
    if len(values) == 0:
        return None, None
    if len(values) == 1:
        return float(values[0]), None
    drawn = np.random.default_rng((SEED, number)).integers(
        len(values), size=(RESAMPLES, len(values))
    )
    return float(values.mean()), values[drawn].mean(1)


def _interval(drawn: np.ndarray | None) -> tuple[float | None, float | None]:
    if drawn is None:
        return None, None
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def check_classes(tracks: Mapping[str, Track]) -> None:
    """Refuse sessions whose classes are not the same, which nobody could compare.

    Raises
    ------
    DataError
        naming sessions and classes
    """
    by_names: dict[tuple[str, ...], list[str]] = {}
    for session, track in tracks.items():
        by_names.setdefault(tuple(track.names), []).append(session)
    if len(by_names) > 1:
        found = "; ".join(f"{', '.join(names)} in {some(own)}" for names, own in by_names.items())
        raise DataError(f"expected the same classes in all sessions, found {found}")
