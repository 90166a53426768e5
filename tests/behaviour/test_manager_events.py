"""Events of a manager: each thing that happens is told exactly once."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from aiocache_pe import CacheManager
from aiocache_pe.backends.memory import MemoryBackend
from aiocache_pe.events import (
    BackendFailed,
    Event,
    Hit,
    Loaded,
    LoadFailed,
    Miss,
    Removed,
    Stored,
)
from aiocache_pe.exceptions import BackendError
from aiocache_pe.testing.fake_clock import FakeClock
from aiocache_pe.testing.spy_backend import SpyBackend

KINDS: tuple[type[Event], ...] = (
    Hit,
    Miss,
    Stored,
    Removed,
    Loaded,
    LoadFailed,
    BackendFailed,
)


def listen(cache: CacheManager) -> list[Event]:
    told = list[Event]()
    for kind in KINDS:
        cache.subscribe(kind, told.append)
    return told


@pytest.fixture
async def told(cache: CacheManager) -> list[Event]:
    return listen(cache)


async def test_reads_and_writes(cache: CacheManager, told: list[Event]) -> None:
    await cache.get("k")
    await cache.set("k", [1])
    await cache.get("k")
    await cache.get_many(["k", "absent"])
    assert told == [
        Miss("default", "k"),
        Stored("default", "k", 3),
        Hit("default", "k"),
        Hit("default", "k"),
        Miss("default", "absent"),
    ]


async def test_asking_about_an_entry_is_no_read(cache: CacheManager, told: list[Event]) -> None:
    await cache.set("k", 1)
    told.clear()
    await cache.exists("k")
    await cache.get_ttl("absent")
    await cache.entry("k")
    await cache.get_stats()
    assert [key async for key in cache.keys("*")] == ["k"]
    assert told == []


async def test_removals_say_why(cache: CacheManager, told: list[Event], clock: FakeClock) -> None:
    await cache.set_many({"a": 1, "b": 1, "c": 1, "d": 1, "e": 1})
    await cache.set("f", 1, ttl=1)
    told.clear()
    await cache.delete("a")
    await cache.delete("a")
    await cache.delete_many(["b", "c", "absent"])
    await cache.pop("d")
    clock.advance(1)
    await cache.cleanup_expired()
    await cache.set("g", 1)
    await cache.clear()
    assert [event for event in told if isinstance(event, Removed)] == [
        Removed("default", "a", "deleted"),
        Removed("default", "", "deleted", 2),
        Removed("default", "d", "deleted"),
        Removed("default", "", "expired", 1),
        Removed("default", "", "cleared", 2),
    ]


async def test_an_eviction_is_told_with_its_key() -> None:
    async with CacheManager("memory", max_entries=1) as cache:
        told = listen(cache)
        await cache.set("a", 1)
        await cache.set("b", 1)
        assert Removed("default", "a", "evicted") in told
        assert sum(isinstance(event, Removed) for event in told) == 1


async def test_a_computation_is_told_once_for_all_who_waited(
    cache: CacheManager, told: list[Event], clock: FakeClock
) -> None:
    start = asyncio.Event()

    async def slow() -> int:
        await start.wait()
        clock.advance(2)
        return 1

    tasks = [asyncio.create_task(cache.get_or_set("k", slow)) for _ in range(5)]
    await asyncio.sleep(0)
    start.set()
    await asyncio.gather(*tasks)
    assert told[:3] == [
        Miss("default", "k"),
        Loaded("default", "k", 2.0),
        Stored("default", "k", 1),
    ]
    assert told[3:] == [Hit("default", "k")] * 4


async def test_a_failed_computation_is_told_once(cache: CacheManager, told: list[Event]) -> None:
    error = ValueError("no")

    async def fail() -> int:
        await asyncio.sleep(0)
        raise error

    await asyncio.gather(*(cache.get_or_set("k", fail) for _ in range(5)), return_exceptions=True)
    assert told == [Miss("default", "k"), LoadFailed("default", "k", error)]


async def test_views_name_their_namespace_and_share_the_subscribers(
    cache: CacheManager, told: list[Event]
) -> None:
    await cache.namespace("search").get("k")
    assert told == [Miss("search", "k")]


async def test_a_failing_store_is_told_with_what_was_asked() -> None:
    recorder = SpyBackend(MemoryBackend())
    recorder.failing = error = BackendError("away")
    async with CacheManager(recorder) as cache:
        told = listen(cache)
        await cache.get("k")
        await cache.set("k", 1)
        await cache.delete("k")
        assert told == [
            BackendFailed("default", "", "read", error),
            Miss("default", "k"),
            BackendFailed("default", "", "write", error),
            BackendFailed("default", "", "delete", error),
        ]
        recorder.failing = None


async def test_a_raising_subscriber_breaks_no_call_and_is_dropped(
    cache: CacheManager, caplog: pytest.LogCaptureFixture
) -> None:
    calls = list[Event]()

    def fail(event: Event) -> None:
        calls.append(event)
        raise ZeroDivisionError

    for kind in KINDS:
        cache.subscribe(kind, fail)
    with caplog.at_level(logging.ERROR, "aiocache_pe"):
        for _ in range(3):
            await cache.set("k", [1])
            assert await cache.get("k") == [1]
            assert await cache.get("absent") is None
            assert await cache.delete("k")
    assert sorted(type(event).__name__ for event in calls) == ["Hit", "Miss", "Removed", "Stored"]
    assert len(caplog.records) == 4


async def test_who_left_hears_nothing(cache: CacheManager) -> None:
    told = list[Any]()
    leave = cache.subscribe(Miss, told.append)
    await cache.get("k")
    leave()
    await cache.get("k")
    assert len(told) == 1
