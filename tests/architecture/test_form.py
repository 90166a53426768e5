"""Docstrings of public modules, classes and functions; the lists of public names."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator

import pytest

from tests.support.package_source import ROOT, list_modules, parse_module

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def test_everything_public_has_a_docstring() -> None:
    missing = [f"{path}:{line} {name}" for path, line, name in iter_undocumented()]
    assert not missing, "\n".join(["no docstring:", *missing])


def iter_undocumented() -> Iterator[tuple[str, int, str]]:
    for module, path in list_modules().items():
        for name, node in iter_public(parse_module(module), module):
            if ast.get_docstring(node) is None:
                yield str(path.relative_to(ROOT)), getattr(node, "lineno", 1), name


def iter_public(node: Documented, name: str) -> Iterator[tuple[str, Documented]]:
    """Yield a module or class and its public members; functions inside functions are not."""
    yield name, node
    if not isinstance(node, ast.Module | ast.ClassDef):
        return
    for child in node.body:
        if (
            isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and not child.name.startswith(("_", "test_"))  # a test is described by its name
            and not is_variant(child)
        ):
            yield from iter_public(child, f"{name}.{child.name}")


def is_variant(node: Documented) -> bool:
    """Return whether a function is an overload or a setter, documented at the main function."""
    decorators = getattr(node, "decorator_list", [])
    return any(ast.unparse(one).endswith(("overload", ".setter")) for one in decorators)


def list_modules_with_all() -> list[str]:
    return [
        module
        for module in list_modules()
        if any(
            isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
            for node in parse_module(module).body
        )
    ]


@pytest.mark.parametrize("module", list_modules_with_all())
def test_all_is_sorted_and_names_only_existing_attributes(module: str) -> None:
    loaded = importlib.import_module(module)
    names = loaded.__all__
    assert [name for name in names if not hasattr(loaded, name)] == []
    assert list(names) == sorted(set(names), key=make_ruff_sort_key)


def make_ruff_sort_key(name: str) -> tuple[int, str]:
    """Return a key for the order of ruff's RUF022: constants, then classes, then the rest."""
    if name.isupper():
        return 0, name
    return (1, name) if name[:1].isupper() else (2, name)


def test_type_checkers_and_programs_see_the_same_public_names() -> None:
    [guarded] = [node for node in parse_module("aiocache_pe").body if isinstance(node, ast.If)]
    assert ast.unparse(guarded.test) == "TYPE_CHECKING"
    seen_by_checkers = {
        alias.name: node.module
        for node in guarded.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    public = set(importlib.import_module("aiocache_pe").__all__)
    assert set(seen_by_checkers) == public - {"__version__"}
    assert seen_by_checkers == importlib.import_module("aiocache_pe._exports").MODULES
