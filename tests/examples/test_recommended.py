"""configs/recommended holds what a new project gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from daart_fast.cli.project import FEATURES, SETTINGS, SMOOTHING
from daart_fast.config import KINEMATIC, settings_in

FOLDER = Path(__file__).parents[2] / "configs" / "recommended"


def stored(name: str) -> dict:
    return {key: one.value for key, one in settings_in(FOLDER / f"{name}.yaml").items()}


@pytest.mark.parametrize("name", ["model", "train"])
def test_network_and_training_are_those_of_a_new_project(name):
    expected = {key: value for _, settings in SETTINGS[name] for key, value in settings.items()}
    assert stored(name) == expected


def test_features_and_smoothing_are_those_of_a_new_project():
    found = stored("data")
    assert found["input_type"] == KINEMATIC
    assert {**FEATURES, **SMOOTHING}.items() <= found.items()
