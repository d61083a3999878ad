"""The operator stays a house that one can read: small modules, short functions, few parameters."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import threshold_operator

HOUSE = Path(threshold_operator.__file__).parent
MODULES = sorted(HOUSE.rglob("*.py"))
#: A function that may be longer, and why.
LONGER = {"telemetry.py Metrics.__init__": "one series after the other, nothing is decided"}


def functions(module: Path) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Each function with its name, such as ``telemetry.py Metrics.rests``."""

    def within(node: ast.AST, path: str) -> Iterator[tuple[str, ast.FunctionDef]]:
        for child in ast.iter_child_nodes(node):
            name = f"{path}{getattr(child, 'name', '')}"
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                yield name, child  # type: ignore[misc]
            deeper = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            yield from within(child, f"{name}." if deeper else path)

    yield from within(ast.parse(module.read_text()), f"{module.relative_to(HOUSE)} ")


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(HOUSE)))
def test_a_module_has_at_most_300_lines_and_a_function_30(module: Path) -> None:
    assert len(module.read_text().splitlines()) <= 300
    long = [
        name
        for name, found in functions(module)
        if (found.end_lineno or 0) - found.lineno >= 30 and name not in LONGER
    ]
    assert long == []


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(HOUSE)))
def test_a_constructor_takes_at_most_six_things(module: Path) -> None:
    many = [
        name
        for name, found in functions(module)
        if found.name == "__init__" and len(found.args.args) + len(found.args.kwonlyargs) > 7
    ]
    assert many == []


def test_each_room_says_what_lives_there() -> None:
    rooms = [path for path in HOUSE.iterdir() if (path / "__init__.py").exists()]
    assert len(rooms) == 6
    for room in rooms:
        assert ast.get_docstring(ast.parse((room / "__init__.py").read_text())), room


def test_what_an_object_is_is_said_once() -> None:
    said = [module for module in MODULES if "\nBody = " in module.read_text()]
    assert [module.name for module in said] == ["body.py"]
