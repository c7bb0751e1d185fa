"""The activations between layers: one table for the configuration, the networks and the kernels."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["ACTIVATIONS", "Activation"]


class Activation(NamedTuple):
    """What an activation is called, and what it is in PyTorch.

    Parameters
    ----------
    name
        In a configuration.
    function, module
        In ``torch.nn.functional`` and in ``torch.nn``; empty where nothing is done.
    arguments
        What both take besides the values.
    """

    name: str
    function: str
    module: str
    arguments: tuple[float, ...] = ()


#: By name. csrc/activations.h says by which numbers the kernels know them.
ACTIVATIONS = {
    activation.name: activation
    for activation in (
        Activation("linear", "", ""),
        Activation("relu", "relu", "ReLU"),
        Activation("lrelu", "leaky_relu", "LeakyReLU", (0.05,)),
        Activation("sigmoid", "sigmoid", "Sigmoid"),
        Activation("tanh", "tanh", "Tanh"),
        Activation("silu", "silu", "SiLU"),
    )
}
