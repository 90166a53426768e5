"""Batches that overlap in time: each item is computed once, and nobody suffers for another."""

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
from tests.support.polling import poll


class Held:
    """A function of batches that returns when it is let."""

    def __init__(self, cache: CacheManager, **settings: Any) -> None:
        self.calls = list[list[str]]()
        self.ended = list[list[str]]()
        self.cancelled = 0
        self.error: BaseException | None = None
        self.free = asyncio.Event()
        self.function = cached_batch(cache=cache, **settings)(self.compute)

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

    def begin(self, *texts: str) -> asyncio.Task[list[list[str]]]:
        return asyncio.create_task(self.function(list(texts)))

    async def begun(self, *texts: str) -> asyncio.Task[list[list[str]]]:
        count = len(self.calls)
        task = self.begin(*texts)
        await poll(lambda: len(self.calls) > count)
        return task


async def test_overlapping_batches_compute_each_item_once(cache: CacheManager) -> None:
    held = Held(cache)
    first = await held.begun("a", "b", "c")
    second = await held.begun("c", "d", "b")
    third = held.begin("d", "a")
    await asyncio.sleep(0)
    held.free.set()
    assert await first == [["a"], ["b"], ["c"]]
    assert await second == [["c"], ["d"], ["b"]]
    assert await third == [["d"], ["a"]]
    assert held.calls == [["a", "b", "c"], ["d"]]
    assert held.function.cache_info() == (4, 4)


@pytest.mark.parametrize("broken", [False, True])
async def test_each_batch_gets_values_of_its_own(broken: bool) -> None:
    backend = BrokenBackend(BackendError("down")) if broken else MemoryBackend()
    held = Held(CacheManager(backend))
    first = await held.begun("a", "b")
    second = await held.begun("a", "b", "c")
    third = await held.begun("a", "d")
    held.free.set()
    (await first)[0].append("changed")
    assert await second == [["a"], ["b"], ["c"]]
    (await second)[0].append("changed")
    assert await third == [["a"], ["d"]]
    assert len({id(task.result()[0]) for task in (first, second, third)}) == 3


async def test_a_failure_reaches_those_who_wait_for_it_and_no_others(cache: CacheManager) -> None:
    held = Held(cache)
    held.error = OSError("no")
    first = await held.begun("a", "b")
    second = await held.begun("b", "c")
    held.free.set()
    assert [await get_outcome(first), await get_outcome(second)] == [OSError, OSError]
    held.error = None
    assert await held.function(["a", "b", "c"]) == [["a"], ["b"], ["c"]]


async def test_who_waits_for_other_items_is_not_failed(memory: CacheManager) -> None:
    held = Held(memory, batch_size=1, concurrency=2)
    first = await held.begun("a")
    held.error = OSError("no")
    second = held.begin("b", "a")
    await poll(lambda: len(held.calls) == 2)
    held.free.set()
    assert await get_outcome(second) is OSError
    assert await get_outcome(first) is OSError


async def test_cancelling_one_batch_harms_no_other(cache: CacheManager) -> None:
    held = Held(cache)
    first = await held.begun("a", "b")
    second = await held.begun("b", "c")
    first.cancel()
    assert await get_outcome(first) is asyncio.CancelledError
    held.free.set()
    assert await second == [["b"], ["c"]]
    assert held.calls == [["a", "b"], ["c"]]
    assert held.cancelled == 0


async def test_work_that_nobody_waits_for_is_given_up(memory: CacheManager) -> None:
    held = Held(memory, batch_size=1, concurrency=3)
    first = held.begin("a", "b", "c")
    await poll(lambda: len(held.calls) == 3)
    second = held.begin("b")
    await asyncio.sleep(0)
    first.cancel()
    assert await get_outcome(first) is asyncio.CancelledError
    await poll(lambda: held.cancelled == 2)
    held.free.set()
    assert await second == [["b"]]
    assert held.ended == [["b"]]
    assert await held.function(["a"]) == [["a"]]


async def test_when_one_call_fails_the_others_of_the_batch_are_given_up(
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


async def test_where_the_computing_was_stopped_the_next_batch_computes(
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


async def test_what_lands_while_a_batch_reads_is_not_computed_again() -> None:
    class Slow(SpyBackend):
        """Reads what was there when it was asked, and answers when it is let."""

        free: asyncio.Event | None = None

        async def read(self, keys: Sequence[str]) -> Mapping[str, ReadResult]:
            found = await super().read(keys)
            if self.free is not None:
                await self.free.wait()
            return found

    backend = Slow(MemoryBackend())
    held = Held(CacheManager(backend, memory_max_bytes=0))
    first = await held.begun("a")
    backend.free = asyncio.Event()
    second = held.begin("a", "b")
    await poll(lambda: len(backend.calls) > 2)  # it looked, and found nothing
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


async def test_a_batch_that_calls_for_parts_of_itself_ends(memory: CacheManager) -> None:
    @cached_batch(cache=memory)
    async def factorials(numbers: list[int]) -> list[int]:
        return [
            1 if number < 2 else number * (await factorials([number - 1]))[0] for number in numbers
        ]

    assert await asyncio.wait_for(factorials([5, 3]), 10) == [120, 6]


@pytest.mark.parametrize("concurrency", [1, 2])
async def test_a_part_that_calls_for_another_part_does_not_wait_for_its_turn(
    memory: CacheManager, concurrency: int
) -> None:
    @cached_batch(cache=memory, batch_size=1, concurrency=concurrency)
    async def factorials(numbers: list[int]) -> list[int]:
        return [
            1 if number < 2 else number * (await factorials([number - 1]))[0] for number in numbers
        ]

    assert await asyncio.wait_for(factorials([5, 4, 3, 1]), 60) == [120, 24, 6, 1]


async def test_nothing_is_left_of_a_flight(memory: CacheManager) -> None:
    held = Held(memory, batch_size=1, concurrency=4)
    tasks = [held.begin(*texts) for texts in ("ab", "bc", "cd")]
    await poll(lambda: len(held.calls) == 4)
    tasks[0].cancel()
    held.free.set()
    await asyncio.gather(*map(get_outcome, tasks))
    air = memory._shared.coalescer._air.get()
    assert (air.parts, air.watchers) == ({}, [])


async def test_no_item_is_computed_twice_whatever_is_cancelled(cache: CacheManager) -> None:
    """Many batches at once, of which some are cancelled at every stage."""
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
