"""What is known of the native module without it: activations, and the stub that describes it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import daart_fast
from daart_fast.activations import ACTIVATIONS
from daart_fast.ops.native import NAMES, NUMBERS, OF_OUTPUT

native = pytest.importorskip("daart_fast._native")

STUB = ast.parse((Path(daart_fast.__file__).parent / "_native.pyi").read_text())
#: what depends on how the module was built
OPTIONAL = ("cuda_", "Cuda", "Block", "fma_rate", "round_trip")


def test_the_kernels_know_every_activation_and_no_more() -> None:
    assert set(native.activations) == set(ACTIVATIONS)
    assert tuple(native.activations) == NAMES
    assert [NUMBERS[name] for name in NAMES] == list(range(len(NAMES)))
    assert OF_OUTPUT[NUMBERS["tanh"]] and not OF_OUTPUT[NUMBERS["silu"]]


def described() -> dict[str, ast.stmt]:
    names = {}
    for node in STUB.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names[node.name] = node
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names[node.target.id] = node
    return names


def test_the_stub_describes_all_that_there_is() -> None:
    there = {name for name in dir(native) if not name.startswith("__")}
    stub = set(described())
    assert there <= stub
    assert all(name.startswith(OPTIONAL) for name in stub - there), stub - there


def test_the_stubs_structs_have_the_modules_fields() -> None:
    for name, node in described().items():
        fields = getattr(getattr(native, name, None), "_fields", None)
        if fields is not None:
            assert isinstance(node, ast.ClassDef)
            of_stub = [n.target.id for n in node.body if isinstance(n, ast.AnnAssign)]  # type: ignore[union-attr]
            assert of_stub == list(fields), name


def test_the_stubs_functions_take_the_modules_arguments() -> None:
    for name, node in described().items():
        if isinstance(node, ast.FunctionDef) and hasattr(native, name):
            names = [a.arg for a in (*node.args.args, *node.args.kwonlyargs)]
            signature = getattr(native, name).__doc__.splitlines()[0]
            for argument in names:
                assert f"{argument}: " in signature, f"{name}: {argument} is not in {signature}"
            assert signature.count(": ") == len(names), signature
