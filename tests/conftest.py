"""What all tests share."""

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Tests are small: threads that wait for each other would only slow them down.

    Those that are about threads ask for them.
    """
    torch.set_num_threads(1)
