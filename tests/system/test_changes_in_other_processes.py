"""A change in one process wins over a computation in another one, and keeps no caller waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from subprocess import Popen

import pytest

from aiocache_pe import CacheManager
from tests.support.processes.compute_values import open_manager
from tests.support.processes.hold_computation import TAGS
from tests.support.processes.line_protocol import start_process
from tests.support.servers.redis_server import Server

KEY = "v:1"
LIMIT = 60.0
"""Seconds in which a call must end; a call that waits for the computation never ends."""
CHANGES: dict[str, Callable[[CacheManager], Awaitable[object]]] = {
    "delete": lambda cache: cache.delete(KEY),
    "pop": lambda cache: cache.pop(KEY),
    "set": lambda cache: cache.set(KEY, "set"),
    "invalidate": lambda cache: cache.invalidate("v:*"),
    "clear": lambda cache: cache.clear(),
    "delete_by_tag": lambda cache: cache.delete_by_tag(*TAGS),
}


@pytest.fixture(params=["file", "redis"])
def store(request: pytest.FixtureRequest, cache_dir: Path) -> str:
    """Return the store that the processes share: a directory, or the URL of a Redis server."""
    if request.param == "file":
        return str(cache_dir)
    server: Server = request.getfixturevalue("own_redis")
    return server.url


@pytest.fixture
def holder(store: str) -> Iterator[Popen[str]]:
    """Start the other process."""
    with start_process("tests.support.processes.hold_computation", store, KEY) as process:
        yield process


@pytest.fixture
async def cache(store: str) -> AsyncIterator[CacheManager]:
    async with open_manager(store) as manager:
        yield manager


async def ask(process: Popen[str], command: str) -> str:
    """Send a command, and return the line that the process prints."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{command}\n")
    process.stdin.flush()
    line = await asyncio.wait_for(asyncio.to_thread(process.stdout.readline), LIMIT)
    return line.strip()


async def test_a_change_in_another_process_wins_and_keeps_no_caller_waiting(
    cache: CacheManager, holder: Popen[str]
) -> None:
    for number, (name, change) in enumerate(CHANGES.items(), 1):
        assert await ask(holder, "hold") == "computing"
        await change(cache)
        expected = "set" if name == "set" else "computed here"
        here = cache.get_or_set(KEY, lambda: "computed here", tags=TAGS)
        assert await asyncio.wait_for(here, LIMIT) == expected, name
        assert await ask(holder, "call") == expected, name
        assert await ask(holder, "release") == f"computed by {number}"
        assert await cache.get(KEY) == expected, name
        assert await ask(holder, "call") == expected, name
        await cache.clear()


async def test_callers_of_the_computing_process_do_not_wait_either(
    cache: CacheManager, holder: Popen[str]
) -> None:
    for number, (name, change) in enumerate(CHANGES.items(), 1):
        assert await ask(holder, "hold") == "computing"
        await change(cache)
        expected = "set" if name == "set" else "computed by a late caller"
        assert await ask(holder, "call") == expected, name
        assert await ask(holder, "release") == f"computed by {number}"
        assert await cache.get(KEY) == expected, name
        await cache.clear()


async def test_other_invalidations_keep_single_flight(
    cache: CacheManager, holder: Popen[str]
) -> None:
    assert await ask(holder, "hold") == "computing"
    await cache.invalidate("w:*")
    await cache.delete_by_tag("another")
    await cache.delete("w:1")
    waiting = asyncio.create_task(cache.get_or_set(KEY, lambda: "computed here", tags=TAGS))
    await asyncio.wait([waiting], timeout=0.3)
    assert not waiting.done()
    assert await ask(holder, "release") == "computed by 1"
    assert await asyncio.wait_for(waiting, LIMIT) == "computed by 1"
