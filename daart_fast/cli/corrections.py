"""Predictions that a person corrected -> hand labels: what changed, and what nobody looked at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from daart_fast.cli.records import outputs_in
from daart_fast.cli.sessions import prediction_files
from daart_fast.errors import DataError, some
from daart_fast.files import replacing
from daart_fast.names import BACKGROUND, session_name

if TYPE_CHECKING:
    import numpy as np

    from daart_fast.convert import Annotation

__all__ = ["changes", "keep_earlier", "predicted_classes", "refuse_predictions"]

#: where label files go before corrected ones take their place
EARLIER = "earlier"


def refuse_predictions(annotations: Iterable[Annotation]) -> None:
    """Refuse files that a model predicted, as a mark in them or a record beside them says.

    Raises
    ------
    DataError
        naming them
    """
    found = [
        annotation.source
        for annotation in annotations
        if annotation.predicted
        or Path(annotation.source).name in outputs_in(Path(annotation.source).parent)
    ]
    if found:
        raise DataError(
            f"{some(list(dict.fromkeys(found)))}: expected labels that a person made, found what "
            f"daart-fast predicted; if you looked at all of it and corrected it, give "
            f"--corrections PREDICTIONS, the folder that it was exported from"
        )


def predicted_classes(folder: Path) -> list[str]:
    """Return the classes of a folder of predictions, in the model's order, without background."""
    import pandas as pd

    first = next(iter(prediction_files(folder).values()))
    return [name for name in pd.read_csv(first, nrows=0).columns[3:] if name != BACKGROUND]


def changes(
    folder: Path, tables: Mapping[str, np.ndarray], names: Sequence[str]
) -> dict[str, str | None]:
    """Say what a person changed in each session; None where it is just as predicted.

    Parameters
    ----------
    folder
        what predict wrote to
    tables, names
        the corrected labels of each session, 1 where a frame is of a class, and the classes

    Raises
    ------
    DataError
        there is no prediction of a session, or of another number of frames
    """
    import numpy as np

    from daart_fast.eval.groups import read_track

    files = {session_name(name): file for name, file in prediction_files(folder).items()}
    found: dict[str, str | None] = {}
    for session, table in tables.items():
        file = files.get(session_name(session))
        if file is None:
            raise DataError(f"{folder}: expected predictions of {session}, found none")
        track = read_track(file)
        if len(track.classes) != len(table):
            raise DataError(
                f"{file}: expected {len(table)} frames, as the labels of {session} have, found "
                f"{len(track.classes)}; are they predictions of these inputs?"
            )
        before = track.classes
        if before.ndim == 1:
            before = np.arange(len(track.names)) == before[:, None]
        was = dict(zip(track.names, before.T == 1, strict=True))
        now = dict(zip(names, table.T == 1, strict=True))
        nowhere = np.zeros(len(table), dtype=bool)
        differ, texts = nowhere.copy(), []
        for name in dict.fromkeys([*was, *now]):
            old, new = was.get(name, nowhere), now.get(name, nowhere)
            gained, lost = int((new & ~old).sum()), int((old & ~new).sum())
            if gained or lost:
                differ |= old != new
                called = "not scored" if name == BACKGROUND else name
                texts.append(f"{called} +{gained} -{lost}")
        n = int(differ.sum())
        found[session] = f"{n} of {len(table)} frames changed: {', '.join(texts)}" if n else None
    return found


def keep_earlier(path: Path) -> Path:
    """Copy a file of labels to where no later call replaces it; return the copy."""
    number, content = 1, path.read_bytes()
    while (copy := path.parent / EARLIER / f"{path.stem}-{number}{path.suffix}").exists():
        number += 1
    with replacing(copy) as temporary:
        temporary.write_bytes(content)
    return copy
