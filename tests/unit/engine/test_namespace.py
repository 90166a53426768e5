"""A namespace gives commands and warming access to the store, without failures."""

from __future__ import annotations

from pathlib import Path

import pytest

from aiocache_pe import CacheManager
from aiocache_pe.backends.memory import MemoryBackend
from aiocache_pe.events import BackendFailed
from aiocache_pe.testing import FakeClock, SpyBackend


async def test_usage_is_added_and_read_by_store_key() -> None:
    async with CacheManager("memory") as cache:
        await cache.set("k", 1)
        namespace = cache.loader.namespace
        assert await namespace.get_usage("default:k") == (0, None)
        await namespace.add_usage({"default:k": (3, 1000.0)})
        assert await namespace.get_usage("default:k") == (3, 1000.0)


async def test_the_head_of_an_expired_record_is_returned(clock: FakeClock) -> None:
    async with CacheManager("memory", clock=clock) as cache:
        await cache.get_or_set("k", lambda: 1, ttl=10, stale_ttl=100)
        clock.advance(11)
        head = await cache.loader.namespace.get_head("default:k")
        assert head is not None
        assert (head.key, head.codec, head.is_expired(clock.time())) == ("default:k", "json", True)
        assert await cache.loader.namespace.get_head("default:absent") is None


async def test_a_file_store_examines_itself_and_locates_its_entries(cache_dir: Path) -> None:
    async with CacheManager("file", directory=cache_dir) as cache:
        await cache.set("k", 1)
        namespace = cache.loader.namespace
        assert namespace.store_name == "file"
        assert {check.level for check in await namespace.examine()} <= {"ok", "warning"}
        location = namespace.location("default:k")
        assert location is not None
        assert Path(location).is_file()


async def test_entries_in_memory_are_counted_while_a_change_of_the_tier_is_interrupted(
    cache_dir: Path,
) -> None:
    async with CacheManager(directory=cache_dir) as cache:
        await cache.set_many({"f:1": 1, "f:2": 2, "g:1": 1})
        namespace = cache.loader.namespace
        tier = namespace.engine.tier
        assert tier is not None
        with tier.lock:  # as held by a thread in which a signal handler runs
            assert namespace.count_in_memory("f:") == 2


async def test_a_store_without_capabilities_has_no_checks_and_no_usage() -> None:
    async with CacheManager(SpyBackend(MemoryBackend())) as cache:
        namespace = cache.loader.namespace
        await cache.set("k", 1)
        await namespace.add_usage({"default:k": (3, 1000.0)})
        assert await namespace.get_usage("default:k") == (0, None)
        assert list(await namespace.examine()) == []
        assert namespace.location("default:k") is None


async def test_a_failing_store_is_counted_and_gives_no_head() -> None:
    backend = SpyBackend(MemoryBackend())
    failures: list[BackendFailed] = []
    async with CacheManager(backend) as cache:
        cache.subscribe(BackendFailed, failures.append)
        await cache.set("k", 1)
        backend.failing = OSError("away")
        assert await cache.loader.namespace.get_head("default:k") is None
        assert [failure.verb for failure in failures] == ["read"]
        backend.failing = None


async def test_a_recovery_is_logged_after_some_time_without_failures(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    backend = SpyBackend(MemoryBackend())
    async with CacheManager(backend, clock=clock) as cache:
        backend.failing = OSError("away")
        for _ in range(3):
            assert await cache.get("k") is None
        backend.failing = None
        await cache.get("k")
        clock.advance(30)
        await cache.get("k")
    messages = [message for message in caplog.messages if "(read" in message]
    assert len(messages) == 2
    assert messages[0].startswith(f"store {backend.name} of namespace 'default' fails (read: ")
    assert messages[1] == f"store {backend.name} of namespace 'default' works again (read)"
