"""Events of a manager: each is emitted exactly once."""

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


def collect_events(cache: CacheManager) -> list[Event]:
    events = list[Event]()
    for kind in KINDS:
        cache.subscribe(kind, events.append)
    return events


def name_events(events: list[Event]) -> list[tuple[str, str, str]]:
    """Return the class, the namespace and the key of each event."""
    return [(type(event).__name__, event.namespace, event.key) for event in events]


@pytest.fixture
async def events(cache: CacheManager) -> list[Event]:
    return collect_events(cache)


async def test_reads_and_writes_emit_events(cache: CacheManager, events: list[Event]) -> None:
    await cache.get("k")
    await cache.set("k", [1])
    await cache.get("k")
    await cache.get_many(["k", "absent"])
    assert name_events(events) == [
        ("Miss", "default", "k"),
        ("Stored", "default", "k"),
        ("Hit", "default", "k"),
        ("Hit", "default", "k"),
        ("Miss", "default", "absent"),
    ]
    assert Stored("default", "k", 3) in events


async def test_inspecting_an_entry_emits_no_read(cache: CacheManager, events: list[Event]) -> None:
    await cache.set("k", 1)
    events.clear()
    await cache.exists("k")
    await cache.get_ttl("absent")
    await cache.entry("k")
    await cache.get_stats()
    assert [key async for key in cache.keys("*")] == ["k"]
    assert events == []


async def test_removals_have_a_reason(
    cache: CacheManager, events: list[Event], clock: FakeClock
) -> None:
    await cache.set_many({"a": 1, "b": 1, "c": 1, "d": 1, "e": 1})
    await cache.set("f", 1, ttl=1)
    events.clear()
    await cache.delete("a")
    await cache.delete("a")
    await cache.delete_many(["b", "c", "absent"])
    await cache.pop("d")
    clock.advance(1)
    await cache.cleanup_expired()
    await cache.set("g", 1)
    await cache.clear()
    assert [event for event in events if isinstance(event, Removed)] == [
        Removed("default", "a", "deleted"),
        Removed("default", "", "deleted", 2),
        Removed("default", "d", "deleted"),
        Removed("default", "", "expired", 1),
        Removed("default", "", "cleared", 2),
    ]


async def test_an_eviction_names_its_key() -> None:
    async with CacheManager("memory", max_entries=1) as cache:
        events = collect_events(cache)
        await cache.set("a", 1)
        await cache.set("b", 1)
        assert Removed("default", "a", "evicted") in events
        assert sum(isinstance(event, Removed) for event in events) == 1


async def test_a_computation_emits_one_event_for_all_waiting_callers(
    cache: CacheManager, events: list[Event], clock: FakeClock
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
    assert events[:3] == [
        Miss("default", "k"),
        Loaded("default", "k", 2.0),
        Stored("default", "k", 1),
    ]
    assert name_events(events[3:]) == [("Hit", "default", "k")] * 4


async def test_a_failed_computation_emits_one_event(
    cache: CacheManager, events: list[Event]
) -> None:
    error = ValueError("no")

    async def fail() -> int:
        await asyncio.sleep(0)
        raise error

    await asyncio.gather(*(cache.get_or_set("k", fail) for _ in range(5)), return_exceptions=True)
    assert events == [Miss("default", "k"), LoadFailed("default", "k", error)]


async def test_views_name_their_namespace_and_share_the_subscribers(
    cache: CacheManager, events: list[Event]
) -> None:
    await cache.namespace("search").get("k")
    assert events == [Miss("search", "k")]


async def test_a_failure_of_the_store_names_the_operation(clock: FakeClock) -> None:
    recorder = SpyBackend(MemoryBackend())
    recorder.failing = error = BackendError("away")
    async with CacheManager(recorder, clock=clock) as cache:
        events = collect_events(cache)
        await cache.get("k")
        await cache.set("k", 1)
        await cache.delete("k")
        assert events == [
            BackendFailed("default", "", "read", error),
            Miss("default", "k"),
            BackendFailed("default", "", "write", error),
            BackendFailed("default", "", "delete", error),
        ]
        recorder.failing = None


async def test_a_raising_subscriber_breaks_no_call_and_is_removed(
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


async def test_an_unsubscribed_handler_gets_no_event(cache: CacheManager) -> None:
    events = list[Any]()
    unsubscribe = cache.subscribe(Miss, events.append)
    await cache.get("k")
    unsubscribe()
    await cache.get("k")
    assert len(events) == 1
