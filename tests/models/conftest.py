"""Small configurations that the tests of models share."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor


def sequence_pad(hparams: dict[str, Any]) -> int:
    """The padding of each backbone, from the definition."""
    if hparams["backbone"] == "dtcn":
        return sum(2 * 2**i * hparams["n_lags"] for i in range(hparams["n_hid_layers"]))
    return hparams["n_lags"] if hparams["backbone"] == "temporal-mlp" else 4


@pytest.fixture
def make_hparams() -> Callable[..., dict[str, Any]]:
    """A function that fills in what it is not given."""

    def make(**changes: Any) -> dict[str, Any]:
        hparams = {
            "backbone": "dtcn",
            "input_size": 3,
            "output_size": 4,
            "n_hid_layers": 2,
            "n_hid_units": 5,
            "n_lags": 2,
            "activation": "lrelu",
            "dropout": 0.0,
            "bidirectional": False,
            "causal": False,
            "lambda_strong": 1,
            "sequence_length": 20,
            "rng_seed_model": 0,
            **changes,
        }
        return {"sequence_pad": sequence_pad(hparams), **hparams}

    return make


@pytest.fixture
def make_batch() -> Callable[..., dict[str, Tensor]]:
    """A function that draws a batch for a configuration, hand labels on every frame."""

    def make(hparams: dict[str, Any], n_sequences: int = 3, seed: int = 0) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        shape = (n_sequences, hparams["sequence_length"] + 2 * hparams["sequence_pad"])
        n_classes = hparams["output_size"]
        return {
            "markers": torch.randn(*shape, hparams["input_size"], generator=generator),
            "labels_strong": torch.randint(1, n_classes, shape, generator=generator),
            "labels_weak": torch.randint(1, n_classes, shape, generator=generator),
            "tasks": torch.randn(*shape, hparams.get("task_size", 1), generator=generator),
            "frame_mask": torch.ones(shape, dtype=torch.bool),
            "batch_idx": torch.arange(n_sequences),
        }

    return make
