"""A segmenter's whole loss and its gradient in one call each way.

A step of a small model spends as long between operations as in them, for its code and Python's
do not fit the caches together. So what the loss of a dilated network is made of is one operation
too; its twin are those parts: `dilation_stack`, `linear_cross_entropy`, `dilated_conv1d` and
`squared_error`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from daart_fast.ops.backends import runs_native
from daart_fast.ops.checks import check_kind, check_shape
from daart_fast.ops.launch import address, address_list, cpu_call
from daart_fast.ops.native import native

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


#: numbers that describe a block of a `Network`
LAYER_SIZES = 5


def _stack_shapes(layers: tuple[int, ...], c_in: int) -> tuple[list[tuple[int, ...]], int]:
    """The parameters' shapes of a chain of blocks, and the channels that it makes."""
    shapes: list[tuple[int, ...]] = []
    for i in range(0, len(layers), LAYER_SIZES):
        hidden, out, width = layers[i : i + 3]
        shapes += [(hidden, c_in, width), (hidden, 1, 1), (hidden,)]
        shapes += [(out, hidden, width), (out, 1, 1), (out,), (out, c_in, 1), (out,)]
        c_in = out
    return shapes, c_in


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
        self._shapes: dict[int, list[torch.Size]] = {}

    def parameter_shapes(self, n_inputs: int) -> list[torch.Size]:
        """The parameters' shapes, in their order, of a network of so many input channels."""
        if n_inputs not in self._shapes:
            shapes, embedded = _stack_shapes(self.encoder, n_inputs)
            for head in HEADS:
                if head in self.heads and head.startswith("classifier"):
                    shapes += [(self.n_classes, embedded), (self.n_classes,)]
                elif head in self.heads:
                    stack, out = _stack_shapes(self.decoder, embedded)
                    shapes += [*stack, (n_inputs, out, 1), (n_inputs,)]
            self._shapes[n_inputs] = list(map(torch.Size, shapes))  # compared faster
        return self._shapes[n_inputs]

    def n_dropped(self) -> tuple[int, int, int]:
        """How many channels the masks of encoder, predictor and decoder are for."""
        encoder, decoder = (
            sum(sum(layers[i : i + 2]) for i in range(0, len(layers), LAYER_SIZES))
            for layers in (self.encoder, self.decoder)
        )
        return encoder, decoder, decoder

    def saved_size(self, is_double: bool, sizes: Any) -> int:
        """How many elements forward keeps for backward."""
        key = (is_double, *sizes)
        if key not in self._saved_sizes:
            assert native is not None
            size = native.objective_saved(is_double, sizes, self.encoder, self.decoder)
            self._saved_sizes[key] = size
        return self._saved_sizes[key]


class ObjectiveInputs(NamedTuple):
    """What an objective looks at.

    Parameters
    ----------
    x
        (B, T, C) floats, contiguous.
    mask
        (B, T) bool, or None.
    labels_strong, labels_weak
        (B, T) int64, negative where there is none.
    class_weights
        (K,), or None.
    dropout
        The masks of `dilation_stack`, or None, of encoder, predictor and decoder.
    first, frames
        So many frames are scored, from the first on.
    ignored
        The class whose labels are not scored.
    """

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
    """Whether `objective_gradients` can run on x; its twin is the parts with autograd."""
    return runs_native(x) and not torch.compiler.is_compiling()


def objective_gradients(
    network: Network,
    inputs: ObjectiveInputs,
    weights: Sequence[float],
    parameters: Sequence[Tensor | None],
    gradients: Sequence[Tensor | None],
) -> dict[str, Tensor]:
    """Compute a segmenter's loss, its terms, and the gradients of the loss, without autograd.

    To build a graph, run it and gather what comes out of it takes as long as a third of a small
    model's step.

    Parameters
    ----------
    network
        The layers.
    inputs
        What is looked at.
    weights
        Of the four heads' losses.
    parameters
        Each stack's and head's in the order of `HEADS`, the encoder's before them all; a decoder's
        stack is followed by weight and bias of its last, 1x1 convolution.
    gradients
        For each parameter a contiguous tensor of its shape and dtype, which is overwritten; None
        where there is no parameter.

    Returns
    -------
    dict
        ``loss`` and the network's values: ``loss_weak``, ``fc`` (how often the hand-label head
        agrees with the weak labels), ``loss_strong``, ``loss_pred``, ``loss_recon``. None of them
        is differentiable.

    Raises
    ------
    IndexError
        Where a label that counts is no class; the gradients are as they were.
    TypeError, ValueError
        Where a dtype, a device or a shape is another; nothing is converted here.
    """
    assert native is not None
    _check(network, inputs, parameters, gradients)
    x, sizes = inputs.x, _sizes(network, inputs)
    saved = _take_memory(x, network.saved_size(x.dtype is torch.float64, sizes))
    values = x.new_empty(1 + len(VALUES))
    try:
        native.objective_gradients(
            call=cpu_call(x),
            sizes=sizes,
            encoder=network.encoder,
            decoder=network.decoder,
            weights=weights,
            tensors=_tensors(inputs, values, saved),
            parameters=address_list(parameters),
            gradients=address_list(gradients),
        )
    finally:
        _free_memory.append(saved)
    each = values.unbind()
    return {"loss": each[0], **{name: each[index] for name, index in network.values}}


def _check(
    network: Network,
    inputs: ObjectiveInputs,
    parameters: Sequence[Tensor | None],
    gradients: Sequence[Tensor | None],
) -> None:
    """Check all that the native module knows by address."""
    x = inputs.x
    if x.dim() != 3 or not x.is_contiguous() or not can_take_objective(x):
        raise ValueError(
            "x must be (B, T, C), contiguous, float32 or float64 and on the CPU, but it is "
            f"{x.dtype} on {x.device}, its shape {tuple(x.shape)}"
        )
    (b, t, c), dtype = x.shape, x.dtype
    shapes = network.parameter_shapes(c)
    for kind, tensors in (("parameter", parameters), ("gradient", gradients)):
        if len(tensors) != len(shapes):
            raise ValueError(f"expected {len(shapes)} {kind}s, but there are {len(tensors)}")
        # in line, as there are some forty of them in each step
        for i, tensor in enumerate(tensors):
            if tensor is not None and not (
                tensor.shape == shapes[i]
                and tensor.dtype is dtype
                and tensor.is_cpu
                and tensor.is_contiguous()
            ):
                _check_one(f"{kind} {i}", tensor, shapes[i], x, dtype)
    for name in ("labels_strong", "labels_weak"):
        _check_one(name, getattr(inputs, name), (b, t), x, torch.int64)
    _check_one("mask", inputs.mask, (b, t), x, torch.bool)
    _check_one("class_weights", inputs.class_weights, (network.n_classes,), x, dtype)
    for mask, n in zip(inputs.dropout, network.n_dropped(), strict=True):
        if mask is not None:
            _check_one("a stack's dropout", mask.view(-1), (b * n,), x, dtype)


def _check_one(
    name: str, tensor: Tensor | None, shape: Sequence[int], x: Tensor, dtype: torch.dtype
) -> None:
    check_shape(name, tensor, shape)
    check_kind(name, tensor, x, dtype)
    if tensor is not None and not tensor.is_contiguous():
        raise ValueError(f"{name} must be contiguous")


def _sizes(network: Network, inputs: ObjectiveInputs) -> Any:
    assert native is not None
    b, t, c = inputs.x.shape
    return native.ObjectiveSizes(
        batch=b,
        frames=t,
        inputs=c,
        classes=network.n_classes,
        first=inputs.first,
        scored=inputs.frames,
        heads=network.head_bits,
        activation=network.activation,
        ignored=inputs.ignored,
    )


def _tensors(inputs: ObjectiveInputs, values: Tensor, saved: Tensor) -> Any:
    assert native is not None
    encoder_masks, predictor_masks, decoder_masks = address_list(inputs.dropout)
    return native.ObjectiveTensors(
        x=address(inputs.x),
        mask=address(inputs.mask),
        labels_strong=address(inputs.labels_strong),
        labels_weak=address(inputs.labels_weak),
        class_weights=address(inputs.class_weights),
        encoder_masks=encoder_masks,
        predictor_masks=predictor_masks,
        decoder_masks=decoder_masks,
        values=address(values),
        saved=address(saved),
    )


#: Memory of steps before: to ask the system for tens of megabytes in each step takes a tenth of it.
_free_memory: list[Tensor] = []


def _take_memory(x: Tensor, size: int) -> Tensor:
    while _free_memory:
        tensor = _free_memory.pop()
        if tensor.numel() == size and tensor.dtype is x.dtype:
            return tensor
    return torch.empty(size, dtype=x.dtype)
