"""What all tests share."""

import gzip
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

#: folders whose files should not be the last that run
LONGEST = ("slurm", "search", "examples", "native")
SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_configure(config: pytest.Config) -> None:
    """Register the marks of this project, and let files run in the order of collection."""
    config.addinivalue_line("markers", "cuda: needs a CUDA device")
    config.addinivalue_line("markers", "slow: takes half a second or more")
    config.option.loadscopereorder = False


def pytest_xdist_auto_num_workers() -> int:
    """Run one process more than there are cores, as many tests wait for processes they start."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first; skip tests that need a CUDA device without one."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: (item.path.parent.name not in LONGEST, not slow[item.path]))
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason="torch sees no CUDA device")
    for item in items:
        if item.get_closest_marker("cuda"):
            item.add_marker(skip)


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Tests are small: threads that wait for each other would only slow them down.

    Those that are about threads ask for them.
    """
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests, and the processes they start, keep what they read away from the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAART_FAST_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder beside the project with real data and with models that daart trained."""
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is not there: it holds real data, which is no part of the project")
    return SHARED


# ------------------------------------------------------------------------------ small files


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
