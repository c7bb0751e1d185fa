"""What holds for all code of the package: where defaults stand.

Each exception is listed with its reason.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daart_fast.config.keys import DAART_DEFAULTS, KEYS

PACKAGE = Path(__file__).resolve().parents[1] / "daart_fast"
FILES = {str(path.relative_to(PACKAGE)): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items()}

#: Mappings that may lack a key: (file, key) and why nobody completes them first.
LACKING = {
    ("cli/train.py", "executor"): "the words of a command line, which need not name it",
}

#: Parameters whose default is not that of the config key: (function, parameter) and why.
OTHER_DEFAULTS = {
    ("DataGenerator.__init__", "batch_size"): "daart's signature",
    ("DataGenerator.__init__", "trial_splits"): "daart's signature",
    ("PseudoLabels.__init__", "prob_threshold"): "daart's signature",
    ("Trainer.__init__", "max_epochs"): "daart's signature",
    ("Trainer.__init__", "plot_train_curves"): "daart's trainer draws nothing by itself",
    ("DilationBlock.__init__", "dropout"): "a layer, which knows no config",
    ("dilated_conv1d", "activation"): "an operation, which knows no config",
    ("_add", "activation"): "a layer of a list, which knows no config",
    ("fit_models", "executor"): "None: what the config says",
    ("session_files", "input_type"): "None: files that are named, of any input_type",
}


def keys_taken(tree: ast.AST) -> Iterator[tuple[str, ast.expr | None, int]]:
    """Yield (key, what else is taken, line) of each ``mapping.get("key", what else)``."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("get", "pop", "setdefault")
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            yield node.args[0].value, (node.args[1] if node.args[1:] else None), node.lineno


def defaults(tree: ast.AST, within: str = "") -> Iterator[tuple[str, str, ast.expr]]:
    """Yield (function, parameter, default) of each parameter that has a default."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            yield from defaults(node, f"{node.name}.")
        elif isinstance(node, ast.FunctionDef):
            positional = [*node.args.posonlyargs, *node.args.args]
            first = len(positional) - len(node.args.defaults)
            pairs = [*zip(positional[first:], node.args.defaults, strict=True)]
            pairs += zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
            yield from (
                (within + node.name, parameter.arg, default)
                for parameter, default in pairs
                if default is not None
            )
            yield from defaults(node, within)
        else:
            yield from defaults(node, within)


def second_default(key: str, default: ast.expr | None) -> bool:
    """Whether this is a default of a config key other than the table has (None where it is)."""
    if key not in KEYS:
        return False
    return default is not None or KEYS[key].default is not None


@pytest.mark.parametrize("name", TREES)
def test_defaults_of_keys_stand_in_their_table_only(name: str) -> None:
    wrong = [
        f"{name}:{line}: {key}"
        for key, default, line in keys_taken(TREES[name])
        if second_default(key, default) and (name, key) not in LACKING
    ]
    assert not wrong, "take it from a mapping that with_defaults() has completed"


def value_of(default: ast.expr) -> Any:
    try:
        return ast.literal_eval(default)
    except ValueError:  # a name or a call
        return ast.unparse(default)


@pytest.mark.parametrize("name", TREES)
def test_parameters_that_are_called_as_a_key_have_its_default(name: str) -> None:
    wrong = [
        f"{name}: {function}({parameter}={ast.unparse(default)})"
        for function, parameter, default in defaults(TREES[name])
        if parameter in KEYS
        and (function, parameter) not in OTHER_DEFAULTS
        and value_of(default) != KEYS[parameter].default
    ]
    assert not wrong


def test_each_exception_is_needed() -> None:
    taken = {(name, key) for name, tree in TREES.items() for key, _, _ in keys_taken(tree)}
    assert not LACKING.keys() - taken
    of_parameters = {one[:2] for tree in TREES.values() for one in defaults(tree)}
    assert not OTHER_DEFAULTS.keys() - of_parameters
    assert not DAART_DEFAULTS.keys() - KEYS.keys()
    assert not [key for key, value in DAART_DEFAULTS.items() if value == KEYS[key].default]
