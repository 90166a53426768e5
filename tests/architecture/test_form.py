"""Public modules, classes and functions have docstrings."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator

import pytest

from tests.support.package_source import ROOT, modules, tree

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def test_everything_public_says_what_it_is() -> None:
    silent = [f"{path}:{line} {name}" for path, line, name in undocumented()]
    assert not silent, "\n".join(["no docstring:", *silent])


def undocumented() -> Iterator[tuple[str, int, str]]:
    for module, path in modules().items():
        for name, node in public(tree(module), module):
            if ast.get_docstring(node) is None:
                yield str(path.relative_to(ROOT)), getattr(node, "lineno", 1), name


def public(node: Documented, name: str) -> Iterator[tuple[str, Documented]]:
    """A module or class and what is public in it; what is inside a function is not."""
    yield name, node
    if not isinstance(node, ast.Module | ast.ClassDef):
        return
    for child in node.body:
        if (
            isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and not child.name.startswith(("_", "test_"))  # a test's name says it
            and not is_variant(child)
        ):
            yield from public(child, f"{name}.{child.name}")


def is_variant(node: Documented) -> bool:
    """An overload or a setter: its docstring stands with the function proper."""
    decorators = getattr(node, "decorator_list", [])
    return any(ast.unparse(one).endswith(("overload", ".setter")) for one in decorators)


def declares_all() -> list[str]:
    return [
        module
        for module in modules()
        if any(
            isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
            for node in tree(module).body
        )
    ]


@pytest.mark.parametrize("module", declares_all())
def test_all_is_sorted_and_names_what_is_there(module: str) -> None:
    loaded = importlib.import_module(module)
    names = loaded.__all__
    assert [name for name in names if not hasattr(loaded, name)] == []
    assert list(names) == sorted(set(names), key=as_ruff_sorts)


def as_ruff_sorts(name: str) -> tuple[int, str]:
    """Constants, then classes, then the rest, as ruff's RUF022 puts them."""
    if name.isupper():
        return 0, name
    return (1, name) if name[:1].isupper() else (2, name)


def test_the_front_door_names_all_it_shows() -> None:
    """To type checkers and to programs it shows the same, from the same modules."""
    [guarded] = [node for node in tree("aiocache_pe").body if isinstance(node, ast.If)]
    assert ast.unparse(guarded.test) == "TYPE_CHECKING"
    shown = {
        alias.name: node.module
        for node in guarded.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    named = set(importlib.import_module("aiocache_pe").__all__)
    assert set(shown) == named - {"__version__"}
    assert shown == importlib.import_module("aiocache_pe._exports").HOMES
