"""Cancellation of callers while a value is computed, and its effect on the other callers.

===============================  ===========================  ===============================
cancelled                        result of that caller        result of the other callers
===============================  ===========================  ===============================
the caller that computes         ``CancelledError``           the value, from the same call
a waiting caller                 ``CancelledError``           the value
all callers                      ``CancelledError``           none; the factory is cancelled
one caller, by ``wait_for``      ``TimeoutError``             the value
during the write to the store    ``CancelledError``           the value
waiting for the lease            ``CancelledError``           the value; no lease is left
one task of a ``TaskGroup``      that task's error, grouped   the value, outside the group
===============================  ===========================  ===============================
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
from tests.support.internals import get_backend, wait_for_refreshes
from tests.support.polling import poll

Call = asyncio.Task[Any]


@pytest.fixture
def factory() -> Factory:
    factory = Factory(lambda number: [number])
    factory.hold()
    return factory


async def start_callers(cache: CacheManager, factory: Factory, size: int = 5) -> list[Call]:
    """Start callers that wait for one computation, begun by the first of them."""
    calls = [asyncio.create_task(cache.get_or_set("k", factory)) for _ in range(size)]
    await poll(lambda: factory.running)
    await asyncio.sleep(0)
    return calls


async def collect_outcomes(calls: Sequence[Call]) -> list[Any]:
    return [await get_outcome(call) for call in calls]


async def acquire_lease(cache: CacheManager) -> Lease:
    """Return the lease of the key as soon as it is free."""
    backend = get_backend(cache)
    assert isinstance(backend, Leasing)
    async with asyncio.timeout(30):
        while (lease := await backend.try_lease("default:k")) is None:  # noqa: ASYNC110 - no event exists
            await asyncio.sleep(0.001)
    return lease


async def wait_until_lease_is_free(cache: CacheManager) -> None:
    """Wait until no caller holds the lease of the key: shortly after the last caller returns."""
    await (await acquire_lease(cache)).release()


async def run_failing_group(factory: Factory, *calls: Coroutine[Any, Any, Any]) -> list[Call]:
    """Run calls in a task group with another task, which fails while the factory runs."""
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


async def test_the_caller_that_computes_is_cancelled(cache: CacheManager, factory: Factory) -> None:
    calls = await start_callers(cache, factory)
    calls[0].cancel()
    assert await get_outcome(calls[0]) is asyncio.CancelledError
    factory.release()
    assert await collect_outcomes(calls[1:]) == [[1]] * 4
    assert factory.calls == 1
    assert await cache.get("k") == [1]


async def test_a_waiting_caller_is_cancelled(cache: CacheManager, factory: Factory) -> None:
    calls = await start_callers(cache, factory)
    calls[2].cancel()
    assert await get_outcome(calls[2]) is asyncio.CancelledError
    factory.release()
    assert await collect_outcomes(calls[:2] + calls[3:]) == [[1]] * 4
    assert factory.calls == 1


async def test_all_callers_are_cancelled(cache: CacheManager, factory: Factory) -> None:
    calls = await start_callers(cache, factory)
    for call in calls:
        call.cancel()
    assert await collect_outcomes(calls) == [asyncio.CancelledError] * 5
    await poll(lambda: factory.running == 0)
    await wait_until_lease_is_free(cache)
    factory.release()
    assert await cache.get_or_set("k", factory) == [2]


async def test_a_caller_times_out(cache: CacheManager, factory: Factory) -> None:
    calls = await start_callers(cache, factory)
    hasty = asyncio.wait_for(cache.get_or_set("k", factory), 0.01)
    assert await get_outcome(hasty) is TimeoutError
    factory.release()
    assert await collect_outcomes(calls) == [[1]] * 5
    assert factory.calls == 1


class SlowToWrite(MemoryBackend):
    """A store that holds back writes until the test releases them."""

    def __init__(self) -> None:
        super().__init__()
        self.writing = 0
        self.free = asyncio.Event()

    async def write(self, records: Sequence[Record]) -> Sequence[Record]:
        self.writing += 1
        await self.free.wait()
        return await super().write(records)

    async def write_computed(
        self, records: Sequence[Record], generations: Sequence[Any]
    ) -> Sequence[Record | None]:
        self.writing += 1
        await self.free.wait()
        return await super().write_computed(records, generations)


@pytest.mark.parametrize("cancelled", ["first", "all"])
async def test_callers_are_cancelled_during_the_write(cancelled: str, factory: Factory) -> None:
    backend = SlowToWrite()
    async with CacheManager(backend) as cache:
        factory.release()
        calls = [asyncio.create_task(cache.get_or_set("k", factory)) for _ in range(3)]
        await poll(lambda: backend.writing)
        for call in calls if cancelled == "all" else calls[:1]:
            call.cancel()
        await asyncio.sleep(0)
        backend.free.set()
        expected = asyncio.CancelledError if cancelled == "all" else [1]
        assert await collect_outcomes(calls) == [asyncio.CancelledError, expected, expected]
        await wait_until_lease_is_free(cache)
        assert await cache.get_or_set("k", factory) == ([2] if cancelled == "all" else [1])


async def test_a_caller_is_cancelled_while_it_waits_for_the_lease(
    cache: CacheManager, factory: Factory
) -> None:
    lease = await acquire_lease(cache)
    factory.release()
    calls = [asyncio.create_task(cache.get_or_set("k", factory)) for _ in range(3)]
    await asyncio.sleep(0.03)
    calls[0].cancel()
    assert await get_outcome(calls[0]) is asyncio.CancelledError
    assert factory.calls == 0
    await lease.release()
    assert await collect_outcomes(calls[1:]) == [[1], [1]]
    assert factory.calls == 1


async def test_all_callers_are_cancelled_while_they_wait_for_the_lease(
    cache: CacheManager, factory: Factory
) -> None:
    lease = await acquire_lease(cache)
    calls = [asyncio.create_task(cache.get_or_set("k", factory)) for _ in range(3)]
    await asyncio.sleep(0.03)
    for call in calls:
        call.cancel()
    assert await collect_outcomes(calls) == [asyncio.CancelledError] * 3
    await lease.release()
    await wait_until_lease_is_free(cache)
    assert factory.calls == 0


async def test_a_failing_task_group_cancels_only_its_own_calls(
    cache: CacheManager, factory: Factory
) -> None:
    outside = await start_callers(cache, factory, 1)
    inside = await run_failing_group(factory, *(cache.get_or_set("k", factory) for _ in range(3)))
    assert await collect_outcomes(inside) == [asyncio.CancelledError] * 3
    factory.release()
    assert await collect_outcomes(outside) == [[1]]
    assert factory.calls == 1


async def test_a_failing_task_group_without_other_callers_cancels_the_factory(
    cache: CacheManager, factory: Factory
) -> None:
    await run_failing_group(factory, cache.get_or_set("k", factory))
    await poll(lambda: factory.running == 0)
    assert factory.calls == 1
    assert await cache.get("k") is None


async def test_an_error_reaches_all_callers_and_is_not_stored(
    cache: CacheManager, factory: Factory
) -> None:
    factory.error = ConnectionError()
    calls = await start_callers(cache, factory)
    factory.release()
    assert await collect_outcomes(calls) == [ConnectionError] * 5
    assert factory.calls == 1
    factory.error = None
    assert await cache.get_or_set("k", factory) == [2]


async def test_a_cancelled_caller_does_not_cancel_the_refresh_it_began(
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
    await wait_for_refreshes(cache)
    assert await cache.get("k") == [2]
