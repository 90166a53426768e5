"""Source of the library, read without running it: modules, syntax trees and imports."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIBRARY = "aiocache_pe"


@dataclass(frozen=True, slots=True)
class Import:
    """One import of one module.

    Attributes:
        source: the module that imports.
        target: the module that is imported.
        line: the line number in the source module.
        hidden: the import is inside a function, or in a string that is imported later.
        typing: the import is under ``if TYPE_CHECKING``.
    """

    source: str
    target: str
    line: int
    hidden: bool
    typing: bool

    def __str__(self) -> str:
        path = list_modules()[self.source].relative_to(ROOT)
        return f"{path}:{self.line} imports {self.target}"


@functools.cache
def list_modules() -> dict[str, Path]:
    """Return the path of each module of the library by its dotted name."""
    paths = {}
    for path in sorted((ROOT / LIBRARY).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        paths[".".join(parts).removesuffix(".__init__")] = path
    return paths


@functools.cache
def parse_module(module: str) -> ast.Module:
    """Return the syntax tree of a module."""
    return ast.parse(list_modules()[module].read_bytes())


@functools.cache
def list_imports(module: str) -> tuple[Import, ...]:
    """Return the imports of a module: modules of the library and of other packages."""
    return tuple(_iter_imports(module, parse_module(module), hidden=False, typing=False))


def list_own_imports() -> list[Import]:
    """Return all imports between modules of the library."""
    modules = list_modules()
    return [i for module in modules for i in list_imports(module) if i.target in modules]


def list_foreign_imports() -> list[Import]:
    """Return all imports of modules outside the library."""
    modules = list_modules()
    return [i for module in modules for i in list_imports(module) if i.target not in modules]


def _iter_imports(module: str, node: ast.AST, *, hidden: bool, typing: bool) -> Iterator[Import]:
    for target in _iter_targets(module, node):
        late = hidden or isinstance(node, ast.Constant)
        yield Import(module, target, getattr(node, "lineno", 0), late, typing)

    if isinstance(node, ast.Call) and "getLogger" in ast.unparse(node.func):
        return  # the name of a logger looks like that of a module and imports nothing
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        for guarded in node.body:
            yield from _iter_imports(module, guarded, hidden=hidden, typing=True)
        for other in node.orelse:
            yield from _iter_imports(module, other, hidden=hidden, typing=typing)
        return

    hidden = hidden or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    for child in ast.iter_child_nodes(node):
        yield from _iter_imports(module, child, hidden=hidden, typing=typing)


def _iter_targets(module: str, node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Import():
            yield from (alias.name for alias in node.names)
        case ast.ImportFrom():
            base = _resolve_base(module, node)
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield inner if inner in list_modules() else base
        case ast.Constant(value=str(text)) if text.startswith(f"{LIBRARY}."):
            # "aiocache_pe.backends.redis:RedisBackend", for importlib
            name = text.partition(":")[0]
            while name != LIBRARY and name not in list_modules():
                name = name.rpartition(".")[0]
            if name != LIBRARY and " " not in text:
                yield name
        case _:
            pass


def _resolve_base(module: str, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    is_package = list_modules()[module].name == "__init__.py"
    parts = module.split(".")
    above = parts[: len(parts) - node.level + is_package]
    return ".".join([*above, *filter(None, [node.module])])
