"""Models of random shapes and weights, on every instruction set that this machine can run."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from daart_fast import ops
from daart_fast.activations import ACTIVATIONS
from daart_fast.api import Model
from daart_fast.models import Segmenter, predict_inputs
from daart_fast.ops.native import native

ISAS = native.isas() if native is not None else []


@pytest.fixture(params=[*ISAS, "torch"])
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each instruction set of the native engine, and the twin in PyTorch."""
    if request.param == "torch":
        with ops.forced("torch"):
            yield request.param
    else:
        with ops.forced("native", request.param):
            yield request.param


def make_model(**changes: Any) -> Model:
    """A model with weights large enough that the classes differ; statistics of its own."""
    config: dict[str, Any] = {
        "backbone": "dtcn",
        "input_size": 4,
        "output_size": 3,
        "n_hid_layers": 2,
        "n_hid_units": 8,
        "n_lags": 2,
        "activation": "lrelu",
        "causal": True,
        "lambda_strong": 1,
        "normalization": "train",
        "sequence_length": 30,
        "label_names": None,
        **changes,
    }
    n = config["input_size"]
    draw = torch.Generator().manual_seed(n)
    config.setdefault("input_mean", torch.randn(n, generator=draw).tolist())
    config.setdefault("input_std", (torch.rand(n, generator=draw) + 0.5).tolist())
    model = Segmenter(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(0, 0.3, generator=draw)
            elif "classifier" in name:
                parameter.mul_(3)
    return Model(model.eval(), config)


def draw_models(n: int, seed: int) -> list[Model]:
    """Feed-forward models, small and odd, causal and centred."""
    draw = random.Random(seed)
    return [
        make_model(
            backbone=draw.choice(["dtcn", "dtcn", "temporal-mlp"]),
            input_size=draw.choice([1, 3, 8, 17, 33]),
            output_size=draw.choice([2, 5, 17]),
            n_hid_layers=draw.choice([1, 2, 3]),
            n_hid_units=draw.choice([1, 7, 8, 16, 33, 64]),
            n_lags=draw.choice([1, 2, 4]),
            activation=draw.choice(list(ACTIVATIONS)),
            causal=draw.random() < 0.5,
            variational=draw.random() < 0.2,
            classifier_type=draw.choice(["multiclass", "multiclass", "multibinary"]),
            rng_seed_model=draw.randrange(100),
        )
        for _ in range(n)
    ]


def draw_frames(model: Model, n_frames: int, seed: int = 0) -> np.ndarray:
    """(T, N) float32 inputs, as they come from a tracker."""
    draw = np.random.default_rng(seed)
    return draw.normal(0, 2, (n_frames, model.config["input_size"])).astype(np.float32)


def offline(model: Model, frames: np.ndarray) -> np.ndarray:
    """(T, C): what the model answers to the whole session."""
    mean, std = (np.float32(model.config[name]) for name in ("input_mean", "input_std"))
    scale = (1 / np.float64(model.config["input_std"])).astype(np.float32)
    assert std.shape == mean.shape
    return predict_inputs(model.model, (frames - mean) * scale)["labels"]


def write_poses(path: Path, poses: np.ndarray, parts: Sequence[str]) -> Path:
    """Write poses (T, K, 3) as DeepLabCut does, NaN as an empty cell."""
    columns = pd.MultiIndex.from_product([["net"], parts, ["x", "y", "likelihood"]])
    columns.names = ["scorer", "bodyparts", "coords"]
    pd.DataFrame(poses.reshape(len(poses), -1), columns=columns).to_csv(path)
    return path
