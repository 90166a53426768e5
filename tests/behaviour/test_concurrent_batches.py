"""Batches that overlap in time: each item is computed once, failures stay with their callers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from aiocache_pe import CacheManager, cached_batch
from aiocache_pe.backends.base import ReadResult
from aiocache_pe.backends.memory import MemoryBackend
from aiocache_pe.exceptions import BackendError
from aiocache_pe.testing.spy_backend import SpyBackend
from tests.support.broken_backends import BrokenBackend
from tests.support.factories import get_outcome
from tests.support.internals import count_batch_flights
from tests.support.polling import poll


class Held:
    """A batch function that returns when the test releases it."""

    def __init__(self, cache: CacheManager, **settings: Any) -> None:
        self.calls = list[list[str]]()
        self.ended = list[list[str]]()
        self.cancelled = 0
        self.error: BaseException | None = None
        self.free = asyncio.Event()
        self.function = cached_batch(cache=cache, **settings)(self.compute)

    def __cache_key__(self) -> str:
        return "all batches"

    async def compute(self, texts: list[str]) -> list[list[str]]:
        self.calls.append(texts)
        try:
            await self.free.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        self.ended.append(texts)
        if self.error is not None:
            raise self.error
        return [[text] for text in texts]

    def start(self, *texts: str) -> asyncio.Task[list[list[str]]]:
        return asyncio.create_task(self.function(list(texts)))

    async def start_and_wait(self, *texts: str) -> asyncio.Task[list[list[str]]]:
        count = len(self.calls)
        task = self.start(*texts)
        await poll(lambda: len(self.calls) > count)
        return task


async def test_overlapping_batches_compute_each_item_once(cache: CacheManager) -> None:
    held = Held(cache)
    first = await held.start_and_wait("a", "b", "c")
    second = await held.start_and_wait("c", "d", "b")
    third = held.start("d", "a")
    await asyncio.sleep(0)
    held.free.set()
    assert await first == [["a"], ["b"], ["c"]]
    assert await second == [["c"], ["d"], ["b"]]
    assert await third == [["d"], ["a"]]
    assert held.calls == [["a", "b", "c"], ["d"]]
    assert held.function.cache_info()[:2] == (4, 4)


@pytest.mark.parametrize("broken", [False, True])
async def test_each_batch_gets_its_own_copies(broken: bool) -> None:
    backend = BrokenBackend(BackendError("down")) if broken else MemoryBackend()
    held = Held(CacheManager(backend))
    first = await held.start_and_wait("a", "b")
    second = await held.start_and_wait("a", "b", "c")
    third = await held.start_and_wait("a", "d")
    held.free.set()
    (await first)[0].append("changed")
    assert await second == [["a"], ["b"], ["c"]]
    (await second)[0].append("changed")
    assert await third == [["a"], ["d"]]
    assert len({id(task.result()[0]) for task in (first, second, third)}) == 3


async def test_a_failure_reaches_only_the_batches_that_wait_for_the_item(
    cache: CacheManager,
) -> None:
    held = Held(cache)
    held.error = OSError("no")
    first = await held.start_and_wait("a", "b")
    second = await held.start_and_wait("b", "c")
    held.free.set()
    assert [await get_outcome(first), await get_outcome(second)] == [OSError, OSError]
    held.error = None
    assert await held.function(["a", "b", "c"]) == [["a"], ["b"], ["c"]]


async def test_a_batch_that_waits_for_other_items_does_not_fail(memory: CacheManager) -> None:
    held = Held(memory, batch_size=1, concurrency=2)
    first = await held.start_and_wait("a")
    held.error = OSError("no")
    second = held.start("b", "a")
    await poll(lambda: len(held.calls) == 2)
    held.free.set()
    assert await get_outcome(second) is OSError
    assert await get_outcome(first) is OSError


async def test_cancelling_one_batch_affects_no_other(cache: CacheManager) -> None:
    held = Held(cache)
    first = await held.start_and_wait("a", "b")
    second = await held.start_and_wait("b", "c")
    first.cancel()
    assert await get_outcome(first) is asyncio.CancelledError
    held.free.set()
    assert await second == [["b"], ["c"]]
    assert held.calls == [["a", "b"], ["c"]]
    assert held.cancelled == 0


async def test_work_without_waiting_callers_is_cancelled(memory: CacheManager) -> None:
    held = Held(memory, batch_size=1, concurrency=3)
    first = held.start("a", "b", "c")
    await poll(lambda: len(held.calls) == 3)
    second = held.start("b")
    await asyncio.sleep(0)
    first.cancel()
    assert await get_outcome(first) is asyncio.CancelledError
    await poll(lambda: held.cancelled == 2)
    held.free.set()
    assert await second == [["b"]]
    assert held.ended == [["b"]]
    assert await held.function(["a"]) == [["a"]]


async def test_when_one_call_fails_the_other_calls_of_the_batch_are_cancelled(
    memory: CacheManager,
) -> None:
    held = Held(memory)
    free = asyncio.Event()

    @cached_batch(cache=memory, batch_size=1, concurrency=2)
    async def function(texts: list[str]) -> list[list[str]]:
        if texts == ["bad"]:
            await free.wait()
            raise OSError("no")
        return await held.compute(texts)

    task = asyncio.create_task(function(["slow", "bad"]))
    await poll(lambda: held.calls == [["slow"]])
    free.set()
    assert await get_outcome(task) is OSError
    await poll(lambda: held.cancelled == 1)


async def test_after_a_cancelled_computation_the_next_batch_computes(
    memory: CacheManager,
) -> None:
    calls = list[list[str]]()
    free = asyncio.Event()

    @cached_batch(cache=memory)
    async def function(texts: list[str]) -> list[str]:
        calls.append(texts)
        if len(calls) == 1:
            await free.wait()
            raise asyncio.CancelledError
        return texts

    first = asyncio.create_task(function(["a", "b"]))
    await poll(lambda: len(calls) == 1)
    second = asyncio.create_task(function(["b", "a"]))
    await asyncio.sleep(0)
    free.set()
    assert await get_outcome(first) is asyncio.CancelledError
    assert await second == ["b", "a"]
    assert calls == [["a", "b"], ["b", "a"]]


async def test_an_item_computed_while_a_batch_reads_is_not_computed_again() -> None:
    class Slow(SpyBackend):
        """A store that reads at once and returns the result when the test releases it."""

        free: asyncio.Event | None = None

        async def read(self, keys: Sequence[str]) -> Mapping[str, ReadResult]:
            found = await super().read(keys)
            if self.free is not None:
                await self.free.wait()
            return found

    backend = Slow(MemoryBackend())
    held = Held(CacheManager(backend, memory_max_bytes=0))
    first = await held.start_and_wait("a")
    backend.free = asyncio.Event()
    second = held.start("a", "b")
    await poll(lambda: len(backend.calls) > 2)  # the read found nothing
    held.free.set()
    assert await first == [["a"]]
    backend.free.set()
    assert await second == [["a"], ["b"]]
    assert held.calls == [["a"], ["b"]]


async def test_a_function_that_calls_itself_does_not_wait_for_itself(memory: CacheManager) -> None:
    calls = list[list[int]]()

    @cached_batch(cache=memory)
    async def function(numbers: list[int]) -> list[int]:
        calls.append(numbers)
        return [10 * number for number in numbers] if len(calls) > 1 else await function(numbers)

    assert await asyncio.wait_for(function([1, 2]), 10) == [10, 20]
    assert calls == [[1, 2], [1, 2]]


async def test_a_batch_that_calls_itself_for_parts_ends(memory: CacheManager) -> None:
    @cached_batch(cache=memory)
    async def factorials(numbers: list[int]) -> list[int]:
        return [
            1 if number < 2 else number * (await factorials([number - 1]))[0] for number in numbers
        ]

    assert await asyncio.wait_for(factorials([5, 3]), 10) == [120, 6]


@pytest.mark.parametrize("concurrency", [1, 2])
async def test_a_part_that_calls_for_another_part_does_not_deadlock(
    memory: CacheManager, concurrency: int
) -> None:
    @cached_batch(cache=memory, batch_size=1, concurrency=concurrency)
    async def factorials(numbers: list[int]) -> list[int]:
        return [
            1 if number < 2 else number * (await factorials([number - 1]))[0] for number in numbers
        ]

    assert await asyncio.wait_for(factorials([5, 4, 3, 1]), 60) == [120, 24, 6, 1]


async def test_a_finished_batch_leaves_nothing_in_flight(memory: CacheManager) -> None:
    held = Held(memory, batch_size=1, concurrency=4)
    tasks = [held.start(*texts) for texts in ("ab", "bc", "cd")]
    await poll(lambda: len(held.calls) == 4)
    tasks[0].cancel()
    held.free.set()
    await asyncio.gather(*map(get_outcome, tasks))
    assert count_batch_flights(memory) == 0


async def test_no_item_is_computed_twice_when_batches_are_cancelled(cache: CacheManager) -> None:
    """Run many batches at once and cancel some of them at every stage."""
    computed = list[int]()

    @cached_batch(cache=cache, batch_size=3, concurrency=2)
    async def function(numbers: list[int]) -> list[int]:
        await asyncio.sleep(0)
        computed.extend(numbers)
        return [2 * number for number in numbers]

    batches = [[(7 * n + step * 3) % 40 for step in range(8)] for n in range(30)]
    tasks = [asyncio.create_task(function(batch)) for batch in batches]
    for turn, task in enumerate(tasks[::5]):
        for _ in range(turn):
            await asyncio.sleep(0)
        task.cancel()
    for batch, task in zip(batches, tasks, strict=True):
        result = await get_outcome(task)
        assert result in (asyncio.CancelledError, [2 * number for number in batch])
    assert len(computed) == len(set(computed))
