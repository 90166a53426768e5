"""Random numbers that do not change the sequence of the ``random`` module."""

from __future__ import annotations

import os
import random
from pathlib import Path

import aiocache_pe
from aiocache_pe import CacheManager
from aiocache_pe.runtime.randomness import RANDOM, vary

PACKAGE = Path(aiocache_pe.__file__).parent


def test_no_module_of_the_package_draws_from_the_sequence_of_the_program() -> None:
    users = [path for path in PACKAGE.rglob("*.py") if "import random" in path.read_text()]
    assert users == []


async def test_calls_leave_the_sequence_of_the_program_alone(tmp_path: Path) -> None:
    state = random.getstate()
    async with CacheManager("file", directory=tmp_path, max_entries=2) as cache:
        for number in range(8):
            await cache.get_or_set(str(number), lambda: [1], ttl=60, jitter=0.5)
    assert random.getstate() == state


def test_a_pause_varies_by_a_fifth() -> None:
    pauses = {vary(10) for _ in range(100)}
    assert len(pauses) > 1
    assert min(pauses) >= 8
    assert max(pauses) <= 12


def test_a_forked_child_draws_other_numbers() -> None:
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(writer, str(RANDOM.random()).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    os.close(writer)
    with os.fdopen(reader) as child:
        assert child.read() != str(RANDOM.random())
