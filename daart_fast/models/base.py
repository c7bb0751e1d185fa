"""What every network here shares: activations, sampling, saving and loading."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from daart_fast.activations import ACTIVATIONS
from daart_fast.config import with_defaults
from daart_fast.errors import ConfigError, DataError, did_you_mean
from daart_fast.files import check_archive, replacing

if TYPE_CHECKING:  # see __getattr__
    from daart_fast.models.ensemble import Ensembler
    from daart_fast.models.segmenter import Segmenter

__all__ = [
    "BackboneModel",
    "BaseModel",
    "Ensembler",
    "Segmenter",
    "get_activation_func_from_str",
    "reparameterize_gaussian",
]


def get_activation_func_from_str(activation_str: str) -> nn.Module | None:
    """Return the activation of this name as a module; None for ``"linear"``.

    Raises
    ------
    ConfigError
        The name is none of ``daart_fast.activations``.
    """
    if activation_str not in ACTIVATIONS:
        raise ConfigError(
            f"activation must be one of {', '.join(ACTIVATIONS)}, not '{activation_str}'"
            + did_you_mean(activation_str, ACTIVATIONS)
        )
    _, _, module, arguments = ACTIVATIONS[activation_str]
    return getattr(nn, module)(*arguments) if module else None


def reparameterize_gaussian(mu: Tensor, logvar: Tensor) -> Tensor:
    """Draw one sample of each diagonal Gaussian, differentiable in both arguments.

    The standard deviation is ``exp(logvar / 2)``; ``mu`` and ``logvar`` have one shape, which is
    also the sample's (Kingma and Welling 2014, section 2.4).
    """
    return torch.addcmul(mu, torch.exp(0.5 * logvar), torch.randn_like(logvar))


class BaseModel(nn.Module):
    """A module that can be saved to, and loaded from, a file of weights."""

    hparams: dict[str, Any]

    def save(self, filepath: str | os.PathLike[str]) -> None:
        """Write the state dict; the folder is made if missing, the file replaced whole."""
        with replacing(filepath) as temporary:
            torch.save(self.state_dict(), temporary)

    def load_parameters_from_file(self, filepath: str | os.PathLike[str]) -> None:
        """Read a state dict (tensors alone: nothing in the file is executed), on the CPU first.

        Raises
        ------
        DataError
            The file is missing, is no state dict, or belongs to a model of other settings.
        """
        self.load_parameters(read_state_dict(filepath), source=str(filepath))

    def load_parameters(self, state: Mapping[str, Tensor], source: str = "these weights") -> None:
        """Like ``load_state_dict``, with an error that says which settings to look at."""
        try:
            self.load_state_dict(state)
        except RuntimeError as error:
            raise DataError(
                f"{source}: the weights are those of a model with other settings: {error}"
            ) from None

    def some_frames(self, x: Tensor, first: int, frames: int) -> Tensor:
        """Like ``forward`` of a backbone, but this many frames of the result, from the first on.

        A backbone that can compute only those overrides this.
        """
        return self(x).narrow(1, first, frames)

    def get_parameters(self) -> Iterator[nn.Parameter]:
        """Iterate over the parameters that are trained."""
        return (parameter for parameter in self.parameters() if parameter.requires_grad)


class BackboneModel(BaseModel):
    """A network that maps sequences (B, T, in_size) to (B, T, out_size).

    Parameters
    ----------
    hparams
        The config keys that the backbone reads, and, where the sizes below are not given,
        input_size and n_hid_units. Keys that are missing have their defaults.
    type
        ``"encoder"`` maps inputs to n_hid_units channels, ``"decoder"`` the other way.
    in_size, hid_size, out_size
        Widths other than those.
    """

    next_layer: int  # the number that daart's names give to the layer after it

    def __init__(
        self,
        hparams: Mapping[str, Any],
        type: str = "encoder",
        in_size: int | None = None,
        hid_size: int | None = None,
        out_size: int | None = None,
    ) -> None:
        super().__init__()
        self.hparams = with_defaults(hparams)
        if type not in ("encoder", "decoder"):
            raise ConfigError(f"a backbone's type must be 'encoder' or 'decoder', not '{type}'")
        hidden = self.hparams["n_hid_units"] if hid_size is None else hid_size
        first, last = "input_size", "n_hid_units"
        if type == "decoder":
            first, last = last, first
        self.build(
            type,
            self.hparams[first] if in_size is None else in_size,
            hidden,
            self.hparams[last] if out_size is None else out_size,
        )

    def build(self, type: str, in_size: int, hid_size: int, out_size: int) -> None:
        """Make the layers, and set ``next_layer``."""
        raise NotImplementedError


def read_state_dict(filepath: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read a file of weights to the CPU with ``weights_only=True``."""
    if not Path(filepath).is_file():
        raise DataError(f"{filepath}: there is no such file of model weights")
    try:
        check_archive(filepath)
        state = torch.load(filepath, map_location="cpu", weights_only=True)
    except Exception as error:  # a zip error, an unpickling error, an end of file: all mean this
        raise DataError(f"{filepath}: expected a torch state dict; {error}") from error
    if not (isinstance(state, dict) and all(torch.is_tensor(v) for v in state.values())):
        raise DataError(f"{filepath}: expected a torch state dict, got a {type(state).__name__}")
    return dict(state)  # without what it may say of modules' versions, which ours have none of


def __getattr__(name: str) -> Any:
    # daart keeps Segmenter and Ensembler in this module too; both import it, so they come late
    if name == "Segmenter":
        from daart_fast.models.segmenter import Segmenter

        return Segmenter
    if name == "Ensembler":
        from daart_fast.models.ensemble import Ensembler

        return Ensembler
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
