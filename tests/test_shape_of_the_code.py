"""What holds for all code of the package: where defaults stand, and how long functions are.

Each exception is listed with its reason.
"""

from __future__ import annotations

import ast
import re
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

MOST_LINES = 60  # of code: without docstring, comments and blank lines
MOST_PARAMETERS = 10

#: Functions with more parameters, and why.
MANY_PARAMETERS = {
    "DataGenerator.__init__": "daart's signature",
    "SingleDataset.__init__": "daart's signature",
    "Trainer.__init__": "daart's signature, whose parameters are keys of the config",
    "dilation_block": "the tensors of an operation, each by its name",
    "linear_cross_entropy": "the tensors of an operation, each by its name",
}
#: C++ functions that are longer, and why.
LONG_IN_CPP = {
    "convolve": "stages of minimal filtering, which share the tiles that they loop over",
    "correlate": "stages of minimal filtering, which share the tiles that they loop over",
}
#: C++ functions with more parameters, and why.
MANY_IN_CPP = {
    "head": "the tensors of an operation, each by its name",
    "head_grad": "the tensors of an operation, each by its name",
    "conv_backward": "the tensors of an operation, each by its name",
    "gradient_gates": "the tensors of an operation, each by its name",
    "adam": "the tensors of an operation, each by its name",
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


def functions(tree: ast.AST, within: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in ast.iter_child_nodes(tree):
        name = within + (f"{node.name}." if isinstance(node, ast.ClassDef) else "")
        if isinstance(node, ast.FunctionDef):
            yield within + node.name, node
        yield from functions(node, name)


def docstring_lines(node: ast.AST) -> set[int]:
    """Return the lines of the docstrings of a function, and of what is defined in it."""
    return {
        line
        for inner in ast.walk(node)
        if isinstance(inner, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(inner)
        for line in range(inner.body[0].lineno, (inner.body[0].end_lineno or 0) + 1)
    }


@pytest.mark.parametrize("name", TREES)
def test_functions_are_short_and_take_few_arguments(name: str) -> None:
    lines = FILES[name].read_text(encoding="utf-8").splitlines()
    wrong = []
    for function, node in functions(TREES[name]):
        numbers = set(range(node.lineno, (node.end_lineno or 0) + 1)) - docstring_lines(node)
        texts = [lines[number - 1].strip() for number in numbers]
        n_lines = sum(bool(text) and not text.startswith("#") for text in texts)
        if n_lines > MOST_LINES:
            wrong.append(f"{name}:{node.lineno}: {function} has {n_lines} lines of code")
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        n_parameters = len(arguments) - (arguments[:1] != [] and arguments[0].arg in SELF)
        if n_parameters > MOST_PARAMETERS and function not in MANY_PARAMETERS:
            wrong.append(f"{name}:{node.lineno}: {function} has {n_parameters} parameters")
    assert not wrong


SELF = ("self", "cls")
#: What a line of C++ begins with that opens a brace but no function.
NO_FUNCTION = re.compile(
    r"\s*(if|for|while|switch|else|do|namespace|struct|class|enum|union|extern|return|try|catch)\b"
)


def cpp_functions(text: str) -> Iterator[tuple[str, int, int, int]]:
    """Yield (name, line, lines of code, parameters) of each function that clang-format laid out.

    Its closing brace is then the first one as far to the right as its first line.
    """
    text = re.sub(r"/\*.*?\*/", lambda found: "\n" * found[0].count("\n"), text, flags=re.DOTALL)
    lines = [re.sub(r"//.*", "", line).rstrip() for line in text.split("\n")]
    for last, line in enumerate(lines):
        if not line.endswith("{") or NO_FUNCTION.match(line):
            continue
        first = last
        while first and lines[first - 1] and lines[first - 1][-1] not in ";{}:>":
            first -= 1
        signature = " ".join(lines[first : last + 1])
        found = re.match(r"[^(\[=]*?([\w~]+)\s*\(", signature)
        if found is None or NO_FUNCTION.match(signature):
            continue
        indent = " " * (len(lines[first]) - len(lines[first].lstrip()))
        end = next(i for i in range(last + 1, len(lines)) if lines[i].startswith(indent + "}"))
        yield (
            found[1],
            first + 1,
            sum(map(bool, lines[first : end + 1])),
            n_parameters(signature[found.end() :]),
        )


def n_parameters(rest: str) -> int:
    """Count the parameters in what follows the opening parenthesis of a signature."""
    depth, n_commas, text = 0, 0, ""
    for letter in rest:
        if letter == ")" and not depth:
            break
        depth += (letter in "(<[{") - (letter in ")>]}")
        n_commas += letter == "," and not depth
        text += letter
    return n_commas + 1 if text.strip() else 0


CPP = sorted(
    path for path in (PACKAGE.parent / "csrc").rglob("*") if path.suffix in (".cpp", ".cu", ".h")
)


@pytest.mark.parametrize("path", CPP, ids=lambda path: str(path.relative_to(PACKAGE.parent)))
def test_functions_in_cpp_are_short_and_take_few_arguments(path: Path) -> None:
    wrong = []
    for name, line, n_lines, n in cpp_functions(path.read_text(encoding="utf-8")):
        if n_lines > MOST_LINES and name not in LONG_IN_CPP:
            wrong.append(f"line {line}: {name} has {n_lines} lines of code")
        if n > MOST_PARAMETERS and name not in MANY_IN_CPP:
            wrong.append(f"line {line}: {name} has {n} parameters")
    assert not wrong


def test_functions_of_cpp_are_found() -> None:
    text = "template <class T>\nint sum(std::map<int, T> a,\n        T b) {\n  f(a);\n\n  // b\n}\n"
    assert list(cpp_functions(text)) == [("sum", 2, 4, 2)]
    assert sum(1 for path in CPP for _ in cpp_functions(path.read_text(encoding="utf-8"))) > 300


def test_each_exception_is_needed() -> None:
    long = [
        (name, n_lines, n)
        for path in CPP
        for name, _, n_lines, n in cpp_functions(path.read_text(encoding="utf-8"))
    ]
    assert not LONG_IN_CPP.keys() - {name for name, n_lines, _ in long if n_lines > MOST_LINES}
    assert not MANY_IN_CPP.keys() - {name for name, _, n in long if n > MOST_PARAMETERS}
    assert not MANY_PARAMETERS.keys() - {one for t in TREES.values() for one, _ in functions(t)}
    taken = {(name, key) for name, tree in TREES.items() for key, _, _ in keys_taken(tree)}
    assert not LACKING.keys() - taken
    of_parameters = {one[:2] for tree in TREES.values() for one in defaults(tree)}
    assert not OTHER_DEFAULTS.keys() - of_parameters
    assert not DAART_DEFAULTS.keys() - KEYS.keys()
    assert not [key for key, value in DAART_DEFAULTS.items() if value == KEYS[key].default]
