"""Prediction from file to file with pandas and PyTorch, as daart and lightning-action go about it.

    python benchmarks/plain_predict.py INPUTS.csv OUTPUT_FOLDER

What `benchmarks.files` compares ``daart-fast predict`` with: it imports nothing of daart_fast.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

UNITS, LAGS, CLASSES, THRESHOLD = 32, 8, 6, 0.6


class Block(nn.Module):
    """Two dilated convolutions and a residual."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        sizes = {"kernel_size": 2 * LAGS + 1, "dilation": dilation, "padding": LAGS * dilation}
        self.first = weight_norm(nn.Conv1d(channels, UNITS, **sizes))
        self.second = weight_norm(nn.Conv1d(UNITS, UNITS, **sizes))
        self.residual = nn.Conv1d(channels, UNITS, 1) if channels != UNITS else nn.Identity()
        self.activation = nn.LeakyReLU(0.05)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.activation(self.second(self.activation(self.first(x))))
        return self.activation(inner + self.residual(x))


def read(path: Path) -> np.ndarray:
    """Return all x, then all y (T, N), unsure points interpolated, mean 0 and spread 1."""
    table = pd.read_csv(path, header=[0, 1, 2], index_col=0)
    columns = {axis: table.xs(axis, axis=1, level=2) for axis in ("x", "y", "likelihood")}
    sure = columns["likelihood"].to_numpy() >= THRESHOLD
    values = [columns[axis].where(sure).interpolate(limit_direction="both") for axis in "xy"]
    inputs = np.concatenate([part.to_numpy() for part in values], 1)
    return ((inputs - inputs.mean(0)) / inputs.std(0)).astype(np.float32)


def main() -> None:
    path, folder = Path(sys.argv[1]), Path(sys.argv[2])
    inputs = read(path)
    blocks = [Block(inputs.shape[1], 1), Block(UNITS, 2)]
    encoder, head = nn.Sequential(*blocks).eval(), nn.Linear(UNITS, CLASSES).eval()
    with torch.inference_mode():
        hidden = encoder(torch.from_numpy(inputs).T[None])[0].T
        probabilities = torch.softmax(head(hidden), -1).numpy()
    np.save(folder / "plain_states.npy", probabilities)
    table = pd.DataFrame(probabilities, columns=[f"class_{i}" for i in range(CLASSES)])
    table.insert(0, "class", table.columns.to_numpy()[probabilities.argmax(1)])
    table.to_csv(folder / "plain_predictions.csv", float_format="%.5f")


if __name__ == "__main__":
    main()
