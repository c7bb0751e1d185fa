"""A training of many epochs: memory, open files and the time of an epoch stay what they were.

python tests/faults/long_run.py --epochs 10000
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from trainings import settings_in

from daart_fast.data.from_config import build_data_generator
from daart_fast.models import Segmenter
from daart_fast.train import Trainer
from daart_fast.train.callbacks import BaseCallback

#: what the last tenth may have more than the first one
MOST_MEGABYTES, MOST_TIME = 4.0, 1.3


class Watch(BaseCallback):
    """Keeps the megabytes held, the files open and the milliseconds of each epoch."""

    def __init__(self) -> None:
        self.megabytes: list[float] = []
        self.files: list[int] = []
        self.milliseconds: list[float] = []
        self._last = time.process_time()

    def on_epoch_end(self, **_: Any) -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        self.megabytes.append(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)
        self.files.append(len(os.listdir("/proc/self/fd")))
        now = time.process_time()
        self.milliseconds.append(1e3 * (now - self._last))
        self._last = now


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=10_000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    watch = Watch()
    with tempfile.TemporaryDirectory() as folder:
        settings = {**settings_in(Path(folder)), "max_epochs": options.epochs}
        del settings["checkpoint_interval"]  # every 10 s, as always
        generator = build_data_generator(settings)
        trainer = Trainer(**settings, callbacks=[watch])
        trainer.fit(Segmenter(settings), generator, Path(folder) / "model")
    tenth = len(watch.files) // 10
    for what, unit, values in (
        ("memory", "MB", watch.megabytes),
        ("open files", "", watch.files),
        ("an epoch", "ms of the processor", watch.milliseconds),
    ):
        # the first hundredth is what is made at first use
        first = statistics.median(values[tenth // 10 : tenth])
        last = statistics.median(values[-tenth:])
        print(f"{what}: {first:.4g} {unit} in the first tenth, {last:.4g} in the last", flush=True)
    early, late = (watch.megabytes[i] for i in (tenth, -1))
    assert late - early < MOST_MEGABYTES, f"memory grew by {late - early:.1f} MB"
    assert watch.files[-1] == watch.files[tenth], "files are left open"
    times = [statistics.median(part) for part in (watch.milliseconds[tenth // 10 : tenth],
                                                  watch.milliseconds[-tenth:])]  # fmt: skip
    assert times[1] < MOST_TIME * times[0], "epochs take longer and longer"


if __name__ == "__main__":
    main()
