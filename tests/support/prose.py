"""Measures of the language in the library and in the documentation.

``python -m tests.support.prose`` prints a table of all figures with their limits.
``python -m tests.support.prose PATH ...`` prints the places in these files and folders.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from tests.support.package_source import LIBRARY, ROOT

PYTHON, MARKDOWN = ".py", ".md"
GLOSSARY = ROOT / "docs" / "glossary.md"


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of prose: a string, a comment, or the text of a page without its code blocks.

    Attributes:
        path: the file.
        line: the line number at which the text begins.
        text: the text.
        is_function_docstring: whether it is the docstring of a function.
    """

    path: Path
    line: int
    text: str
    is_function_docstring: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the prose that breaks a rule."""

    path: Path
    line: int
    rule: str
    text: str

    def __str__(self) -> str:
        path = self.path.relative_to(ROOT) if self.path.is_relative_to(ROOT) else self.path
        return f"{path}:{self.line}: {self.rule}: {self.text}"


@dataclass(frozen=True, slots=True)
class Rule:
    """A pattern that the prose should not contain, and the limits of its rate.

    Attributes:
        name: the name in reports.
        pattern: the pattern.
        limits: the largest rate by the suffix of the files: matches per 1,000 words, or
            percent of the docstrings.
        of_docstrings: whether the rule counts docstrings of functions instead of words.
    """

    name: str
    pattern: re.Pattern[str]
    limits: dict[str, float]
    of_docstrings: bool = False


# A clause such as "What expires is ..." or "Who waits ...". A question may contain these words.
_CLAUSE = r"\b(?:what|who|whoever)\b(?![^.?!]{0,80}\?)"
_PEOPLE = r"\b(?:nobody|somebody|anybody|everybody|whoever|he|his)\b"
_DATED = r"\b(?:is over|anew|for ever|by and by|told|tells of)\b"
# Words that are never an imperative verb.
_NO_VERB = (
    r"(?:an?|the|this|these|those|each|every|all|one|what|who|whose|whoever|whether|how|when|"
    r"where|why|if|as|of|in|on|at|by|for|from|to|no|not|only|same)\b"
)

_CODE = re.compile(r"``[^`]*``|`[^`\n]*`")
# A row of the glossary: a term, its meaning, and words that are not used for it.
_ROW = re.compile(r"^\| (?!term |---)[^|]*\|[^|]*\| ([^|]*) \|$", re.MULTILINE)


def read_glossary(text: str) -> re.Pattern[str]:
    """Return a pattern of the words that the rows of a glossary replace."""
    words = [word for row in _ROW.findall(text) for word in re.findall("`([^`]+)`", row)]
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, words))})(?:e?[sd])?\b", re.IGNORECASE)


RULES = (
    Rule("headless clause", re.compile(_CLAUSE, re.IGNORECASE), {PYTHON: 1.5, MARKDOWN: 2.0}),
    Rule("person for a program", re.compile(_PEOPLE, re.IGNORECASE), {PYTHON: 0.2, MARKDOWN: 0.2}),
    Rule("dated expression", re.compile(_DATED, re.IGNORECASE), {PYTHON: 0.3, MARKDOWN: 0.3}),
    Rule(
        "docstring without a verb at its begin",
        re.compile(rf"\A\s*{_NO_VERB}", re.IGNORECASE),
        {PYTHON: 10.0},
        of_docstrings=True,
    ),
    Rule(
        "word that the glossary replaces",
        read_glossary(GLOSSARY.read_text(encoding="utf-8")),
        {PYTHON: 0.0, MARKDOWN: 0.0},
    ),
)


def list_files(suffix: str) -> list[Path]:
    """Return the files whose prose is measured: the modules of the library, or the pages."""
    if suffix == PYTHON:
        return sorted((ROOT / LIBRARY).rglob("*.py"))
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


@cache
def read_passages(path: Path) -> list[Passage]:
    """Return the prose of a Python module or of a Markdown page, without code in a line."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == MARKDOWN:
        return [Passage(path, 1, _CODE.sub("", _blank_code_blocks(text)))]
    passages = [*_iter_strings(path, text), *_iter_comments(path, text)]
    return [replace(passage, text=_CODE.sub("", passage.text)) for passage in passages]


def read_names(path: Path) -> set[str]:
    """Return the names of classes, functions, parameters and attributes that a module defines."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case (
                ast.ClassDef(name=name)
                | ast.FunctionDef(name=name)
                | ast.AsyncFunctionDef(name=name)
            ):
                names.add(name)
            case ast.arg(arg=name) | ast.Attribute(attr=name, ctx=ast.Store()):
                names.add(name)
            case _:
                pass
    return names


def find_places(rule: Rule, passages: Iterable[Passage]) -> Iterator[Place]:
    """Yield the places that break a rule."""
    for passage in passages:
        if rule.of_docstrings and not passage.is_function_docstring:
            continue
        for match in rule.pattern.finditer(passage.text):
            before = passage.text[: match.start()]
            start = before.rfind("\n") + 1
            line = passage.text[start:].partition("\n")[0].strip()
            yield Place(passage.path, passage.line + before.count("\n"), rule.name, line)


def measure_rate(rule: Rule, passages: Sequence[Passage]) -> float:
    """Return the rate of a rule: per 1,000 words, or in percent of the docstrings."""
    count = sum(1 for _ in find_places(rule, passages))
    if rule.of_docstrings:
        return 100 * count / max(1, sum(passage.is_function_docstring for passage in passages))
    return 1000 * count / max(1, sum(len(passage.text.split()) for passage in passages))


def format_table() -> str:
    """Return the rates of all rules with their limits as a table."""
    lines = [f"{'':52}{'rate':>8}{'limit':>8}"]
    for suffix, title in ((PYTHON, LIBRARY), (MARKDOWN, "pages")):
        passages = [passage for path in list_files(suffix) for passage in read_passages(path)]
        for rule in RULES:
            if suffix in rule.limits:
                rate, limit = measure_rate(rule, passages), rule.limits[suffix]
                mark = "  too many" if rate > limit else ""
                lines.append(f"{f'{title}: {rule.name}':52}{rate:8.2f}{limit:8.2f}{mark}")
    return "\n".join(lines)


def _iter_strings(path: Path, text: str) -> Iterator[Passage]:
    tree = ast.parse(text)
    docstrings = {
        node.body[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and isinstance(node.body[0], ast.Expr)
    }
    lists = {
        node.func.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "split"
    }
    for node in ast.walk(tree):
        if node in lists:  # a list of words is not prose
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield Passage(path, node.lineno, node.value, node in docstrings)


def _iter_comments(path: Path, text: str) -> Iterator[Passage]:
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield Passage(path, token.start[0], token.string.lstrip("#"))


def _blank_code_blocks(text: str) -> str:
    return re.sub(r"```.*?```", lambda block: "\n" * block[0].count("\n"), text, flags=re.DOTALL)


def _main(arguments: Sequence[str]) -> None:
    if not arguments:
        sys.stdout.write(f"{format_table()}\n")
        return
    for argument in map(Path, arguments):
        files = argument.rglob("*") if argument.is_dir() else [argument]
        for path in sorted(file for file in files if file.suffix in (PYTHON, MARKDOWN)):
            for rule in RULES:
                for place in find_places(rule, read_passages(path)):
                    sys.stdout.write(f"{place}\n")


if __name__ == "__main__":
    _main(sys.argv[1:])
