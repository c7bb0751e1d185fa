"""Trainings that are killed or run out of disk: nothing is lost, what was cut short goes on.

Each training runs in a process forked off this one, in a folder of its own. ``python
tests/faults/test_faults.py --rounds 200`` kills so many and prints what came of it.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from daart_fast.config import KEYS
from daart_fast.search.fit import fit

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="it needs fork")

N_FRAMES = 300
CLASSES = ["background", "rest", "walk"]


def settings_in(folder: Path) -> dict[str, Any]:
    """Write a session's files, and return the settings of a short training on it."""
    draw = np.random.default_rng(0)
    classes = np.repeat(draw.integers(0, len(CLASSES), N_FRAMES // 10), 10)
    one_hot = np.eye(len(CLASSES), dtype=int)[classes]
    features = one_hot + 0.5 * draw.standard_normal(one_hot.shape)
    for kind, names, values in (
        ("features", ["f0", "f1", "f2"], features),
        ("labels-hand", CLASSES, one_hot),
    ):
        (folder / "data" / kind).mkdir(parents=True)
        rows = [",".join([str(i), *map(str, row)]) for i, row in enumerate(values.tolist())]
        text = "\n".join([",".join(["", *names]), *rows]) + "\n"
        (folder / "data" / kind / "mouse.csv").write_text(text)
    return {
        **{name: key.default for name, key in KEYS.items()},
        "input_type": "features",
        "backbone": "dtcn",
        "n_hid_layers": 1,
        "n_hid_units": 8,
        "n_lags": 1,
        "sequence_length": 25,
        "trial_splits": "4;1;1;0",
        "min_epochs": 0,
        "max_epochs": 12,
        "enable_early_stop": False,
        "plot_train_curves": False,
        "checkpoint_interval": 0.0,  # the trainer's: a checkpoint after every batch
        "expt_ids": ["mouse"],
        "data_dir": str(folder / "data"),
        "cache_dir": str(folder / "cache"),
    }


def start(settings: dict[str, Any], results: Path) -> int:
    """Fork a process that trains; it exits with 0 when it is done, and with 1 if it raises."""
    if process := os.fork():
        return process
    status = 1
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
        fit(Namespace(**{**settings, "results_dir": str(results)}))
        status = 0
    finally:
        os._exit(status)


def status_of(process: int, seconds: float = 120) -> int:
    """Wait for a process; its exit status, negative for the signal that ended it."""
    deadline = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            raise TimeoutError(f"a training did not end within {seconds:g} s")
        time.sleep(0.01)


def check_whole(results: Path) -> None:
    """Every file that has its final name can be read to its end."""
    for path in results.rglob("*"):
        if path.name.startswith(".") or not path.is_file():
            continue
        if path.suffix == ".pt":
            torch.load(path, weights_only=True)
        elif path.suffix == ".yaml":
            assert isinstance(yaml.safe_load(path.read_text()), dict), path
        elif path.suffix == ".npy":
            assert len(np.load(path)) == N_FRAMES, path
        elif path.suffix == ".csv":
            text = path.read_text()
            assert text.endswith("\n") or not text, path
            assert len({len(row) for row in csv.reader(text.splitlines())}) <= 1, path


def check_same(results: Path, unbroken: Path) -> None:
    """A training has ended where one that nothing happened to ended, in one version folder."""
    (folder,) = results.rglob("version_*")
    (expected,) = unbroken.rglob("version_*")
    stored = yaml.safe_load((folder / "hparams.yaml").read_text())
    assert stored["training_completed"] is True
    for name in ("metrics.csv", "mouse_states.npy"):
        assert (folder / name).read_bytes() == (expected / name).read_bytes(), name
    weights, wanted = (
        torch.load(f / "best_val_model.pt", weights_only=True) for f in (folder, expected)
    )
    assert weights.keys() == wanted.keys()
    assert all(torch.equal(weights[name], wanted[name]) for name in wanted)


class Trainings:
    """The settings of one training, and what it comes to where nothing happens to it."""

    def __init__(self, folder: Path) -> None:
        torch.set_num_threads(1)
        self.folder = folder
        self.settings = settings_in(folder)
        self.unbroken = folder / "unbroken"
        assert status_of(start(self.settings, self.unbroken)) == 0  # what is compiled is kept
        began = time.monotonic()
        assert status_of(start(self.settings, folder / "timed")) == 0
        self.seconds = time.monotonic() - began

    def kill(self, results: Path, after: float, number: int = signal.SIGKILL) -> bool:
        """Train in a process that is killed after some seconds; whether it came to be killed."""
        process = start(self.settings, results)
        time.sleep(after)
        os.kill(process, number)
        ended = status_of(process)
        assert ended in (0, -number)
        check_whole(results)
        return ended != 0

    def bring_to_its_end(self, results: Path) -> None:
        """Run the same training again, undisturbed: it ends as the unbroken one."""
        assert status_of(start(self.settings, results)) == 0
        check_whole(results)
        check_same(results, self.unbroken)


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Trainings:
    return Trainings(tmp_path_factory.mktemp("faults"))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_training_goes_on_and_ends_bit_for_bit_as_an_unbroken_one(
    trainings: Trainings, tmp_path: Path, number: int
) -> None:
    draw = random.Random(int(number))
    for _ in range(3):
        trainings.kill(tmp_path / "results", draw.uniform(0, trainings.seconds), number)
    trainings.bring_to_its_end(tmp_path / "results")


def test_two_processes_on_one_folder_do_not_spoil_each_others_training(
    trainings: Trainings, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    processes = [start(trainings.settings, results) for _ in range(2)]
    assert [status_of(process) for process in processes] == [0, 0]
    check_whole(results)
    for folder in results.rglob("version_*"):
        stored = yaml.safe_load((folder / "hparams.yaml").read_text())
        assert stored["training_completed"] is True


def test_a_cache_cleared_under_a_training_changes_nothing(
    trainings: Trainings, tmp_path: Path
) -> None:
    from daart_fast.data.cache import clear_cache

    process = start(trainings.settings, tmp_path / "results")
    for _ in range(20):
        clear_cache(trainings.settings["cache_dir"])
        time.sleep(trainings.seconds / 20)
    assert status_of(process) == 0
    check_same(tmp_path / "results", trainings.unbroken)


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """Mount a disk of that size; skip the test where this user may not."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this user may not mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def remount(folder: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", str(folder)], check=True)


@pytest.mark.parametrize("kilobytes", [4, 16, 48])
def test_a_training_that_fills_the_disk_goes_on_when_there_is_room(
    trainings: Trainings, tmp_path: Path, kilobytes: int
) -> None:
    with small_disk(tmp_path / "disk", kilobytes) as disk:
        assert status_of(start(trainings.settings, disk / "results")) == 1
        remount(disk, "size=20m")
        trainings.bring_to_its_end(disk / "results")


def test_a_disk_that_becomes_read_only_costs_nothing_that_was_written(
    trainings: Trainings, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", 20_000) as disk:
        trainings.kill(disk / "results", trainings.seconds / 2)
        remount(disk, "ro")
        assert status_of(start(trainings.settings, disk / "results")) == 1
        check_whole(disk / "results")
        remount(disk, "rw")
        trainings.bring_to_its_end(disk / "results")


def main() -> None:
    parser = argparse.ArgumentParser(description="Kill trainings at random moments.")
    parser.add_argument("--rounds", type=int, default=200, help="how many to kill")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        trainings = Trainings(Path(folder))
        outcomes: Counter[str] = Counter()
        while outcomes["killed"] < options.rounds:
            results = Path(folder) / f"results_{outcomes['ended']}"
            for _ in range(5):
                killed = trainings.kill(results, draw.uniform(0, trainings.seconds))
                outcomes["killed" if killed else "too late"] += 1
            trainings.bring_to_its_end(results)
            outcomes["ended"] += 1
    print(
        f"{outcomes['killed']} kills (and {outcomes['too late']} that came too late), no file half "
        f"written; all {outcomes['ended']} trainings, killed up to 5 times each, ended bit for bit "
        f"as the unbroken one ({trainings.seconds:.2f} s)"
    )


if __name__ == "__main__":
    sys.exit(main())
