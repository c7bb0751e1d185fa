"""From a raw frame to the network's inputs: where each channel stands, and how it is normalised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from daart_fast.errors import ConfigError, did_you_mean
from daart_fast.readers.markers import TOO_LARGE, unsure

__all__ = ["Intake", "keypoints_of", "pose_places"]


@dataclass(frozen=True)
class Intake:
    """How a raw frame becomes N normalised channels.

    Attributes
    ----------
    raw_channels
        numbers in a raw frame
    source
        (N,) int64, each channel's place in it
    likelihood
        (N,) int64, the place of its likelihood, -1 where it has none
    threshold
        a value less likely than this is missing; above 0, also one of which that is not known
    mean, scale
        (N,) float32: ``(value - mean) * scale`` is what the network reads
    """

    raw_channels: int
    source: np.ndarray
    likelihood: np.ndarray
    threshold: float
    mean: np.ndarray
    scale: np.ndarray

    def take(self, raw: np.ndarray, last: np.ndarray) -> np.ndarray:
        """Put the normalised frame in place of ``last``; the slow twin of the engine's own.

        Parameters
        ----------
        raw
            (streams, raw_channels)
        last
            (streams, N) float32, what was read last; a value that is NaN, too large or not likely
            enough leaves it

        Returns
        -------
        np.ndarray
            (streams, N) bool: which are missing
        """
        with np.errstate(over="ignore"):
            raw = np.asarray(raw).astype(np.float32)
        values = raw[:, self.source]
        likely = np.where(self.likelihood >= 0, raw[:, self.likelihood], np.inf)
        missing = ~(np.abs(values) < TOO_LARGE) | unsure(likely, self.threshold)
        np.copyto(last, (values - self.mean) * self.scale, where=~missing)
        return missing


def keypoints_of(config: Mapping[str, Any]) -> list[str]:
    """Return the keypoints that a model's channels tell of, in their order; [] if they don't."""
    names = config.get("input_names") or []
    half = len(names) // 2
    parts = [name.removesuffix("_x") for name in names[:half]]
    if names and list(names) == [f"{part}_{axis}" for axis in "xy" for part in parts]:
        return parts
    for prefix in ("speed:", "acceleration:", "likelihood:"):
        if found := [n.removeprefix(prefix) for n in names if n.startswith(prefix)]:
            return [name for name in found if ":" not in name]  # windows of them bear a colon
    return []


def pose_places(
    names: Sequence[str], n_channels: int, keypoints: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Find a model's channels in a pose, (K, 3) of x, y and likelihood.

    Parameters
    ----------
    names
        the model's channels, ``part_x`` and ``part_y``; empty: all x, then all y
    n_channels
        how many they are
    keypoints
        the pose's K rows

    Returns
    -------
    tuple of np.ndarray
        each channel's place in the flattened pose, and the place of its likelihood

    Raises
    ------
    ConfigError
        the pose lacks a keypoint, or the model reads something other than keypoints
    """
    if not names:
        names = [f"{part}_{axis}" for axis in "xy" for part in keypoints]
    if len(names) != n_channels:
        raise ConfigError(
            f"the model reads {n_channels} channels, which {len(keypoints)} keypoints don't give"
        )
    rows = {part: row for row, part in enumerate(keypoints)}
    source, likelihood = [], []
    for name in names:
        part, axis = name[:-2], name[-2:]
        if axis not in ("_x", "_y") or part not in rows:
            raise ConfigError(
                f"the model's channel '{name}' is not in the pose, whose keypoints are "
                f"{', '.join(keypoints)}{did_you_mean(part, keypoints)}"
            )
        source.append(3 * rows[part] + (axis == "_y"))
        likelihood.append(3 * rows[part] + 2)
    return np.array(source, dtype=np.int64), np.array(likelihood, dtype=np.int64)
