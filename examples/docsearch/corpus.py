"""Documents of the search: every docstring of the standard library, with its location.

The sources are parsed and never imported, so no code of them runs. Modules written in C have no
source here and are omitted, as are the standard library's own tests.
"""

from __future__ import annotations

import ast
import sys
import sysconfig
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["module", "class", "function"]

STDLIB = Path(sysconfig.get_path("stdlib"))
_NOT_DOCUMENTATION = {"test", "tests", "idle_test", "lib2to3", "idlelib", "turtledemo"}


@dataclass(frozen=True, slots=True)
class Document:
    """Docstring of one object.

    Attributes:
        name: dotted name of the object.
        kind: kind of the object.
        text: the docstring, without its indentation.
        line: line of the object's definition in the source file.
    """

    name: str
    kind: Kind
    text: str
    line: int


def find_stdlib_modules(only: Iterable[str] = ()) -> Iterator[tuple[str, Path]]:
    """Yield the names and source files of the standard library's modules.

    Args:
        only: top-level modules to keep; all when empty.
    """
    for name in sorted(set(only) or sys.stdlib_module_names):
        package = STDLIB / name
        if (single := package.with_suffix(".py")).is_file():
            yield name, single
        elif name not in _NOT_DOCUMENTATION:
            for file in sorted(package.rglob("*.py")):
                parts = file.relative_to(STDLIB).with_suffix("").parts
                if not _NOT_DOCUMENTATION.intersection(parts):
                    yield ".".join(parts).removesuffix(".__init__"), file


def read_documents(only: Iterable[str] = ()) -> list[Document]:
    """Return every docstring of the modules.

    Args:
        only: top-level modules to keep; all when empty.
    """
    found: list[Document] = []
    for name, file in find_stdlib_modules(only):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of invalid escapes in old sources
            tree = ast.parse(file.read_bytes())
        found.extend(_docstrings(tree, name))
    return found


def _docstrings(node: ast.AST, name: str) -> Iterator[Document]:
    match node:
        case ast.Module():
            kind: Kind = "module"
        case ast.ClassDef():
            kind = "class"
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            kind = "function"
        case _:
            return
    if text := ast.get_docstring(node):
        yield Document(name, kind, text, getattr(node, "lineno", 1))
    if kind != "function":
        for child in node.body:
            if not (inner := getattr(child, "name", "_")).startswith("_"):
                yield from _docstrings(child, f"{name}.{inner}")
