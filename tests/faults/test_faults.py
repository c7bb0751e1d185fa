"""What happens in laboratories, to trainings: nothing is lost, and what was cut short goes on.

Each runs in a process forked off this one, in a folder of its own; ``rounds.py`` has longer rounds.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from trainings import Trainings, check_same, check_whole

from daart_fast.train import Trainer
from daart_fast.train.checkpoint import Checkpoint

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="it needs fork"),
]


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Trainings:
    return Trainings(tmp_path_factory.mktemp("faults"))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_training_goes_on_and_ends_bit_for_bit_as_an_unbroken_one(
    trainings: Trainings, tmp_path: Path, number: int
) -> None:
    draw = random.Random(int(number))
    for _ in range(3):
        trainings.kill(tmp_path / "results", draw.uniform(0, trainings.seconds / 3), number)
    trainings.bring_to_its_end(tmp_path / "results")


def test_two_processes_on_one_folder_do_not_spoil_each_others_training(
    trainings: Trainings, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    both = [trainings.start(results) for _ in range(2)]
    assert [training.status() for training in both] == [0, 0]
    check_whole(results)
    for folder in results.rglob("version_*"):
        stored = yaml.safe_load((folder / "hparams.yaml").read_text())
        assert stored["training_completed"] is True


def test_a_cache_cleared_under_a_training_changes_nothing(
    trainings: Trainings, tmp_path: Path
) -> None:
    from daart_fast.data.cache import clear_cache

    training = trainings.start(tmp_path / "results")
    for _ in range(20):
        clear_cache(trainings.settings["cache_dir"])
        time.sleep(trainings.seconds / 20)
    assert training.status() == 0
    check_same(tmp_path / "results", trainings.unbroken)


# ---------------------------------------------------------------------------- memory and clock


@pytest.mark.parametrize(("batch", "least"), [(1, 2**12), (6, 2**20), (6, 2**16), (6, 2**12)])
def test_a_training_that_runs_out_of_memory_goes_on_when_there_is_some(
    trainings: Trainings, tmp_path: Path, batch: int, least: int
) -> None:
    """In some batch no room is left for anything of that many bytes."""

    def run_out() -> None:
        train, n_batches, taken = Trainer.step, [0], []

        def counted(trainer: Trainer, *of: Any) -> Any:
            n_batches[0] += 1
            if n_batches[0] == batch:
                resource.setrlimit(resource.RLIMIT_AS, (0, 0))
                size = 2**26
                while size >= least:
                    try:
                        taken.append(bytearray(size))
                    except MemoryError:
                        size //= 2
            return train(trainer, *of)

        Trainer.step = counted

    trainings.start(tmp_path / "results", run_out).status()
    check_whole(tmp_path / "results")
    trainings.bring_to_its_end(tmp_path / "results")


def test_a_clock_that_jumps_back_changes_nothing(trainings: Trainings, tmp_path: Path) -> None:
    """All that was written is from next year, and the clock runs backwards a day a look."""
    results = tmp_path / "results"
    trainings.kill(results, trainings.seconds / 3)
    next_year = time.time() + 3e7
    for folder in (results, Path(trainings.settings["cache_dir"])):
        for path in folder.rglob("*"):
            os.utime(path, (next_year, next_year))

    def turn_back() -> None:
        times = iter(range(1_800_000_000, 0, -86_400))
        time.time = lambda: float(next(times))
        time.time_ns = lambda: next(times) * 10**9

    assert trainings.start(results, turn_back).status() == 0
    check_whole(results)
    check_same(results, trainings.unbroken)


# ---------------------------------------------------------------------------- disks


def mount(*arguments: str) -> None:
    """Mount; skip the test where this user may not."""
    try:
        subprocess.run(["mount", *arguments], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this user may not mount a disk")


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """Mount a disk of that size."""
    folder.mkdir()
    mount("-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder))
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
        assert trainings.start(disk / "results").status() == 1
        remount(disk, "size=20m")
        trainings.bring_to_its_end(disk / "results")


def test_a_disk_that_becomes_read_only_costs_nothing_that_was_written(
    trainings: Trainings, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", 20_000) as disk:
        assert trainings.kill(disk / "results", after=0)
        remount(disk, "ro")
        assert trainings.start(disk / "results").status() == 1
        check_whole(disk / "results")
        remount(disk, "rw")
        trainings.bring_to_its_end(disk / "results")


def test_a_mount_that_vanishes_ends_the_training_and_nothing_is_written_in_its_place(
    trainings: Trainings, tmp_path: Path
) -> None:
    server, place = tmp_path / "server", tmp_path / "place"
    server.mkdir()
    place.mkdir()
    mount("--bind", str(server), str(place))

    def unmount_before_the_fifth_write() -> None:
        write, left = Checkpoint.write, [5]

        def counted(checkpoint: Checkpoint, state: dict[str, Any]) -> None:
            left[0] -= 1
            if left[0] == 0:
                subprocess.run(["umount", "--lazy", str(place)], check=True)
            write(checkpoint, state)

        Checkpoint.write = counted

    assert trainings.start(place / "results", unmount_before_the_fifth_write).status() == 1
    assert not list(place.iterdir())
    check_whole(server)
    trainings.bring_to_its_end(server / "results")


def test_a_slow_disk_changes_nothing(trainings: Trainings, tmp_path: Path) -> None:
    def slow() -> None:
        fsync, replace = os.fsync, os.replace
        os.fsync = lambda *of: (time.sleep(0.01), fsync(*of))[1]
        os.replace = lambda *of: (time.sleep(0.01), replace(*of))[1]

    assert trainings.start(tmp_path / "results", slow).status() == 0
    check_same(tmp_path / "results", trainings.unbroken)
