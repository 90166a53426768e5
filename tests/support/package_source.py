"""The library's source, read and not run: its modules, their syntax trees, their imports."""

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
        line: where.
        hidden: it stands inside a function, or in a string that is imported later.
        typing: it stands under ``if TYPE_CHECKING``.
    """

    source: str
    target: str
    line: int
    hidden: bool
    typing: bool

    def __str__(self) -> str:
        path = modules()[self.source].relative_to(ROOT)
        return f"{path}:{self.line} imports {self.target}"


@functools.cache
def modules() -> dict[str, Path]:
    """Every module of the library, by its dotted name."""
    found = {}
    for path in sorted((ROOT / LIBRARY).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


@functools.cache
def tree(module: str) -> ast.Module:
    """A module's syntax tree."""
    return ast.parse(modules()[module].read_bytes())


@functools.cache
def imports(module: str) -> tuple[Import, ...]:
    """What a module imports, of the library and of others."""
    return tuple(_imports(module, tree(module), hidden=False, typing=False))


def own_imports() -> list[Import]:
    """All imports inside the library."""
    return [i for module in modules() for i in imports(module) if i.target in modules()]


def foreign_imports() -> list[Import]:
    """All imports of what is not the library."""
    return [i for module in modules() for i in imports(module) if i.target not in modules()]


def _imports(module: str, node: ast.AST, *, hidden: bool, typing: bool) -> Iterator[Import]:
    for target in _targets(module, node):
        late = hidden or isinstance(node, ast.Constant)
        yield Import(module, target, getattr(node, "lineno", 0), late, typing)
    if isinstance(node, ast.Call) and "getLogger" in ast.unparse(node.func):
        return  # a logger's name looks like a module's and imports nothing
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        for guarded in node.body:
            yield from _imports(module, guarded, hidden=hidden, typing=True)
        for other in node.orelse:
            yield from _imports(module, other, hidden=hidden, typing=typing)
        return
    hidden = hidden or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    for child in ast.iter_child_nodes(node):
        yield from _imports(module, child, hidden=hidden, typing=typing)


def _targets(module: str, node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Import():
            yield from (alias.name for alias in node.names)
        case ast.ImportFrom():
            base = _base(module, node)
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield inner if inner in modules() else base
        case ast.Constant(value=str(text)) if text.startswith(f"{LIBRARY}."):
            # "aiocache_pe.backends.redis:RedisBackend", for importlib
            name = text.partition(":")[0]
            while name != LIBRARY and name not in modules():
                name = name.rpartition(".")[0]
            if name != LIBRARY and " " not in text:
                yield name
        case _:
            pass


def _base(module: str, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    is_package = modules()[module].name == "__init__.py"
    parts = module.split(".")
    above = parts[: len(parts) - node.level + is_package]
    return ".".join([*above, *filter(None, [node.module])])
