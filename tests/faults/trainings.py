"""Trainings in processes of their own that something happens to, and what must be left of them."""

from __future__ import annotations

import csv
import mmap
import os
import signal
import time
from argparse import Namespace
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from daart_fast.config import KEYS
from daart_fast.search.fit import fit
from daart_fast.train import Trainer

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


class Training:
    """A process forked off this one that trains; it exits with 0, or with 1 if training raises.

    Parameters
    ----------
    settings, results
        what to train, and the results folder
    prepare
        called in the process before anything else: what is to happen to it
    """

    def __init__(
        self, settings: dict[str, Any], results: Path, prepare: Callable[[], object] = lambda: None
    ) -> None:
        self._shared = mmap.mmap(-1, 1)  # of both processes
        if process := os.fork():
            self.process = process
            return
        status = 1
        try:
            with open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), 1)
                os.dup2(nowhere.fileno(), 2)
            self._tell_of_batches()
            prepare()
            fit(Namespace(**{**settings, "results_dir": str(results)}))
            status = 0
        finally:
            os._exit(status)

    def _tell_of_batches(self) -> None:
        train = Trainer.step

        def reporting(trainer: Trainer, batch: Any) -> Any:
            terms = train(trainer, batch)
            self._shared[0] = 1
            return terms

        Trainer.step = reporting  # type: ignore[method-assign]

    def wait_for_a_batch(self, seconds: float = 120) -> bool:
        """Wait until it has trained on a batch; false if it ends before."""
        deadline = time.monotonic() + seconds
        while not self._shared[0]:
            if os.waitid(os.P_PID, self.process, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                return False
            assert time.monotonic() < deadline, "a training did not begin"
            time.sleep(0.001)
        return True

    def status(self, seconds: float = 120) -> int:
        """Wait for its end; the exit status, negative for the signal that ended it."""
        deadline = time.monotonic() + seconds
        while True:
            ended, status = os.waitpid(self.process, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() > deadline:
                os.kill(self.process, signal.SIGKILL)
                os.waitpid(self.process, 0)
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
        # in this process, so that those forked off it need neither import nor compile anything
        with open(os.devnull, "w") as nowhere, redirect_stderr(nowhere):
            fit(Namespace(**{**self.settings, "results_dir": str(self.unbroken)}))
        timed = self.start(folder / "timed")
        timed.wait_for_a_batch()
        began = time.monotonic()
        assert timed.status() == 0
        self.seconds = time.monotonic() - began  # from its first batch to its end

    def start(self, results: Path, prepare: Callable[[], object] = lambda: None) -> Training:
        return Training(self.settings, results, prepare)

    def kill(self, results: Path, after: float, number: int = signal.SIGKILL) -> bool:
        """Kill a training some seconds after its first batch; false if it ended before that."""
        training = self.start(results)
        if training.wait_for_a_batch():
            time.sleep(after)
        os.kill(training.process, number)
        ended = training.status()
        assert ended in (0, -number)
        check_whole(results)
        return ended != 0

    def bring_to_its_end(self, results: Path) -> None:
        """Run the same training again, undisturbed: it ends as the unbroken one."""
        assert self.start(results).status() == 0
        check_whole(results)
        check_same(results, self.unbroken)
