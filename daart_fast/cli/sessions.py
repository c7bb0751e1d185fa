"""What several commands need: the sessions and models that paths on the command line mean."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from daart_fast.cli.records import outputs_in
from daart_fast.errors import DataError, near, some

__all__ = ["model_folder", "model_folders", "prediction_files", "session_files"]

PREDICTIONS = "_predictions.csv"


def session_files(paths: Iterable[Path], input_type: str | None = None) -> dict[str, Path]:
    """Return the file of each session: of a folder, all files of inputs in it.

    A session is called as in training: as its file, without the ending and what a tracker added.
    Of several files of a session the one that training would read is taken. What ``daart-fast
    predict`` has written is left out: it may lie beside its inputs.

    Parameters
    ----------
    paths
        files and folders
    input_type
        a model's: of a project, a folder with such a folder in it, the inputs there are meant

    Raises
    ------
    DataError
        a path does not exist, a folder holds no inputs, all files are predict's own, or files of
        two folders would be one session
    """
    from daart_fast.data.sessions import file_to_read, session_of

    files = [file for path in paths for file in _inputs_of(path, input_type)]
    written = {folder: outputs_in(folder) for folder in {file.parent for file in files}}
    predicted = [file for file in files if file.name in written[file.parent]]
    if predicted and len(predicted) == len(files):
        raise DataError(
            f"{some([str(file) for file in predicted])}: expected files of inputs, found what "
            f"predict has written"
        )
    found: dict[str, list[Path]] = {}
    for file in files:
        if file.name in written[file.parent]:
            continue
        session = session_of(file.name)
        of_session = found.setdefault(session, [])
        if of_session and (file in of_session or file.parent != of_session[0].parent):
            raise DataError(f"{file}: {of_session[0]} is called {session!r} too")
        of_session.append(file)
    return {session: file_to_read(files, session) for session, files in found.items()}


def _inputs_of(path: Path, input_type: str | None) -> list[Path]:
    """Return a file, or the files of inputs in a folder or a project."""
    from daart_fast.data.sessions import folder_of, input_files
    from daart_fast.readers.inputs import no_inputs

    if not path.exists():
        raise DataError(f"{path}: no such file or folder{near(path)}")
    if not path.is_dir():
        return [path]
    if input_type is not None and (path / folder_of(input_type)).is_dir():
        path = path / folder_of(input_type)
    files = input_files(path)
    if not files:
        raise DataError(no_inputs(path))
    return files


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
            raise DataError(
                f"{path}: no such folder{near(path)}; expected the folder of a trained model "
                f"('daart-fast train' prints it)"
            )
        if (path / "hparams.yaml").is_file():
            found.append(path)
            continue
        below = sorted(path.rglob("hparams.yaml"))
        finished = [file.parent for file in below if any(file.parent.glob("*best*.pt"))]
        if not finished:
            raise DataError(
                f"{path}: expected a model (hparams.yaml and best_val_model.pt) in or below it; "
                f"'daart-fast train' prints where it leaves one"
            )
        found += finished
    return list(dict.fromkeys(found))


def model_folder(path: Path) -> Path:
    """Return the one model directory that a path means: itself, or the one below it.

    Raises
    ------
    DataError
        there is no model, or there are several
    """
    found = model_folders([path])
    if len(found) > 1:
        raise DataError(
            f"{path}: expected one model, found {len(found)}; name one of them: "
            f"{some([str(folder) for folder in found])}"
        )
    return found[0]


def prediction_files(folder: Path) -> dict[str, Path]:
    """Return the table of predictions of each session in a folder.

    Raises
    ------
    DataError
        there is no such folder, or no table in it
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder{near(folder)}")
    found = {
        file.name.removesuffix(PREDICTIONS): file for file in sorted(folder.glob(f"*{PREDICTIONS}"))
    }
    if not found:
        raise DataError(
            f"{folder}: expected SESSION{PREDICTIONS} of each session, found none; 'daart-fast "
            f"predict' writes them"
        )
    return found
