"""Hard timeouts: the caller stops waiting and gets an error."""

from __future__ import annotations

import asyncio

import pytest

from aiocache_pe import CacheManager, cached, events
from aiocache_pe.exceptions import CacheError, LoadTimeoutError
from aiocache_pe.testing import FakeClock
from tests.support.factories import Factory
from tests.support.internals import wait_for_refreshes
from tests.support.polling import poll


async def test_a_caller_past_its_hard_timeout_gets_an_error(cache: CacheManager) -> None:
    factory = Factory()
    factory.hold()
    with pytest.raises(LoadTimeoutError, match=r"no value for 'k' within 0.01 s \(hard") as caught:
        await cache.get_or_set("k", factory, hard_timeout=0.01)
    assert isinstance(caught.value, TimeoutError | CacheError)
    assert (caught.value.key, caught.value.seconds) == ("k", 0.01)
    await poll(lambda: factory.running == 0)  # no other caller waited
    factory.release()
    assert await cache.get_or_set("k", factory, hard_timeout=30) == factory.calls


async def test_callers_with_more_time_continue_to_wait(cache: CacheManager) -> None:
    factory = Factory()
    factory.hold()
    hasty = asyncio.create_task(cache.get_or_set("k", factory, hard_timeout=0.01))
    await asyncio.sleep(0)
    patient = asyncio.create_task(cache.get_or_set("k", factory))
    with pytest.raises(LoadTimeoutError):
        await hasty
    factory.release()
    assert await patient == 1
    assert factory.calls == 1


async def test_a_timeout_error_of_the_factory_is_passed_on(memory: CacheManager) -> None:
    async def factory() -> None:
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine") as caught:
        await memory.get_or_set("k", factory, hard_timeout=30)
    assert not isinstance(caught.value, LoadTimeoutError)


async def test_a_timeout_of_the_caller_is_passed_on(memory: CacheManager) -> None:
    factory = Factory()
    factory.hold()
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(0.01):
            await memory.get_or_set("k", factory, hard_timeout=30)
    assert not isinstance(caught.value, LoadTimeoutError)


async def test_a_refresh_has_the_same_hard_timeout(memory: CacheManager, clock: FakeClock) -> None:
    failed: list[events.LoadFailed] = []
    memory.subscribe(events.LoadFailed, failed.append)
    factory = Factory()
    await memory.get_or_set("k", factory, 10, stale_ttl=100)
    clock.advance(11)
    factory.hold()
    assert await memory.get_or_set("k", factory, 10, stale_ttl=100, hard_timeout=0.01) == 1
    await wait_for_refreshes(memory)
    assert LoadTimeoutError in [type(event.error) for event in failed]
    assert factory.running == 0


async def test_decorated_functions_have_a_hard_timeout(memory: CacheManager) -> None:
    @cached(cache=memory, hard_timeout="10ms")
    async def f() -> None:
        await asyncio.Event().wait()

    with pytest.raises(LoadTimeoutError, match=r"within 0.01 s"):
        await f()
