"""Adam's step over all parameters in one call."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from daart_fast.ops.backends import native, runs_native

# An exponential average each, by torch's names; the last is amsgrad's.
AVERAGES = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")


class Adam(torch.optim.Adam):
    """``torch.optim.Adam`` with amsgrad, whose step is one native pass over all parameters.

    Kingma and Ba 2015; Reddi, Kale and Kumar 2018 (amsgrad). Its results are torch's to rounding,
    and its state is torch's, so that either goes on from the other's. Parameters that the native
    module can't take (on a GPU, not float32, not contiguous) are torch's fused step's.

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

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Take a step; ``closure`` as torch has it."""
        groups = self.param_groups
        trained = [[p for p in group["params"] if p.grad is not None] for group in groups]
        if closure is not None or not all(map(_native_takes, trained)):
            return super().step(closure)
        for group, parameters in zip(groups, trained, strict=True):
            self._native_step(group, parameters)
        return None

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what ``state_dict`` gave, here or of torch's own Adam.

        Raises
        ------
        ValueError
            The state is not that of these parameters.
        """
        super().load_state_dict(state_dict)
        for parameter, state in self.state.items():
            for name in (*AVERAGES, "step"):
                shape = () if name == "step" else parameter.shape
                if not isinstance(state.get(name), Tensor) or state[name].shape != shape:
                    raise ValueError(f"expected '{name}' of shape {tuple(shape)}")
            # as the native step reads them
            state["step"] = state["step"].to(torch.float32)
            state.update({name: state[name].contiguous() for name in AVERAGES})

    def _native_step(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        assert native is not None
        states = [self._state_of(p) for p in parameters]
        native.adam(
            [
                [p.data_ptr() for p in parameters],
                [p.grad.data_ptr() for p in parameters],  # type: ignore[union-attr]
                *([state[name].data_ptr() for state in states] for name in AVERAGES),
                [state["step"].data_ptr() for state in states],
            ],
            [p.numel() for p in parameters],
            group["lr"],
            *group["betas"],
            group["eps"],
            group["weight_decay"],
            torch.get_num_threads(),
        )

    def _state_of(self, parameter: Tensor) -> dict[str, Tensor]:
        state: dict[str, Tensor] = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            state.update({name: torch.zeros_like(parameter) for name in AVERAGES})
        return state


def _native_takes(parameters: list[Tensor]) -> bool:
    """Whether these parameters and their gradients are what the native step works on."""
    if not parameters or not runs_native(parameters[0]):
        return not parameters
    for p in parameters:
        grad = p.grad
        assert grad is not None
        if p.dtype is not torch.float32 or not p.is_cpu or not p.is_contiguous():
            return False
        if grad.layout is not torch.strided or not grad.is_contiguous():
            return False
    return True
