"""A trained network as the list of layers that the online engine runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from daart_fast.models.layers import Conv1d
from daart_fast.models.segmenter import Segmenter
from daart_fast.models.tcn import DilatedTCN, DilationBlock
from daart_fast.models.temporalmlp import TemporalMLP
from daart_fast.ops.native import NUMBERS

__all__ = ["Layer", "layers_of"]

LINEAR = NUMBERS["linear"]


@dataclass
class Layer:
    """One convolution; see ``OnlineLayer`` in csrc/online/engine.h.

    Ring 0 holds the inputs, and layer i writes ring i + 1. ``weight`` is (C_out, C_in, K) and
    ``bias`` (C_out,), both float32.
    """

    source: int
    weight: np.ndarray
    bias: np.ndarray
    dilation: int = 1
    lag: int = 0
    residual: int = -1
    residual_lag: int = 0
    activation: int = LINEAR
    outer: int = LINEAR

    def as_dict(self) -> dict[str, Any]:
        """Return what the native engine is made from."""
        return asdict(self)


def layers_of(model: Segmenter) -> list[Layer]:
    """Return the layers from the inputs to the classifier's scores.

    A centred network gives the same list as a causal one, but for its residuals, which are read as
    late as the convolutions beside them are; its scores come ``context[1]`` frames late.
    """
    layers: list[Layer] = []
    encoder = model.model["encoder"]
    if isinstance(encoder, DilatedTCN):
        for block in encoder.model.children():
            _add_block(layers, block)
    else:
        assert isinstance(encoder, TemporalMLP)
        for module in encoder.model.children():
            _add(layers, module, str(model.hparams["activation"]))
    if model.variational:
        _add(layers, model.model["latent_mean"])
    _add(layers, model.model["classifier" if "classifier" in model.model else "classifier_weak"])
    return layers


def _add_block(layers: list[Layer], block: nn.Module) -> None:
    assert isinstance(block, DilationBlock)
    source, activation = len(layers), NUMBERS[block.activation]
    late = block.conv0.context[1] + block.conv1.context[1]
    residual, residual_lag = source, late
    if block.downsample is not None:
        layers.append(_layer(source, block.downsample, lag=late))
        residual, residual_lag = len(layers), 0
    layers.append(_layer(source, block.conv0, activation=activation))
    layers.append(
        _layer(
            len(layers),
            block.conv1,
            activation=activation,
            residual=residual,
            residual_lag=residual_lag,
            outer=activation,
        )
    )


def _add(layers: list[Layer], module: nn.Module, activation: str = "linear") -> None:
    """Add the layers within a chain of dense layers, convolutions and activations."""
    for part in _leaves(module):
        if isinstance(part, (nn.Linear, Conv1d)):
            layers.append(_layer(len(layers), part))
        else:
            layers[-1].activation = NUMBERS[activation]


def _leaves(module: nn.Module) -> Iterator[nn.Module]:
    children = list(module.children())
    if not children:
        yield module
    for child in children:
        yield from _leaves(child)


def _layer(source: int, module: nn.Linear | Conv1d, **how: int) -> Layer:
    if isinstance(module, Conv1d):
        weight, dilation = module.kernel(), module.dilation[0]
    else:
        weight, dilation = module.weight[:, :, None], 1
    assert module.bias is not None
    return Layer(source, _array(weight), _array(module.bias), dilation, **how)


def _array(values: Tensor) -> np.ndarray:
    return np.ascontiguousarray(values.detach().cpu().numpy())
