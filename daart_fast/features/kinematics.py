"""From tracked points to features with names."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

import numpy as np

from daart_fast.config import KINEMATIC, with_defaults
from daart_fast.errors import ConfigError, DataError, did_you_mean
from daart_fast.features import kernels
from daart_fast.features.choice import Choice, words
from daart_fast.features.skeleton import Animal, animals_of, orbits
from daart_fast.readers.inputs import (
    Inputs,
    fill_gaps,
    hold_inputs,
    read_inputs,
    read_markers,
    without_unseen,
)
from daart_fast.readers.markers import TOO_LARGE, Markers

__all__ = ["GROUPS", "Kinematics", "reader_of"]

#: what can be built, with what it is; the order is that of the columns
GROUPS = {
    "distances": "of each pair of keypoints",
    "speeds": "of each keypoint",
    "accelerations": "of each keypoint",
    "angles": "at each keypoint, between its neighbours in the file's order (cosine and sine); the "
    "name has all three, the keypoint in the middle",
    "egocentric": "coordinates, seen from the first point of kinematic_axis and turned so that "
    "the second lies ahead; in 3D the third point of kinematic_axis lies aside",
    "animals": "distance, approach, heading and bearing of each pair of animals",
    "likelihoods": "of each keypoint, 0 where it was not detected",
}

#: Frames that one thread fills at a time. Running sums begin again with each, so that the answer
#: does not depend on the number of threads.
CHUNK = 4096


@dataclass(frozen=True)
class Kinematics:
    """Which features to build from tracked points, and how.

    Attributes
    ----------
    groups
        of `GROUPS`
    windows
        seconds; of each feature the mean and the spread over a window so long are added
    fps
        frames a second. Without it speeds are in pixels a frame, and there can be no windows
    axis
        two body parts: where an animal is, and a point ahead of it. For egocentric coordinates of
        points in 3D a third one, beside the line through these two
    causal
        whether only the past counts: windows then end with their frame, else they are centred
    any_order
        whether animals have no order: what one feature is of one animal (or pair) and others are
        of others is sorted in each frame, so that nothing changes where a tracker swaps animals
    gaps
        how points that are missing are filled in: see `daart_fast.readers.inputs.fill_gaps`. With
        ``hold`` a point is missing whole, and features begin where every point has been seen
    choice
        which points of a file count
    """

    groups: tuple[str, ...]
    windows: tuple[float, ...] = ()
    fps: float | None = None
    axis: tuple[str, ...] | None = None
    causal: bool = False
    any_order: bool = False
    gaps: str = "interpolate"
    choice: Choice = field(default_factory=Choice)

    def __post_init__(self) -> None:
        for group in self.groups:
            if group not in GROUPS:
                raise ConfigError(
                    f"'kinematic_groups': there is no group {group!r}{did_you_mean(group, GROUPS)};"
                    f" expected some of {';'.join(GROUPS)}"
                )
        if not self.groups:
            raise ConfigError(f"'kinematic_groups': expected some of {';'.join(GROUPS)}")
        if "egocentric" in self.groups and self.axis is None:
            raise ConfigError(
                "'kinematic_axis' is missing: egocentric coordinates need two body parts, where "
                "the animal is and one ahead of it, such as tail_base;nose"
            )
        if self.windows and not self.fps:
            raise ConfigError("'fps' is missing: 'kinematic_windows' are in seconds")

    @classmethod
    def from_hparams(cls, hparams: Mapping[str, Any]) -> Kinematics | None:
        """Read the settings out of hparams; None where their inputs are files as they are."""
        settings = with_defaults(hparams)
        if settings["input_type"] != KINEMATIC:
            return None
        axis = words(settings["kinematic_axis"])
        if len(axis) not in (0, 2, 3):
            raise ConfigError(
                f"'kinematic_axis': expected two body parts, in 3D three, got {';'.join(axis)}"
            )
        return cls(
            groups=tuple(words(settings["kinematic_groups"])),
            windows=_windows(settings["kinematic_windows"]),
            fps=settings["fps"],
            axis=tuple(axis) or None,
            causal=bool(settings["causal"]),
            any_order=bool(settings["kinematic_any_order"]),
            gaps=str(settings["gaps"]),
            choice=Choice.from_hparams(settings),
        )

    def __call__(self, markers: Markers, source: str | os.PathLike[str] = "") -> Inputs:
        """Build the features of one session.

        Parameters
        ----------
        markers
            NaN where a point was not detected; such gaps are filled as `gaps` says
        source
            where they come from, for errors

        Returns
        -------
        Inputs
            (T, N) float32 and N names, which begin with ``3d:`` where points have z: distances in
            pixels (in 3D in the unit of the coordinates), speeds in pixels a second (a frame
            where fps is not given), accelerations in pixels a second squared, angles as cosine
            and sine. With ``gaps: hold`` all are NaN before every point has been seen

        Raises
        ------
        ConfigError
            a body part of `axis` does not exist, or a group has nothing to measure; `axis` has
            too few body parts, or too many, for points of so many dimensions
        DataError
            a point was never detected
        """
        animals = animals_of(markers.names)
        if self.gaps == "hold":
            markers = _without_halves(markers)
        points = _points(markers, animals, source, self.gaps)
        unseen = int(np.isnan(points).any((1, 2)).sum())  # they are the first frames
        points = points[unseen:]
        columns = list(self._columns(markers.names, animals, points.shape[2]))
        if not columns and self.groups != ("likelihoods",):
            raise ConfigError(
                f"{source}: {';'.join(self.groups)} of {len(markers.names)} keypoints of "
                f"{len(animals)} animal(s): there is nothing to measure"
            )
        names = [column.name for column in columns]
        likely = "likelihoods" in self.groups
        if likely:
            names += [f"likelihood:{name}" for name in markers.names]
        if markers.zs is not None:  # the same words for 2D mean something else
            names = [f"3d:{name}" for name in names]
        base = np.empty((len(points), len(names)), dtype=np.float32)
        self._measure(points, columns, base)
        if likely:
            seen = np.where(markers.missing(), 0.0, markers.likelihoods)
            base[:, len(columns) :] = np.nan_to_num(seen[unseen:])
        if self.any_order:
            keys = [(column.kernel.__name__, column.row) for column in columns]
            keys += [("likelihood", (a,)) for a in range(len(names) - len(columns))]
            for places in orbits(keys, animals, len(markers.names)):
                base[:, places] = np.sort(base[:, places], axis=1)
                for rank, place in enumerate(places, start=1):
                    names[place] += f":rank{rank}"
        values, names = self._with_windows(base, names)
        if unseen:
            values = np.pad(values, ((unseen, 0), (0, 0)), constant_values=np.nan)
        return Inputs(values, names)

    def read(self, path: str | Path, likelihood_threshold: float = 0.0) -> Inputs:
        """Read tracked points and build their features.

        Points that are unsure by ``likelihood_threshold`` count as not detected. Returns and raises
        as `daart_fast.readers.inputs.read_inputs` and a call do.
        """
        if not Path(path).is_file():
            raise DataError(f"{path}: no such file")
        markers = self.choice(read_markers(path), path)
        markers = without_unseen(markers, Path(path))
        unsure = markers.unsure(likelihood_threshold)
        points = {axis: np.where(unsure, np.nan, c) for axis, c in markers.coordinates.items()}
        return self(markers.replacing(points), path)

    def _measure(self, points: np.ndarray, columns: Sequence[_Column], out: np.ndarray) -> None:
        """Fill the columns of ``out`` that are measured from points (T, P, D)."""
        rate = float(self.fps or 1.0)
        lead = 0 if self.causal else 1
        start = 0
        while start < len(columns):  # columns of one kernel stand together
            kernel = columns[start].kernel
            stop = start
            while stop < len(columns) and columns[stop].kernel is kernel:
                stop += 1
            table = np.array([column.row for column in columns[start:stop]], dtype=np.int64)
            run, part = kernels.compiled(kernel), out[:, start:stop]
            _in_threads(len(out), lambda a, b: run(points, table, rate, 1, lead, a, b, part))  # noqa: B023
            start = stop

    def _with_windows(self, base: np.ndarray, names: list[str]) -> Inputs:
        """Add mean and spread over each window to (T, N) features."""
        n = len(names)
        values = np.empty((len(base), n * (1 + 2 * len(self.windows))), dtype=np.float32)
        values[:, :n] = base
        every = list(names)
        for i, seconds in enumerate(self.windows):
            half = max(1, round(seconds * float(self.fps or 1.0) / 2))
            before, after = (2 * half, 0) if self.causal else (half, half)
            mean, spread = np.split(values[:, n * (1 + 2 * i) : n * (3 + 2 * i)], 2, axis=1)

            def fill(a: int, b: int) -> None:
                sums = np.empty((2, n))
                kernels.windowed()(base, before, after, a, b, mean, spread, sums)  # noqa: B023

            _in_threads(len(base), fill)
            for what in ("mean", "std"):
                every += [f"{name}:{what}{seconds:g}s" for name in names]
        return Inputs(values, every)

    def _columns(
        self, names: Sequence[str], animals: Sequence[Animal], n_dimensions: int
    ) -> Iterator[_Column]:
        """Yield what to measure, group by group, the columns of one kernel together."""
        turn = kernels.turn if n_dimensions == 2 else kernels.turn_3d
        makers: dict[str, Callable[..., Iterator[_Column]]] = {
            "distances": lambda: _pairs(names),
            "speeds": lambda: _each(kernels.speed, "speed", names),
            "accelerations": lambda: _each(kernels.acceleration, "acceleration", names),
            "angles": lambda: _angles(names, animals, turn),
            "egocentric": lambda: _egocentric(names, animals, self.axis, n_dimensions),
            "animals": lambda: _between(len(names), animals, self.axis, turn),
        }
        for group in GROUPS:
            if group in self.groups and group in makers:
                yield from makers[group]()


#: measures columns of features: see `daart_fast.features.kernels`
_Kernel = Callable[..., None]


@dataclass(frozen=True)
class _Column:
    """One feature: its name, the kernel that measures it and that kernel's row of its table."""

    name: str
    kernel: _Kernel
    row: tuple[int, ...]


def _pairs(names: Sequence[str]) -> Iterator[_Column]:
    for a, b in combinations(range(len(names)), 2):
        yield _Column(f"distance:{names[a]}:{names[b]}", kernels.distance, (a, b))


def _each(kernel: Callable[..., None], what: str, names: Sequence[str]) -> Iterator[_Column]:
    for a, name in enumerate(names):
        yield _Column(f"{what}:{name}", kernel, (a,))


def _turn(kernel: _Kernel, name: str, *points: int) -> Iterator[_Column]:
    for part, what in enumerate(("cos", "sin")):
        yield _Column(f"{name}:{what}", kernel, (*points, part))


def _angles(names: Sequence[str], animals: Sequence[Animal], turn: _Kernel) -> Iterator[_Column]:
    for animal in animals:
        places = list(animal.parts.values())
        for a, b, c in zip(places, places[1:], places[2:], strict=False):
            # all three are named: in a file of another order it is another angle
            yield from _turn(turn, f"angle:{names[a]}:{names[b]}:{names[c]}", a, b, c, b)


def _egocentric(
    names: Sequence[str],
    animals: Sequence[Animal],
    axis: tuple[str, ...] | None,
    n_dimensions: int,
) -> Iterator[_Column]:
    """All points as each animal sees them; those that fix its axes have no place across these."""
    assert axis is not None
    if len(axis) != n_dimensions:
        wanted = {
            2: "two body parts, as the points have no z",
            3: "a third body part, beside the line through the first two (tail_base;nose;left_ear),"
            " as the points have z: it fixes what is aside and what is above",
        }
        raise ConfigError(
            f"'kinematic_axis': egocentric coordinates need {wanted[n_dimensions]}; "
            f"got {';'.join(axis)}"
        )
    kernel = kernels.egocentric if n_dimensions == 2 else kernels.egocentric_3d
    for animal in animals:
        fixed = tuple(animal.index(part) for part in axis)
        seen_by = f"{animal.name}:" if animal.name else ""
        for c, name in enumerate(names):
            n_parts = fixed.index(c) if c in fixed else n_dimensions
            for part, what in enumerate(("ahead", "aside", "above")[:n_parts]):
                yield _Column(f"ego:{seen_by}{name}:{what}", kernel, (*fixed, c, part))


def _between(
    n_points: int, animals: Sequence[Animal], axis: tuple[str, ...] | None, turn: _Kernel
) -> Iterator[_Column]:
    """Animals two by two; the centre of animal i stands behind the keypoints, at n_points + i."""
    centred = list(enumerate(animals, start=n_points))
    pairs = list(combinations(centred, 2))
    for (a, one), (b, other) in pairs:
        yield _Column(f"distance:{one.name}:{other.name}", kernels.distance, (a, b))
    for (a, one), (b, other) in pairs:
        yield _Column(f"approach:{one.name}:{other.name}", kernels.approach, (a, b))
    if axis is None:
        return
    for (_, one), (_, other) in pairs:
        o, h, p, q = (who.index(part) for who in (one, other) for part in axis[:2])
        yield from _turn(turn, f"heading:{one.name}:{other.name}", h, o, q, p)
    for (_, one), (b, other) in permutations(centred, 2):
        o, h = (one.index(part) for part in axis[:2])
        yield from _turn(turn, f"bearing:{one.name}:{other.name}", h, o, b, o)


def _without_halves(markers: Markers) -> Markers:
    """Return markers in which a point is missing whole where one of its coordinates is."""
    every = markers.coordinates
    seen = np.all([np.abs(values) < TOO_LARGE for values in every.values()], axis=0)
    return markers.replacing({axis: np.where(seen, c, np.nan) for axis, c in every.items()})


def _points(
    markers: Markers, animals: Sequence[Animal], source: str | os.PathLike[str], gaps: str
) -> np.ndarray:
    """Return (T, K + A, D) float64: the keypoints, gaps filled, then each animal's centre."""
    every, n_keypoints = markers.coordinates, len(markers.names)
    flat = np.concatenate(list(every.values()), axis=1)
    names = [f"{name}_{axis}" for axis in every for name in markers.names]
    filled = fill_gaps(flat, names, source, gaps)
    points = np.empty((len(flat), n_keypoints + len(animals), len(every)))
    for axis, values in enumerate(np.split(filled, len(every), axis=1)):
        points[:, :n_keypoints, axis] = values
        for i, animal in enumerate(animals):
            points[:, n_keypoints + i, axis] = values[:, list(animal.parts.values())].mean(1)
    return points


def _in_threads(n_frames: int, fill: Callable[[int, int], None]) -> None:
    """Call ``fill(first, last)`` for one chunk of frames after the other, in torch's threads."""
    import torch

    chunks = [(a, min(a + CHUNK, n_frames)) for a in range(0, n_frames, CHUNK)]
    n_threads = min(torch.get_num_threads(), len(chunks))
    if n_threads < 2:
        for first, last in chunks:
            fill(first, last)
        return
    with ThreadPoolExecutor(n_threads) as pool:
        for _ in pool.map(lambda chunk: fill(*chunk), chunks):
            pass


def _windows(value: Any) -> tuple[float, ...]:
    try:
        windows = tuple(float(word) for word in words(value))
    except ValueError:
        windows = (0.0,)
    if not all(0 < seconds < float("inf") for seconds in windows):
        raise ConfigError(
            f"'kinematic_windows': expected seconds above 0, as '0.5;2', got {value!r}"
        )
    return windows


def reader_of(hparams: Mapping[str, Any]) -> Callable[[str | Path, float], Inputs]:
    """Return what reads a session's inputs: files as they are, or features built from markers."""
    kinematics = Kinematics.from_hparams(hparams)
    if kinematics is not None:
        return kinematics.read
    if choice := Choice.from_hparams(hparams):
        return choice.read
    return hold_inputs if choice.gaps == "hold" else read_inputs
