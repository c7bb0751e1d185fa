"""A chain of residual blocks as a torch operator of the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from daart_fast.ops import launch
from daart_fast.ops.native import OF_OUTPUT
from daart_fast.ops.operators import differentiable, operator
from daart_fast.ops.operators_block import gradients_of

LAYER_SIZES = 5  # hidden and out channels, width, dilation, left


def saved_size(x: Tensor, layers: Sequence[int], activation: int, first: Any, n_wanted: Any) -> Any:
    """How many elements forward keeps for backward, as csrc/stack.cpp lays them out.

    ``native.stack_saved`` in Python: a compiler's sizes may be symbols.
    """
    batch, frames, c_in = x.shape
    copies = 1 if OF_OUTPUT[activation] else 2
    blocks = [layers[i : i + LAYER_SIZES] for i in range(0, len(layers), LAYER_SIZES)]
    inputs = [c_in, *(out for _, out, *_ in blocks)]
    elements, last = 0, first + n_wanted
    for i in reversed(range(len(blocks))):
        hidden, out, width, dilation, left = blocks[i]
        span = dilation * (width - 1)
        passed_on = int(i + 1 < len(blocks))  # y itself
        elements += batch * (last - first) * out * (copies + passed_on)
        first = torch.sym_max(first - left, 0)
        last = torch.sym_min(last - left + span, frames)
        elements += batch * (last - first) * hidden * copies
        elements += (inputs[i] + out) * hidden * width + hidden + out
        first = torch.sym_max(first - left, 0)
        last = torch.sym_min(last - left + span, frames)
    return elements


@lru_cache(maxsize=64)
def _saved(sizes: Any, layers: tuple[int, ...], activation: int) -> int:
    assert launch.native is not None
    return int(launch.native.stack_saved(sizes, layers, activation))


def _sizes(x: Tensor, first: int, wanted: int) -> Any:
    assert launch.native is not None
    b, t, c = x.shape
    return launch.native.StackSizes(batch=b, frames=t, channels_in=c, first=first, wanted=wanted)


def _stack_forward_fake(
    x: Tensor, parameters: Sequence[Tensor | None], masks: Tensor | None, *rest: Any
) -> tuple[Tensor, Tensor]:
    """y, and all that backward needs (nothing without ``keep``)."""
    layers, activation, first, frames, keep = rest
    y = x.new_empty((x.shape[0], frames, layers[-LAYER_SIZES + 1]))
    return y, x.new_empty(saved_size(x, layers, activation, first, frames) if keep else 0)


def _stack_forward(
    x: Tensor, parameters: Sequence[Tensor | None], masks: Tensor | None, *rest: Any
) -> tuple[Tensor, Tensor]:
    native = launch.native
    assert native is not None
    layers, activation, first, frames, keep = rest
    x, masks = x.contiguous(), None if masks is None else masks.contiguous()
    parameters = launch.contiguous(parameters)
    sizes = _sizes(x, first, frames)
    y = x.new_empty((x.shape[0], frames, layers[-LAYER_SIZES + 1]))
    saved = x.new_empty(_saved(sizes, tuple(layers), activation) if keep else 0)
    tensors = native.StackTensors(
        **launch.addresses(x=x, masks=masks, y=y, saved=saved, dy=None, dx=None)
    )
    native.stack_forward(
        launch.cpu_call(x),
        sizes,
        layers,
        tensors,
        launch.address_list(parameters),
        activation,
    )
    return y, saved


stack_forward = operator(
    "stack_forward(Tensor x, Tensor?[] parameters, Tensor? masks, int[] layers, int activation, "
    "SymInt first, SymInt frames, bool keep) -> (Tensor, Tensor)",
    _stack_forward,
    _stack_forward_fake,
    devices=("CPU",),
)


def _stack_backward_fake(
    grad: Tensor, x: Tensor, parameters: Sequence[Tensor | None], *rest: Any
) -> list[Tensor]:
    return gradients_of((x, *parameters), *rest[-2:])


def _stack_backward(
    grad: Tensor,
    x: Tensor,
    parameters: Sequence[Tensor | None],
    masks: Tensor | None,
    y: Tensor,
    saved: Tensor,
    *rest: Any,
) -> list[Tensor]:
    native = launch.native
    assert native is not None
    layers, activation, first, need_x, need_weights = rest
    x, grad, masks = (
        x.contiguous(),
        grad.contiguous(),
        None if masks is None else masks.contiguous(),
    )
    parameters = launch.contiguous(parameters)
    gradients = gradients_of((x, *parameters), need_x, need_weights)
    dx, *dparameters = launch.address_list(gradients)
    tensors = native.StackTensors(
        **launch.addresses(x=x, masks=masks, y=y, saved=saved, dy=grad), dx=dx
    )
    at = launch.address_list(parameters)
    to = dparameters if need_weights else []
    sizes = _sizes(x, first, y.shape[1])
    native.stack_backward(launch.cpu_call(x), sizes, layers, tensors, at, to, activation)
    return gradients


stack_backward = operator(
    "stack_backward(Tensor grad, Tensor x, Tensor?[] parameters, Tensor? masks, Tensor y, "
    "Tensor saved, int[] layers, int activation, SymInt first, bool need_x, bool need_weights) "
    "-> Tensor[]",
    _stack_backward,
    _stack_backward_fake,
    devices=("CPU",),
)

_N_SETTINGS = 5  # masks, layers, activation, first, frames: what follows the parameters


def _stack(x: Tensor, *arguments: Any) -> Any:
    parameters, settings = arguments[:-_N_SETTINGS], arguments[-_N_SETTINGS:]
    y, saved = stack_forward(x, parameters, *settings, True)
    masks, layers, activation, first, _ = settings
    return y, (x, masks, y, saved, *parameters), (layers, activation, first)


def _gradients(
    grad: Tensor, needs: Sequence[bool], values: tuple[Any, ...], *tensors: Tensor | None
) -> Any:
    x, masks, y, saved, *parameters = tensors
    need_x, *need = needs[: 1 + len(parameters)]
    return stack_backward(grad, x, parameters, masks, y, saved, *values, need_x, any(need))


#: ``stack_forward``'s y for autograd: takes x, the parameters one by one, masks, layers,
#: activation, first and frames.
differentiable_stack = differentiable(_stack, _gradients)
