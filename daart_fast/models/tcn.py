"""The dilated temporal convolution network (Lea et al. 2017; Bai, Kolter and Koltun 2018)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import cast

from torch import Tensor, nn

from daart_fast import ops
from daart_fast.errors import ConfigError
from daart_fast.models.base import BackboneModel, get_activation_func_from_str
from daart_fast.models.layers import Conv1d, WeightNormConv1d, dropout_mask, total_context

__all__ = ["DilatedTCN", "DilationBlock"]


# Where a parameter is found: in a module's own dict, None where the module has no such parameter.
ParameterSlot = tuple[Mapping[str, Tensor | None], str]

_NOTHING: Mapping[str, Tensor | None] = {"weight": None, "bias": None}
#: The last of so many layers looks back 17 million frames: days of video.
MOST_LAYERS = 24


class DilationBlock(nn.Module):
    """Two dilated convolutions with a residual around them, then the activation once more.

    Each convolution is weight-normalised and followed by the activation and the dropout of whole
    channels. Where the widths of input and output differ, a 1x1 convolution carries the residual.

    Parameters
    ----------
    in_channels, hidden_channels, out_channels
        Widths before, between and after the two convolutions.
    kernel_size
        Taps of each, odd.
    dilation
        Frames between taps.
    activation
        See `get_activation_func_from_str`.
    dropout
        Probability with which a channel is zeroed, in training only.
    causal
        No output depends on a later frame.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        kernel_size: int,
        dilation: int,
        activation: str,
        dropout: float = 0.0,
        causal: bool = False,
    ) -> None:
        super().__init__()
        get_activation_func_from_str(activation)  # an unknown name is an error here, not later
        self.activation = activation
        self.dropout = dropout
        self.conv0 = WeightNormConv1d(
            in_channels, hidden_channels, kernel_size, dilation=dilation, causal=causal
        )
        self.conv1 = WeightNormConv1d(
            hidden_channels, out_channels, kernel_size, dilation=dilation, causal=causal
        )
        # daart's state dicts hold both convolutions a second time, under these names
        self.block = nn.ModuleDict({"conv1d_layer_0": self.conv0, "conv1d_layer_1": self.conv1})
        self.downsample: Conv1d | None = None
        if in_channels != out_channels:
            self.downsample = Conv1d(in_channels, out_channels, 1)
            if not self.downsample.weight.is_meta:  # see `WeightNormConv1d`
                nn.init.normal_(self.downsample.weight, 0.0, 0.01)

    @property
    def n_dropped(self) -> int:
        """The channels that dropout may drop: those of both convolutions."""
        return self.conv0.out_channels + self.conv1.out_channels

    def slots(self) -> list[ParameterSlot]:
        """Where what ``ops`` calls a block's parameters is found, in its order."""
        slots: list[ParameterSlot] = [
            (convolution._parameters, name)
            for convolution in (self.conv0, self.conv1)
            for name in ("weight_v", "weight_g", "bias")
        ]
        residual = _NOTHING if self.downsample is None else self.downsample._parameters
        return [*slots, (residual, "weight"), (residual, "bias")]

    def ordered_parameters(self) -> ops.BlockParameters:
        """Return what ``ops`` calls a block's parameters, in its order."""
        found = tuple(parameters[name] for parameters, name in self.slots())
        return cast(ops.BlockParameters, found)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, in_channels) to (B, T, out_channels)."""
        p = self.dropout if self.training else 0.0
        return ops.dilation_block(
            x,
            *self.ordered_parameters(),
            dropout_mask(x, self.conv0.out_channels, p),
            dropout_mask(x, self.conv1.out_channels, p),
            self.conv0.dilation[0],
            self.conv0.side,
            self.activation,
        )


class DilatedTCN(BackboneModel):
    """A stack of `DilationBlock`, block i of dilation 2**i.

    Parameters
    ----------
    hparams
        Keys n_hid_layers, n_lags, activation, and optionally dropout (0.2, as in daart) and causal
        (False); and, where the sizes below are not given, input_size and n_hid_units.
    type
        ``"encoder"`` maps inputs to n_hid_units channels. ``"decoder"`` maps n_hid_units channels
        to inputs, dilations in the reverse order and a 1x1 convolution at the end.
    in_size, hid_size, out_size
        Widths other than those.
    """

    def build(self, type: str, in_size: int, hid_size: int, out_size: int) -> None:
        """Make the layers."""
        hparams = self.hparams
        n_layers = hparams["n_hid_layers"]
        if n_layers < 1:
            raise ConfigError(f"n_hid_layers must be at least 1 for a dtcn, not {n_layers}")
        if n_layers > MOST_LAYERS:
            raise ConfigError(
                f"n_hid_layers must be at most {MOST_LAYERS} for a dtcn, whose dilations double "
                f"with each, not {n_layers}"
            )
        dilations = [2**i for i in range(n_layers)]
        if type == "decoder":
            dilations.reverse()
        widths = [in_size] + [hid_size] * (n_layers - 1) + [out_size]
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for i, dilation in enumerate(dilations):
            layers[f"tcn_block_{i:02d}"] = DilationBlock(
                widths[i],
                hid_size,
                widths[i + 1],
                2 * hparams["n_lags"] + 1,
                dilation,
                hparams["activation"],
                hparams["dropout"],
                bool(hparams["causal"]),
            )
        if type == "decoder":
            layers[f"final_dense_{n_layers:02d}"] = Conv1d(out_size, out_size, 1)
        self.model = nn.Sequential(layers)
        self.next_layer = len(layers)

    @property
    def context(self) -> tuple[int, int]:
        """How many frames before and after its own an output frame depends on."""
        return total_context(self)

    @property
    def blocks(self) -> list[DilationBlock]:
        """The residual blocks, first to last."""
        return [layer for layer in self.model if isinstance(layer, DilationBlock)]

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, in_size) to (B, T, out_size)."""
        return self.some_frames(x, 0, x.shape[1])

    def some_frames(self, x: Tensor, first: int, frames: int) -> Tensor:
        """Like ``forward``, but this many frames of the result, from the first on."""
        blocks = self.blocks
        p = blocks[0].dropout if self.training else 0.0
        x = ops.dilation_stack(
            x,
            [block.ordered_parameters() for block in blocks],
            dropout_mask(x, sum(block.n_dropped for block in blocks), p),
            dilations=[block.conv0.dilation[0] for block in blocks],
            padding=blocks[0].conv0.side,
            activation=blocks[0].activation,
            first=first,
            frames=frames,
        )
        return self.model[-1](x) if len(blocks) < len(self.model) else x
