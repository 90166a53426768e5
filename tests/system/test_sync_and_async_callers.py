"""Threads and an application with a loop share one manager: it does one thing at a time.

``AIOCACHE_STRESS=50 pytest tests/system/test_sync_and_async_callers.py -s`` is 100,000 calls a
store.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aiocache_pe import CacheManager, sync
from tests.support.history import ABSENT, Operation, is_linearizable
from tests.support.scale import make_random, report, scale_size

THREADS = 32
TASKS = 8
KEYS = 12
AT_A_TIME = 300  # calls, after which everybody goes on to other keys
VERBS = ("set", "set", "get", "get", "get", "delete", "incr", "incr")
Call = tuple[str, str, int]


class Storm:
    """What is called, by all who call, and what they were answered."""

    def __init__(self, calls: int) -> None:
        self.seed = secrets.token_hex(4)
        self.history: defaultdict[str, list[Operation]] = defaultdict(list)
        self._calls = calls
        self._count = itertools.count()

    def caller(self, name: str) -> Callable[[], Call | None]:
        """What one caller is to call next; ``None`` at the end."""
        chance = make_random(f"{self.seed}/{name}")

        def following() -> Call | None:
            number = next(self._count)
            if number >= self._calls:
                return None
            verb = chance.choice(VERBS)
            value = chance.randrange(1, 1000) if verb in {"set", "incr"} else 0
            return verb, f"{number // AT_A_TIME}/{chance.randrange(KEYS)}", value

        return following

    def note(self, call: Call, answer: int, called: int) -> None:
        verb, key, value = call
        operation = Operation(verb, value, answer, called, time.monotonic_ns())
        self.history[key].append(operation)


def call_blocking(cache: sync.CacheManager, storm: Storm, name: str) -> None:
    following = storm.caller(name)
    while (call := following()) is not None:
        verb, key, value = call
        called = time.monotonic_ns()
        if verb == "get":
            answer = cache.get(key, ABSENT)
        elif verb == "delete":
            answer = cache.delete(key)
        else:
            answer = cache.set(key, value) if verb == "set" else cache.incr(key, value)
        storm.note(call, answer, called)


async def call_awaited(cache: CacheManager, storm: Storm, name: str) -> None:
    following = storm.caller(name)
    while (call := following()) is not None:
        verb, key, value = call
        called = time.monotonic_ns()
        if verb == "get":
            answer = await cache.get(key, ABSENT)
        elif verb == "delete":
            answer = await cache.delete(key)
        else:
            work = cache.set(key, value) if verb == "set" else cache.incr(key, value)
            answer = await work
        storm.note(call, answer, called)
        await asyncio.sleep(0)


@pytest.mark.timeout(1800)  # 100,000 calls are more than a minute's work
@pytest.mark.parametrize("backend", ["memory", "file"])
def test_threads_and_a_loop_see_one_step_after_another(cache_dir: Path, backend: str) -> None:
    manager = CacheManager(backend, directory=cache_dir if backend == "file" else None)
    twin, storm = sync.CacheManager.of(manager), Storm(scale_size(2000))

    async def application() -> None:
        await asyncio.gather(*[call_awaited(manager, storm, f"task {n}") for n in range(TASKS)])

    began = time.monotonic()
    with ThreadPoolExecutor(THREADS + 1) as pool:
        jobs = [pool.submit(asyncio.run, application())]
        jobs += [pool.submit(call_blocking, twin, storm, f"thread {n}") for n in range(THREADS)]
        for job in jobs:
            job.result(1500)
    took = time.monotonic() - began
    assert twin.get_stats().errors == 0
    twin.close()
    assert sum(map(len, storm.history.values())) == scale_size(2000)
    for key, operations in storm.history.items():
        assert is_linearizable(operations), f"seed {storm.seed}, {key}:\n{operations}"
    report(
        f"linearizable, {THREADS} threads and {TASKS} tasks over {backend}: {scale_size(2000):,} calls "
        f"of {len(storm.history):,} keys in {took:.1f} s"
    )
