"""Adam's step over all parameters in one call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from daart_fast.ops.backends import runs_native
from daart_fast.ops.native import native

# An exponential average each, by torch's names; the last is amsgrad's.
AVERAGES = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")


class Adam(torch.optim.Adam):
    """``torch.optim.Adam`` with amsgrad, whose step is one native pass over all parameters.

    Kingma and Ba 2015; Reddi, Kale and Kumar 2018 (amsgrad). Its results are torch's to rounding,
    and its state is torch's, so that either goes on from the other's. What the native module can't
    take (parameters on a GPU, not float32 or not contiguous; a gradient scaler; other settings of
    a group) is torch's fused step's.

    Parameters
    ----------
    parameters
        What to train.
    learning_rate
        The size of a step.
    weight_decay
        Added to the gradients, times the parameters.
    """

    def __init__(
        self, parameters: Iterable[Tensor], learning_rate: float, weight_decay: float = 0.0
    ) -> None:
        super().__init__(
            parameters, lr=learning_rate, weight_decay=weight_decay, amsgrad=True, fused=True
        )
        self._lists: list[_Lists | None] = []

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Take a step; ``closure`` as torch has it."""
        groups = self.param_groups
        trained = [[p for p in group["params"] if p.grad is not None] for group in groups]
        self._lists += [None] * (len(groups) - len(self._lists))
        lists = [self._lists_of(i, parameters) for i, parameters in enumerate(trained)]
        scaled = getattr(self, "grad_scale", None), getattr(self, "found_inf", None)
        plain = scaled == (None, None) and all(map(_is_plain, groups))
        if closure is not None or None in lists or not plain:
            return super().step(closure)
        assert native is not None
        for group, parameters, its in zip(groups, trained, lists, strict=True):
            assert its is not None
            means, squares, largest_squares = its.averages
            beta1, beta2 = group["betas"]
            native.adam(
                parameters=its.parameters,
                gradients=[p.grad.data_ptr() for p in parameters],
                means=means,
                squares=squares,
                largest_squares=largest_squares,
                steps=its.steps,
                counts=its.counts,
                rate=group["lr"],
                beta1=beta1,
                beta2=beta2,
                epsilon=group["eps"],
                weight_decay=group["weight_decay"],
                threads=torch.get_num_threads(),
            )
            # a graph that still needs the parameters as they were must say so
            torch.autograd.graph.increment_version(parameters)
        return None

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients, as torch has it."""
        if not set_to_none:
            return super().zero_grad(set_to_none)
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Become a copy, or what was pickled; addresses are looked up again."""
        super().__setstate__(state)
        self._lists = []

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what ``state_dict`` gave, here or of torch's own Adam.

        Raises
        ------
        ValueError
            The state is not that of these parameters.
        """
        super().load_state_dict(state_dict)
        self._lists.clear()
        for group in self.param_groups:
            for name in ("lr", "betas", "eps", "weight_decay"):
                if not np.isfinite(group.get(name, np.nan)).all():
                    raise ValueError(f"expected '{name}' to be a number")
        for parameter, state in self.state.items():
            for name in (*AVERAGES, "step"):
                shape = () if name == "step" else parameter.shape
                if not isinstance(state.get(name), Tensor) or state[name].shape != shape:
                    raise ValueError(f"expected '{name}' of shape {tuple(shape)}")
            # as the native step reads them
            state["step"] = state["step"].to(torch.float32)
            state.update({name: state[name].contiguous() for name in AVERAGES})

    def _lists_of(self, i: int, parameters: list[Tensor]) -> _Lists | None:
        """What group i's step needs of these parameters; None where the native one can't take it.

        Kept from step to step: to gather it takes longer than the step.
        """
        lists = self._lists[i]
        if lists is None or not lists.match(parameters, self.state):
            if not all(map(_native_takes, parameters)):
                return None
            states = [self._state_of(p) for p in parameters]
            if not all(state[name].is_contiguous() for state in states for name in AVERAGES):
                return None
            lists = self._lists[i] = _Lists(parameters, states)
        for p in parameters:
            g = p.grad
            assert g is not None
            if g.layout is not torch.strided or g.dtype is not p.dtype or not g.is_contiguous():
                return None
        return lists

    def _state_of(self, parameter: Tensor) -> dict[str, Tensor]:
        state: dict[str, Tensor] = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            state.update({name: torch.zeros_like(parameter) for name in AVERAGES})
        return state


class _Lists:
    """Addresses of parameters and their state, which stay where they are."""

    def __init__(self, parameters: list[Tensor], states: list[dict[str, Tensor]]) -> None:
        self.parameters = [p.data_ptr() for p in parameters]
        self.counts = [p.numel() for p in parameters]
        self.averages = [[state[name].data_ptr() for state in states] for name in AVERAGES]
        self.steps = [state["step"].data_ptr() for state in states]
        self.states = states
        self.alive = [tensor for state in states for tensor in state.values()]

    def match(self, parameters: list[Tensor], state: Mapping[Tensor, dict[str, Tensor]]) -> bool:
        """Whether the parameters are these, as they were, and their state is this."""
        return (
            self.parameters == [p.data_ptr() for p in parameters]
            and self.counts == [p.numel() for p in parameters]
            and all(state.get(p) is s for p, s in zip(parameters, self.states, strict=True))
        )


def _is_plain(group: dict[str, Any]) -> bool:
    """Whether a group has no settings but those that the native step knows."""
    unknown_settings = ("maximize", "decoupled_weight_decay", "differentiable", "capturable")
    return bool(group["amsgrad"]) and not any(group.get(name) for name in unknown_settings)


def _native_takes(p: Tensor) -> bool:
    return runs_native(p) and p.dtype is torch.float32 and p.is_contiguous()
