"""The losses of a segmenter with a dilated network as one operation of ``ops``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from daart_fast import ops
from daart_fast.models.layers import dropout_mask, plain_linear
from daart_fast.models.tcn import DilatedTCN, ParameterSlot
from daart_fast.ops.conv import activation_code, sides


class Objective:
    """Calls ``ops.objective_gradients`` for the modules of a `Segmenter`.

    Parameters
    ----------
    model
        The modules: ``encoder``, a `DilatedTCN`, and heads among those of ``ops.HEADS``.
    n_classes
        What the classifiers tell apart.
    """

    def __init__(self, model: nn.ModuleDict, n_classes: int) -> None:
        heads = [name for name in ops.HEADS if name in model]
        encoder = model["encoder"]
        assert isinstance(encoder, DilatedTCN)
        decoders = [m for m in map(model.__getitem__, heads) if isinstance(m, DilatedTCN)]
        self.network = ops.Network(
            encoder=_layers(encoder),
            decoder=_layers(decoders[0]) if decoders else (),
            heads=heads,
            n_classes=n_classes,
            activation=activation_code(encoder.blocks[0].activation),
        )
        self.dropout = encoder.blocks[0].dropout
        # the channels of each stack that dropout may drop
        self._dropped = [sum(b.n_dropped for b in stack.blocks) for stack in (encoder, *decoders)]
        self._gradients: list[Tensor | None] = []
        self._gradient_addresses: list[tuple[int, torch.dtype]] = []
        # modules may be replaced, and more of them put in
        self._tree = [(module._modules, dict(module._modules)) for module in model.modules()]
        self._slots = _slots(encoder)
        for head in heads:
            module = model[head]
            if isinstance(module, DilatedTCN):
                self._slots += [*_slots(module), *_weight_and_bias(module.model[-1])]
            else:
                linear = plain_linear(module)
                assert linear is not None
                self._slots += _weight_and_bias(linear)

    def is_current(self) -> bool:
        """Whether the modules are still those that this was made for."""
        return all(now == before for now, before in self._tree)

    def losses_and_gradients(
        self,
        batch: Mapping[str, Tensor],
        *,
        training: bool,
        first: int,
        frames: int,
        ignored: int,
        class_weights: Tensor | None,
        weights: Mapping[str, float],
    ) -> dict[str, Tensor]:
        """Compute `Segmenter.losses_and_gradients` of a batch where `can_place_gradients`.

        ``frames`` frames from the first on are scored, save those of class ``ignored``; ``weights``
        are `Segmenter.loss_weights`.
        """
        x = batch["markers"].contiguous()
        mask, strong, weak = (
            None if t is None else t.contiguous()
            for t in map(batch.get, ("frame_mask", "labels_strong", "labels_weak"))
        )
        no_labels = None
        if strong is None or weak is None:
            no_labels = x.new_full(x.shape[:2], -1, dtype=torch.int64)
        inputs = ops.ObjectiveInputs(
            x=x,
            mask=mask,
            labels_strong=no_labels if strong is None else strong,  # type: ignore[arg-type]
            labels_weak=no_labels if weak is None else weak,  # type: ignore[arg-type]
            class_weights=class_weights,
            dropout=self._dropout_masks(x, self.dropout if training else 0.0),
            first=first,
            frames=frames,
            ignored=ignored,
        )
        owners = self._parameters()
        parameters = [None if p is None else p.contiguous() for p in owners]
        weighing = (weights["strong"], weights["weak"], weights["pred"], weights["recon"])
        gradients = self._gradients_of(owners)
        terms = ops.objective_gradients(self.network, inputs, weighing, parameters, gradients)
        for p, gradient in zip(owners, gradients, strict=True):
            if p is not None:
                p.grad = gradient
        return terms

    def can_place_gradients(self) -> bool:
        """Whether each parameter is trained and has one place, and nobody awaits its gradient."""
        there = [p for p in self._parameters() if p is not None]
        return len(set(map(id, there))) == len(there) and all(
            p.requires_grad and not p._backward_hooks and not p._post_accumulate_grad_hooks
            for p in there
        )

    def _parameters(self) -> list[Tensor | None]:
        return [parameters[name] for parameters, name in self._slots]

    def _gradients_of(self, parameters: Sequence[Tensor | None]) -> list[Tensor | None]:
        """Memory for the parameters' gradients, the same while they stay where they are."""
        addresses = [(p.data_ptr(), p.dtype) for p in parameters if p is not None]
        if addresses != self._gradient_addresses:
            self._gradients = [
                None if p is None else torch.empty_like(p, memory_format=torch.contiguous_format)
                for p in parameters
            ]
            self._gradient_addresses = addresses
        return self._gradients

    def _dropout_masks(
        self, x: Tensor, p: float
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """The masks of encoder, predictor and decoder, from one draw."""
        all_masks = dropout_mask(x, sum(self._dropped), p)
        if all_masks is None:
            return None, None, None
        parts = iter(all_masks.view(-1).split([x.shape[0] * n for n in self._dropped]))
        encoder = next(parts)
        predictor = next(parts) if "predictor" in self.network.heads else None
        decoder = next(parts) if "decoder" in self.network.heads else None
        return encoder, predictor, decoder


def _layers(stack: DilatedTCN) -> tuple[int, ...]:
    layers: list[int] = []
    for block in stack.blocks:
        width, dilation = block.conv0.kernel_size[0], block.conv0.dilation[0]
        left, _ = sides(block.conv0.side, dilation * (width - 1))
        layers += (block.conv0.out_channels, block.conv1.out_channels, width, dilation, left)
    return tuple(layers)


def _slots(stack: DilatedTCN) -> list[ParameterSlot]:
    return [slot for block in stack.blocks for slot in block.slots()]


def _weight_and_bias(module: nn.Module) -> list[ParameterSlot]:
    return [(module._parameters, "weight"), (module._parameters, "bias")]
