"""A segmenter's whole loss and its gradient in one call each way.

A step of a small model spends as long between operations as in them, for its code and Python's
do not fit the caches together. So what the loss of a dilated network is made of is one operation
too; its twin are those parts: `dilation_stack`, `linear_cross_entropy`, `dilated_conv1d` and
`squared_error`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from daart_fast.ops.backends import native, runs_native
from daart_fast.ops.library import addresses

#: What a loss can be made of, in the order of parameters and weights.
HEADS = ("classifier", "classifier_weak", "predictor", "decoder")
#: The values of an objective, and the heads that they need.
VALUES = {
    "loss_weak": ("classifier_weak",),
    "fc": ("classifier", "classifier_weak"),
    "loss_strong": ("classifier",),
    "loss_pred": ("predictor",),
    "loss_recon": ("decoder",),
}


class Network:
    """What an objective is computed of.

    Parameters
    ----------
    encoder, decoder
        For each block: hidden and out channels, width, dilation, and the zeros on the left.
    heads
        Some of `HEADS`.
    n_classes
        Of the classifiers.
    activation
        The activation's number.
    """

    def __init__(
        self,
        encoder: tuple[int, ...],
        decoder: tuple[int, ...],
        heads: Collection[str],
        n_classes: int,
        activation: int,
    ) -> None:
        self.encoder, self.decoder, self.heads = encoder, decoder, frozenset(heads)
        self.n_classes, self.activation = n_classes, activation
        self.head_bits = sum(1 << i for i, name in enumerate(HEADS) if name in heads)
        #: the names of the values that there are, and their places
        self.values = [
            (name, 1 + i) for i, name in enumerate(VALUES) if self.heads.issuperset(VALUES[name])
        ]
        self._saved_sizes: dict[tuple[int, ...], int] = {}

    def saved_size(self, is_double: bool, sizes: tuple[int, ...]) -> int:
        """How many elements forward keeps for backward."""
        key = (is_double, *sizes)
        if key not in self._saved_sizes:
            assert native is not None
            size = native.objective_saved(is_double, sizes, self.encoder, self.decoder)
            self._saved_sizes[key] = size
        return self._saved_sizes[key]


class Batch(NamedTuple):
    """What an objective looks at: see `objective`."""

    x: Tensor
    mask: Tensor | None
    labels_strong: Tensor
    labels_weak: Tensor
    class_weights: Tensor | None
    dropout: tuple[Tensor | None, Tensor | None, Tensor | None]
    first: int
    frames: int
    ignored: int


def can_take_objective(x: Tensor) -> bool:
    """Whether `objective` can run on x; there is no twin behind it but its parts."""
    return runs_native(x) and not torch.compiler.is_compiling()


def objective(
    network: Network,
    batch: Batch,
    weights: Sequence[float],
    parameters: Sequence[Tensor | None],
) -> dict[str, Tensor]:
    """Compute a segmenter's loss and its terms.

    Parameters
    ----------
    network
        The layers.
    batch
        ``x`` (B, T, C) floats, contiguous; ``mask`` (B, T) bool or None; ``labels_strong`` and
        ``labels_weak`` (B, T) int64, negative where there is none; ``class_weights`` (K,) or None;
        ``dropout``, for each stack the masks of `dilation_stack` or None: encoder, predictor,
        decoder; ``frames`` frames from ``first`` on are scored, save labels of class ``ignored``.
    weights
        Of the four heads' losses.
    parameters
        Each stack's and head's in the order of `HEADS`, the encoder's before them all; a decoder's
        stack is followed by weight and bias of its last, 1x1 convolution.

    Returns
    -------
    dict
        ``loss``, differentiable once in the parameters; and the network's values, which are not
        differentiable: ``loss_weak``, ``fc`` (how often the hand-label head agrees with the weak
        labels), ``loss_strong``, ``loss_pred``, ``loss_recon``.

    Raises
    ------
    IndexError
        Where a label that counts is no class.
    """
    loss, values = _Objective.apply(network, batch, tuple(weights), *parameters)
    return _named(network, values) | {"loss": loss}


def objective_gradients(
    network: Network,
    batch: Batch,
    weights: Sequence[float],
    parameters: Sequence[Tensor | None],
    gradients: Sequence[Tensor | None],
) -> dict[str, Tensor]:
    """Compute what `objective` does and the gradients of its loss at once, without autograd.

    To build a graph, run it and gather what comes out of it takes as long as a third of a small
    model's step.

    Parameters
    ----------
    network, batch, weights, parameters
        As `objective` takes them.
    gradients
        For each parameter a contiguous tensor of its shape and dtype, which is overwritten; None
        where there is no parameter.

    Returns
    -------
    dict
        What `objective` returns; none of it is differentiable.

    Raises
    ------
    IndexError
        Where a label that counts is no class; the gradients are as they were.
    """
    assert native is not None
    x, sizes = batch.x, _sizes(network, batch)
    is_double = x.dtype is torch.float64
    kept = _Kept(x, network.saved_size(is_double, sizes))
    values = x.new_empty(1 + len(VALUES))
    native.objective_gradients(
        is_double,
        _tensors(batch),
        addresses(parameters),
        addresses(gradients),
        values.data_ptr(),
        kept.tensor.data_ptr(),
        *(sizes, network.encoder, network.decoder, weights, torch.get_num_threads()),
    )
    return _named(network, values)


def _named(network: Network, values: Tensor) -> dict[str, Tensor]:
    """The loss and its terms of what the native module writes."""
    each = values.unbind()
    return {"loss": each[0], **{name: each[place] for name, place in network.values}}


def _sizes(network: Network, batch: Batch) -> tuple[int, ...]:
    return (
        *(*batch.x.shape, network.n_classes, batch.first, batch.frames),
        *(network.head_bits, network.activation, batch.ignored),
    )


def _tensors(batch: Batch) -> list[int]:
    return addresses(
        (
            *(batch.x, batch.mask, batch.labels_strong, batch.labels_weak, batch.class_weights),
            *batch.dropout,
        )
    )


class _Kept:
    """What a forward pass keeps, given back for the next one when its graph is gone.

    Asking the system anew for tens of megabytes in each step takes a tenth of it.
    """

    _free: ClassVar[list[Tensor]] = []

    def __init__(self, x: Tensor, size: int) -> None:
        while self._free:
            tensor = self._free.pop()
            if tensor.numel() == size and tensor.dtype is x.dtype:
                break
        else:
            tensor = torch.empty(size, dtype=x.dtype)
        self.tensor = tensor

    def __del__(self) -> None:
        self._free.append(self.tensor)


class _Objective(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        network: Network,
        batch: Batch,
        weights: tuple[float, ...],
        *parameters: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        assert native is not None
        x, sizes = batch.x, _sizes(network, batch)
        is_double = x.dtype is torch.float64
        kept = _Kept(x, network.saved_size(is_double, sizes))
        loss, values = x.new_empty(()), x.new_empty(1 + len(VALUES))
        call = (sizes, network.encoder, network.decoder, weights, torch.get_num_threads())
        native.objective_forward(
            is_double,
            _tensors(batch),
            addresses(parameters),
            loss.data_ptr(),
            values.data_ptr(),
            kept.tensor.data_ptr(),
            *call,
        )
        ctx.save_for_backward(*parameters)
        ctx.constants = (is_double, batch, kept, call)
        ctx.mark_non_differentiable(values)
        return loss, values

    @staticmethod
    @once_differentiable
    def backward(  # type: ignore[override]
        ctx: Any, grad: Tensor, grad_values: Tensor
    ) -> tuple[Tensor | None, ...]:
        assert native is not None
        is_double, batch, kept, call = ctx.constants
        parameters = ctx.saved_tensors
        gradients = [None if p is None else torch.empty_like(p) for p in parameters]
        native.objective_backward(
            is_double,
            _tensors(batch),
            addresses(parameters),
            kept.tensor.data_ptr(),
            grad.data_ptr(),
            addresses(gradients),
            *call,
        )
        return (None, None, None, *gradients)
