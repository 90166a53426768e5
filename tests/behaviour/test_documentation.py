"""Code blocks of the README and the docs: every block runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NOT_RUN = {"text", "console"}
"""Blocks that are not run: installation, the commands of these tests, and printed output.
`tests/behaviour/test_cli_documentation.py` checks sessions of command and answer line by line."""

LANGSMITH = "ignore:'asyncio.iscoroutinefunction' is deprecated:DeprecationWarning"
"""The warning that Python 3.14 gives when langsmith is imported."""


def find_blocks(page: Path) -> list[tuple[str, str]]:
    return [(match[1], match[2]) for match in BLOCK.finditer(page.read_text(encoding="utf-8"))]


def iter_programs(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield the programs of a page, each as its text and its command.

    The Python blocks of a page form one program. The part above each shell block runs before
    that block, and the whole program runs at the end.
    """
    python, is_run = "", True
    for language, text in find_blocks(page):
        if language == "toml":
            tomllib.loads(text)
        elif language == "python":
            python, is_run = python + text, False
        elif language not in NOT_RUN:
            assert language == "sh", f"{page.name} has a block in {language or 'no language'}"
            if not is_run:
                yield python, [sys.executable, "-c", python]
                is_run = True
            yield text, ["bash", "-euo", "pipefail", "-c", text]
    if not is_run:
        yield python, [sys.executable, "-c", python]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_code_block_runs(page: Path, tmp_path: Path) -> None:
    """Run the blocks in the order of the page, in one directory."""
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONWARNINGS": f"error,{LANGSMITH}",
        "PYTHONPATH": str(ROOT),
    }
    for text, command in iter_programs(page):
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
