"""Processes that are told what to do by a line, and answer by lines."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.support.polling import make_environment

ROOT = Path(__file__).parents[3]


@contextmanager
def talking(module: str, *arguments: object) -> Generator[subprocess.Popen[str], None, None]:
    """A process that runs a module, with pipes to its ends; it is killed in the end."""
    with subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=ROOT,
        env=make_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()
