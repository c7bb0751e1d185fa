"""Transforms of arrays, under the names by which daart's scripts import them.

Nothing in daart_fast imports this module.
"""

from daart_fast.data.transforms import (
    BlockShuffle,
    Compose,
    MakeOneHot,
    MotionEnergy,
    Transform,
    Unitize,
    ZScore,
)

__all__ = [
    "BlockShuffle",
    "Compose",
    "MakeOneHot",
    "MotionEnergy",
    "Transform",
    "Unitize",
    "ZScore",
]
