"""Draw groups.png with `daart-fast compare`: two groups of simulated animals, eight in each.

python docs/images/groups.py
"""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from daart_fast.cli import main
from daart_fast.eval import write_predictions

NAMES = ["background", "rest", "walk", "groom"]
#: mean bouts of rest, walk and groom in each group, in frames
GROUPS = {"saline": (120, 60, 40), "drug": (80, 75, 70)}
FPS, N_FRAMES, N_ANIMALS = 30.0, 18_000, 8


def animal(rng: np.random.Generator, means: tuple[int, ...]) -> np.ndarray:
    """Return ten minutes of an animal, which differs from the rest of its group."""
    own = np.array(means) * rng.lognormal(0, 0.25, len(means))
    classes: list[int] = []
    while len(classes) < N_FRAMES:
        behaviour = int(rng.integers(len(means)))
        classes += [behaviour + 1] * (1 + int(rng.exponential(own[behaviour])))
    return np.array(classes[:N_FRAMES])


def draw() -> None:
    """Write the sessions and their groups, compare them, and keep the picture."""
    rng = np.random.default_rng(1)
    with TemporaryDirectory() as folder:
        lines = ["session,group"]
        for group, means in GROUPS.items():
            for i in range(N_ANIMALS):
                classes = animal(rng, means)
                states = np.eye(len(NAMES), dtype=np.float32)[classes]
                path = Path(folder) / f"{group}{i}_predictions.csv"
                write_predictions(path, states, classes, NAMES, FPS)
                lines.append(f"{group}{i},{group}")
        groups = Path(folder) / "groups.csv"
        groups.write_text("\n".join(lines) + "\n")
        main(["compare", folder, "--groups", str(groups)])
        shutil.copy(Path(folder) / "groups.png", Path(__file__).with_suffix(".png"))


if __name__ == "__main__":
    draw()
