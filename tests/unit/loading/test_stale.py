"""Stale values are served at once, but only to callers that accept them."""

from __future__ import annotations

import asyncio
import logging
import math
from pathlib import Path
from typing import Any

import pytest

from aiocache_pe import CacheManager, cached, events
from aiocache_pe.backends.memory import MemoryBackend
from aiocache_pe.loading.background_refresh import RETRY_DELAY
from aiocache_pe.testing import FakeClock, SpyBackend
from tests.support.factories import Factory, get_outcome
from tests.support.internals import wait_for_refreshes
from tests.support.polling import poll

STALE: dict[str, Any] = {"ttl": 10, "stale_ttl": 100}


async def test_a_stale_value_is_served_at_once_while_one_task_computes(
    cache: CacheManager, clock: FakeClock
) -> None:
    factory = Factory()
    assert await cache.get_or_set("k", factory, **STALE) == 1
    clock.advance(11)
    factory.hold()
    for _ in range(5):
        assert await cache.get_or_set("k", factory, **STALE) == 1
    await asyncio.sleep(0)
    factory.release()
    await wait_for_refreshes(cache)
    assert factory.calls == 2
    assert await cache.get_or_set("k", factory, **STALE) == 2
    assert await cache.get_ttl("k") == 10


async def test_other_operations_never_return_a_stale_value(
    cache: CacheManager, clock: FakeClock
) -> None:
    await cache.get_or_set("k", lambda: 1, **STALE)
    clock.advance(11)
    assert await cache.get("k") is None
    assert await cache.get_many(["k"]) == {}
    assert not await cache.exists("k")
    assert await cache.get_ttl("k") is None
    assert await cache.entry("k") is None
    assert [key async for key in cache.keys("*")] == []
    assert await cache.get_or_set("k", lambda: 2, ttl=10) == 2


async def test_cleanup_keeps_entries_that_may_be_served_stale(
    cache: CacheManager, clock: FakeClock
) -> None:
    factory = Factory()
    await cache.get_or_set("k", factory, **STALE)
    await cache.get_or_set("tagged", factory, **STALE, tags=["t"])
    await cache.set("plain", 1, ttl=10)
    clock.advance(11)
    assert await cache.cleanup_expired() == 1
    await cache.delete_by_tag("t")
    assert await cache.cleanup_expired() == 1
    assert await cache.get_or_set("k", factory, **STALE) == 1
    await wait_for_refreshes(cache)
    clock.advance(200)
    assert await cache.cleanup_expired() == 1
    assert (await cache.get_stats()).total_entries == 0


async def test_a_stale_value_is_served_no_longer_than_stale_ttl(
    cache: CacheManager, clock: FakeClock
) -> None:
    factory = Factory()
    await cache.get_or_set("k", factory, **STALE)
    clock.advance(110)
    assert await cache.get_or_set("k", factory, **STALE) == 2
    clock.advance(109)
    assert await cache.get_or_set("k", factory, **STALE) == 2
    await wait_for_refreshes(cache)


@pytest.mark.parametrize("verb", ["delete", "pop", "invalidate", "delete_by_tag", "clear"])
async def test_a_removed_entry_is_not_served_stale(
    verb: str, cache: CacheManager, clock: FakeClock
) -> None:
    await cache.get_or_set("k", lambda: 1, **STALE, tags=["t"])
    clock.advance(11)
    if verb == "clear":
        await cache.clear()
    elif verb == "delete_by_tag":
        await cache.delete_by_tag("t")
    else:
        assert not await getattr(cache, verb)("k")
    assert await cache.get_or_set("k", lambda: 2, **STALE) == 2


async def test_touch_and_add_treat_a_stale_entry_as_absent(
    cache: CacheManager, clock: FakeClock
) -> None:
    factory = Factory()
    await cache.get_or_set("k", factory, **STALE)
    await cache.get_or_set("live", factory, **STALE)
    assert await cache.touch("live", 20)
    clock.advance(11)
    assert not await cache.touch("k", 100)
    assert await cache.get_or_set("k", factory, **STALE) == 1
    await wait_for_refreshes(cache)
    clock.advance(11)
    assert await cache.get_or_set("live", factory, **STALE) == 2  # `touch` kept the stale time
    await wait_for_refreshes(cache)
    clock.advance(21)
    assert await cache.add("k", "added", ttl=10)
    assert await cache.get("k") == "added"


async def test_a_failing_factory_keeps_the_stale_value(
    cache: CacheManager, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    failed: list[events.LoadFailed] = []
    stale: list[events.Stale] = []
    cache.subscribe(events.LoadFailed, failed.append)
    cache.subscribe(events.Stale, stale.append)
    factory = Factory()
    await cache.get_or_set("k", factory, **STALE)
    clock.advance(11)
    factory.error = ConnectionError("down")
    with caplog.at_level(logging.WARNING, "aiocache_pe"):
        for _ in range(4):
            for _ in range(3):
                assert await cache.get_or_set("k", factory, **STALE) == 1
                await wait_for_refreshes(cache)
            clock.advance(RETRY_DELAY)
    assert factory.calls == 1 + 4  # once in each retry delay
    assert [event.error for event in failed] == [factory.error] * 4
    assert [event.key for event in stale] == ["k"] * 12
    assert stale[0].expired_for == pytest.approx(1)
    assert len(caplog.records) == 1
    stats = await cache.get_stats()
    assert (stats.hits, stats.misses, stats.stale_hits, stats.load_failures) == (12, 1, 12, 4)
    assert stats.errors == 0
    factory.error = None
    assert await cache.get_or_set("k", factory, **STALE) == 1
    await wait_for_refreshes(cache)
    assert await cache.get_or_set("k", factory, **STALE) == 6


async def test_a_value_that_is_not_stored_is_not_computed_at_every_hit(
    memory: CacheManager, clock: FakeClock
) -> None:
    calls = 0

    @cached(ttl=10, stale_ttl=100, cache=memory, cache_if=lambda value: value == 1)
    async def f() -> int:
        nonlocal calls
        calls += 1
        return calls

    assert await f() == 1
    clock.advance(11)
    for _ in range(5):
        assert await f() == 1
        await wait_for_refreshes(memory)
    assert calls == 2
    clock.advance(RETRY_DELAY)
    assert await f() == 1
    await wait_for_refreshes(memory)
    assert calls == 3


async def test_an_exception_of_a_ttl_function_emits_an_event(
    memory: CacheManager, clock: FakeClock
) -> None:
    failed: list[events.LoadFailed] = []
    memory.subscribe(events.LoadFailed, failed.append)

    def ttl(value: int) -> float:
        return 10 if value == 1 else 1 / 0

    factory = Factory()
    await memory.get_or_set("k", factory, ttl, stale_ttl=100)
    clock.advance(11)
    assert await memory.get_or_set("k", factory, ttl, stale_ttl=100) == 1
    await wait_for_refreshes(memory)
    assert [type(event.error) for event in failed] == [ZeroDivisionError]


async def test_callers_do_not_share_a_stale_object(cache: CacheManager, clock: FakeClock) -> None:
    factory = Factory(lambda number: [number])
    await cache.get_or_set("k", factory, **STALE)
    clock.advance(11)
    factory.hold()
    first = await cache.get_or_set("k", factory, **STALE)
    first.append("changed")
    assert await cache.get_or_set("k", factory, **STALE) == [1]
    factory.release()
    await wait_for_refreshes(cache)


async def test_a_caller_without_stale_ttl_joins_the_refresh(
    cache: CacheManager, clock: FakeClock
) -> None:
    factory = Factory()
    await cache.get_or_set("k", factory, **STALE)
    clock.advance(11)
    factory.hold()
    assert await cache.get_or_set("k", factory, **STALE) == 1
    joined = asyncio.create_task(cache.get_or_set("k", factory, 10))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    factory.release()
    assert await joined == 2
    assert factory.calls == 2


async def test_a_soft_timeout_waits_for_the_refresh(cache: CacheManager, clock: FakeClock) -> None:
    soft: dict[str, Any] = STALE | {"soft_timeout": 30}
    factory = Factory(lambda number: [number])
    assert await cache.get_or_set("k", factory, **soft) == [1]
    clock.advance(11)
    one, other = await asyncio.gather(
        cache.get_or_set("k", factory, **soft), cache.get_or_set("k", factory, **soft)
    )
    assert one == other == [2]
    assert one is not other
    clock.advance(11)
    factory.error = ConnectionError()
    assert await cache.get_or_set("k", factory, **soft) == [2]
    assert await cache.get_or_set("k", factory, **soft) == [2]  # at once, within the retry delay
    assert factory.calls == 3


async def test_the_factory_continues_after_a_soft_timeout(
    cache: CacheManager, clock: FakeClock
) -> None:
    soft: dict[str, Any] = STALE | {"soft_timeout": 0.001}
    factory = Factory()
    await cache.get_or_set("k", factory, **soft)
    clock.advance(11)
    factory.hold()
    assert await cache.get_or_set("k", factory, **soft) == 1
    await poll(lambda: factory.running == 1)
    factory.release()
    await wait_for_refreshes(cache)
    assert await cache.get("k") == 2
    assert factory.calls == 2


async def test_a_soft_timeout_without_a_stale_value_does_not_end_the_wait(
    cache: CacheManager,
) -> None:
    factory = Factory()
    factory.hold()
    call = asyncio.create_task(cache.get_or_set("k", factory, **STALE, soft_timeout=0.001))
    done, _ = await asyncio.wait([call], timeout=0.05)
    assert not done
    factory.release()
    assert await call == 1


async def test_refresh_ahead_refreshes_an_entry_before_it_expires(
    cache: CacheManager, clock: FakeClock
) -> None:
    ahead: dict[str, Any] = {"ttl": 10, "refresh_ahead": 0.8}
    factory = Factory()
    assert await cache.get_or_set("k", factory, **ahead) == 1
    clock.advance(7.9)
    assert await cache.get_or_set("k", factory, **ahead) == 1
    await wait_for_refreshes(cache)
    assert factory.calls == 1
    clock.advance(0.2)
    factory.hold()
    for _ in range(5):
        assert await cache.get_or_set("k", factory, **ahead) == 1
    factory.release()
    await wait_for_refreshes(cache)
    assert factory.calls == 2
    assert await cache.get_or_set("k", factory, **ahead) == 2
    assert await cache.get_ttl("k") == pytest.approx(10)
    stats = await cache.get_stats()
    assert (stats.hits, stats.misses, stats.stale_hits) == (7, 1, 0)


async def test_a_failed_refresh_ahead_is_not_retried_at_every_hit(
    cache: CacheManager, clock: FakeClock
) -> None:
    ahead: dict[str, Any] = {"ttl": 100, "refresh_ahead": 0.5}
    factory = Factory()
    await cache.get_or_set("k", factory, **ahead)
    clock.advance(60)
    factory.error = ConnectionError()
    for _ in range(5):
        assert await cache.get_or_set("k", factory, **ahead) == 1
        await wait_for_refreshes(cache)
    assert factory.calls == 2
    clock.advance(RETRY_DELAY)
    assert await cache.get_or_set("k", factory, **ahead) == 1
    await wait_for_refreshes(cache)
    assert factory.calls == 3
    clock.advance(40)
    assert await get_outcome(cache.get_or_set("k", factory, **ahead)) is ConnectionError


async def test_refresh_ahead_uses_the_lifetime_of_each_entry(
    memory: CacheManager, clock: FakeClock
) -> None:
    calls = 0

    @cached(ttl=lambda value: value["seconds"], refresh_ahead=0.5, cache=memory)
    async def f(seconds: int) -> dict[str, int]:
        nonlocal calls
        calls += 1
        return {"seconds": seconds}

    await f(10)
    await f(100)
    clock.advance(6)
    await f(10)
    await f(100)
    await wait_for_refreshes(memory)
    assert calls == 3
    await memory.touch(f.cache_key(100), 1000)
    clock.advance(80)
    await f(100)
    await wait_for_refreshes(memory)
    assert calls == 3


async def test_options_work_over_a_store_without_capabilities(clock: FakeClock) -> None:
    async with CacheManager(SpyBackend(MemoryBackend()), clock=clock) as cache:
        factory = Factory()
        both: dict[str, Any] = STALE | {"refresh_ahead": 0.5}
        await cache.get_or_set("k", factory, **both)
        clock.advance(6)
        assert await cache.get_or_set("k", factory, **both) == 1
        await wait_for_refreshes(cache)
        assert await cache.get_or_set("k", factory, **both) == 2
        clock.advance(11)
        assert await cache.get_or_set("k", factory, **both) == 2
        await wait_for_refreshes(cache)
        assert await cache.get_or_set("k", factory, **both) == 3


async def test_jitter_spreads_expiry_and_never_delays_it(
    memory: CacheManager, clock: FakeClock
) -> None:
    def store_and_get_ttls(jitter: Any) -> Any:
        async def store(number: int) -> float:
            key = f"{jitter}:{number}"
            await memory.get_or_set(key, lambda: 1, 100, jitter=jitter)
            return await memory.get_ttl(key) or math.nan

        return asyncio.gather(*(store(number) for number in range(200)))

    for jitter, minimum in ((0.1, 90), ("20s", 80), ("1h", 0)):
        ttls = await store_and_get_ttls(jitter)
        assert minimum < min(ttls)
        assert max(ttls) <= 100
        assert len(set(ttls)) > 150
        assert max(ttls) - min(ttls) > 0.8 * (100 - minimum)


async def test_records_have_a_stale_time_only_if_needed(cache_dir: Path, clock: FakeClock) -> None:
    async with CacheManager("file", directory=cache_dir, clock=clock) as cache:
        await cache.set("k", 1, ttl=10)
        clock.advance(11)
        assert await cache.get_or_set("k", lambda: 2, **STALE) == 2
        [path] = list((cache_dir / "default").rglob("*-k"))
        assert b'"stale_until":' in path.read_bytes()
        await cache.set("k", 1, ttl=10)
        [path] = list((cache_dir / "default").rglob("*-k"))
        assert b"stale" not in path.read_bytes()
