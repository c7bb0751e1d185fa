"""Behaviour frame by frame, for experiments that act on it while it happens."""

from daart_fast.online.debounce import Debounce, Event, Rule
from daart_fast.online.segmenter import MODES, OnlineSegmenter

__all__ = ["MODES", "Debounce", "Event", "OnlineSegmenter", "Rule"]
