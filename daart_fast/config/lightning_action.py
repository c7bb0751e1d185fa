"""Config files of lightning-action, recognised by their nested keys: what to write instead."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["in_flat_keys", "is_nested"]

PARTS = ("data", "model", "optimizer", "training")
#: a key of lightning-action, the key here
SAME = {
    "data.data_path": "data_dir",
    "data.input_dir": "input_type",
    "data.expt_ids": "expt_ids",
    "data.sequence_length": "sequence_length",
    "data.batch_size": "batch_size",
    "data.seed": "rng_seed_train",
    "model.backbone": "backbone",
    "model.num_hid_units": "n_hid_units",
    "model.num_layers": "n_hid_layers",
    "model.num_lags": "n_lags",
    "model.activation": "activation",
    "model.dropout_rate": "dropout",
    "model.bidirectional": "bidirectional",
    "model.seed": "rng_seed_model",
    "optimizer.lr": "learning_rate",
    "optimizer.wd": "l2_reg",
    "training.max_epochs": "max_epochs",
    "training.num_epochs": "max_epochs",
    "training.device": "device",
}
BACKBONES = {"temporalmlp": "temporal-mlp"}


def is_nested(values: Mapping[str, Any]) -> bool:
    """Whether a file's keys are parts with keys of their own, as in lightning-action."""
    return sum(isinstance(values.get(part), Mapping) for part in PARTS) >= 2


def in_flat_keys(values: Mapping[str, Any]) -> str:
    """Return what to write instead, a line a key, and name the keys that have no counterpart."""
    lines, without = [], []
    for name, value in _leaves(values):
        if name not in SAME:
            without.append(name)
        elif value is not None:
            value = BACKBONES.get(value, value) if name == "model.backbone" else value
            lines.append(f"    {SAME[name]}: {json.dumps(value, ensure_ascii=False)}")
    rest = f"\nwithout a counterpart: {', '.join(without)}" if without else ""
    return "\n".join(lines) + rest


def _leaves(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for part, content in values.items():
        if isinstance(content, Mapping):
            yield from ((f"{part}.{name}", value) for name, value in content.items())
        else:
            yield str(part), content
