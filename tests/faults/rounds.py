"""Long rounds of kills; the report is printed.

    python tests/faults/rounds.py training --kills 200
    python tests/faults/rounds.py search --kills 200

Only kills that met what they were aimed at count: the process was alive, and had trained on a
batch.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
import yaml
from trainings import Trainings, check_whole, settings_in

SEARCH = """
import json, sys
from argparse import Namespace
from daart_fast.search import run_trials
from daart_fast.search.fit import fit
from daart_fast.search.local import slots_on_cpu

if __name__ == "__main__":
    trials = [Namespace(**trial) for trial in json.loads(sys.argv[1])]
    search = run_trials(fit, trials, slots_on_cpu(2))
    sys.exit(len(search.failed))
"""
UNITS = (4, 6, 8)


def train(n_kills: int, draw: random.Random, folder: Path) -> str:
    """Kill trainings; after up to 5 kills, each is brought to its end."""
    trainings = Trainings(folder)
    outcomes: Counter[str] = Counter()
    while outcomes["met"] < n_kills:
        results = folder / f"results_{outcomes['ended']}"
        for _ in range(5):
            met = trainings.kill(results, draw.uniform(0, trainings.seconds))
            outcomes["met" if met else "late"] += 1
            if not met or outcomes["met"] == n_kills:
                break
        trainings.bring_to_its_end(results)
        outcomes["ended"] += 1
    return (
        f"{outcomes['met']} of {n_kills} kills met a training at work ({outcomes['late']} more "
        f"came after its end); no file was half written; all {outcomes['ended']} trainings ended "
        "bit for bit as the unbroken one"
    )


class Searches:
    """Searches over three sizes in two workers, each in a process group of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        settings = {**settings_in(folder), "max_epochs": 150}
        self.trials = [{**settings, "n_hid_units": units} for units in UNITS]
        self.script = folder / "search.py"
        self.script.write_text(SEARCH)
        unbroken = self.start(folder / "unbroken")
        self.wait_for_a_batch(unbroken, folder / "unbroken")
        began = time.monotonic()
        assert unbroken.wait() == 0
        self.seconds = time.monotonic() - began  # from its first batch to its end
        self.unbroken = finished_models(folder / "unbroken")
        assert self.unbroken.keys() == set(UNITS)

    def start(self, results: Path) -> subprocess.Popen[bytes]:
        trials = [{**trial, "results_dir": str(results)} for trial in self.trials]
        return subprocess.Popen(
            [sys.executable, str(self.script), json.dumps(trials)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @staticmethod
    def wait_for_a_batch(search: subprocess.Popen[bytes], results: Path) -> None:
        """Wait until one of its trials has trained on a batch, or it ends."""
        began = time.time()
        while search.poll() is None:
            for file in results.rglob("checkpoint.pt"):
                with suppress(FileNotFoundError):
                    if file.stat().st_mtime > began:
                        return
            time.sleep(0.01)

    def kill(self, results: Path, after: float, whom: str) -> bool:
        """Kill a search some seconds after its first batch; false if it had ended before."""
        search = self.start(results)
        self.wait_for_a_batch(search, results)
        time.sleep(after)
        if met := search.poll() is None:
            if whom == "all":
                os.killpg(search.pid, signal.SIGKILL)
            elif whom == "search":
                os.kill(search.pid, signal.SIGKILL)
            else:
                met = kill_a_worker(search.pid)
        search.wait()
        while group_of(search.pid):  # workers write their checkpoints and end, as it is gone
            time.sleep(0.01)
        check_whole(results)
        return met

    def bring_to_its_end(self, results: Path) -> None:
        """Call the same search until nothing is left to do; each model is as the unbroken one."""
        assert self.start(results).wait() == 0
        check_whole(results)
        found = finished_models(results)
        assert found.keys() == set(UNITS), found.keys()
        for units, weights in found.items():
            expected = self.unbroken[units]
            assert weights.keys() == expected.keys()
            assert all(torch.equal(weights[name], expected[name]) for name in weights), units


def finished_models(results: Path) -> dict[int, dict[str, Any]]:
    """The weights of each trial that is finished, by its number of units."""
    found = {}
    for folder in results.rglob("version_*"):
        stored = yaml.safe_load((folder / "hparams.yaml").read_text())
        if stored["training_completed"]:
            assert stored["n_hid_units"] not in found, "a trial was run twice"
            weights = torch.load(folder / "best_val_model.pt", weights_only=True)
            found[stored["n_hid_units"]] = weights
    return found


def group_of(leader: int) -> list[int]:
    """The processes of a group that live, the leader among them."""
    listed = subprocess.run(["ps", "-e", "-o", "pid=,pgid=,stat="], capture_output=True, text=True)
    rows = [line.split() for line in listed.stdout.splitlines()]
    return [int(pid) for pid, group, state in rows if int(group) == leader and state[0] != "Z"]


def kill_a_worker(leader: int) -> bool:
    """Kill a process of the group that trains: those that spawn workers have no batches."""
    for process in group_of(leader):
        command = Path(f"/proc/{process}/cmdline")
        if process != leader and command.exists() and b"spawn_main" in command.read_bytes():
            os.kill(process, signal.SIGKILL)
            return True
    return False


def search(n_kills: int, draw: random.Random, folder: Path) -> str:
    """Kill searches, their workers, or both; after up to 4 kills each is brought to its end."""
    searches = Searches(folder)
    outcomes: Counter[str] = Counter()
    while outcomes["met"] < n_kills:
        results = folder / f"results_{outcomes['ended']}"
        for _ in range(4):
            whom = draw.choice(["search", "worker", "all"])
            met = searches.kill(results, draw.uniform(0, searches.seconds / 2), whom)
            outcomes["met" if met else "late"] += 1
            outcomes[whom] += met
            if not met or outcomes["met"] == n_kills:
                break
        searches.bring_to_its_end(results)
        outcomes["ended"] += 1
        print(dict(outcomes), file=sys.stderr, flush=True)
    return (
        f"{outcomes['met']} of {n_kills} kills met a search at work ({outcomes['search']} killed "
        f"the search alone, {outcomes['worker']} a worker, {outcomes['all']} every process; "
        f"{outcomes['late']} more came after its end); no file was half written; all "
        f"{outcomes['ended']} searches ended with the models of the unbroken one"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("training", "search"))
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = train if options.what == "training" else search
        print(run(options.kills, random.Random(options.seed), Path(folder)), flush=True)


if __name__ == "__main__":
    main()
