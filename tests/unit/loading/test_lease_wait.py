"""One of all managers, threads and event loops computes a key, and the others wait."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from aiocache_pe import CacheManager, cached, events
from aiocache_pe.backends.base import Lease
from aiocache_pe.backends.memory import MemoryBackend
from tests.support.factories import Factory, get_outcome
from tests.support.polling import poll

Pair = tuple[CacheManager, CacheManager]


@pytest.fixture(params=["memory", "file"])
async def pair(request: pytest.FixtureRequest, cache_dir: Path) -> AsyncGenerator[Pair]:
    """Yield two independent managers over the same entries."""
    memory = MemoryBackend()

    def manager() -> CacheManager:
        if request.param == "memory":
            return CacheManager(memory)
        return CacheManager("file", directory=cache_dir)

    async with manager() as one, manager() as other:
        yield one, other


async def start_computing(cache: CacheManager, factory: Factory) -> asyncio.Task[Any]:
    """Return a task that computes the key until its factory is released."""
    factory.hold()
    task = asyncio.create_task(cache.get_or_set("k", factory))
    await poll(lambda: factory.running)
    return task


async def test_one_manager_computes_and_the_other_waits(pair: Pair) -> None:
    one, other = pair
    factory, unused = Factory(), Factory()
    first = await start_computing(one, factory)
    second = asyncio.create_task(other.get_or_set("k", unused))
    await asyncio.sleep(0.05)
    assert not second.done()
    factory.release()
    assert (await first, await second, unused.calls) == (1, 1, 0)
    assert (await other.get_stats()).hits == 1


async def test_a_waiter_computes_after_the_holder_failed(pair: Pair) -> None:
    one, other = pair
    failing, working = Factory(), Factory()
    failing.error = ConnectionError()
    first = await start_computing(one, failing)
    second = asyncio.create_task(other.get_or_set("k", working))
    await asyncio.sleep(0.03)
    assert working.calls == 0
    failing.release()
    assert await get_outcome(first) is ConnectionError
    assert await second == 1


async def test_a_waiter_computes_after_the_holder_was_cancelled(pair: Pair) -> None:
    one, other = pair
    working = Factory()
    first = await start_computing(one, Factory())
    second = asyncio.create_task(other.get_or_set("k", working))
    await asyncio.sleep(0.03)
    first.cancel()
    assert await second == 1
    assert working.calls == 1


@pytest.mark.parametrize("lock", [0.05, False])
async def test_a_caller_computes_after_its_wait_time_or_at_once_without_lock(
    pair: Pair, lock: float
) -> None:
    one, other = pair
    slow = Factory()
    first = await start_computing(one, slow)
    assert await other.get_or_set("k", Factory(), lock=lock) == 1
    assert not first.done()
    slow.release()
    await first


async def test_the_wait_time_holds_within_one_event_loop(memory: CacheManager) -> None:
    slow, working = Factory(), Factory()
    first = await start_computing(memory, slow)
    late = await asyncio.gather(*(memory.get_or_set("k", working, lock=0.05) for _ in range(20)))
    assert late == [1] * 20
    assert working.calls == 1  # once for all callers with an expired wait time
    slow.release()
    assert await first == 1


async def test_a_factory_may_load_its_own_key_in_another_thread(cache: CacheManager) -> None:
    async def inner() -> str:
        return "inner"

    async def outer() -> str:
        found = await asyncio.to_thread(lambda: asyncio.run(cache.get_or_set("k", inner)))
        return f"outer of {found}"

    assert await asyncio.wait_for(cache.get_or_set("k", outer), 30) == "outer of inner"


async def test_a_task_that_outlives_the_factory_waits_for_leases(memory: CacheManager) -> None:
    tasks: list[asyncio.Task[Any]] = []
    started, late = asyncio.Event(), Factory()

    async def load_later() -> Any:
        await started.wait()
        return await memory.get_or_set("k", late, lock=30)

    async def factory() -> int:
        tasks.append(asyncio.create_task(load_later()))
        return 1

    assert await memory.get_or_set("k", factory) == 1
    await memory.delete("k")
    namespace = memory.loader.namespace
    lease = await namespace.try_lease(namespace.make_computation("default:k"))
    assert lease is not None
    started.set()
    await asyncio.sleep(0.05)
    assert late.calls == 0
    await lease.release()
    assert await tasks[0] == 1


@pytest.mark.parametrize("store", ["memory", "file"])
def test_event_loops_of_many_threads_compute_once(store: str, cache_dir: Path) -> None:
    cache = CacheManager(store, directory=cache_dir if store == "file" else None)
    calls: list[int] = []
    started = threading.Barrier(8)

    @cached(cache=cache)
    async def f() -> int:
        calls.append(1)
        await asyncio.sleep(0.05)
        return 7

    async def main() -> None:
        await asyncio.to_thread(started.wait)
        assert await asyncio.gather(*(f() for _ in range(10))) == [7] * 10

    threads = [threading.Thread(target=asyncio.run, args=(main(),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls == [1]
    asyncio.run(cache.close())


class FaultyLeaseBackend(MemoryBackend):
    """A store that cannot give leases, or that fails to release them."""

    fails_on_release = False
    error: Exception | None = None

    async def try_lease(self, key: str, version: str = "") -> Any:
        if self.error is not None:
            raise self.error
        lease = await super().try_lease(key)
        return None if lease is None else FaultyLease(lease, self)


class FaultyLease:
    """A lease that fails on release if its store does."""

    def __init__(self, lease: Lease, store: FaultyLeaseBackend) -> None:
        self._lease = lease
        self._store = store

    async def release(self) -> None:
        await self._lease.release()
        if self._store.fails_on_release:
            raise ConnectionError("gone")


async def test_a_store_that_cannot_give_leases_breaks_no_call() -> None:
    failures: list[events.BackendFailed] = []
    backend = FaultyLeaseBackend()
    backend.error = OSError("no locks")
    cache = CacheManager(backend)
    cache.subscribe(events.BackendFailed, failures.append)
    assert await asyncio.gather(*(cache.get_or_set("k", lambda: 1) for _ in range(5))) == [1] * 5
    assert [(event.verb, event.error) for event in failures] == [("lease", backend.error)]
    assert await cache.get("k") == 1


async def test_a_value_under_a_lost_lease_is_stored() -> None:
    backend = FaultyLeaseBackend()
    cache = CacheManager(backend)
    backend.fails_on_release = True
    assert await cache.get_or_set("k", lambda: 1) == 1
    assert await cache.get("k") == 1
    assert (await cache.get_stats()).errors == 1  # the failed release
