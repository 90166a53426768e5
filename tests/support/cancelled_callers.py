"""Concurrent callers of a few keys that are cancelled at random and record a history.

``python -m tests.support.cancelled_callers DIRECTORY SEED`` runs such callers in a process and
prints their history. The process prints ``ready`` and starts when it reads a line, so that
several processes can start together.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from dataclasses import astuple
from typing import Any

from aiocache_pe import CacheManager
from tests.support.history import ABSENT, Operation
from tests.support.scale import make_random

KEYS = 8
TASKS = 3  # of one loop
CALLS = 12  # of one task
CANCELLED = 0.15
VERBS = ("set", "set", "get", "get", "get", "get_many", "add", "delete", "pop", "incr")
History = dict[str, list[Operation]]


async def _call(cache: CacheManager, verb: str, key: str, value: int) -> int:
    if verb == "get":
        return int(await cache.get(key, ABSENT))
    if verb == "get_many":
        return int((await cache.get_many([key])).get(key, ABSENT))
    if verb == "pop":
        return int(await cache.pop(key, ABSENT))
    if verb == "delete":
        return await cache.delete(key)
    work: Any = getattr(cache, verb)
    return int(await work(key, value))


async def _run_caller(
    cache: CacheManager, chance: random.Random, history: History, *, cancelling: bool
) -> None:
    for _ in range(CALLS):
        key, verb = f"key {chance.randrange(KEYS)}", chance.choice(VERBS)
        value = 0 if verb in {"get", "get_many", "delete", "pop"} else chance.randrange(1, 1000)
        called = time.monotonic_ns()
        task = asyncio.ensure_future(_call(cache, verb, key, value))
        if cancelling and chance.random() < CANCELLED:
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
            task.cancel()
        try:
            answer: int | None = await task
        except asyncio.CancelledError:
            answer = None
        returned = time.monotonic_ns() if answer is not None else float("inf")
        plain = "get" if verb == "get_many" else verb
        history.setdefault(key, []).append(Operation(plain, value, answer, called, returned))


async def run_cancelled_callers(
    cache: CacheManager, seed: str, *, cancelling: bool = True
) -> History:
    """Run `TASKS` callers and return their history; no error may remain unhandled in the loop.

    Args:
        cache: the cache that they call.
        seed: the seed of their random choices.
        cancelling: whether calls are cancelled.
    """
    unhandled: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, error: unhandled.append(error))
    history: History = {}
    callers = [
        _run_caller(cache, make_random(f"{seed}/{n}"), history, cancelling=cancelling)
        for n in range(TASKS)
    ]
    await asyncio.gather(*callers)
    assert not unhandled
    return history


if __name__ == "__main__":
    _manager = CacheManager(directory=sys.argv[1])
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    _history = asyncio.run(run_cancelled_callers(_manager, sys.argv[2]))
    _plain = {key: [astuple(one) for one in calls] for key, calls in _history.items()}
    sys.stdout.write(json.dumps(_plain))
