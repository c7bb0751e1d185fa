"""Scripts as users write them, run in processes of their own, and the demo set to search on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from daart_fast.demo import write_demo


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo set's folder."""
    return write_demo(tmp_path_factory.mktemp("demo") / "data")


@pytest.fixture
def settings(demo: Path, tmp_path: Path) -> dict[str, Any]:
    """Settings of a training that takes a second; lists among them make it a search."""
    return {
        "data_dir": str(demo),
        "results_dir": str(tmp_path / "results"),
        "expt_ids": ["mouse1"],
        "n_hid_units": 4,
        "n_lags": 1,
        "sequence_length": 250,
        "batch_size": 8,
        "min_epochs": 1,
        "max_epochs": 2,
        "enable_early_stop": False,
        "plot_train_curves": False,
        "tt_n_cpu_workers": 2,
    }


class Script:
    """A Python script at work, in a process group of its own, as a terminal starts it."""

    def __init__(self, file: Path, *arguments: str, **environment: str) -> None:
        self.errors = file.with_suffix(".err")
        self.process = subprocess.Popen(
            [sys.executable, str(file), *arguments],
            stdout=subprocess.PIPE,
            stderr=open(self.errors, "w"),  # noqa: SIM115
            text=True,
            cwd=file.parent,
            env={**os.environ, **environment},
            start_new_session=True,
            # a terminal's child hears Ctrl-C, whatever these tests were started from
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def finish(self, timeout: float = 120) -> tuple[int, str, str]:
        """Wait for its end; return the exit code, what it printed, and its errors."""
        out, _ = self.process.communicate(timeout=timeout)
        return self.process.returncode, out, self.errors.read_text()

    def interrupt(self) -> None:
        """Press Ctrl-C: everything in the terminal's foreground hears it."""
        os.killpg(self.process.pid, signal.SIGINT)

    def is_gone(self, within: float = 30) -> bool:
        """Whether no process of the group is left."""
        return _wait_until(lambda: not self.processes(), within)

    def processes(self) -> list[int]:
        """Ids of the group's processes that are alive."""
        listed = subprocess.run(
            ["ps", "-e", "-o", "pid=,pgid=,stat="], capture_output=True, text=True, check=True
        )
        rows = [line.split() for line in listed.stdout.splitlines()]
        group = self.process.pid
        return [int(pid) for pid, pgid, stat in rows if int(pgid) == group and stat[0] != "Z"]


def _wait_until(condition: Callable[[], Any], within: float = 180) -> Any:
    """Wait for a condition to hold; return it, false if it did not in time."""
    end = time.monotonic() + within
    while not (held := condition()) and time.monotonic() < end:
        time.sleep(0.02)
    return held


@pytest.fixture
def wait_until() -> Callable[..., Any]:
    """A function that waits for a condition to hold, and returns it; false if it never does."""
    return _wait_until


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Callable[..., Script]]:
    """A function that writes a script and starts it; what is left of it at the end is killed."""
    started: list[Script] = []

    def start(code: str, *arguments: str, **environment: str) -> Script:
        file = tmp_path / f"script_{len(started)}.py"
        file.write_text(code)
        started.append(Script(file, *arguments, **environment))
        return started[-1]

    yield start
    for one in started:
        for pid in one.processes():
            os.kill(pid, signal.SIGKILL)
