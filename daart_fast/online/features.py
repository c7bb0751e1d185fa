"""Kinematic features of one frame at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from daart_fast.errors import ConfigError, DataError
from daart_fast.features import Kinematics
from daart_fast.readers.markers import TOO_LARGE, Markers

__all__ = ["OnlineKinematics"]

HISTORY = 3  # frames that movement is measured from: an acceleration needs three


class OnlineKinematics:
    """Keeps the frames that causal features look back at, and measures the newest.

    A point that is missing stays where it was seen last, as in a whole session's features with
    ``gaps: hold``.

    Parameters
    ----------
    kinematics
        what to measure; causal
    keypoints
        K names, the rows of a pose; those that the model was not trained on are passed over
    threshold
        a point less likely than this is missing; above 0, also one of which that is not known

    Raises
    ------
    ConfigError
        the features look at later frames
    """

    def __init__(
        self, kinematics: Kinematics, keypoints: Sequence[str], threshold: float = 0.0
    ) -> None:
        if not kinematics.causal:
            raise ConfigError(
                "the model's kinematic features look at later frames: expected a model trained "
                "with causal: true, as 'daart-fast train --online' makes it"
            )
        self.kinematics, self.threshold = kinematics, threshold
        self.n_rows, self.places = len(keypoints), kinematics.choice.places(keypoints, "the pose")
        self.keypoints = [keypoints[place] for place in self.places]
        fps = float(kinematics.fps or 1.0)
        spans = [2 * max(1, round(seconds * fps / 2)) + 1 for seconds in kinematics.windows]
        self.n_frames = max([HISTORY, *spans]) + HISTORY - 1
        self.reset()
        self.names = self._features(np.zeros((1, len(self.keypoints), 3)))[1]

    def reset(self) -> None:
        """Forget all frames."""
        self.poses = np.empty((0, len(self.keypoints), 3))

    def step(self, pose: np.ndarray | None) -> tuple[np.ndarray | None, int]:
        """Measure a frame.

        Parameters
        ----------
        pose
            (K, 3): x and y in pixels, likelihood; None if the frame is missing

        Returns
        -------
        tuple
            the features (F,) float32, None until every point has been seen; how many points are
            missing

        Raises
        ------
        DataError
            the pose has another shape; nothing has changed then
        """
        shape = (len(self.keypoints), 3)
        pose = self.check(pose)
        seen = Markers(pose[:, 0], pose[:, 1], pose[:, 2], self.keypoints)
        missing = ~(np.abs(pose[:, :2]) < TOO_LARGE).all(1) | seen.unsure(self.threshold)
        before = self.poses[-1] if len(self.poses) else np.full(shape, np.nan)
        pose[missing, :2] = before[missing, :2]
        pose[missing, 2] = 0.0
        n_missing = int(missing.sum())
        if np.isnan(pose[:, :2]).any():  # a point that was never seen has no place yet
            self.poses = pose[None]
            return None, n_missing
        if len(self.poses) and np.isnan(self.poses[-1, :, :2]).any():
            self.reset()
        self.poses = np.concatenate([self.poses[1 - self.n_frames :], pose[None]])
        return self._features(self.poses)[0], n_missing

    def check(self, pose: Any) -> np.ndarray:
        """Return the chosen rows of a pose, or of its numbers in a row, as float64; NaN for None.

        Raises
        ------
        DataError
            it is none
        """
        shape = (self.n_rows, 3)
        if pose is None:
            return np.full((len(self.keypoints), 3), np.nan)
        try:
            values = np.array(pose, dtype=np.float64)
        except (TypeError, ValueError, RuntimeError):
            raise DataError(f"expected a pose of numbers, got a {type(pose).__name__}") from None
        if values.shape not in (shape, (3 * self.n_rows,)):
            raise DataError(f"expected a pose of shape {shape}, got {values.shape}")
        return values.reshape(shape)[self.places]

    def check_poses(self, poses: np.ndarray) -> None:
        """Check what is to be put in the place of ``poses``.

        Raises
        ------
        ValueError
            it is no history of poses
        """
        expected = (len(self.keypoints), 3)
        if poses.dtype != np.float64 or poses.ndim != 3 or poses.shape[1:] != expected:
            raise ValueError(f"poses of shape {poses.shape}, where (frames, *{expected}) belong")
        if len(poses) > self.n_frames:
            raise ValueError(f"{len(poses)} poses, of which {self.n_frames} are kept at most")

    def _features(self, poses: np.ndarray) -> tuple[np.ndarray, list[str]]:
        """Return the features of the last of these frames, and their names."""
        xs, ys, likelihoods = np.moveaxis(poses, 2, 0)
        values, names = self.kinematics(Markers(xs, ys, likelihoods, self.keypoints), "the pose")
        return values[-1], names
