"""Small files as the tools of other labs write them."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a file of text or bytes (gzipped where its name says so)."""

    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = content if isinstance(content, bytes) else content.encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return write


@pytest.fixture
def tracks() -> Callable[..., pd.DataFrame]:
    """A function that makes a table of tracked points with DeepLabCut's columns."""

    def tracks(
        n_frames: int = 6, animals: Sequence[str] = (), parts: Sequence[str] = ("nose", "tail")
    ) -> pd.DataFrame:
        levels = [["net"], list(parts), ["x", "y", "likelihood"]]
        names = ["scorer", "bodyparts", "coords"]
        if animals:
            levels.insert(1, list(animals))
            names.insert(1, "individuals")
        columns = pd.MultiIndex.from_product(levels, names=names)
        values = np.random.default_rng(0).uniform(0, 1, (n_frames, len(columns)))
        values[:, np.arange(len(columns)) % 3 < 2] *= 640  # pixels
        values[2, 0] = np.nan
        return pd.DataFrame(values, columns=columns)

    return tracks
