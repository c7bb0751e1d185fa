"""Training: the loop, its log and its checkpoints."""

from daart_fast.train.logger import Logger
from daart_fast.train.trainer import DivergedError, Trainer

__all__ = ["DivergedError", "Logger", "Trainer"]
