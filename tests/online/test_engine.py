"""The native engine's own checks, and its layers against the model's description."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from daart_fast.backbones import BACKBONES
from daart_fast.errors import DataError
from daart_fast.online import OnlineSegmenter
from daart_fast.online.engines import WindowEngine
from daart_fast.online.program import layers_of
from daart_fast.ops.native import native

from .conftest import make_model

pytestmark = pytest.mark.skipif(native is None, reason="the native module is not built")


def engine_of(layer: dict[str, Any] | None = None, **changes: Any) -> Any:
    """An engine of one dense layer, with something changed."""
    one = {"source": 0, "dilation": 1, "lag": 0, "residual": -1, "residual_lag": 0}
    one |= {"activation": 0, "outer": 0, "weight": np.ones((2, 3, 1)), "bias": np.zeros(2)}
    settings: dict[str, Any] = {
        "layers": [one | (layer or {})],
        "raw_channels": 3,
        "source": [0, 1, 2],
        "likelihood": [-1, -1, -1],
        "threshold": 0.0,
        "mean": np.zeros(3),
        "scale": np.ones(3),
        "sigmoid": True,
        "streams": 1,
        "hold": 0,
    }
    assert native is not None
    return native.OnlineEngine(**(settings | changes))


def test_one_dense_layer():
    np.testing.assert_allclose(
        engine_of().step(np.array([0.5, 1, -1])), 1 / (1 + np.exp([[-0.5, -0.5]])), rtol=1e-6
    )


@pytest.mark.parametrize(
    ("layer", "changes", "words"),
    [
        ({"source": 1}, {}, "layer 0: it reads a ring that no layer before it writes"),
        ({"residual": 5}, {}, "a ring that no layer before it writes"),
        ({"residual": 0}, {}, "its residual has another number of channels"),
        ({"weight": np.ones((2, 4, 1))}, {}, "its source has another number of channels"),
        ({"weight": np.ones((2, 3))}, {}, "weight: expected three dimensions"),
        ({"bias": np.ones(3)}, {}, "weight or bias has another shape"),
        ({"lag": -1}, {}, "reaches further back than"),
        ({"dilation": 0}, {}, "sizes must lie between 1 and"),
        ({"dilation": 1 << 40}, {}, "sizes must lie between 1 and"),
        ({"activation": 9}, {}, "activation must be the number of one"),
        ({}, {"layers": []}, "at least one layer"),
        ({}, {"streams": 0}, "streams must lie between"),
        ({}, {"hold": -1}, "hold must lie between"),
        ({}, {"source": [0, 1, 3]}, "a channel's place lies beyond the raw frame"),
        ({}, {"likelihood": [-2, 0, 0]}, "a channel's place lies beyond the raw frame"),
        ({}, {"mean": np.zeros(2)}, "one value for each channel"),
    ],
)
def test_what_does_not_fit_is_told(layer, changes, words):
    with pytest.raises(ValueError, match=words):
        engine_of(layer, **changes)


def test_arrays_of_other_shapes_are_refused():
    engine = engine_of()
    for out in (np.zeros(3, np.float32), np.zeros(2), np.zeros((2, 2), np.float32)[:, 0], [0, 0]):
        with pytest.raises(ValueError, match="out: expected"):
            engine.step(np.zeros(3), out)
    with pytest.raises(ValueError, match="state: expected .* numbers"):
        engine.load_state(np.zeros(1), 0)
    with pytest.raises(ValueError, match="frames: expected frames of 3 channels, got shape"):
        engine.run(np.zeros((4, 2)))
    with pytest.raises(ValueError, match="must not be negative"):
        engine.run_beyond(-1)
    with pytest.raises(DataError, match="expected frames of"):
        OnlineSegmenter(make_model()).run(np.zeros((5, 3)))


def test_the_layers_of_a_centred_block():
    """Convolutions run late, and the residual is read as late as they are."""
    model = make_model(causal=False, n_lags=2, n_hid_layers=2, n_hid_units=8, input_size=8)
    first, second, third, fourth, scores = layers_of(model.model)
    assert [first.source, first.residual] == [0, -1]
    assert [second.source, second.residual, second.residual_lag] == [1, 0, 4]
    assert [third.source, third.dilation] == [2, 2]
    assert [fourth.source, fourth.residual, fourth.residual_lag] == [3, 2, 8]
    assert scores.weight.shape == (3, 8, 1)


def test_a_backbone_without_native_layers_runs_on_windows(monkeypatch):
    row = dataclasses.replace(BACKBONES["dtcn"], streams_natively=False)
    model = make_model()
    frames = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    expected = OnlineSegmenter(model).run(frames)
    monkeypatch.setitem(BACKBONES, "dtcn", row)
    online = OnlineSegmenter(model)
    assert isinstance(online.engine, WindowEngine)
    np.testing.assert_allclose(online.run(frames), expected, atol=1e-5)
