"""Which keypoints belong to which animal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from daart_fast.errors import ConfigError, did_you_mean

__all__ = ["Animal", "animals_of"]


@dataclass(frozen=True)
class Animal:
    """One animal: its name (empty where there is but one) and the places of its body parts."""

    name: str
    parts: dict[str, int]

    def place(self, part: str) -> int:
        """Return a body part's place among the session's keypoints.

        Raises
        ------
        ConfigError
            it has no such part
        """
        if part not in self.parts:
            raise ConfigError(
                f"there is no keypoint {part!r}{did_you_mean(part, self.parts)}; "
                f"expected one of {', '.join(self.parts)}"
            )
        return self.parts[part]


def animals_of(names: Sequence[str]) -> list[Animal]:
    """Sort keypoints by animal.

    Parameters
    ----------
    names
        as `daart_fast.data.readers.read_markers` returns them: ``animal-part`` where there are
        several animals. Either name may hold hyphens itself; that there are several animals shows
        in that all have the same body parts, at least two.

    Returns
    -------
    list of Animal
        in the order in which they come; one of them where the names don't say otherwise
    """
    for n_words in range(1, max(name.count("-") for name in names) + 1):
        owners: dict[str, dict[str, int]] = {}
        for place, name in enumerate(names):
            words = name.split("-")
            owners.setdefault("-".join(words[:n_words]), {})["-".join(words[n_words:])] = place
        parts = [list(own) for own in owners.values()]
        alike = all(own == parts[0] for own in parts) and "" not in parts[0]
        if len(parts) > 1 and len(parts[0]) > 1 and alike:
            return [Animal(name, own) for name, own in owners.items()]
    return [Animal("", {name: place for place, name in enumerate(names)})]
