"""The backbones: one row for each network that reads a sequence. Nothing here needs torch.

The choices of the key ``backbone``, the padding of sequences, the loading of models, the comparison
of experiments and the online engines all follow from this table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from daart_fast.errors import ConfigError, did_you_mean

__all__ = ["BACKBONES", "Backbone", "backbone_of"]


@dataclass(frozen=True)
class Backbone:
    """What the rest of the package knows about a backbone.

    Attributes
    ----------
    name
        the value of the key ``backbone``
    location
        ``module:class``, imported on use
    keys
        the config keys that only some backbones read and this one does
    padding
        from hparams to the frames of its neighbours that a sequence is shown on each side
    least_layers
        the smallest ``n_hid_layers``
    streams_natively
        whether `daart_fast.online.program.layers_of` can list its layers for the native engine;
        otherwise the online segmenter runs it over windows
    """

    name: str
    location: str
    keys: tuple[str, ...]
    padding: Callable[[Mapping[str, Any]], int]
    least_layers: int = 1
    streams_natively: bool = False

    def load(self) -> Any:
        """Return its class."""
        module, _, name = self.location.partition(":")
        return getattr(import_module(module), name)


def _padding_of_dtcn(hparams: Mapping[str, Any]) -> int:
    """Each block has two convolutions of n_lags frames to each side; dilations double."""
    return sum(2 * 2**layer * hparams["n_lags"] for layer in range(hparams["n_hid_layers"]))


def _padding_of_rnn(hparams: Mapping[str, Any]) -> int:
    return 4


BACKBONES: dict[str, Backbone] = {
    backbone.name: backbone
    for backbone in (
        Backbone(
            "temporal-mlp",
            "daart_fast.models.temporalmlp:TemporalMLP",
            keys=("n_lags",),
            padding=lambda hparams: int(hparams["n_lags"]),
            least_layers=0,
            streams_natively=True,
        ),
        Backbone("lstm", "daart_fast.models.rnn:RNN", ("bidirectional",), _padding_of_rnn),
        Backbone("gru", "daart_fast.models.rnn:RNN", ("bidirectional",), _padding_of_rnn),
        Backbone(
            "dtcn",
            "daart_fast.models.tcn:DilatedTCN",
            keys=("n_lags", "dropout"),
            padding=_padding_of_dtcn,
            streams_natively=True,
        ),
    )
}


def backbone_of(hparams: Mapping[str, Any]) -> Backbone:
    """Return the backbone that hparams name.

    Raises
    ------
    ConfigError
        if it does not exist
    """
    name = str(hparams["backbone"]).lower()
    if name not in BACKBONES:
        raise ConfigError(
            f"backbone must be one of {', '.join(BACKBONES)}, not '{name}'"
            + did_you_mean(name, BACKBONES)
        )
    return BACKBONES[name]
