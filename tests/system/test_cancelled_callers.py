"""Concurrent callers, some of them cancelled: nothing of their calls is left behind.

`tests.support.scale` describes the sizes.
"""

from __future__ import annotations

import asyncio
import gc
import random
import secrets
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from aiocache_pe import CacheManager
from tests.support.internals import list_disk_threads
from tests.support.polling import poll
from tests.support.scale import make_random, report, scale_size

ROOT = Path(__file__).parents[2]
THREADS = 3
PROCESSES = 3


async def compute(number: int, chance: random.Random, computing: list[int]) -> list[int]:
    """Compute a number; multiples of seven raise an error."""
    computing.append(number)
    try:
        for _ in range(chance.randrange(5)):
            await asyncio.sleep(0)
        if number % 7 == 0:
            raise ArithmeticError(number)
        return [number]
    finally:
        computing.remove(number)


@pytest.mark.parametrize("backend", ["memory", "file"])
async def test_cancelled_callers_leave_nothing_behind(cache_dir: Path, backend: str) -> None:
    unhandled: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, error: unhandled.append(error))
    chance = make_random(secrets.token_hex(4))
    cache = CacheManager(backend, directory=cache_dir if backend == "file" else None)
    computing: list[int] = []

    async def caller() -> int:
        done = 0
        for _ in range(scale_size(20)):
            number = chance.randrange(20)
            factory = partial(compute, number, chance, computing)
            task = asyncio.ensure_future(cache.get_or_set(f"key {number}", factory))
            for _ in range(chance.randrange(6)):
                await asyncio.sleep(0)
            if chance.random() < 0.4:
                task.cancel()
            try:
                assert await task == [number]
                done += 1
            except (ArithmeticError, asyncio.CancelledError) as error:
                failed = error.args
            else:
                failed = ()
            assert failed in ((), (number,))
            if chance.random() < 0.3:
                await cache.delete(f"key {number}")
        return done

    done = await asyncio.gather(*[caller() for _ in range(40)])
    assert (await cache.get_stats()).errors == 0
    threads = list_disk_threads(cache)
    assert bool(threads) == (backend == "file")
    await cache.close()
    await poll(lambda: len(asyncio.all_tasks()) == 1)
    gc.collect()
    assert not computing
    assert not unhandled
    assert not any(thread.is_alive() for thread in threads)
    report(f"cancelled callers over {backend}: {40 * scale_size(20)} calls, {sum(done)} answered")
