"""The demo set, and runs of the example script as a user starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from daart_fast.demo import write_demo

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "examples" / "fit_models.py"


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo set's folder."""
    return write_demo(tmp_path_factory.mktemp("demo") / "data")


@pytest.fixture
def configs(tmp_path: Path, demo: Path) -> Callable[..., list[str]]:
    """A function that writes three config files for a short training on the demo set.

    It returns the arguments that name them; what it is given goes into the files.
    """

    def make(**changes: Any) -> list[str]:
        settings: dict[str, dict[str, Any]] = {
            "data": {
                "data_dir": str(demo),
                "results_dir": str(tmp_path / "results"),
                "expt_ids": ["mouse1", "mouse2"],
            },
            "model": {"backbone": "dtcn", "n_hid_units": 8, "n_lags": 2},
            "train": {
                "sequence_length": 250,
                "batch_size": 8,
                "learning_rate": 1e-3,
                "min_epochs": 1,
                "max_epochs": 2,
            },
        }
        for name, value in changes.items():
            file = next((f for f in settings.values() if name in f), settings["model"])
            file[name] = value
        arguments = []
        for name, values in settings.items():
            (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(values))
            arguments += [f"--{name}_config", str(tmp_path / f"{name}.yaml")]
        return arguments

    return make


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """A function that runs the script in a process of its own, in tmp_path."""

    def start(*arguments: str, script: Path = SCRIPT) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(script), *arguments],
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )

    return start
