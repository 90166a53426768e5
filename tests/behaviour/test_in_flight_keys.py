"""Calls for a key that is being computed: they wait for the value without reading the store."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from aiocache_pe import CacheManager, cached
from aiocache_pe.backends.file.backend import FileBackend
from aiocache_pe.record import Record
from aiocache_pe.sentinels import Pending
from tests.support.factories import Factory, get_outcome
from tests.support.internals import get_engine
from tests.support.polling import poll

CALLERS = 50


@pytest.fixture
def factory() -> Factory:
    factory = Factory(lambda number: [number])
    factory.hold()
    return factory


class CountingBackend(FileBackend):
    """A file store that records the keys that are peeked."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.peeks: list[str] = []

    def peek(self, key: str) -> Record | None | Pending:
        self.peeks.append(key)
        return super().peek(key)


async def test_only_the_caller_that_computes_reads_the_store(tmp_path: Path) -> None:
    backend = CountingBackend(tmp_path)
    before: list[int] = []
    async with CacheManager(backend) as cache:

        @cached(cache=cache, ttl=60)
        async def ask(prompt: str) -> list[str]:
            await asyncio.sleep(0)
            before.append(len(backend.peeks))
            return [prompt]

        answers = await asyncio.gather(*(ask("why") for _ in range(CALLERS)))
        assert answers == [["why"]] * CALLERS
        assert len({id(answer) for answer in answers}) == CALLERS
        # One caller peeks: before it tries to acquire the lease, and while it holds the lease.
        assert before[0] <= 2
        assert len(before) == 1
        assert not get_engine(cache).in_flight
    await backend.close()


async def test_get_during_a_computation_is_a_miss_and_does_not_wait(
    tmp_path: Path, factory: Factory
) -> None:
    async with CacheManager(directory=tmp_path) as cache:
        call = asyncio.create_task(cache.get_or_set("k", factory))
        await poll(lambda: factory.running)
        assert await cache.get("k", "nothing") == "nothing"
        assert not await cache.exists("k")
        await cache.set("other", 1)
        assert await cache.get("other") == 1
        factory.release()
        assert await call == [1]
        assert await cache.get("k") == [1]


async def test_get_reads_a_value_that_another_manager_wrote_during_a_computation(
    tmp_path: Path, factory: Factory
) -> None:
    async with CacheManager(directory=tmp_path) as cache, CacheManager(directory=tmp_path) as other:
        call = asyncio.create_task(cache.get_or_set("k", factory))
        await poll(lambda: factory.running)
        await other.set("k", "theirs")
        assert await cache.get("k") == "theirs"
        factory.release()
        await call


@pytest.mark.parametrize("end", ["fails", "is cancelled"])
async def test_a_failed_or_cancelled_computation_leaves_no_key_in_flight(
    tmp_path: Path, factory: Factory, end: str
) -> None:
    async with CacheManager(directory=tmp_path) as cache:
        call = asyncio.create_task(cache.get_or_set("k", factory))
        await poll(lambda: factory.running)
        assert get_engine(cache).in_flight == {"default:k"}
        if end == "fails":
            factory.error = RuntimeError("no answer")
            factory.release()
        else:
            call.cancel()
        await get_outcome(call)
        await poll(lambda: not get_engine(cache).in_flight)


async def test_a_call_cancelled_before_its_computation_began_leaves_no_key_in_flight(
    tmp_path: Path,
) -> None:
    async with CacheManager(directory=tmp_path) as cache:
        call = asyncio.create_task(cache.get_or_set("k", lambda: 1))
        await asyncio.sleep(0)  # the call has begun, its computation has not
        call.cancel()
        await get_outcome(call)
        await poll(lambda: not get_engine(cache).in_flight)
        assert await cache.get_or_set("k", lambda: 2) == 2
