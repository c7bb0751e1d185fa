"""How a torch operator is made: its schema, its kernels, its shapes for the compiler, its gradient.

Operators know no gradients; an ``autograd.Function`` outside them does. That is a third of the
cost of a call of what ``torch.library.custom_op`` with ``register_autograd`` takes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from daart_fast.ops.native import has_cuda, native

_library = torch.library.Library("daart_fast", "DEF")


def operator(
    schema: str,
    kernel: Callable[..., Any],
    fake: Callable[..., Any],
    devices: tuple[str, ...] = ("CPU", "CUDA"),
) -> Callable[..., Any]:
    """Make the operator ``torch.ops.daart_fast.<name>`` and return it.

    Parameters
    ----------
    schema
        ``"name(Tensor x, int n) -> Tensor"``, as ``torch.library`` reads it.
    kernel
        Computes it by the native module.
    fake
        Returns new tensors as the kernel does, without values.
    devices
        Where the kernel runs, as far as the native module is built for them.
    """
    name = schema.partition("(")[0]
    _library.define(schema)
    for device, built in (("CPU", native is not None), ("CUDA", has_cuda())):
        if built and device in devices:
            _library.impl(name, kernel, device)
    torch.library.register_fake(f"daart_fast::{name}", fake, lib=_library)
    registered: Callable[..., Any] = getattr(torch.ops.daart_fast, name).default
    return registered


def differentiable(
    forward: Callable[..., tuple[Any, tuple[Tensor | None, ...], tuple[Any, ...]]],
    gradients: Callable[..., Any],
) -> Callable[..., Any]:
    """Return a function that autograd can differentiate once.

    Parameters
    ----------
    forward
        Takes the function's arguments; returns its result (a tensor, or several of which only the
        first is differentiable), and the tensors and the other values that ``gradients`` needs.
    gradients
        Takes the result's gradient, whether each argument needs one, those values as a tuple, and
        those tensors one by one; returns gradients of the first arguments.
    """

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *arguments: Any) -> Any:  # type: ignore[override]
            result, tensors, ctx.values = forward(*arguments)
            ctx.save_for_backward(*tensors)
            if isinstance(result, tuple):
                ctx.mark_non_differentiable(*result[1:])
            return result

        @staticmethod
        @once_differentiable
        def backward(ctx: Any, grad: Tensor, *_: Any) -> Any:  # type: ignore[override]
            needs = ctx.needs_input_grad
            computed = gradients(grad, needs, ctx.values, *ctx.saved_tensors)
            given = [g if needed else None for g, needed in zip(computed, needs, strict=False)]
            return (*given, *[None] * (len(needs) - len(given)))

    return Function.apply
