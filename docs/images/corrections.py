"""Draw corrections.png: a session that is exported to BORIS' format, corrected and read back.

python docs/images/corrections.py
"""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from daart_fast.cli import main
from daart_fast.eval import plot_ethogram, write_predictions
from daart_fast.readers.labels import read_labels

NAMES = ["background", "other", "walk", "groom"]
FPS = 30.0
PREDICTED = np.repeat([1, 2, 1, 3, 1], [400, 300, 500, 350, 250])
#: the frame of an event in the project -> where the person moves it
MOVED = {400: 340, 1550: 1640}


def draw() -> None:
    """Export a session, move two events as BORIS would, convert it back, draw both."""
    states = np.eye(len(NAMES), dtype=np.float32)[PREDICTED]
    with TemporaryDirectory() as name:
        folder = Path(name)
        predictions, labels = folder / "predictions", folder / "labels-hand"
        for path in (predictions, folder / "markers"):
            path.mkdir()
        write_predictions(predictions / "m1_predictions.csv", states, PREDICTED, NAMES, FPS)
        pd.DataFrame({"x": np.zeros(len(states))}).to_csv(folder / "markers" / "m1.csv")
        main(["export", str(predictions), "--to", "boris", "--output_dir", str(folder)])
        project = folder / "predictions.boris"
        content = json.loads(project.read_text())
        for event in content["observations"]["m1"]["events"]:
            event[0] = MOVED.get(event[5], event[5]) / FPS
        project.write_text(json.dumps(content))
        main(
            ["convert-labels", str(project), "--corrections", str(predictions), "--markers",
             str(folder / "markers"), "--output_dir", str(labels)]
        )  # fmt: skip
        corrected = read_labels(labels / "m1.csv").values
    path = Path(__file__).with_suffix(".png")
    plot_ethogram(states, NAMES, corrected, FPS, save_file=path, classes=PREDICTED)


if __name__ == "__main__":
    draw()
