"""How fast kinematic features are built: million frames x features a second, by threads.

    python -m benchmarks.features [--frames 1000000] [--threads 1 2] [--json FILE]

Ten keypoints of two animals, tracked without gaps. The bar is that of 50 features of a million
frames in a second, on two threads.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from benchmarks.machine import describe, threads
from daart_fast.features import GROUPS, Kinematics
from daart_fast.readers.markers import Markers

SETTINGS = {
    "distances and speeds": Kinematics(("distances", "speeds"), fps=30.0),
    "the same, windows of 1 s": Kinematics(("distances", "speeds"), (1.0,), 30.0),
    "all groups": Kinematics(tuple(GROUPS), fps=30.0, axis=("body", "nose")),
    "all groups, windows of 0.5 and 2 s": Kinematics(
        tuple(GROUPS), (0.5, 2.0), 30.0, ("body", "nose")
    ),
}
BAR = 50.0


def tracked(n_frames: int) -> Markers:
    """Two animals of five points, walking about."""
    parts = ("nose", "body", "tail", "left", "right")
    names = [f"{animal}-{part}" for animal in ("one", "two") for part in parts]
    draw = np.random.default_rng(0)
    xs, ys = draw.standard_normal((2, n_frames, len(names))).cumsum(1)
    return Markers(xs, ys, np.ones_like(xs), names)


def main() -> None:
    """Measure each setting, the best of three runs, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    for name, value in describe().items():
        print(f"{name}: {value}")
    markers = tracked(options.frames)
    rows = []
    print(f"{'':<36} {'features':>8} {'threads':>8} {'seconds':>8} {'million a second':>17}")
    for name, build in SETTINGS.items():
        build(Markers(*(values[:100] for values in markers[:3]), markers.names))  # compiles
        for n_threads in options.threads:
            times = []
            with threads(n_threads):
                for _ in range(3):
                    start = time.perf_counter()
                    n_features = len(build(markers).names)
                    times.append(time.perf_counter() - start)
            rate = options.frames * n_features / min(times) / 1e6
            rows.append({"setting": name, "threads": n_threads, "million_a_second": rate})
            print(f"{name:<36} {n_features:>8} {n_threads:>8} {min(times):>8.2f} {rate:>17.0f}")
    if options.json:
        options.json.write_text(json.dumps({"machine": describe(), "rows": rows}, indent=1))
    if max(options.threads) >= 2:
        most = [row for row in rows if row["threads"] == max(options.threads)]
        short = [row["setting"] for row in most if row["million_a_second"] < BAR]
        if short:
            raise SystemExit(f"below {BAR:g} million a second: {', '.join(short)}")


if __name__ == "__main__":
    main()
