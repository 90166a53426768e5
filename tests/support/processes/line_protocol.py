"""Processes that read commands and print results, one a line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.support.polling import make_environment

ROOT = Path(__file__).parents[3]


@contextmanager
def start_process(module: str, *arguments: object) -> Generator[subprocess.Popen[str], None, None]:
    """Start a process that runs a module, with pipes for its input and output.

    The process is killed when the block ends.

    Args:
        module: dotted name of the module.
        arguments: the arguments of the process.
    """
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
