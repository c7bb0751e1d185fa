"""What all tests share."""

from pathlib import Path

import pytest
import torch

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Tests are small: threads that wait for each other would only slow them down.

    Those that are about threads ask for them.
    """
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder beside the project with real data and with models that daart trained."""
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is not there: it holds real data, which is no part of the project")
    return SHARED
