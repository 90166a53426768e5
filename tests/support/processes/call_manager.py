"""Process that calls methods of a manager, as another process requests.

``python -m tests.support.processes.call_manager DIRECTORY``. A request is a line of JSON,
``["get", ["k"], {}]``, and so is its result. `RemoteManager` is the side that sends requests.
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


class RemoteManager:
    """A manager over the same directory in another process."""

    def __init__(self, directory: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.processes.call_manager", str(directory)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method and return its result."""
        requests, results = self._process.stdin, self._process.stdout
        assert requests is not None
        assert results is not None
        requests.write(json.dumps([method, args, kwargs]).encode() + b"\n")
        requests.flush()
        result = results.readline()
        assert result, f"the process ended with {self._process.wait()}"
        return json.loads(result)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()  # closes its input, so that it ends


class LocalManager:
    """A manager in this process, with the interface of `RemoteManager`."""

    def __init__(self, runner: asyncio.Runner, cache: CacheManager) -> None:
        self._runner = runner
        self._cache = cache

    def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method and return its result."""
        return self._runner.run(getattr(self._cache, method)(*args, **kwargs))


def _serve(directory: str) -> None:
    with asyncio.Runner() as runner:
        manager = LocalManager(runner, CacheManager(directory=directory))
        for line in sys.stdin:
            method, args, kwargs = json.loads(line)
            sys.stdout.write(json.dumps(manager.call(method, *args, **kwargs)) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    _serve(sys.argv[1])
