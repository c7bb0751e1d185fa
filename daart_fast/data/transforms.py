"""Transforms of a session's signal, called on (T, N) arrays.

Training normalises with `ZScore`. The other transforms are kept for daart's scripts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = [
    "BlockShuffle",
    "Compose",
    "MakeOneHot",
    "MotionEnergy",
    "Transform",
    "Unitize",
    "ZScore",
]


class Transform:
    """What maps one array to another."""

    def __call__(self, signal: np.ndarray) -> np.ndarray:
        """Return the transformed signal."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Compose(Transform):
    """Several transforms, one after the other."""

    def __init__(self, transforms: Sequence[Transform]) -> None:
        self.transforms = list(transforms)

    def __call__(self, signal: np.ndarray) -> np.ndarray:
        """Apply each in turn."""
        for transform in self.transforms:
            signal = transform(signal)
        return signal

    def __repr__(self) -> str:
        return f"Compose({', '.join(map(repr, self.transforms))})"


class ZScore(Transform):
    """Mean 0 and standard deviation 1 in each channel; a constant channel becomes 0."""

    def __call__(self, signal: np.ndarray) -> np.ndarray:
        """Return float values, integers too."""
        mean = np.mean(signal, axis=0, dtype=np.float64)
        spread = np.std(signal, axis=0, dtype=np.float64)
        # the spread of a constant is no exact zero: its mean is rounded
        varies = spread > 1e-12 * np.abs(mean)
        return np.where(varies, signal - mean, 0.0) / np.where(varies, spread, 1.0)


class Unitize(Transform):
    """Each channel from 0 (its least value) to 1 (its greatest); a constant channel becomes 0."""

    def __call__(self, signal: np.ndarray) -> np.ndarray:
        """Return float values."""
        signal = np.asarray(signal, dtype=np.float64)  # small integers would overflow
        low, high = signal.min(axis=0), signal.max(axis=0)
        return (signal - low) / np.where(high > low, high - low, 1.0)


class MotionEnergy(Transform):
    """The absolute difference to the frame before; 0 in the first frame."""

    def __call__(self, signal: np.ndarray) -> np.ndarray:
        """Return an array of the same shape."""
        if signal.dtype.kind in "iub":  # whose differences may not fit their type
            signal = signal.astype(np.int64)
        return np.abs(np.diff(signal, axis=0, prepend=signal[:1]))


class MakeOneHot(Transform):
    """Class numbers (T,) as one-hot rows (T, C), C the greatest number plus one.

    A frame without a label (-100) is a row of zeros.
    """

    def __call__(self, signal: np.ndarray) -> np.ndarray:
        """Return int64 of 0 and 1; an array that has columns already is returned as it is."""
        if signal.ndim == 2:
            return signal
        classes = np.arange(int(signal.max()) + 1)
        return (signal[:, None] == classes).astype(np.int64)


class BlockShuffle(Transform):
    """Shuffles the bouts of a label sequence: frames stay together within their bout."""

    def __init__(self, rng_seed: int) -> None:
        self.rng_seed = rng_seed

    def __call__(self, signal: np.ndarray) -> np.ndarray:
        """Return the bouts of (T,) classes or (T, C) one-hot rows in another order."""
        rows = signal.reshape(len(signal), -1)
        starts = np.flatnonzero(np.any(np.diff(rows, axis=0) != 0, axis=1)) + 1
        bouts = np.split(np.arange(len(signal)), starts)
        order = np.random.RandomState(self.rng_seed).permutation(len(bouts))
        return signal[np.concatenate([bouts[i] for i in order])]

    def __repr__(self) -> str:
        return f"BlockShuffle(rng_seed={self.rng_seed})"
