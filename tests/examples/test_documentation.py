"""Every code block of the README and the docs runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NOT_RUN = {"text", "console"}
"""What a reader types that installs, or runs these very tests, and what programs print.
Sessions, command and answer, are checked line by line in `tests/unit/cli/test_docs.py`."""


def blocks(page: Path) -> list[tuple[str, str]]:
    return [(match[1], match[2]) for match in BLOCK.finditer(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_code_block_runs(page: Path, tmp_path: Path) -> None:
    """In the order of the page and in one directory; a page's Python is one program."""
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONWARNINGS": "error",
        "PYTHONPATH": str(ROOT),
    }
    program = ""
    for language, text in blocks(page):
        if language in NOT_RUN:
            continue
        if language == "toml":
            tomllib.loads(text)
            continue
        if language == "python":
            program += text
            command = [sys.executable, "-c", program]
        else:
            assert language == "sh", f"{page.name} has a block in {language or 'no language'}"
            command = ["bash", "-euo", "pipefail", "-c", text]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
