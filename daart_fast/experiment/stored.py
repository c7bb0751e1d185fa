"""The files of a version folder: settings, losses, weights."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from daart_fast.config import IDS, KEYS, split_ids
from daart_fast.experiment.folders import StrPath
from daart_fast.files import check_archive, replacing

__all__ = [
    "WEIGHTS",
    "best_weights",
    "export_hparams",
    "load_plain_yaml",
    "read_metrics",
    "weights_problem",
]


#: the keys whose values are lists of ids
IDS_KEYS = [name for name, key in KEYS.items() if key.kind is IDS]


WEIGHTS = "best_val_model.pt"


#: what an interrupted training goes on from
CHECKPOINT = "checkpoint.pt"


def best_weights(folder: Path) -> Path | None:
    """Return the best weights of a model directory; daart finds them by this pattern too."""
    found = (folder / WEIGHTS, *sorted(folder.glob("*best*.pt")))
    return next((path for path in found if path.is_file()), None)


def weights_problem(folder: Path) -> str:
    """Say why the weights in a version folder cannot be used; empty where they can."""
    path = best_weights(folder)
    if path is None:
        return f"{folder / WEIGHTS}: there is no such file of model weights"
    try:
        with open(path, "rb") as file:
            pickled = file.read(2) == b"\x80\x02"  # as torch wrote them before 1.6
        if not pickled and not zipfile.is_zipfile(path):
            raise ValueError("it is no file of torch's, or not all of one")
        check_archive(path)
    except Exception as error:  # of a zip file that may hold anything
        return f"{path}: the weights cannot be read: {error}"
    return ""


def read_metrics(version: StrPath) -> list[dict[str, str]]:
    """Rows of a version folder's ``metrics.csv`` as far as it is written; none before it starts."""
    try:
        with open(Path(version) / "metrics.csv", newline="", encoding="utf-8") as file:
            # a row that is just being written may be there in part
            return list(csv.DictReader(line for line in file if line.endswith("\n")))
    except OSError:
        return []


def export_hparams(hparams: Mapping[str, Any], filename: StrPath | None = None) -> None:
    """Write hparams as YAML, in plain types that any YAML reader takes.

    Parameters
    ----------
    hparams
        functions in it are left out; arrays become lists, paths and unknown objects text
    filename
        ``<tt_version_dir>/hparams.yaml`` where None
    """
    if filename is None:
        filename = Path(hparams["tt_version_dir"]) / "hparams.yaml"
    values = {str(name): _to_plain(value) for name, value in hparams.items() if not callable(value)}
    values |= {name: split_ids(values[name]) for name in IDS_KEYS if values.get(name)}
    with replacing(filename) as temporary:
        temporary.write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")


def _to_plain(value: Any) -> Any:
    """Return the same value in the types that YAML has."""
    if isinstance(value, Mapping):
        return {_to_plain(name): _to_plain(element) for name, element in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_to_plain(element) for element in value]
    if hasattr(value, "tolist"):  # NumPy and torch, scalars included
        return _to_plain(value.tolist())
    for plain in (bool, int, float, str):  # subclasses too (NumPy's float64 is a float)
        if isinstance(value, plain):
            return plain(value)
    return None if value is None else str(value)


def load_plain_yaml(text: str) -> Any:
    """Read YAML in which daart may have marked values as Python objects, without making any.

    A tuple is read as a list, a NumPy number as a number, and any other object as None.

    Raises
    ------
    ValueError
        if it is not valid YAML
    """
    try:
        return yaml.load(text, Loader=_PlainLoader)
    except Exception as error:  # PyYAML's own, and whatever a value of the wrong shape raises
        raise ValueError(f"not valid YAML: {error}") from None


class _PlainLoader(yaml.SafeLoader):
    """Reads what stands for Python objects as plain values."""


def _plain_object(loader: _PlainLoader, tag: str, node: yaml.Node) -> Any:
    import numpy as np

    if isinstance(node, yaml.SequenceNode) and tag == "tuple":
        return loader.construct_sequence(node, deep=True)
    if isinstance(node, yaml.MappingNode) and tag == "object/apply:numpy.dtype":
        return loader.construct_mapping(node, deep=True)["args"][0]
    if isinstance(node, yaml.SequenceNode) and tag.endswith(".multiarray.scalar"):
        kind, number = loader.construct_sequence(node, deep=True)
        return np.frombuffer(number, dtype=np.dtype(kind)).item()
    return None


_PlainLoader.add_multi_constructor("tag:yaml.org,2002:python/", _plain_object)
