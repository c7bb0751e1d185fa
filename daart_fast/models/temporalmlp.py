"""A perceptron that sees a window of frames."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from daart_fast.models.base import BackboneModel, get_activation_func_from_str
from daart_fast.models.layers import Conv1d, total_context

__all__ = ["TemporalMLP"]


class TemporalMLP(BackboneModel):
    """One convolution over ``2 * n_lags + 1`` frames, then dense layers on each frame by itself.

    The activation follows the first layer alone (and not even that one where it is the last).
    daart lists one after each layer, but runs only the first; its models are given back their
    numbers by doing the same.

    Parameters
    ----------
    hparams
        Keys n_hid_layers, n_lags, activation, and optionally causal (False); and, where the sizes
        below are not given, input_size and n_hid_units.
    type
        ``"encoder"`` maps inputs to n_hid_units channels: the convolution, then n_hid_layers dense
        layers. ``"decoder"`` maps n_hid_units channels to inputs by dense layers alone.
    in_size, hid_size, out_size
        Widths other than those.
    """

    def build(self, type: str, in_size: int, hid_size: int, out_size: int) -> None:
        """Make the layers."""
        hparams = self.hparams
        n_layers = hparams["n_hid_layers"]
        activation = get_activation_func_from_str(hparams["activation"])
        widths = [in_size] + [hid_size] * n_layers + [out_size]
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for i in range(n_layers + 1):
            if i == 0 and type == "encoder":
                layers[f"conv1d_layer_{i:02d}"] = Conv1d(
                    widths[i],
                    widths[i + 1],
                    2 * hparams["n_lags"] + 1,
                    causal=bool(hparams["causal"]),
                )
            else:
                layers[f"dense_layer_{i:02d}"] = nn.Linear(widths[i], widths[i + 1])
            if i == 0 < n_layers and activation is not None:
                layers[f"{hparams['activation']}_{i:02d}"] = activation
        self.model = nn.Sequential(layers)
        self.next_layer = n_layers + 1 + (n_layers if activation is not None else 0)

    @property
    def context(self) -> tuple[int, int]:
        """How many frames before and after its own an output frame depends on."""
        return total_context(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, in_size) to (B, T, out_size)."""
        return self.model(x)
