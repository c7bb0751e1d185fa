"""Convolutions over (B, T, C), and the dropout of whole channels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from daart_fast import ops


class Conv1d(nn.Conv1d):
    """``nn.Conv1d``'s parameters and initialisation, over (B, T, C) and on this package's kernel.

    The output has as many frames as the input: the zeros are half on either side, or all on the
    left where ``causal``, so that no output sees a later frame.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        dilation: int = 1,
        causal: bool = False,
    ) -> None:
        halfwidth = (kernel_size - 1) // 2 * dilation
        super().__init__(
            in_channels, out_channels, kernel_size, dilation=dilation, padding=halfwidth
        )
        self.causal = causal

    @property
    def side(self) -> str:
        """The padding as ``ops`` names it."""
        return "causal" if self.causal else "same"

    @property
    def context(self) -> tuple[int, int]:
        """How many frames before and after its own an output frame depends on."""
        span = (self.kernel_size[0] - 1) * self.dilation[0]
        return (span, 0) if self.causal else (span // 2, span - span // 2)

    def kernel(self) -> Tensor:
        """Return the weights (C_out, C_in, K)."""
        return self.weight

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, C_in) to (B, T, C_out)."""
        return ops.dilated_conv1d(
            x, self.kernel(), self.bias, self.dilation[0], self.side, "linear"
        )


class WeightNormConv1d(Conv1d):
    """A convolution whose weights are ``weight_g * weight_v / ||weight_v||`` per output channel.

    Salimans and Kingma 2016; the parameters bear the names that ``nn.utils.weight_norm`` gives,
    and start as it starts them: the norm is that of the initial weights.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        dilation: int = 1,
        causal: bool = False,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, dilation=dilation, causal=causal)
        weight = self.weight.detach()
        del self.weight
        # without values, torch computes shapes by a compiler that takes a second to import
        if weight.is_meta:
            gain = weight.new_empty(out_channels, 1, 1)
        else:
            gain = torch.linalg.vector_norm(weight, dim=(1, 2), keepdim=True)
        self.weight_g = nn.Parameter(gain)
        self.weight_v = nn.Parameter(weight)

    def kernel(self) -> Tensor:
        """Return the normalised weights (C_out, C_in, K)."""
        # one fused kernel each way, the one behind torch's own parametrisation
        return torch._weight_norm(self.weight_v, self.weight_g, 0)


def dropout_mask(x: Tensor, n_channels: int, p: float) -> Tensor | None:
    """Draw a mask (B, n_channels) for a batch ``x`` (B, T, C), of its dtype and device.

    A channel is 0 with probability ``p`` and else ``1 / (1 - p)``, for all its frames; None
    stands for a mask of ones.
    """
    if p == 0.0:
        return None
    keep = 1.0 - p
    mask = x.new_empty(x.shape[0], n_channels).bernoulli_(keep)
    return mask.div_(keep) if keep > 0.0 else mask


def total_context(module: nn.Module) -> tuple[int, int]:
    """Sum the contexts of a chain of convolutions (a residual's 1x1 beside it adds none)."""
    contexts = [layer.context for layer in module.modules() if isinstance(layer, Conv1d)]
    return sum(before for before, _ in contexts), sum(after for _, after in contexts)


def plain_linear(head: nn.Module) -> nn.Linear | None:
    """The one linear layer that a head is; None where it is more or other than that."""
    layers = list(head.children())
    if type(head) is not nn.Sequential or len(layers) != 1 or type(layers[0]) is not nn.Linear:
        return None
    linear = layers[0]
    hooks = (linear._forward_hooks, linear._forward_pre_hooks, head._forward_hooks)
    # pruning and the like keep the weight elsewhere, and make it again in a hook
    return None if any(hooks) or linear._parameters.get("weight") is None else linear
