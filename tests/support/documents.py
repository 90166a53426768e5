"""Programs in the pages of the documentation."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

LINK = re.compile(r"\]\(([^)#\s:]*)(?:#([^)\s]*))?\)")
HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)
BLOCK = re.compile(r"^```(\w*|\{[\w-]+\})\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NOT_RUN = {"text", "console", "{eval-rst}", "{toctree}"}
"""Blocks that are not run: installation, commands of these tests, printed output, directives.
`tests/behaviour/test_cli_documentation.py` checks sessions of command and answer line by line."""


def find_blocks(page: Path) -> list[tuple[str, str]]:
    return [(match[1], match[2]) for match in BLOCK.finditer(page.read_text(encoding="utf-8"))]


def find_broken_links(page: Path) -> list[str]:
    """Return the links of a page to files or headings that do not exist; URLs are not checked."""
    return [
        f"{page}: {match[0][1:]}"
        for match in LINK.finditer(BLOCK.sub("", page.read_text(encoding="utf-8")))
        if not _is_valid(page.parent / match[1] if match[1] else page, match[2])
    ]


def _is_valid(path: Path, anchor: str | None) -> bool:
    if not path.exists() or anchor is None:
        return path.exists()
    headings = HEADING.findall(BLOCK.sub("", path.read_text(encoding="utf-8")))
    return anchor in {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


def iter_programs(page: Path, python: str = sys.executable) -> Iterator[tuple[str, list[str]]]:
    """Yield the programs of a page, each as its text and its command.

    The Python blocks of a page form one program. The part above each shell block runs before
    that block, and the whole program runs at the end.

    Args:
        page: the file of the page.
        python: the path of the interpreter.
    """
    program, is_run = "", True
    for language, text in find_blocks(page):
        if language == "toml":
            tomllib.loads(text)
        elif language == "python":
            program, is_run = program + text, False
        elif language not in NOT_RUN:
            assert language == "sh", f"{page.name} has a block in {language or 'no language'}"
            if not is_run:
                yield program, [python, "-c", program]
                is_run = True
            yield text, ["bash", "-euo", "pipefail", "-c", text]
    if not is_run:
        yield program, [python, "-c", program]
