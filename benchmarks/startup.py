"""How long it takes to start: imports, help, and reading a project for the first and second time.

    python -m benchmarks.startup DATA_FOLDER [--json FILE]

``DATA_FOLDER`` holds ``rat_social``, unpacked or as ``.tar.gz``: 12 sessions of tracked points and
hand labels in csv. Imports and help are medians of fresh processes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.accuracy import RAT, SETTINGS, unpacked
from daart_fast.config import with_defaults
from daart_fast.data.from_config import build_data_generator

ROOT = Path(__file__).resolve().parents[1]
REPEATS = 7


def process_seconds(*arguments: str) -> float:
    """Median time of a Python process, start to end, in a folder that shadows no package."""
    seen = []
    with tempfile.TemporaryDirectory() as elsewhere:
        for _ in range(REPEATS):
            start = time.perf_counter()
            subprocess.run(
                [sys.executable, *arguments], cwd=elsewhere, check=True, capture_output=True
            )
            seen.append(time.perf_counter() - start)
    return statistics.median(seen)


def read_seconds(data_dir: Path, cache: Path) -> float:
    hparams = with_defaults(
        {
            **SETTINGS,
            "data_dir": str(data_dir),
            "input_type": RAT.input_type,
            "expt_ids": list(RAT.train),
            "expt_ids_test": list(RAT.test),
            "cache_dir": str(cache),
        }
    )
    start = time.perf_counter()
    build_data_generator(hparams)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data_folder", type=Path)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    torch = process_seconds("-c", "import torch")
    figures = {
        "import torch": torch,
        "import daart_fast, over torch": process_seconds("-c", "import torch, daart_fast") - torch,
        "fit_models.py --help": process_seconds(str(ROOT / "examples/fit_models.py"), "--help"),
    }
    with tempfile.TemporaryDirectory() as scratch:
        data_dir = unpacked(options.data_folder, RAT.folder, Path(scratch))
        cache = Path(scratch) / "cache"
        figures["first start, 12 sessions read"] = read_seconds(data_dir, cache)
        again = statistics.median(read_seconds(data_dir, cache) for _ in range(REPEATS))
        figures["second start, 12 sessions mapped"] = again
    for name, seconds in figures.items():
        print(f"{name:<34} {seconds:7.3f} s")
    print(f"second start: {figures['first start, 12 sessions read'] / again:.0f} times as fast")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
