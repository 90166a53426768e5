"""Small faults that a test should find: one change of one expression or statement of a module."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.Is: "is not",
    ast.IsNot: "is",
    ast.In: "not in",
    ast.NotIn: "in",
}
OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "//",
    ast.Div: "*",
    ast.FloorDiv: "*",
    ast.Mod: "*",
    ast.BitAnd: "|",
    ast.BitOr: "&",
    ast.LShift: ">>",
    ast.RShift: "<<",
}


@dataclass(frozen=True, slots=True)
class Mutation:
    """Replacement of one part of a module's source.

    Attributes:
        kind: name of the change.
        line: number of the first line, from 1.
        start: offset of the replaced part in the encoded source, in bytes.
        end: offset behind the part, in bytes.
        old: the replaced text.
        new: the text in its place.
    """

    kind: str
    line: int
    start: int
    end: int
    old: str
    new: str

    def apply(self, source: bytes) -> bytes:
        """Return the source with the change."""
        return source[: self.start] + self.new.encode() + source[self.end :]


class Finder:
    """Finder of all mutations of one module."""

    def __init__(self, source: bytes) -> None:
        """Read the source, encoded in UTF-8."""
        self._source = source
        self._starts = [0]
        for line in source.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))

    def find(self) -> list[Mutation]:
        """Return the mutations in the order of the source.

        Annotations, docstrings, messages of exceptions, and code that runs for a type checker
        only are left as they are.
        """
        found = self._walk(ast.parse(self._source))
        unique = {(each.start, each.end, each.new): each for each in found}
        return sorted(unique.values(), key=lambda each: (each.start, each.end, each.kind))

    def _walk(self, node: ast.AST) -> Iterator[Mutation]:
        yield from self._mutate(node)
        for child in _iter_children(node):
            yield from self._walk(child)

    def _mutate(self, node: ast.AST) -> Iterator[Mutation]:  # noqa: C901, PLR0912 - a table of kinds
        match node:
            case ast.Compare(left=left, ops=[operator], comparators=[right]):
                new = f"{self._text(left)} {COMPARISONS[type(operator)]} {self._text(right)}"
                yield self._replace("comparison", node, f"({new})")
            case ast.BoolOp(op=operator, values=values):
                word = " or " if isinstance(operator, ast.And) else " and "
                new = word.join(f"({self._text(value)})" for value in values)
                yield self._replace("and, or", node, f"({new})")
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                yield self._replace("not", node, f"bool({self._text(operand)})")
            case ast.BinOp(left=left, op=operator, right=right) if type(operator) in OPERATORS:
                new = f"{self._text(left)} {OPERATORS[type(operator)]} {self._text(right)}"
                yield self._replace("operator", node, f"({new})")
            case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
                yield self._replace("condition", test, f"(not ({self._text(test)}))")
            case ast.Constant(value=bool() as value):
                yield self._replace("constant", node, repr(not value))
            case ast.Constant(value=int() as value):
                yield self._replace("constant", node, repr(value + 1))
            case ast.Expr(value=ast.Call() | ast.Await()):
                yield self._replace("statement removed", node, "pass")
            case ast.Assign(targets=[ast.Attribute()]) | ast.AugAssign() | ast.Delete():
                yield self._replace("statement removed", node, "pass")
            case ast.Break():
                yield self._replace("break, continue", node, "continue")
            case ast.Continue():
                yield self._replace("break, continue", node, "break")
            case ast.Return(value=ast.expr() as value) if not _is_none(value):
                yield self._replace("result", value, "None")
            case _:
                pass

    def _replace(self, kind: str, node: ast.stmt | ast.expr, new: str) -> Mutation:
        start = self._starts[node.lineno - 1] + node.col_offset
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        end = self._starts[node.end_lineno - 1] + node.end_col_offset
        return Mutation(kind, node.lineno, start, end, self._text(node), new)

    def _text(self, node: ast.stmt | ast.expr) -> str:
        start = self._starts[node.lineno - 1] + node.col_offset
        end = self._starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)
        return self._source[start:end].decode()


def _is_none(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is None


def _iter_children(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the parts of a node that may be changed."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            yield from node.body
            yield from node.args.defaults
            yield from (default for default in node.args.kw_defaults if default is not None)
        case ast.AnnAssign(value=value):
            if value is not None:
                yield value
        case ast.ClassDef(body=body):
            yield from body
        case ast.Call(func=ast.Name(id="TypeVar" | "NewType" | "cast" | "ParamSpec")):
            return
        case ast.Call(func=ast.Attribute(attr="debug" | "info" | "warning" | "exception")):
            return
        case ast.If(test=ast.Name(id="TYPE_CHECKING"), orelse=orelse):
            yield from orelse
        case ast.Assign(targets=[ast.Name(id="__slots__" | "__all__")]):
            return
        case ast.Raise() | ast.JoinedStr() | ast.Expr(value=ast.Constant()):
            return
        case _:
            yield from ast.iter_child_nodes(node)
