"""A process that does what it is told to a cache, one order at a time.

``python -m tests.support.processes.obey_orders DIRECTORY``. An order is a line of JSON, ``["get",
"k"]``, and so is the answer. `Partner` is the side that gives the orders.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

from aiocache_pe import CacheManager

ROOT = Path(__file__).parents[3]


class Partner:
    """Another process with a manager over the same directory."""

    def __init__(self, directory: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.processes.obey_orders", str(directory)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def do(self, verb: str, *args: Any, **kwargs: Any) -> Any:
        """Have something done; returns when it is, with its result."""
        orders, answers = self._process.stdin, self._process.stdout
        assert orders is not None
        assert answers is not None
        orders.write(json.dumps([verb, args, kwargs]).encode() + b"\n")
        orders.flush()
        answer = answers.readline()
        assert answer, f"the partner ended, {self._process.wait()}"
        return json.loads(answer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()  # closes its orders, and so it goes


class Here:
    """The same in this process, so that both can change roles."""

    def __init__(self, runner: asyncio.Runner, cache: CacheManager) -> None:
        self._runner = runner
        self._cache = cache

    def do(self, verb: str, *args: Any, **kwargs: Any) -> Any:
        """Have something done; returns when it is, with its result."""
        return self._runner.run(getattr(self._cache, verb)(*args, **kwargs))


def _serve(directory: str) -> None:
    with asyncio.Runner() as runner:
        here = Here(runner, CacheManager(directory=directory))
        for line in sys.stdin:
            verb, args, kwargs = json.loads(line)
            sys.stdout.write(json.dumps(here.do(verb, *args, **kwargs)) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    _serve(sys.argv[1])
