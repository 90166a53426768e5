"""Factories that look at the previous value, and may keep it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from aiocache_pe import (
    UNCHANGED,
    CacheManager,
    Previous,
    cached,
    fresh,
    refresh,
    sync,
)
from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.runtime.portal import portal
from aiocache_pe.testing import FakeClock
from tests.support.internals import wait_for_refreshes


class Site:
    """A page that changes, and the previous values that its requests had."""

    def __init__(self) -> None:
        self.text = "one"
        self.seen = list[Any]()

    def fetch(self, previous: Previous[Any] | None) -> Any:
        self.seen.append(previous)
        if previous is not None and previous.value == [self.text]:
            return UNCHANGED
        return [self.text]


Ask = Callable[..., Any]


@pytest.fixture(params=["async function", "function", "get_or_set", "blocking get_or_set"])
def ask(request: pytest.FixtureRequest, cache: CacheManager) -> tuple[Site, Ask]:
    """Return a site, and an async function that asks for its page with a lifetime of 10 s."""
    site, blocking = Site(), sync.CacheManager.of(cache)

    @cached(cache=cache, ttl=10)
    async def fetch(page: str, previous: Previous[list[str]] | None = None) -> list[str]:
        return site.fetch(previous)  # type: ignore[no-any-return]

    @cached(cache=cache, ttl=10)
    def fetch_blocking(page: str, *, previous: Previous[list[str]] | None = None) -> list[str]:
        return site.fetch(previous)  # type: ignore[no-any-return]

    async def call() -> Any:
        if request.param == "async function":
            return await fetch("page")
        if request.param == "function":
            return fetch_blocking("page")
        if request.param == "get_or_set":
            return await cache.get_or_set("page", site.fetch, 10)
        return blocking.get_or_set("page", site.fetch, 10)

    return site, call


async def test_the_factory_gets_the_expired_value_with_its_age(
    ask: tuple[Site, Ask], clock: FakeClock
) -> None:
    site, call = ask
    assert await call() == ["one"]
    clock.advance(15)
    site.text = "two"
    assert await call() == ["two"]
    assert site.seen == [None, Previous(["one"], 15)]


async def test_an_unchanged_value_gets_a_new_lifetime(
    ask: tuple[Site, Ask], clock: FakeClock
) -> None:
    site, call = ask
    await call()
    for _ in range(3):
        clock.advance(12)
        assert [await call() for _ in range(2)] == [["one"]] * 2
    assert site.seen == [None, *[Previous(["one"], 12)] * 3]
    with fresh(5):
        assert await call() == ["one"]
    assert len(site.seen) == 4


async def test_a_value_that_expired_long_ago_is_not_kept(
    ask: tuple[Site, Ask], clock: FakeClock
) -> None:
    site, call = ask
    await call()
    clock.advance(30)
    await call()
    assert site.seen == [None, None]


async def test_a_refresh_gets_the_live_value(ask: tuple[Site, Ask], clock: FakeClock) -> None:
    site, call = ask
    await call()
    clock.advance(3)
    with refresh():
        assert await call() == ["one"]
    with fresh(1):
        clock.advance(4)
        assert await call() == ["one"]
    assert site.seen == [None, Previous(["one"], 3), Previous(["one"], 4)]


async def test_a_removed_value_is_not_given(
    ask: tuple[Site, Ask], cache: CacheManager, clock: FakeClock
) -> None:
    site, call = ask
    await call()
    clock.advance(15)
    await cache.invalidate("*")
    await call()
    assert site.seen == [None, None]


async def test_what_a_factory_changes_is_its_own(cache: CacheManager, clock: FakeClock) -> None:
    def fetch(previous: Previous[list[int]] | None) -> Any:
        if previous is None:
            return [1]
        previous.value.append(2)
        raise LookupError

    await cache.get_or_set("k", fetch, 10)
    clock.advance(15)
    for _ in range(2):
        with pytest.raises(LookupError):
            await cache.get_or_set("k", fetch, 10)
    assert await cache.get_or_set("k", lambda previous: previous.value, 10) == [1]


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_background_refresh_gets_the_stale_value(
    memory: CacheManager, clock: FakeClock, is_async: bool
) -> None:
    site = Site()

    async def fetch(previous: Previous[Any] | None = None) -> Any:
        return site.fetch(previous)

    def fetch_blocking(previous: Previous[Any] | None = None) -> Any:
        return site.fetch(previous)

    body: Any = fetch if is_async else fetch_blocking
    function: Any = cached(cache=memory, ttl=10, stale_ttl=100)(body)

    async def call() -> Any:
        return await function() if is_async else function()

    await call()
    clock.advance(50)
    assert await call() == ["one"]
    await wait_for_refreshes(memory)
    if not is_async:
        portal.call(wait_for_refreshes, memory)
    assert site.seen == [None, Previous(["one"], 50)]
    assert await call() == ["one"]
    assert len(site.seen) == 2


def test_a_factory_with_a_time_limit_gets_the_value(clock: FakeClock) -> None:
    site = Site()
    with sync.CacheManager("memory", clock=clock) as cache:
        for _ in range(2):
            cache.get_or_set("page", site.fetch, 10, hard_timeout=60)
            clock.advance(15)
    assert site.seen == [None, Previous(["one"], 15)]


async def test_the_parameter_is_not_part_of_the_key(memory: CacheManager) -> None:
    @cached(cache=memory, key_prefix="page", version="")
    async def fetch(page: str, previous: Previous[str] | None = None) -> str:
        return page

    @cached(cache=memory, key_prefix="page", version="")
    async def plain(page: str) -> str:
        return page

    assert fetch.cache_key("a")[-32:] == plain.cache_key("a")[-32:]


async def test_an_ordinary_parameter_of_this_name_is_an_argument(memory: CacheManager) -> None:
    @cached(cache=memory)
    async def compare(previous: int | None = None) -> int | None:
        return previous

    assert [await compare(previous) for previous in (1, 2, None)] == [1, 2, None]
    assert compare.cache_info()[:2] == (0, 3)
    old = 7
    assert await memory.get_or_set("k", lambda previous=old: previous) == 7


async def test_unchanged_needs_a_previous_value(memory: CacheManager) -> None:
    with pytest.raises(ConfigurationError, match="may return UNCHANGED only if its parameter"):
        await memory.get_or_set("k", lambda previous: UNCHANGED)


def test_the_parameter_needs_the_default_none() -> None:
    with pytest.raises(ConfigurationError, match="must have the default None"):

        @cached
        async def fetch(previous: Previous[str]) -> str:
            return previous.value
