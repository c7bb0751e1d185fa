"""Reading pickles that hold plain data, without running code from them."""

from __future__ import annotations

import io
import pickle
from typing import Any

from daart_fast.errors import DataError

# What numpy arrays and scalars are rebuilt from. Everything else is refused.
_ALLOWED = {
    (f"numpy.{core}.{module}", name)
    for core in ("core", "_core")
    for module, name in (
        ("multiarray", "_reconstruct"),
        ("multiarray", "scalar"),
        ("numeric", "_frombuffer"),
    )
} | {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _ALLOWED:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it holds {module}.{name}, which is not plain data")


def loads_plain(data: bytes, source: str) -> Any:
    """Return the numbers, text, lists, dicts and numpy arrays in a pickle.

    Parameters
    ----------
    data
        the pickle
    source
        what to call it in an error

    Raises
    ------
    DataError
        if it is no pickle, or names anything but plain data; nothing of it is run
    """
    try:
        return _PlainUnpickler(io.BytesIO(data), encoding="latin1").load()
    except Exception as error:
        raise DataError(f"{source}: not a pickle of plain data: {error}") from None
