"""Which keypoints belong to which animal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

from daart_fast.errors import ConfigError, did_you_mean

__all__ = ["Animal", "animals_of", "orbits"]


@dataclass(frozen=True)
class Animal:
    """One animal: its name (empty where there is but one) and the places of its body parts."""

    name: str
    parts: dict[str, int]

    def index(self, part: str) -> int:
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
        as `daart_fast.readers.inputs.read_markers` returns them: ``animal-part`` where there are
        several animals. Either name may hold hyphens itself; that there are several animals shows
        in that all have the same body parts, at least two.

    Returns
    -------
    list of Animal
        in the order in which they come; one of them where the names don't say otherwise
    """
    for n_words in range(1, max(name.count("-") for name in names) + 1):
        owners: dict[str, dict[str, int]] = {}
        for index, name in enumerate(names):
            words = name.split("-")
            owners.setdefault("-".join(words[:n_words]), {})["-".join(words[n_words:])] = index
        parts = [list(own_parts) for own_parts in owners.values()]
        alike = all(own_parts == parts[0] for own_parts in parts) and "" not in parts[0]
        if len(parts) > 1 and len(parts[0]) > 1 and alike:
            return [Animal(name, own_parts) for name, own_parts in owners.items()]
    return [Animal("", {name: index for index, name in enumerate(names)})]


def orbits(
    columns: Sequence[tuple[str, tuple[int, ...]]], animals: Sequence[Animal], n_points: int
) -> list[list[int]]:
    """Find the features that are the same but for which animal is which.

    Parameters
    ----------
    columns
        of each feature its kind and the places of the points that it is about (and what follows
        them in its row); an animal's centre has the place n_points + its number
    animals
        all of them, with the same body parts
    n_points
        how many keypoints there are

    Returns
    -------
    list of lists
        places of columns, at least two together. A feature that becomes one which is not among
        the columns (the sine of a heading changes its sign) is in none.
    """
    index = {_key(kind, row): i for i, (kind, row) in enumerate(columns)}
    found: dict[int, list[int]] = {}
    for kind, row in columns:
        images = set()
        for order in permutations(range(len(animals))):
            moved = {n_points + a: n_points + b for a, b in enumerate(order)}
            for a, b in enumerate(order):
                parts = zip(animals[a].parts.values(), animals[b].parts.values(), strict=True)
                moved.update(parts)
            n_about = ABOUT.get(kind, len(row))
            image = tuple(moved[p] for p in row[:n_about]) + row[n_about:]
            images.add(index.get(_key(kind, image)))
        known = sorted(image for image in images if image is not None)
        if None not in images and len(known) > 1:
            found[known[0]] = known
    return list(found.values())


#: Of some kinds of feature the row ends in something that is no point.
ABOUT = {"turn": 4, "turn_3d": 4, "egocentric": 3, "egocentric_3d": 4}


def _key(kind: str, row: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
    """Return what is the same for features that are: a distance is one from either end."""
    return kind, tuple(sorted(row)) if kind in ("distance", "approach") else row
