"""Segment animal behaviour in pose-estimation time series."""

__version__ = "0.1.0"
