"""Reading pickles that hold plain data, without running code from them.

A pickle may ask for a few of NumPy's helpers, from which arrays are rebuilt, and for nothing else.
Even these are not called, as they trust what they are given and can crash: stand-ins take note of
type, shape and bytes, and the arrays are then made the ordinary, checked way.
"""

from __future__ import annotations

import io
import pickle
import re
import struct
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from daart_fast.errors import DataError

PLAIN = (str, int, float, complex, bool, bytes, bytearray, type(None))


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
        unpickler = _PlainUnpickler(io.BytesIO(data), encoding="latin1")
        return _Maker(unpickler.stand_ins).make(unpickler.load())
    except Exception as error:
        raise DataError(f"{source}: not a pickle of plain data: {error}") from None


class _PlainUnpickler(pickle._Unpickler):
    """Gives stand-ins for NumPy's helpers, made for each pickle, as it may write to them.

    It is the unpickler in Python, which takes no memory for what a broken pickle only claims.
    """

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(pickle._Unpickler.dispatch)
    read: Callable[[int], bytes]
    append: Callable[[Any], None]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = ("_reconstruct", "scalar", "_frombuffer", "dtype", "ndarray")
        self.stand_ins: dict[str, type] = {name: type(name, (_StandIn,), {}) for name in names}

    def find_class(self, module: str, name: str) -> Any:
        without_prefix = re.sub(r"^numpy\.(_core|core)\.", "", module)
        if (without_prefix, name) in (
            ("multiarray", "_reconstruct"),
            ("multiarray", "scalar"),
            ("numeric", "_frombuffer"),
            ("numpy", "dtype"),
            ("numpy", "ndarray"),
        ):
            return self.stand_ins[name]
        if (module, name) == ("_codecs", "encode"):  # how old protocols write bytes
            return lambda text, encoding="latin1": text.encode("latin1")
        if (module, name) == ("__builtin__", "bytes"):  # and no bytes
            return lambda: b""
        raise pickle.UnpicklingError(f"it holds {module}.{name}, which is not plain data")

    def _load_bytearray(self) -> None:
        (size,) = struct.unpack("<Q", self.read(8))
        self.append(bytearray(self.read(size)))  # where Python makes room for size bytes first

    dispatch[pickle.BYTEARRAY8[0]] = _load_bytearray


class _StandIn:
    """What one of NumPy's helpers was called with, and the state that was then set."""

    def __init__(self, *args: Any) -> None:
        self.args = args
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Maker:
    """Turns what was loaded into the same with arrays and numbers in place of stand-ins."""

    def __init__(self, stand_ins: dict[str, type]) -> None:
        self._making: dict[type, Callable[[Any], Any]] = {
            stand_ins["_reconstruct"]: self._reconstructed,
            stand_ins["_frombuffer"]: self._from_buffer,
            stand_ins["scalar"]: self._scalar,
        }
        self._made: dict[int, Any] = {}  # by identity: what is shared is made once

    def make(self, value: Any) -> Any:
        if type(value) in PLAIN:
            return value
        if id(value) not in self._made:
            self._made[id(value)] = self._make(value)
        return self._made[id(value)]

    def _make(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {self.make(key): self.make(element) for key, element in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)([self.make(element) for element in value])
        if type(value) not in self._making:
            raise ValueError(f"it holds {type(value).__name__}, which is not plain data")
        return self._making[type(value)](value)

    def _reconstructed(self, found: _StandIn) -> np.ndarray:
        _, shape, dtype, fortran, data = found.state
        return self._array(data, dtype, shape, "F" if fortran else "C")

    def _from_buffer(self, found: _StandIn) -> np.ndarray:
        data, dtype, shape, order, *axes = found.args
        if order == "K":
            return self._array(data, dtype, shape, "C").transpose(*axes)
        return self._array(data, dtype, shape, order)

    def _scalar(self, found: _StandIn) -> Any:
        dtype, data = found.args
        return self._array(data, dtype, (), "C")[()]

    def _array(self, data: Any, dtype: Any, shape: Any, order: str) -> np.ndarray:
        kind = self._dtype(dtype)
        if kind.kind == "O":
            flat = np.empty(len(data), dtype=object)
            flat[:] = self.make(list(data))
        else:
            buffer = data.encode("latin1") if isinstance(data, str) else bytes(data)
            flat = np.frombuffer(buffer, kind) if buffer else np.empty(0, kind)
        return flat.reshape(tuple(shape), order=order).copy()  # type: ignore[call-overload]

    def _dtype(self, found: Any) -> np.dtype:
        code = found.args[0]
        code = code.decode() if isinstance(code, bytes) else code
        if not re.fullmatch(r"[biufSUO]\d+", code):
            raise ValueError(f"it holds an array of {code}, which is not plain data")
        order: Any = found.state[1] if found.state else "="
        order = order.decode() if isinstance(order, bytes) else order
        return np.dtype(code).newbyteorder(order)
