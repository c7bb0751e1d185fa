"""Which tracked points of a file are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daart_fast.config import with_defaults
from daart_fast.errors import DataError, did_you_mean, some
from daart_fast.features.skeleton import animals_of
from daart_fast.readers.inputs import Inputs, holds_markers, inputs_of, read_markers
from daart_fast.readers.markers import Markers

__all__ = ["Choice", "words"]


@dataclass(frozen=True)
class Choice:
    """The keypoints and the animals to read; empty: all that a file has.

    Attributes
    ----------
    keypoints
        body parts, of every animal; or ``animal-part``
    animals
        names of animals
    gaps
        see `daart_fast.readers.inputs.fill_gaps`; only for `read`
    """

    keypoints: tuple[str, ...] = ()
    animals: tuple[str, ...] = ()
    gaps: str = "interpolate"

    def __bool__(self) -> bool:
        return bool(self.keypoints or self.animals)

    @classmethod
    def from_hparams(cls, hparams: Mapping[str, Any]) -> Choice:
        """Read the settings out of hparams."""
        settings = with_defaults(hparams)
        keypoints, animals = (words(settings[name]) for name in ("keypoints", "animals"))
        return cls(tuple(keypoints), tuple(animals), settings["gaps"])

    def __call__(self, markers: Markers, path: str | Path) -> Markers:
        """Return the chosen points, in the file's order; raises as `places`."""
        return markers.of(self.places(markers.names, path)) if self else markers

    def places(self, names: Sequence[str], path: str | Path) -> list[int]:
        """Return which of these keypoints of a file are chosen, in its order.

        Raises
        ------
        DataError
            the file has no such animal, or no such keypoint
        """
        animals = animals_of(names)
        _check("animals", self.animals, [animal.name for animal in animals if animal.name], path)
        parts = dict.fromkeys(part for animal in animals for part in animal.parts)
        _check("keypoints", self.keypoints, [*parts, *names], path)
        chosen = [
            place
            for animal in animals
            if not self.animals or animal.name in self.animals
            for part, place in animal.parts.items()
            if not self.keypoints or {part, names[place]} & {*self.keypoints}
        ]
        if not chosen:
            raise DataError(
                f"{path}: 'keypoints' and 'animals' leave no point: {some(self.animals)} have none "
                f"of {some(self.keypoints)}"
            )
        return sorted(chosen)

    def read(self, path: str | Path, likelihood_threshold: float = 0.0) -> Inputs:
        """Read the chosen points, as `daart_fast.readers.inputs.read_inputs` does all."""
        if not Path(path).is_file():
            raise DataError(f"{path}: no such file")
        if not holds_markers(Path(path)):
            raise DataError(
                f"{path}: holds features, and 'keypoints' and 'animals' choose tracked points; "
                f"leave these keys out"
            )
        markers = self(read_markers(path), path)
        return inputs_of(markers, Path(path), likelihood_threshold, self.gaps)


def _check(key: str, wanted: Sequence[str], there: Sequence[str], path: str | Path) -> None:
    """Refuse a name that the file does not have."""
    for name in wanted:
        if name not in there:
            found = some(there, 20) if there else "no names of animals"
            raise DataError(
                f"{path}: '{key}' names {name!r}{did_you_mean(name, there)}; the file has {found}"
            )


def words(value: Any) -> list[str]:
    """Split ``a;b`` as the config files have it."""
    return [word.strip() for word in str(value or "").split(";") if word.strip()]
