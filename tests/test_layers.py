"""The packages stand in one order: each imports only what comes before it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "daart_fast"

#: From the ground up. A package or module may import those before it, and itself.
ORDER = (
    "errors", "names", "machine", "files", "rows", "compiled", "activations", "backbones", "config",
    "readers", "features", "ops", "data", "project", "models", "experiment", "convert",
    "eval", "train", "api", "online", "report", "demo", "search", "cli",
)  # fmt: skip
#: Names under which daart's scripts import: re-exports that nothing in the package uses.
SHIMS = ("callbacks", "io", "losses", "testtube", "transforms", "utils")
#: What takes so long to import that a function may import it late.
SLOW = {"h5py", "matplotlib", "numba", "numpy", "pandas", "submitit", "test_tube", "torch", "tqdm"}

MODULES = sorted(PACKAGE.rglob("*.py"))
IDS = [str(path.relative_to(PACKAGE)) for path in MODULES]


def name_of(path: Path) -> str:
    parts = ["daart_fast", *path.relative_to(PACKAGE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def file_of(module: str) -> Path | None:
    if module.split(".")[0] != "daart_fast":
        return None
    path = PACKAGE.joinpath(*module.split(".")[1:])
    found = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in found if file.is_file()), None)


def imports(tree: ast.AST, within: str = "module") -> Iterator[tuple[str, int, str]]:
    """Yield (module, line, where) of each import: in a "function", for "typing" or at "module"."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno, within) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            submodules = [f"{node.module}.{alias.name}" for alias in node.names]
            inside = node.module.startswith("daart_fast")
            found = {(one if inside and file_of(one) else node.module) for one in submodules}
            yield from ((one, node.lineno, within) for one in sorted(found))
        elif isinstance(node, ast.FunctionDef) and node.name == "__getattr__":
            yield from imports(node, "getattr")  # a name that is kept for daart's scripts
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from imports(node, "function")
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from imports(node, "typing")
        else:
            yield from imports(node, within)


@cache
def parsed(path: Path) -> tuple[tuple[str, int, str], ...]:
    return tuple(imports(ast.parse(path.read_text(encoding="utf-8"))))


@cache
def slow_packages(module: str) -> frozenset[str]:
    """What importing a module brings of `SLOW`."""
    loaded: set[str] = set()
    waiting, found = [module], set()
    while waiting:
        name = waiting.pop()
        if name in loaded:
            continue
        loaded.add(name)
        if (path := file_of(name)) is None:
            found |= {name.split(".")[0]} & SLOW
            continue
        waiting += [other for other, _, where in parsed(path) if where == "module"]
        while "." in name:  # a package's __init__ comes before its modules
            name = name.rpartition(".")[0]
            waiting.append(name)
    return frozenset(found)


@pytest.mark.slow
@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_a_module_imports_only_packages_below_its_own(path):
    own = name_of(path).split(".")[1:2]
    if not own or own[0] in SHIMS or own[0] == "__main__":
        return
    level = ORDER.index(own[0])
    upward = [
        f"line {line}: {module}"
        for module, line, _ in parsed(path)
        if module.startswith("daart_fast.")
        and module.split(".")[1] in ORDER
        and ORDER.index(module.split(".")[1]) > level
    ]
    assert upward == []


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_nothing_imports_the_names_kept_for_daart(path):
    if name_of(path).split(".")[-1] in SHIMS:
        return
    kept = {f"daart_fast.{name}" for name in SHIMS}
    used = [f"line {line}: {module}" for module, line, _ in parsed(path) if module in kept]
    assert used == []


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_a_function_imports_late_only_what_is_slow_to_import(path):
    at_start = slow_packages(name_of(path))
    pointless = [
        f"line {line}: {module}"
        for module, line, where in parsed(path)
        if where == "function"
        and module.startswith("daart_fast.")
        and module != "daart_fast._native"
        and not slow_packages(module) - at_start
    ]
    assert pointless == []
