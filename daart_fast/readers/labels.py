"""Files of labels and tasks -> arrays with class names."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from daart_fast.errors import DataError, unreadable
from daart_fast.names import BACKGROUND
from daart_fast.readers.checks import PathLike, check_frame_column, check_names, counters_left_out
from daart_fast.readers.feature_tables import load_feature_csv
from daart_fast.readers.markers import MARKER_STARTS
from daart_fast.readers.tables import Table, first_row, read_table
from daart_fast.readers.unpickle import loads_plain

__all__ = ["Labels", "load_label_csv", "load_label_pkl", "read_labels", "read_tasks"]

#: The value of a frame without a label, in integer labels.
UNLABELLED = -100


class Labels(NamedTuple):
    """Labels of a session: (T,) int64 classes, or multibinary (T, C) float32; C class names."""

    values: np.ndarray
    names: list[str]


def load_label_csv(path: PathLike) -> tuple[np.ndarray, list[str]]:
    """Read a one-hot csv: the first column the frame number, a header row of class names.

    It is kept for daart's scripts; `read_labels` is what the package uses.

    Returns
    -------
    labels : np.ndarray
        (T, C) int64 of 0 and 1
    names : list of str
        the C class names; class 0 is the background

    Raises
    ------
    DataError
        if a cell is anything but 0 or 1 (0.0 and 1.0 will do)
    """
    table = _read_one_hot(path)
    return table.values[:, 1:].astype(np.int64), table.header[0][1:]


def _read_one_hot(path: PathLike, may_miss: bool = False) -> Table:
    """Read a table of 0 and 1; cells may be empty where ``may_miss``."""
    first = first_row(Path(path))[:1]
    if first in MARKER_STARTS:
        raise DataError(
            f"{path}: expected labels, found tracked points (the first row is '{first[0]}'); they "
            f"belong in the folder of inputs, and a csv of 0 and 1 with a column a class here"
        )
    table = counters_left_out(read_table(Path(path)))
    check_frame_column(table)
    check_names(table.header[0][1:], path)
    values = table.values[:, 1:]
    missing = np.isnan(values) & may_miss
    odd = np.argwhere((values != 0) & (values != 1) & ~missing)
    if len(odd):
        row, column = odd[0]
        found = values[row, column]
        raise DataError(
            f"{table.where(row, column + 1)}: expected 0 or 1, "
            f"found {'nothing' if np.isnan(found) else found}"
        )
    return table


def load_label_pkl(path: PathLike) -> tuple[np.ndarray, list[str]]:
    """Read a pickled dict with ``states`` and ``state_mapping`` or ``state_labels``.

    Only plain data is read; a pickle that names code is refused, and none of it is run.

    Returns
    -------
    labels : np.ndarray
        (T,) int64
    names : list of str
        the class names, in the order of their numbers

    Raises
    ------
    DataError
        if the file is anything else
    """
    try:
        data = Path(path).read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        raise DataError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(unreadable(path, error, "a pickled dict")) from None
    content = loads_plain(data, str(path))
    if not isinstance(content, dict) or "states" not in content:
        raise DataError(f"{path}: expected a dict with 'states', found {_summary(content)}")
    names = _class_names(content, path)
    states = _whole_numbers(content["states"], path)
    wrong = np.flatnonzero((states < 0) | (states >= len(names)))
    if len(wrong):
        raise DataError(
            f"{path}, frame {wrong[0]}: expected a class from 0 to {len(names) - 1}, "
            f"found {states[wrong[0]]}"
        )
    return states, names


def _class_names(content: dict, path: PathLike) -> list[str]:
    """Return the names in a list of them, or in a dict {number: name} or {name: number}."""
    mapping = content.get("state_mapping", content.get("state_labels"))
    if mapping is None:
        raise DataError(f"{path}: expected 'state_mapping' or 'state_labels' beside 'states'")
    if isinstance(mapping, dict):
        if all(isinstance(value, (int, np.integer)) for value in mapping.values()):
            mapping = {number: name for name, number in mapping.items()}
        if set(mapping) != set(range(len(mapping))):
            found = ", ".join(map(str, mapping))
            raise DataError(
                f"{path}: expected classes numbered 0 to {len(mapping) - 1}, found {found}"
            )
        mapping = [mapping[number] for number in range(len(mapping))]
    if not isinstance(mapping, (list, tuple, np.ndarray)) or len(mapping) == 0:
        raise DataError(
            f"{path}: expected 'state_mapping' or 'state_labels' to name the classes, "
            f"found {_summary(mapping)}"
        )
    names = [str(name) for name in mapping]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{path}: classes named twice: {', '.join(twice)}")
    return names


def _whole_numbers(states: object, path: PathLike) -> np.ndarray:
    """Return (T,) int64; whole numbers stored as floats will do."""
    try:
        values = np.asarray(states)
    except ValueError:  # lists of different lengths
        values = np.empty(0, dtype=object)
    numbers = values.ndim == 1 and values.dtype.kind in "iubf"
    if not numbers or (values.dtype.kind == "f" and np.any(values != np.floor(values))):
        raise DataError(
            f"{path}: expected 'states' to be whole numbers, one a frame, "
            f"found {values.dtype} of shape {values.shape}"
        )
    return values.astype(np.int64)


def _summary(content: object) -> str:
    if isinstance(content, dict):
        return f"keys {', '.join(map(str, content))}"
    return repr(content)[:40]


def read_labels(path: PathLike, classifier_type: str = "multiclass") -> Labels:
    """Read hand or heuristic labels.

    Parameters
    ----------
    path
        csv, csv.gz or pkl
    classifier_type
        ``"multiclass"``: exactly one 1 a row. ``"binary"``: the same with two columns, background
        and behaviour, or one column for the behaviour. ``"multibinary"``: any number of 1s a row,
        and empty cells where nobody looked.

    Returns
    -------
    Labels
        (T,) int64 class numbers; multibinary (T, C) float32, NaN where nobody looked

    Raises
    ------
    DataError
        naming file, line, what was expected and what came
    """
    path = Path(path)
    if path.suffix.lower() == ".pkl":
        states, names = load_label_pkl(path)
        if classifier_type == "multibinary":
            return Labels(np.eye(len(names), dtype=np.float32)[states], names)
        _check_binary(path, names, classifier_type)
        return Labels(states, names)
    several = classifier_type == "multibinary"
    table = _read_one_hot(path, may_miss=several)
    names = table.header[0][1:]
    if several:
        return Labels(table.values[:, 1:].astype(np.float32), names)
    one_hot = table.values[:, 1:].astype(np.int64)
    if classifier_type == "binary" and len(names) == 1:
        return Labels(one_hot[:, 0], [BACKGROUND, *names])
    _check_binary(path, names, classifier_type)
    ones = one_hot.sum(1)
    wrong = np.flatnonzero(ones != 1)
    if len(wrong):
        row = wrong[0]
        found = [name for name, one in zip(names, one_hot[row], strict=True) if one]
        raise DataError(
            f"{path}, line {table.lines[row]}: expected exactly one 1 in the row, found {ones[row]}"
            + (f" ({', '.join(found)})" if found else "")
            + (f"; {len(wrong)} rows are so" if len(wrong) > 1 else "")
            + ". Several behaviours at once need classifier_type: multibinary"
        )
    return Labels(one_hot.argmax(1), names)


def _check_binary(path: Path, names: list[str], classifier_type: str) -> None:
    if classifier_type == "binary" and len(names) != 2:
        raise DataError(
            f"{path}: classifier_type binary expects two classes (background and the behaviour) "
            f"or one, found {', '.join(names)}"
        )


def read_tasks(path: PathLike) -> tuple[np.ndarray, list[str]]:
    """Read a csv of task values to regress on: (T, n_tasks) float32, NaN where empty; names."""
    values, names = load_feature_csv(path)
    return values.astype(np.float32), names
