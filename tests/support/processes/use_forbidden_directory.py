"""Process of another user, which cannot write the cache directory.

``python -m tests.support.processes.use_forbidden_directory ALLOWED FORBIDDEN`` caches calls below
``FORBIDDEN`` and prints the number of computations, the log lines, the checks of ``doctor`` and
the error of its command line.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from typing import Any

from click.testing import CliRunner

from aiocache_pe import CacheManager, cached
from aiocache_pe.cli.main import program

OTHER_USER = 65534


class Lines(logging.Handler):
    """The log lines of the library."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self.lines.append(f"{record.levelname} {record.getMessage()}")


async def _use(directory: str) -> tuple[int, int, list[str]]:
    calls = 0

    async def ask(number: int) -> set[int]:
        nonlocal calls
        calls += 1
        return {number}

    async with CacheManager(directory=directory) as cache, CacheManager(directory=directory):
        for _ in range(3):
            function = cached(cache=cache, ttl="1h")(ask)
            assert await asyncio.gather(*[function(n % 2) for n in range(6)]) == [{0}, {1}] * 3
        await cache.set("k", 1)
        assert await cache.get("k") == 1
        assert await cache.delete("k")
        assert await cache.get("k") is None
        checks = await cache.loader.namespace.examine()
        stats = await cache.get_stats()
    return calls, stats.errors, [check.level for check in checks if check.name == "writable"]


def main(allowed: str, forbidden: str) -> None:
    """Use both directories, the second one as another user."""
    log = Lines()
    logging.getLogger("aiocache_pe").addHandler(log)
    asyncio.run(_use(allowed))  # imports all modules, which the other user may be unable to do
    CliRunner().invoke(program, ["doctor", "--directory", allowed])
    assert not log.lines
    os.setgroups([])
    os.setgid(OTHER_USER)
    os.setuid(OTHER_USER)
    calls, errors, levels = asyncio.run(_use(forbidden))
    doctor: Any = CliRunner().invoke(program, ["doctor", "--directory", forbidden])
    result = [calls, errors, levels, log.lines, doctor.exit_code, doctor.output]
    sys.stdout.write(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
