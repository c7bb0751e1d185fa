"""A grid of 24 trials in a pool against the same trials one after another, each its own process.

    python -m benchmarks.search DATA_FOLDER [--workers 2] [--races 50] [--json FILE]

``DATA_FOLDER`` holds ``rat_social``, unpacked or as ``.tar.gz``. The grid is 3 seeds x 2 depths x 2
widths x 2 rates, 5 epochs each. ``idle`` is the time a worker spends between two trials. With
``--races`` two searches, each of 4 small trials in 2 workers, start at the same moment in one
results folder, so many times, and the version folders are counted.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from benchmarks.accuracy import RAT, SETTINGS, unpacked
from benchmarks.machine import describe
from daart_fast.demo import write_demo

SCRIPT = Path(__file__).resolve().parents[1] / "examples" / "fit_models.py"

GRID: dict[str, list[Any]] = {
    "rng_seed_model": [0, 1, 2],
    "n_hid_layers": [2, 4],
    "n_hid_units": [16, 32],
    "learning_rate": [1e-3, 5e-4],
}
SPEED_UP, IDLE = 1.8, 0.05  # at least, at most


def command(folder: Path, **changes: Any) -> list[str]:
    """Write config files and return the command that fits them."""
    folder.mkdir(parents=True)
    for name, values in {"data": {}, "model": {}, "train": {**SETTINGS, **changes}}.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(values))
    configs = [f"--{name}_config={folder / name}.yaml" for name in ("data", "model", "train")]
    return [sys.executable, str(SCRIPT), *configs]


def run(arguments: list[str]) -> float:
    """Run a command; return the seconds it took."""
    start = time.perf_counter()
    done = subprocess.run(arguments, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{done.stderr}")
    return time.perf_counter() - start


def incomplete(results: Path) -> list[str]:
    """Name the version folders that lack something."""
    wanted = {"best_val_model.pt", "hparams.yaml", "metrics.csv", "console.log"}
    wanted |= {f"{session}_states.npy" for session in RAT.train}
    return [
        str(folder)
        for folder in results.glob("*/*/*/version_*")
        if not wanted <= {path.name for path in folder.iterdir()}
        or not yaml.safe_load((folder / "hparams.yaml").read_text())["training_completed"]
    ]


def idle_times(results: Path) -> list[float]:
    """Return the times between two trials of one worker."""
    (table,) = results.glob("*/searches/*/*/search_summary.csv")
    with open(table, newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: float(row["began"]))
    times, last = [], {}
    for row in rows:
        if row["place"] in last:
            times.append(float(row["began"]) - last[row["place"]])
        last[row["place"]] = float(row["ended"])
    return times


def throughput(data_folder: Path, n_workers: int, scratch: Path) -> dict[str, Any]:
    """Time the grid in a pool, and its trials as processes of their own."""
    shared: dict[str, Any] = {
        "data_dir": str(unpacked(data_folder, RAT.folder, scratch)),
        "expt_ids": list(RAT.train),
        "max_epochs": 5,
        "min_epochs": 1,
    }
    alone = {name: values[0] for name, values in GRID.items()}
    # whatever is compiled or cached at the first use is there for both
    warm = command(scratch / "warm", **{**shared, **alone, "results_dir": str(scratch / "w")})
    run(warm)
    results = scratch / "pool"
    pool = run(
        command(
            scratch / "configs",
            **{**shared, **GRID, "results_dir": str(results), "tt_n_cpu_workers": n_workers},
        )
    )
    folders = list(results.glob("*/*/*/version_*"))
    idle = idle_times(results)
    trials = [
        {"rng_seed_model": seed, "n_hid_layers": depth, "n_hid_units": width, "learning_rate": rate}
        for seed in GRID["rng_seed_model"]
        for depth in GRID["n_hid_layers"]
        for width in GRID["n_hid_units"]
        for rate in GRID["learning_rate"]
    ]
    separate = sum(
        run(
            command(
                scratch / f"alone_{i}",
                **{**shared, **trial, "results_dir": str(scratch / "separate")},
            )
        )
        for i, trial in enumerate(trials)
    )
    return {
        "trials": len(trials),
        "folders": len(folders),
        "incomplete": len(incomplete(results)),
        "pool, s": pool,
        "separate, s": separate,
        "times as fast": separate / pool,
        "idle, ms, median": 1e3 * statistics.median(idle),
        "idle, ms, longest": 1e3 * max(idle),
    }


def races(n: int, scratch: Path) -> dict[str, Any]:
    """Start two searches at once, so many times; count what they leave."""
    data = write_demo(scratch / "data")
    folders = trials = shared = missing = 0
    for i in range(n):
        results = scratch / f"race_{i}"
        settings = {
            "data_dir": str(data),
            "results_dir": str(results),
            "expt_ids": ["mouse1", "mouse2"],
            "n_hid_layers": 1,
            "n_hid_units": 4,
            "n_lags": [1, 2, 3, 4],
            "max_epochs": 1,
            "min_epochs": 1,
            "tt_n_cpu_workers": 2,
        }
        arguments = command(scratch / f"race_{i}_configs", **settings)
        # that of several ids in one name is a folder, too, that both would make
        both = [
            subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for _ in "ab"
        ]
        failed = [process.wait() for process in both]
        versions = list(results.glob("multi-0/*/*/version_*"))
        stored = [yaml.safe_load((version / "hparams.yaml").read_text()) for version in versions]
        # a folder of two trials would hold two trainings' rows
        rows = [(version / "metrics.csv").read_text().splitlines() for version in versions]
        shared += sum(len([r for r in own if r.split(",")[5]]) != 3 for own in rows)
        missing += len({1, 2, 3, 4} - {hparams["n_lags"] for hparams in stored})
        missing += sum(failed) + (results / "multi-1").exists()
        folders, trials = folders + len(versions), trials + 8
    return {"races": n, "trials asked for": trials, "folders": folders, "shared": shared} | {
        "missing or failed": missing
    }


def main() -> None:
    """Measure, print, and fail where a bar is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data_folder", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--races", type=int, default=0, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    options = parser.parse_args()

    figures = describe()
    with tempfile.TemporaryDirectory() as scratch:
        if options.races:
            figures |= races(options.races, Path(scratch))
        else:
            figures |= throughput(options.data_folder, options.workers, Path(scratch))
    for name, value in figures.items():
        print(f"{name}: {value:.2f}" if isinstance(value, float) else f"{name}: {value}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    short = figures.get("times as fast", SPEED_UP) < SPEED_UP
    slow = figures.get("idle, ms, longest", 0.0) > 1e3 * IDLE
    wrong = any(figures.get(name) for name in ("incomplete", "shared", "missing or failed"))
    if short or slow or wrong:
        raise SystemExit("a bar is missed")


if __name__ == "__main__":
    main()
