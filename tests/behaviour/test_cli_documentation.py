"""Examples of docs/cli.md: each command prints the output that the page shows."""

from __future__ import annotations

import doctest
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command_line import ROOT, make_environment

pytestmark = pytest.mark.usefixtures("interruptible")

PAGE = ROOT / "docs" / "cli.md"


def iter_examples() -> Iterator[tuple[str, str]]:
    """Yield each command of the page with the output shown below it."""
    for block in re.findall(r"^```console\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL):
        for example in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = example.partition("\n")
            yield command, output


def test_the_page_shows_the_real_output(tmp_path: Path) -> None:
    script = tmp_path / "aiocache-pe"
    script.write_text(f"#!{sys.executable}\nfrom aiocache_pe.cli.main import main\nmain()\n")
    script.chmod(0o755)
    env = make_environment()
    env["PATH"] = f"{tmp_path}:{env['PATH']}"
    checker = doctest.OutputChecker()
    for command, output in iter_examples():
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=tmp_path,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=60,
        )
        assert checker.check_output(output, done.stdout, doctest.ELLIPSIS), (command, done.stdout)


def test_every_block_of_the_page_is_an_example() -> None:
    fences = re.findall(r"^```(\w+)$", PAGE.read_text(), re.MULTILINE)
    assert set(fences) == {"console"}
    assert len(list(iter_examples())) > len(fences)
