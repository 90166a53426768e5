"""Syntax trees of functions: a text of the source that is the same on every version of Python.

The text contains all that affects the result of the function. Comments, formatting, the docstring
and the decorators are left out.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import os
import re
import types
import warnings
from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any
from weakref import ref

from aiocache_pe.keys.canonical import canonicalize
from aiocache_pe.runtime.interrupts import raise_interrupt

_UNUSED = {"ctx", "kind", "type_comment", "type_ignores"}  # fields of a tree
_INVALID_ESCAPE = re.compile(r"""\\[^\n\\'"abfnrtvxNuU0-7]""")
_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_Stamp = tuple[int, int] | None
_texts: dict[int, tuple[ref[types.CodeType], str]] = {}
"""Texts by the identity of the code; equal codes may have different sources, as for a default."""


class Sources:
    """Texts of the code of functions: of the source, or of the bytecode if there is no source.

    A file that is edited after its import is not the source of the running function.

    Args:
        codes: code whose files count as they are now.

    Attributes:
        has_bytecode: whether a text is that of bytecode, which depends on the version of Python.
    """

    __slots__ = ("_known", "_stamps", "has_bytecode")

    def __init__(self, codes: Iterable[types.CodeType]) -> None:
        self._stamps = {code.co_filename: _read_stamp(code) for code in codes}
        self._known: dict[int, tuple[types.CodeType, str]] = {}
        self.has_bytecode = False

    def read(self, code: types.CodeType) -> str:
        """Return the text of the code of a function; it stays the same after an edit."""
        at = id(code)
        if at not in self._known:
            found = _texts.get(at)
            is_found = found is not None and found[0]() is code
            self._known[at] = code, found[1] if found and is_found else self._render(code)
        return self._known[at][1]

    def _render(self, code: types.CodeType) -> str:
        text, stamp, at = render_source(code), _read_stamp(code), id(code)
        if text is None or stamp != self._stamps.setdefault(code.co_filename, stamp):
            self.has_bytecode = True
            return f"bytecode {_render_code(code)}"
        _texts[at] = ref(code, lambda _: _texts.pop(at, None)), text
        return text


def _read_stamp(code: types.CodeType) -> _Stamp:
    try:
        stat = os.stat(code.co_filename)  # noqa: PTH116 - a Path takes three times as long
    except (OSError, ValueError) as error:
        raise_interrupt(error)
        return None
    return stat.st_mtime_ns, stat.st_size


def _render_code(code: types.CodeType) -> str:
    constants = [
        _render_code(each) if isinstance(each, types.CodeType) else canonicalize(each)
        for each in code.co_consts
    ]
    names = code.co_name, code.co_names, code.co_varnames, code.co_freevars
    return canonicalize([code.co_code, names, constants, code.co_flags])


def render_source(code: types.CodeType) -> str | None:
    """Return the text of a function's source; ``None`` if there is no source."""
    try:
        node = _find_node(code)
    except (OSError, TypeError, SyntaxError, ValueError, RecursionError) as error:
        raise_interrupt(error)
        return None
    except SystemError:  # Python up to 3.12 cannot parse two sources at once in rare cases
        return None
    return None if node is None else render_tree(node)


def list_decorators(code: types.CodeType) -> list[ast.expr]:
    """Return the decorators in a function's source from top to bottom; empty without a source."""
    try:
        node = _find_node(code)
    except (OSError, TypeError, SyntaxError, ValueError, RecursionError, SystemError):
        return []
    return [] if node is None or isinstance(node, ast.Lambda) else node.decorator_list


def _find_node(code: types.CodeType) -> _Function | None:
    """Return the syntax tree of a function; ``None`` if the source has no such function.

    Raises:
        OSError: there is no source.
        SyntaxError: the source cannot be parsed.
    """
    lines, _ = inspect.findsource(code)
    if code.co_name == "<lambda>":
        return _find_lambda(_parse("".join(lines)), code)
    block = "".join(inspect.getblock(lines[code.co_firstlineno - 1 :]))
    # In a block, an indented function keeps the texts in it as they are.
    tree = _parse(f"if 1:\n{block}" if block[:1].isspace() else block)
    for node in ast.walk(tree):  # the outermost function comes first
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            return node if node.name == code.co_name and _has_names(node, code) else None
    return None


def _parse(source: str) -> ast.Module:
    """Return the tree of a source, without the warnings that its import has shown."""
    is_doubtful = _INVALID_ESCAPE.search(source) is not None
    # `catch_warnings` affects other threads, so it is used for few functions.
    with warnings.catch_warnings() if is_doubtful else nullcontext():
        if is_doubtful:
            warnings.simplefilter("ignore")
        return ast.parse(source)


def _find_lambda(tree: ast.Module, code: types.CodeType) -> ast.Lambda | None:
    """Return the innermost lambda that begins in the line of the code and contains its parts."""
    places = [
        (line, column, end_line, end_column)
        for line, end_line, column, end_column in itertools.islice(code.co_positions(), 1, None)
        if line and end_line and column is not None and end_column is not None and end_column
    ]
    found = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Lambda)
        and node.lineno == code.co_firstlineno
        and _has_names(node, code)
        and all(_contains(node.body, *place) for place in places)
    ]
    inner = [node for node in found if all(_contains(each, *_get_place(node)) for each in found)]
    return inner[0] if len(inner) == 1 and places else None


def _get_place(node: Any) -> tuple[int, int, int, int]:
    return node.lineno, node.col_offset, node.end_lineno, node.end_col_offset


def _contains(node: Any, line: int, column: int, end_line: int, end_column: int) -> bool:
    start_line, start_column, last_line, last_column = _get_place(node)
    return (start_line, start_column) <= (line, column) and (end_line, end_column) <= (
        last_line,
        last_column,
    )


def _has_names(node: _Function, code: types.CodeType) -> bool:
    """Return whether a function has the parameters of the code; a source may be another one."""
    parameters = node.args
    names = [each.arg for each in (*parameters.posonlyargs, *parameters.args)]
    names += [each.arg for each in parameters.kwonlyargs]
    names += [each.arg for each in (parameters.vararg, parameters.kwarg) if each is not None]
    # In a class, ``__name`` is ``_Class__name``.
    known = code.co_varnames[: len(names)]
    return len(known) == len(names) and all(map(str.endswith, known, names))


def render_tree(node: ast.AST) -> str:
    """Return a text of a function's tree, without what does not change its result.

    The text is the same for all versions of Python. Newer versions have more fields, which are
    empty, and cut texts with fields (``f"..."``) into other pieces.

    Example:
        >>> render_tree(ast.parse("lambda: f(1)  # a comment", mode="eval").body)
        'Lambda(args=arguments()body=Call(func=Name(id=s1:f)args=[Constant(i1;)]))'
    """
    out: list[str] = []
    _write(node, out, is_outermost=True)
    return "".join(out)


def _write(value: Any, out: list[str], *, is_outermost: bool = False) -> None:
    if isinstance(value, list):
        out.append("[")
        for each in value:
            _write(each, out)
        out.append("]")
    elif isinstance(value, ast.Constant):
        out.append(f"Constant({canonicalize(value.value)})")
    elif isinstance(value, ast.AST):
        out.append(f"{type(value).__name__}(")
        for name in value._fields:
            child: Any = getattr(value, name, None)
            if name in _UNUSED or (is_outermost and name == "decorator_list"):
                continue
            if is_outermost and name == "body" and not isinstance(value, ast.Lambda):
                child = child[1:] if _is_text(child[0]) else child
            elif type(value).__name__ in ("JoinedStr", "TemplateStr"):
                child = _join_texts(child)
            if child is None or child == [] or _is_empty_format(name, child):
                continue
            out.append(f"{name}=")
            _write(child, out)
        out.append(")")
    else:
        out.append(canonicalize(value))


def _is_text(statement: ast.stmt) -> bool:
    """Return whether a statement is only a text, as a docstring is."""
    value = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def _is_empty_format(name: str, child: Any) -> bool:
    return name == "format_spec" and not _join_texts(child.values)


def _join_texts(pieces: list[Any]) -> list[Any]:
    """Return the pieces of an f-string with adjacent texts joined and empty ones left out."""
    joined: list[Any] = []
    for is_text, group in itertools.groupby(pieces, lambda each: isinstance(each, ast.Constant)):
        if is_text:
            text = "".join(each.value for each in group)
            joined += [ast.Constant(text)] if text else []
        else:
            joined += group
    return joined
