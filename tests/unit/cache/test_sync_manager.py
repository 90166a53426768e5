"""The blocking manager works like the async manager, over each store and on the same entries."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from aiocache_pe import CacheClosedError, ConfigurationError, bypass, read_only, refresh
from aiocache_pe import get_cache as get_async
from aiocache_pe.cache.manager import CacheManager as AsyncManager
from aiocache_pe.events import Event, Hit, Stored
from aiocache_pe.runtime.portal import portal
from aiocache_pe.sync import CacheManager, cached, get_cache
from aiocache_pe.testing.fake_clock import FakeClock
from tests.support.cache_fixtures import STORES, make_manager


@pytest.fixture(params=STORES)
def blocking(
    request: pytest.FixtureRequest, cache_dir: Path, clock: FakeClock
) -> Iterator[CacheManager]:
    with CacheManager.of(make_manager(request.param, cache_dir, clock)) as cache:
        yield cache


def test_every_method_works(blocking: CacheManager, clock: FakeClock) -> None:
    cache = blocking
    assert cache.set("a", [1], ttl="1m", tags=["t"])
    assert (cache.get("a"), cache.get("b"), cache.get("b", 7)) == ([1], None, 7)
    assert (cache.add("a", 2), cache.add("b", 2)) == (False, True)
    assert (cache.exists("a"), cache.exists("c")) == (True, False)
    assert [cache.get_ttl(key) for key in "abc"] == [60.0, math.inf, None]
    assert (cache.touch("b", 5), cache.get_ttl("b"), cache.touch("c", 5)) == (True, 5.0, False)
    assert (cache.incr("n", 2), cache.decr("n"), cache.pop("n"), cache.pop("n", 0)) == (2, 1, 1, 0)
    assert cache.set_many({"x1": None, "x2": (1, 2)})
    assert cache.get_many(["x1", "x2", "none"]) == {"x1": None, "x2": (1, 2)}
    assert sorted(cache.keys()) == ["a", "b", "x1", "x2"]
    assert list(cache.keys("x*2")) == ["x2"]
    assert (cache.invalidate("x*"), cache.delete_many(["x1", "b"])) == (2, 1)
    entry = cache.entry("a")
    assert entry is not None
    assert (entry.value, entry.tags, cache.entry("b")) == ([1], ("t",), None)
    assert (cache.delete_by_tag("t"), cache.exists("a")) == (True, False)
    cache.set("short", 1, ttl=1)
    clock.advance(2)
    assert cache.cleanup_expired() >= 1
    assert cache.set("last", 1)
    assert (cache.delete("last"), cache.delete("last"), cache.clear()) == (True, False, 0)
    assert cache.get_stats().total_entries == 0


def test_a_value_is_computed_once_and_the_caller_may_change_it(blocking: CacheManager) -> None:
    calls: list[int] = []

    def factory() -> list[int]:
        calls.append(1)
        return [1]

    async def async_factory() -> str:
        await asyncio.sleep(0)
        return "later"

    blocking.get_or_set("key", factory, ttl=60).append(2)
    assert blocking.get_or_set("key", factory) == [1]
    assert blocking.get_or_set("later", async_factory) == blocking.get("later") == "later"
    assert calls == [1]


def test_an_exception_of_the_factory_reaches_the_caller_and_is_not_stored(
    blocking: CacheManager,
) -> None:
    def failing() -> int:
        raise ConnectionError("away")

    for _ in range(2):
        with pytest.raises(ConnectionError, match="away"):
            blocking.get_or_set("key", failing)
    assert not blocking.exists("key")


def test_modes_apply_to_the_blocking_manager(blocking: CacheManager) -> None:
    blocking.set("key", 1)
    with bypass():
        assert blocking.get_or_set("key", lambda: 2) == 2
    with read_only():
        assert (blocking.get_or_set("key", lambda: 2), blocking.get_or_set("new", lambda: 3)) == (
            1,
            3,
        )
    with refresh():
        assert blocking.get_or_set("key", lambda: 4) == 4
    assert (blocking.get("key"), blocking.exists("new")) == (4, False)


def test_a_view_has_its_own_keys(blocking: CacheManager) -> None:
    view = blocking.namespace("view")
    assert isinstance(view, CacheManager)
    assert view.set("key", "of the view")
    assert (blocking.get("key"), view.get("key")) == (None, "of the view")
    assert blocking.clear() == 0
    assert view.clear() == 1


def test_listing_keys_can_stop_early(blocking: CacheManager) -> None:
    blocking.set_many({f"key {n}": n for n in range(600)})  # several batches
    keys = blocking.keys()
    assert next(keys).startswith("key ")
    keys.close()  # type: ignore[attr-defined]
    assert len(list(blocking.keys())) == 600


def test_an_async_and_a_blocking_manager_share_one_cache(cache_dir: Path) -> None:
    cache = AsyncManager(directory=cache_dir)
    blocking = CacheManager.of(cache)
    assert blocking.asynchronous is cache

    async def main() -> None:
        await cache.set("key", {"of": "async"})
        assert await asyncio.to_thread(blocking.get, "key") == {"of": "async"}
        assert blocking.set("key", "of the blocking one")  # although it blocks this loop
        assert await cache.get("key") == "of the blocking one"

    asyncio.run(main())
    assert blocking == CacheManager.of(cache)
    assert hash(blocking) == hash(CacheManager.of(cache))
    assert blocking != CacheManager("memory")
    assert repr(blocking) == f"sync.{cache!r}"
    blocking.close()


def test_a_hit_in_memory_stays_in_its_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = CacheManager("memory")

    @cached(cache=cache)
    def double(number: int) -> int:
        return 2 * number

    cache.set("key", "value")
    double(1)

    def refuse(*_: object) -> None:
        raise AssertionError("another thread was called")

    scheduled: list[object] = []
    monkeypatch.setattr(portal, "call", refuse)
    monkeypatch.setattr(portal, "run", refuse)
    monkeypatch.setattr(portal, "call_soon", scheduled.append)  # schedules a report
    for _ in range(100):
        assert cache.get("key") == "value"
        assert cache.get_many(["key"]) == {"key": "value"}
        assert cache.get_or_set("key", lambda: "other") == "value"
        assert double(1) == 2
    assert len(scheduled) <= 1


def test_events_reach_a_handler_of_the_blocking_manager() -> None:
    cache, seen = CacheManager("memory"), list[Event]()
    unsubscribe = [cache.subscribe(Stored, seen.append), cache.subscribe(Hit, seen.append)]
    cache.set("key", 1)
    cache.get("key")
    assert [type(event) for event in seen] == [Stored, Hit]
    for end in unsubscribe:
        end()
    cache.get("key")
    assert len(seen) == 2


def test_closing_twice_has_no_effect_and_with_opens_the_cache_again(cache_dir: Path) -> None:
    cache = CacheManager(directory=cache_dir)
    with cache as entered:
        assert entered is cache
        cache.set("key", 1)
    cache.close()
    cache.close()
    for call in (cache.get, cache.exists, lambda key: cache.get_or_set(key, int)):
        with pytest.raises(CacheClosedError, match="opens it again"):
            call("key")
    with cache:
        assert cache.get("key") == 1


def test_invalid_arguments_raise_as_in_the_async_manager() -> None:
    with pytest.raises(ConfigurationError, match=r"backend must be one of .*; got 'disk'"):
        CacheManager("disk")
    cache = CacheManager("memory")
    with pytest.raises(TypeError, match="key must be a str; got int"):
        cache.get(7)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="factory must be a function; got int: 7"):
        cache.get_or_set("key", 7)  # type: ignore[call-overload]


def test_get_cache_wraps_the_shared_async_manager() -> None:
    assert get_cache("memory").asynchronous is get_async("memory")
    assert get_cache("memory") == get_cache("memory")


def test_a_blocking_cache_is_used_like_a_dict() -> None:
    with CacheManager("memory") as cache:
        cache["a"] = None
        cache["b"] = [1]
        assert ("a" in cache, "c" in cache) == (True, False)
        assert (cache["a"], cache["b"]) == (None, [1])
        assert sorted(cache) == ["a", "b"]
        del cache["a"]
        for missing in (lambda: cache["a"], lambda: cache.__delitem__("a")):
            with pytest.raises(KeyError, match="'a'"):
                missing()
        with pytest.raises(TypeError, match="key must be a str; got int: 1"):
            cache[1]  # type: ignore[index]  # pyright: ignore[reportArgumentType]
        assert cache


def test_a_decorated_function_accepts_and_returns_a_blocking_cache() -> None:
    cache = CacheManager("memory")

    @cached(cache=cache, namespace="own")
    def double(number: int) -> int:
        return 2 * number

    @cached(cache=cache)
    async def async_identity(number: int) -> int:
        return number

    assert double(21) == 42
    assert isinstance(double.cache, CacheManager)
    assert double.cache.get(double.cache_key(21)) == 42
    assert asyncio.run(async_identity(1)) == 1
    assert async_identity.cache is cache.asynchronous
