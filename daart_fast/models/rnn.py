"""Recurrent backbones: an LSTM or GRU stack and one dense layer."""

from __future__ import annotations

from torch import Tensor, nn

from daart_fast.errors import ConfigError
from daart_fast.models.base import BackboneModel

__all__ = ["RNN"]

CELLS = {"lstm": nn.LSTM, "gru": nn.GRU}


class RNN(BackboneModel):
    """``n_hid_layers`` recurrent layers, then a dense layer; the state starts at zero each call.

    Parameters
    ----------
    hparams
        Keys backbone (``lstm`` or ``gru``), n_hid_layers, and optionally bidirectional (False);
        and, where the sizes below are not given, input_size and n_hid_units.
    type
        ``"encoder"`` maps inputs to n_hid_units channels, ``"decoder"`` the other way.
    in_size, hid_size, out_size
        Widths other than those; ``hid_size`` is that of one direction.
    """

    def build(self, type: str, in_size: int, hid_size: int, out_size: int) -> None:
        """Make the layers."""
        hparams = self.hparams
        backbone = hparams["backbone"].lower()
        bidirectional = bool(hparams["bidirectional"])
        if bidirectional and hparams["causal"]:
            raise ConfigError(
                "causal: true needs bidirectional: false, as the other way reads later frames"
            )
        self.model = nn.ModuleDict()
        self.model[f"{backbone.upper()}_layer_00"] = CELLS[backbone](
            in_size,
            hid_size,
            num_layers=hparams["n_hid_layers"],
            batch_first=True,
            bidirectional=bidirectional,
        )
        self.model["dense(prediction)_layer_01"] = nn.Linear(
            hid_size * (2 if bidirectional else 1), out_size
        )
        self.next_layer = len(self.model)

    @property
    def context(self) -> None:
        """None: an output depends on every frame of the sequence that came before."""
        return None

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, in_size) to (B, T, out_size)."""
        recurrent, dense = self.model.values()
        states, _ = recurrent(x)
        return dense(states)
