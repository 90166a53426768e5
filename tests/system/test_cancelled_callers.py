"""Concurrent callers, some of them cancelled: their operations are linearizable.

`tests.support.scale` describes the sizes.
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import secrets
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from aiocache_pe import CacheManager
from tests.support.cancelled_callers import History, run_cancelled_callers
from tests.support.history import ABSENT, Operation, is_linearizable
from tests.support.internals import list_disk_threads
from tests.support.polling import poll
from tests.support.scale import make_random, report, scale_size

ROOT = Path(__file__).parents[2]
THREADS = 3
PROCESSES = 3


def merge_histories(histories: list[History]) -> History:
    return {
        key: [one for history in histories for one in history.get(key, [])]
        for key in {key for history in histories for key in history}
    }


def check_history(history: History, seed: str) -> int:
    """Check the history of each key, and return the number of operations."""
    for key, operations in history.items():
        ordered = sorted(operations, key=lambda one: one.called)
        assert is_linearizable(operations), f"seed {seed}, {key}:\n" + "\n".join(map(str, ordered))
    return sum(map(len, history.values()))


@pytest.mark.parametrize("tier", [0, 64 * 1024 * 1024], ids=["no tier", "tier"])
@pytest.mark.parametrize("backend", ["memory", "file"])
def test_operations_of_threads_are_linearizable(cache_dir: Path, backend: str, tier: int) -> None:
    seed, count = secrets.token_hex(4), 0
    rounds = scale_size(12 if backend == "memory" else 5)
    for number in range(rounds):
        directory = cache_dir / str(number) if backend == "file" else None
        cache = CacheManager(backend, directory=directory, memory_max_bytes=tier)
        with ThreadPoolExecutor(THREADS) as pool:
            jobs = [
                pool.submit(asyncio.run, run_cancelled_callers(cache, f"{seed}/{number}/{n}"))
                for n in range(THREADS)
            ]
            histories = [job.result(60) for job in jobs]
        count += check_history(merge_histories(histories), seed)
        threads = list_disk_threads(cache)
        assert bool(threads) == (backend == "file")
        asyncio.run(cache.close())
        assert not any(thread.is_alive() for thread in threads)
    report(f"linearizable, {THREADS} threads over {backend}: {count} calls, {rounds} rounds")


def test_operations_of_processes_are_linearizable(cache_dir: Path) -> None:
    seed, count = secrets.token_hex(4), 0
    for number in range(scale_size(4)):
        processes = [
            subprocess.Popen(
                [
                    *(sys.executable, "-W", "error", "-m", "tests.support.cancelled_callers"),
                    *(str(cache_dir / str(number)), f"{seed}/{number}/{n}"),
                ],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            for n in range(PROCESSES)
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(b"go\n")
            process.stdin.flush()
        outputs = [process.communicate(timeout=60)[0] for process in processes]
        assert [process.returncode for process in processes] == [0] * PROCESSES
        histories = [
            {key: [Operation(*one) for one in calls] for key, calls in json.loads(output).items()}
            for output in outputs
        ]
        count += check_history(merge_histories(histories), seed)
    report(f"linearizable, {PROCESSES} processes over file: {count} calls")


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


def test_the_checker_rejects_impossible_histories() -> None:
    first = Operation("set", 1, answer=True, called=0, returned=1)
    second = Operation("set", 2, answer=True, called=2, returned=5)
    lost = Operation("set", 3, None, 2)
    for answer, right in ((1, True), (2, True), (3, True), (ABSENT, False)):
        read = Operation("get", 0, answer, 3, 4)
        assert is_linearizable([first, second, lost, read]) == right
    stale = Operation("get", 0, 1, 6, 7)
    assert not is_linearizable([first, second, stale])
    twice = [Operation("pop", 0, 1, 3, 4), Operation("pop", 0, 1, 3, 4)]
    assert not is_linearizable([first, *twice])
    counts = [Operation("incr", 1, 1, 0, 9), Operation("incr", 1, 1, 0, 9)]
    assert not is_linearizable(counts)
