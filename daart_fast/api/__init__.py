"""The object-style interface: load a finished model, predict new sessions."""

from daart_fast.api.model import Model

__all__ = ["Model"]
