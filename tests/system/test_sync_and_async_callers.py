"""Blocking and async callers of one manager: their operations are linearizable.

``AIOCACHE_STRESS=50 pytest tests/system/test_sync_and_async_callers.py -s`` makes 100,000 calls
for each store.
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
CALLS_PER_KEY_SET = 300  # after these, all callers use other keys
VERBS = ("set", "set", "get", "get", "get", "delete", "incr", "incr")
Call = tuple[str, str, int]


class Workload:
    """The calls of all callers, and a history of the results."""

    def __init__(self, calls: int) -> None:
        self.seed = secrets.token_hex(4)
        self.history: defaultdict[str, list[Operation]] = defaultdict(list)
        self._calls = calls
        self._count = itertools.count()

    def make_source(self, name: str) -> Callable[[], Call | None]:
        """Return a function that returns the next call of a caller; ``None`` at the end."""
        chance = make_random(f"{self.seed}/{name}")

        def next_call() -> Call | None:
            number = next(self._count)
            if number >= self._calls:
                return None
            verb = chance.choice(VERBS)
            value = chance.randrange(1, 1000) if verb in {"set", "incr"} else 0
            return verb, f"{number // CALLS_PER_KEY_SET}/{chance.randrange(KEYS)}", value

        return next_call

    def record(self, call: Call, answer: int, called: int) -> None:
        verb, key, value = call
        operation = Operation(verb, value, answer, called, time.monotonic_ns())
        self.history[key].append(operation)


def call_blocking(cache: sync.CacheManager, workload: Workload, name: str) -> None:
    next_call = workload.make_source(name)
    while (call := next_call()) is not None:
        verb, key, value = call
        called = time.monotonic_ns()
        if verb == "get":
            answer = cache.get(key, ABSENT)
        elif verb == "delete":
            answer = cache.delete(key)
        else:
            answer = cache.set(key, value) if verb == "set" else cache.incr(key, value)
        workload.record(call, answer, called)


async def call_awaited(cache: CacheManager, workload: Workload, name: str) -> None:
    next_call = workload.make_source(name)
    while (call := next_call()) is not None:
        verb, key, value = call
        called = time.monotonic_ns()
        if verb == "get":
            answer = await cache.get(key, ABSENT)
        elif verb == "delete":
            answer = await cache.delete(key)
        else:
            work = cache.set(key, value) if verb == "set" else cache.incr(key, value)
            answer = await work
        workload.record(call, answer, called)
        await asyncio.sleep(0)


@pytest.mark.timeout(1800)  # 100,000 calls take more than a minute
@pytest.mark.parametrize("backend", ["memory", "file"])
def test_operations_of_threads_and_a_loop_are_linearizable(cache_dir: Path, backend: str) -> None:
    manager = CacheManager(backend, directory=cache_dir if backend == "file" else None)
    twin, workload = sync.CacheManager.of(manager), Workload(scale_size(2000))

    async def application() -> None:
        await asyncio.gather(*[call_awaited(manager, workload, f"task {n}") for n in range(TASKS)])

    began = time.monotonic()
    with ThreadPoolExecutor(THREADS + 1) as pool:
        jobs = [pool.submit(asyncio.run, application())]
        jobs += [pool.submit(call_blocking, twin, workload, f"thread {n}") for n in range(THREADS)]
        for job in jobs:
            job.result(1500)
    took = time.monotonic() - began
    assert twin.get_stats().errors == 0
    twin.close()
    assert sum(map(len, workload.history.values())) == scale_size(2000)
    for key, operations in workload.history.items():
        assert is_linearizable(operations), f"seed {workload.seed}, {key}:\n{operations}"
    report(
        f"linearizable, {THREADS} threads and {TASKS} tasks over {backend}: "
        f"{scale_size(2000):,} calls of {len(workload.history):,} keys in {took:.1f} s"
    )
