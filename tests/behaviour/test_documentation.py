"""Code blocks of the README and the docs: every block runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from examples.llmserver.server import run_model_server
from tests.support.documents import find_blocks, find_broken_links, iter_programs

ROOT = Path(__file__).parents[2]
FOLDERS = (".", "docs", "docs/coming-from", "docs/reference")
PAGES = [page for folder in FOLDERS for page in sorted((ROOT / folder).glob("*.md"))]
LANGSMITH = "ignore:'asyncio.iscoroutinefunction' is deprecated:DeprecationWarning"
"""The warning that Python 3.14 gives when langsmith is imported."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_code_block_runs(page: Path, tmp_path: Path) -> None:
    """Run the blocks in the order of the page, in one directory."""
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONWARNINGS": f"error,{LANGSMITH}",
        "PYTHONPATH": str(ROOT),
    }
    with run_model_server() as server:  # instead of OpenAI's
        environment |= {"OPENAI_BASE_URL": f"{server.url}/v1", "OPENAI_API_KEY": "secret"}
        for text, command in iter_programs(page):
            done = subprocess.run(
                command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
            assert "Traceback" not in done.stderr
        if page == ROOT / "docs" / "llm.md":
            assert len(server.requests) == 1  # the second call is a hit


def test_no_page_needs_a_checkout() -> None:
    for page in PAGES:
        for language, text in find_blocks(page):
            if language == "python":
                assert not re.search(r"^(from|import) (examples|tests)\b", text, re.MULTILINE)


def test_every_link_names_a_file_or_a_heading(tmp_path: Path) -> None:
    """Check all pages of the repository; the site checks only links between its own pages."""
    folders = (".", "benchmarks", "examples", ".github")
    pages = [page for folder in folders for page in (ROOT / folder).glob("*.md")]
    pages += (ROOT / "docs").rglob("*.md")
    assert [link for page in pages for link in find_broken_links(page)] == []
    page = tmp_path / "page.md"
    page.write_text("# A page\n[one](#a-page) [two](#none) [three](none.md) [four](page.md#none)\n")
    assert [link.partition(": ")[2] for link in find_broken_links(page)] == [
        "(#none)",
        "(none.md)",
        "(page.md#none)",
    ]
