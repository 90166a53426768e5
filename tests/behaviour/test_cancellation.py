"""Who is cancelled while a value is computed, and what that means for all others.

===========================  ==============================  ==========================
cancelled                    he himself gets                 the others get
===========================  ==============================  ==========================
who began the computation    ``CancelledError``              the value, of the same call
one who waits for it         ``CancelledError``              the value
all                          ``CancelledError``              the factory is cancelled
one, by ``wait_for``         ``TimeoutError``                the value
while it is being stored     ``CancelledError``              the value
waiting for another's lease  ``CancelledError``              the value; no lease stays
one task of a ``TaskGroup``  that task's error, as a group   outside it, the value
===========================  ==============================  ==========================
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

import pytest

from aiocache_pe import CacheManager
from aiocache_pe.backends.base import Lease, Leasing
from aiocache_pe.backends.memory import MemoryBackend
from aiocache_pe.record import Record
from tests.support.factories import Factory, get_outcome
from tests.support.polling import poll

Call = asyncio.Task[Any]


@pytest.fixture
def factory() -> Factory:
    factory = Factory(lambda number: [number])
    factory.hold()
    return factory


async def crowd(cache: CacheManager, factory: Factory, size: int = 5) -> list[Call]:
    """Callers who all wait for one computation; the first of them began it."""
    calls = [asyncio.create_task(cache.get_or_set("k", factory)) for _ in range(size)]
    await poll(lambda: factory.running)
    await asyncio.sleep(0)
    return calls


async def outcomes(calls: Sequence[Call]) -> list[Any]:
    return [await get_outcome(call) for call in calls]


async def leased(cache: CacheManager) -> Lease:
    """The lease of the key, as soon as it is to be had."""
    backend = cache._shared.engine.backend
    assert isinstance(backend, Leasing)
    async with asyncio.timeout(30):
        while (lease := await backend.try_lease("default:k")) is None:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.001)
    return lease


async def free(cache: CacheManager) -> None:
    """Return when nobody has the lease of the key, which is a moment after the last has left."""
    await (await leased(cache)).release()


async def failing_group(factory: Factory, *calls: Coroutine[Any, Any, Any]) -> list[Call]:
    """Run calls in a task group, of which another task fails when the factory is at work."""
    tasks: list[Call] = []

    async def fail() -> None:
        await poll(lambda: factory.running)
        await asyncio.sleep(0)
        raise ConnectionError

    try:
        async with asyncio.TaskGroup() as group:
            tasks += [group.create_task(call) for call in calls]
            group.create_task(fail())
    except* ConnectionError:
        pass
    return tasks


async def test_who_began_it_is_cancelled(cache: CacheManager, factory: Factory) -> None:
    calls = await crowd(cache, factory)
    calls[0].cancel()
    assert await get_outcome(calls[0]) is asyncio.CancelledError
    factory.release()
    assert await outcomes(calls[1:]) == [[1]] * 4
    assert factory.calls == 1
    assert await cache.get("k") == [1]


async def test_one_who_waits_is_cancelled(cache: CacheManager, factory: Factory) -> None:
    calls = await crowd(cache, factory)
    calls[2].cancel()
    assert await get_outcome(calls[2]) is asyncio.CancelledError
    factory.release()
    assert await outcomes(calls[:2] + calls[3:]) == [[1]] * 4
    assert factory.calls == 1


async def test_all_are_cancelled(cache: CacheManager, factory: Factory) -> None:
    calls = await crowd(cache, factory)
    for call in calls:
        call.cancel()
    assert await outcomes(calls) == [asyncio.CancelledError] * 5
    await poll(lambda: factory.running == 0)
    await free(cache)
    factory.release()
    assert await cache.get_or_set("k", factory) == [2]


async def test_one_waits_no_longer(cache: CacheManager, factory: Factory) -> None:
    calls = await crowd(cache, factory)
    hasty = asyncio.wait_for(cache.get_or_set("k", factory), 0.01)
    assert await get_outcome(hasty) is TimeoutError
    factory.release()
    assert await outcomes(calls) == [[1]] * 5
    assert factory.calls == 1


class SlowToWrite(MemoryBackend):
    """A store whose writes wait to be let through."""

    def __init__(self) -> None:
        super().__init__()
        self.writing = 0
        self.free = asyncio.Event()

    async def write(self, records: Sequence[Record]) -> Sequence[Record]:
        self.writing += 1
        await self.free.wait()
        return await super().write(records)


@pytest.mark.parametrize("who", ["first", "all"])
async def test_cancelled_while_it_is_stored(who: str, factory: Factory) -> None:
    backend = SlowToWrite()
    async with CacheManager(backend) as cache:
        factory.release()
        calls = [asyncio.create_task(cache.get_or_set("k", factory)) for _ in range(3)]
        await poll(lambda: backend.writing)
        for call in calls if who == "all" else calls[:1]:
            call.cancel()
        await asyncio.sleep(0)
        backend.free.set()
        others = asyncio.CancelledError if who == "all" else [1]
        assert await outcomes(calls) == [asyncio.CancelledError, others, others]
        await free(cache)
        assert await cache.get_or_set("k", factory) == ([2] if who == "all" else [1])


async def test_cancelled_while_waiting_for_anothers_lease(
    cache: CacheManager, factory: Factory
) -> None:
    lease = await leased(cache)
    factory.release()
    calls = [asyncio.create_task(cache.get_or_set("k", factory)) for _ in range(3)]
    await asyncio.sleep(0.03)
    calls[0].cancel()
    assert await get_outcome(calls[0]) is asyncio.CancelledError
    assert factory.calls == 0
    await lease.release()
    assert await outcomes(calls[1:]) == [[1], [1]]
    assert factory.calls == 1


async def test_all_cancelled_while_waiting_for_anothers_lease(
    cache: CacheManager, factory: Factory
) -> None:
    lease = await leased(cache)
    calls = [asyncio.create_task(cache.get_or_set("k", factory)) for _ in range(3)]
    await asyncio.sleep(0.03)
    for call in calls:
        call.cancel()
    assert await outcomes(calls) == [asyncio.CancelledError] * 3
    await lease.release()
    await free(cache)
    assert factory.calls == 0


async def test_a_task_group_fails(cache: CacheManager, factory: Factory) -> None:
    outside = await crowd(cache, factory, 1)
    inside = await failing_group(factory, *(cache.get_or_set("k", factory) for _ in range(3)))
    assert await outcomes(inside) == [asyncio.CancelledError] * 3
    factory.release()
    assert await outcomes(outside) == [[1]]
    assert factory.calls == 1


async def test_a_task_group_that_is_alone_takes_the_factory_along(
    cache: CacheManager, factory: Factory
) -> None:
    await failing_group(factory, cache.get_or_set("k", factory))
    await poll(lambda: factory.running == 0)
    assert factory.calls == 1
    assert await cache.get("k") is None


async def test_an_error_reaches_all_and_is_not_stored(
    cache: CacheManager, factory: Factory
) -> None:
    factory.error = ConnectionError()
    calls = await crowd(cache, factory)
    factory.release()
    assert await outcomes(calls) == [ConnectionError] * 5
    assert factory.calls == 1
    factory.error = None
    assert await cache.get_or_set("k", factory) == [2]


async def test_a_caller_who_is_cancelled_leaves_the_refresh_he_began(
    cache: CacheManager, factory: Factory, clock: Any
) -> None:
    factory.release()
    await cache.get_or_set("k", factory, 10, stale_ttl=100)
    clock.advance(11)
    factory.hold()
    call = asyncio.create_task(cache.get_or_set("k", factory, 10, stale_ttl=100, soft_timeout=30))
    await poll(lambda: factory.running)
    call.cancel()
    assert await get_outcome(call) is asyncio.CancelledError
    factory.release()
    await poll(lambda: factory.running == 0)
    await cache._shared.refreshes.settle()
    assert await cache.get("k") == [2]
