"""Process that computes one key until it is released, and lets further callers ask for the key.

``python -m tests.support.processes.hold_computation STORE KEY``. Each line of its input is a
command, and each result is a line of its output: ``hold`` begins a computation and prints
``computing``; ``call`` prints the value that a further caller gets; ``release`` ends the
computation and prints its value.

Over Redis, the process learns of a change a moment after it. A caller that has joined the
computation before that leaves it and asks again.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress

from aiocache_pe import CacheManager
from tests.support.factories import Factory
from tests.support.internals import is_entry_current
from tests.support.polling import POLL_SECONDS, poll
from tests.support.processes.compute_values import open_manager, print_line

TAGS = ("tag",)
"""The tags of the entry."""
SECONDS = 1.0
"""Seconds after which a caller that waits asks again."""


async def serve(store: str, key: str) -> None:
    """Execute the commands of the input."""
    factory = Factory(lambda number: f"computed by {number}")
    computing: list[asyncio.Task[str]] = []
    async with open_manager(store) as cache:
        await wait_for_listener(cache)
        while command := (await asyncio.to_thread(sys.stdin.readline)).strip():
            if command == "hold":
                await wait_for_miss(cache, key)
                factory.hold()
                work = cache.get_or_set(key, factory, tags=TAGS)
                computing.append(asyncio.create_task(work))
                await poll(lambda: factory.running, deadline=60)
                print_line("computing")
            elif command == "call":
                print_line(await call(cache, key))
            else:
                factory.release()
                print_line(await computing.pop())


async def wait_for_listener(cache: CacheManager) -> None:
    """Wait until the process is notified of changes, so that it keeps copies."""
    await cache.set("warm", 1)
    while not is_entry_current(cache, "default:warm"):
        await asyncio.sleep(POLL_SECONDS)
        await cache.get("warm")


async def wait_for_miss(cache: CacheManager, key: str) -> None:
    """Wait until the removal of a key is seen here."""
    found = await cache.get(key)
    while found is not None:
        await asyncio.sleep(POLL_SECONDS)
        found = await cache.get(key)


async def call(cache: CacheManager, key: str) -> str:
    """Return the value that a caller gets before the computation is released."""
    while True:
        late = cache.get_or_set(key, lambda: "computed by a late caller", tags=TAGS)
        with suppress(TimeoutError):
            return await asyncio.wait_for(late, SECONDS)


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
