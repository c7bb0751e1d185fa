"""Kinematic features: what tracked points say of posture and movement, frame by frame."""

from daart_fast.features.kinematics import GROUPS, Kinematics, reader_of

__all__ = ["GROUPS", "Kinematics", "reader_of"]
