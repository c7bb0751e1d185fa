"""What several commands need: the sessions and models that paths on the command line mean."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from daart_fast.errors import DataError, some

__all__ = ["model_folders", "session_files"]


def session_files(paths: Iterable[Path]) -> dict[str, Path]:
    """Return the file of each session: of a folder, all files of inputs in it.

    A session is called as its file, without the ending, as in training. Of several files of one in
    a folder that is read which training would read. What ``daart-fast predict`` has written is left
    out: it may lie beside its inputs.

    Raises
    ------
    DataError
        a path does not exist, a folder holds no inputs, all files are predict's own, or files of
        two folders would be one session
    """
    from daart_fast.cli.records import outputs_in
    from daart_fast.data.readers import INPUT_SUFFIXES, suffix_of
    from daart_fast.data.sessions import first_of, session_of

    found: dict[str, list[Path]] = {}
    written: dict[Path, set[str]] = {}
    left_out: list[str] = []
    for path in paths:
        if not path.exists():
            raise DataError(f"{path}: no such file or folder")
        files = [path]
        if path.is_dir():
            files = sorted(
                file
                for file in path.iterdir()
                if file.is_file() and suffix_of(file) in INPUT_SUFFIXES and file.name[0] != "."
            )
            if not files:
                raise DataError(f"{path}: expected files of inputs ({', '.join(INPUT_SUFFIXES)})")
        for file in files:
            if file.parent not in written:
                written[file.parent] = outputs_in(file.parent)
            if file.name in written[file.parent]:
                left_out.append(str(file))
                continue
            session = session_of(file.name)
            own = found.setdefault(session, [])
            if own and (file in own or file.parent != own[0].parent):
                raise DataError(f"{file}: {own[0]} is called {session!r} too")
            own.append(file)
    if left_out and not found:
        raise DataError(
            f"{some(left_out)}: expected files of inputs, found what predict has written"
        )
    order = {suffix: i for i, suffix in enumerate(INPUT_SUFFIXES)}
    return {
        session: first_of(
            sorted(own, key=lambda file: (order.get(suffix_of(file), len(order)), file.name))
        )
        for session, own in found.items()
    }


def model_folders(paths: Iterable[Path]) -> list[Path]:
    """Return model directories: the paths themselves, or all finished models below them.

    Raises
    ------
    DataError
        a path does not exist, or there is no model in it
    """
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            raise DataError(f"{path}: no such folder")
        if (path / "hparams.yaml").is_file():
            found.append(path)
            continue
        below = sorted(path.rglob("hparams.yaml"))
        finished = [file.parent for file in below if any(file.parent.glob("*best*.pt"))]
        if not finished:
            raise DataError(f"{path}: expected hparams.yaml and best_val_model.pt in or below it")
        found += finished
    return list(dict.fromkeys(found))
