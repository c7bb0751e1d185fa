"""Config files -> one checked dict: YAML, overrides, paths."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from daart_fast.config.keys import DERIVED, FLOAT, IDS, INT, KEYS, SLURM_PART, Key, no_such_key
from daart_fast.config.lightning_action import in_flat_keys, is_nested
from daart_fast.errors import ConfigError, did_you_mean, unreadable
from daart_fast.names import session_name

__all__ = [
    "Setting",
    "load_config",
    "settings_in",
]


#: A ``data_dir`` or ``results_dir`` that begins so lies in ``demo/`` under the current folder.
DEMO = "<demo>"


def load_config(*paths: str | os.PathLike[str], overrides: Iterable[str] = ()) -> dict[str, Any]:
    """Read config files into one flat dict: checked, completed with defaults, paths resolved.

    Parameters
    ----------
    paths
        YAML files; each key may stand in any of them, but only once
    overrides
        ``"key=value"`` settings, the value as it would stand in a file, which replace the files';
        ``"--key=value"`` is the same, given as an option of its own

    Returns
    -------
    dict
        every key of ``KEYS``; a list, for any key that is no list of ids, is to be searched over

    Raises
    ------
    ConfigError
        at the first file that cannot be read, unknown key, wrong type or impossible value
    """
    entries = _entries(paths)
    for override in overrides:
        name, equals, text = override.partition("=")
        if not equals:
            raise ConfigError(f"--set {override}: expected key=value")
        where = f"{name} {text}" if name.startswith("--") else f"--set {override}"
        name = name.strip().removeprefix("--")
        entries.update(_parse(f"{name}: {_as_typed(text)}", where))

    hparams = {name: _check(name, entry) for name, entry in entries.items()}
    for name, key in KEYS.items():
        if name not in hparams:
            if key.required and paths:
                raise ConfigError(f"{_file_for(key, paths)}: {name!r} is missing: {key.help}")
            hparams[name] = key.default
    for name in ("data_dir", "results_dir", "cache_dir"):
        base = entries[name].folder if name in entries else Path.cwd()
        value = hparams[name]
        many = isinstance(value, list)
        resolved = [resolve_path(one, base) for one in (value if many else [value])]
        hparams[name] = resolved if many else resolved[0]
    _spell_alike(hparams)
    return hparams


def _spell_alike(hparams: dict[str, Any]) -> None:
    """Spell sessions as ``expt_ids`` does: with what a tracker has added, or without it."""
    spelled: dict[str, set[str]] = {}
    for session in hparams["expt_ids"] or ():
        spelled.setdefault(session_name(session), set()).add(session)
    for name, key in KEYS.items():
        if key.kind is IDS and hparams[name]:
            known = [spelled.get(session_name(session), set()) for session in hparams[name]]
            hparams[name] = [
                next(iter(names)) if len(names) == 1 else session
                for session, names in zip(hparams[name], known, strict=True)
            ]


@dataclass(frozen=True)
class Setting:
    """A key's value, checked, and where it stands (``model.yaml, line 3``)."""

    value: Any
    where: str


def settings_in(*paths: str | os.PathLike[str]) -> dict[str, Setting]:
    """Read what config files themselves say, without defaults; see `load_config`."""
    return {name: Setting(_check(name, e), e.where) for name, e in _entries(paths).items()}


def _entries(paths: Iterable[str | os.PathLike[str]]) -> dict[str, _Entry]:
    """Read what stands in files; a key that stands in two of them is an error."""
    entries: dict[str, _Entry] = {}
    for path in paths:
        for name, entry in _read_yaml(Path(path)).items():
            if name in entries:
                raise ConfigError(
                    f"{entry.where}: {name!r} is given in {entries[name].where} already"
                )
            entries[name] = entry
    return entries


def _as_typed(text: str) -> str:
    """Quote a name with a # in it: where YAML begins a comment, a command line does not."""
    text = text.strip()
    begins = re.search(r"(^|\s)#", text) and text[0] not in "[{\"'"
    return json.dumps(text, ensure_ascii=False) if begins else text


@dataclass(frozen=True)
class _Entry:
    """One ``key: value`` of a file: the value, the value as it is spelled, and where it stands."""

    value: Any
    text: Any
    where: str
    folder: Path


def _read_yaml(path: Path) -> dict[str, _Entry]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        near = [other.name for other in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
        raise ConfigError(f"{path}: no such file{did_you_mean(path.name, near)}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(unreadable(path, error, "a text file in UTF-8")) from None
    entries = _parse(text, str(path), path.resolve().parent)
    values = {name: entry.value for name, entry in entries.items()}
    if is_nested(values):
        raise ConfigError(
            f"{path}: expected keys that are not nested; this is a config file of "
            f"lightning-action. In the keys of daart_fast it says\n{in_flat_keys(values)}\n"
            "Write these lines to a file; results_dir, and expt_ids where it is missing, come too"
        )
    return entries


def _parse(text: str, source: str, folder: Path | None = None) -> dict[str, _Entry]:
    """Read ``key: value`` lines; YAML alone would drop a repeated key's first value in silence."""
    try:
        loader = yaml.SafeLoader(text)
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        character = repr(text[error.position])
        raise ConfigError(f"{source}, line {line}: not valid YAML: it holds {character}") from None
    entries: dict[str, _Entry] = {}
    try:
        root = loader.get_single_node()
        if root is None:
            return {}
        if not isinstance(root, yaml.MappingNode):
            raise ConfigError(f"{source}: expected lines of 'key: value'")
        for key_node, value_node in root.value:
            name = str(key_node.value)
            where = f"{source}, line {key_node.start_mark.line + 1}" if folder else source
            if name in entries:
                raise ConfigError(f"{where}: {name!r} is given a second time")
            value = loader.construct_object(value_node, deep=True)
            entries[name] = _Entry(value, _spelled(value_node), where, folder or Path.cwd())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "somewhere"
        raise ConfigError(f"{source}, {where}: not valid YAML: {error.problem}") from None
    except ConfigError:
        raise
    except Exception as error:  # PyYAML's own, and whatever a value of the wrong shape raises
        raise ConfigError(f"{source}: not valid YAML: {error}") from None
    finally:
        loader.dispose()
    return entries


def _spelled(node: yaml.Node) -> Any:
    """Return a scalar (or a list or mapping of them) as it is written, null as None."""
    if isinstance(node, yaml.SequenceNode):
        return [_spelled(element) for element in node.value]
    if isinstance(node, yaml.MappingNode):
        return {str(name.value): _spelled(value) for name, value in node.value}
    if isinstance(node, yaml.ScalarNode):
        return None if node.tag == "tag:yaml.org,2002:null" else node.value
    return {}


def _check(name: str, entry: _Entry) -> Any:
    """Return one entry's value in its proper type; a list is checked element by element."""
    if name in DERIVED:
        return entry.value
    key = KEYS.get(name)
    if key is None:
        raise ConfigError(f"{entry.where}: {no_such_key(name)}")
    value = entry.text if key.kind.spelled else entry.value
    if key.kind in (IDS, SLURM_PART) or not isinstance(value, list):
        return _check_one(key, value, entry.where)
    if not value:
        raise ConfigError(f"{entry.where}: {name!r} is an empty list: expected {key.wants}")
    values = [_check_one(key, element, entry.where) for element in value]
    distinct = list(dict.fromkeys(values))
    return distinct if len(distinct) > 1 else distinct[0]


def _check_one(key: Key, value: Any, where: str) -> Any:
    try:
        return key.check(value)
    except ValueError as error:
        if isinstance(error, ConfigError):
            raise ConfigError(f"{where}: {key.name!r}: {error}") from None
        wanted = str(error) or key.wants
        spelled = isinstance(value, str) and key.kind in (INT, FLOAT)  # a number needs no quotes
        found = value if spelled else repr(value)
        raise ConfigError(f"{where}: {key.name!r} is {found}: expected {wanted}") from None


def _file_for(key: Key, paths: tuple[str | os.PathLike[str], ...]) -> str:
    """Name the file in which a missing key would be looked for."""
    named = [str(path) for path in paths if key.file in Path(path).name]
    return named[0] if named else ", ".join(str(path) for path in paths)


def resolve_path(value: str | None, folder: Path) -> str | None:
    """Make a path of a config file absolute.

    ``<demo>`` is ``demo/`` under the current folder. Any other relative path is taken from the
    config file's folder; where nothing lies there but something does under the current folder,
    it is that, as daart would have it.
    """
    if value is None:
        return None
    if value.startswith(DEMO):
        return str(Path.cwd() / "demo" / value[len(DEMO) :].lstrip("/\\"))
    try:
        path = Path(value).expanduser()
    except RuntimeError:  # no such user
        path = Path(value)
    if path.is_absolute():
        return str(path)
    here, there = Path.cwd() / path, folder / path
    return os.path.normpath(here if here.exists() and not there.exists() else there)
