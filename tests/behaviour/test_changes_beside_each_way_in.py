"""A change by another manager over the same store wins over a computation, whatever began it.

The other manager has generations of its own, as one of another process.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from langchain_core.outputs import Generation
from redis import Redis

from aiocache_pe import CacheManager, cached, cached_batch
from aiocache_pe.backends.memory import MemoryBackend
from aiocache_pe.integrations.httpx import AsyncCacheTransport, CacheTransport
from aiocache_pe.integrations.langchain import LangChainCache
from aiocache_pe.testing import FakeClock
from tests.support.factories import Factory
from tests.support.internals import count_refreshes, wait_for_refreshes
from tests.support.polling import POLL_SECONDS, poll
from tests.support.servers.redis_server import Server

Change = Callable[[CacheManager, str], Awaitable[object]]
TAG = "tag"
CHANGES: dict[str, Change] = {
    "delete": lambda cache, key: cache.delete(key),
    "invalidate": lambda cache, _: cache.invalidate("*"),
    "clear": lambda cache, _: cache.clear(),
    "delete_by_tag": lambda cache, _: cache.delete_by_tag(TAG),
}


PAIRS = (
    ("memory", "clear"),
    *(("file", name) for name in ("delete", "invalidate", "delete_by_tag")),
    *(("redis", name) for name in ("delete", "clear", "delete_by_tag")),
)
"""Stores, each with some of the changes."""


class Pair(NamedTuple):
    """Two managers over one store, and a change that the other one makes.

    Attributes:
        cache: the manager that computes.
        other: the manager that makes the change.
        change: makes it, for a key.
    """

    cache: CacheManager
    other: CacheManager
    change: Change

    def decorate(self, function: Any, **settings: Any) -> Any:
        """Return a function cached by the manager that computes."""
        return cached(cache=self.cache, tags=[TAG], key="one", **settings)(function)


@pytest.fixture(params=PAIRS, ids=" ".join)
async def pair(
    request: pytest.FixtureRequest, cache_dir: Path, clock: FakeClock
) -> AsyncIterator[Pair]:
    store, name = request.param
    if store == "redis":
        request.getfixturevalue("lasting_leases")
        server: Server = request.getfixturevalue("redis_server")
        with Redis.from_url(server.url) as admin:
            admin.flushall()
        settings: dict[str, Any] = {"fallback": None, "memory_max_bytes": 0}
        managers = [CacheManager(server.url, clock=clock, **settings) for _ in range(2)]
    elif store == "memory":
        backend = MemoryBackend()
        managers = [CacheManager(backend, clock=clock) for _ in range(2)]
    else:
        managers = [CacheManager(directory=cache_dir, clock=clock) for _ in range(2)]
    async with managers[0], managers[1]:
        yield Pair(managers[0], managers[1], CHANGES[name])


class Source:
    """A source of which the first call waits until it is released."""

    def __init__(self) -> None:
        self.calls = 0
        self.gate = threading.Event()

    def read(self) -> str:
        """Return the number of the call as text."""
        self.calls += 1
        number = self.calls
        if number == 1:
            assert self.gate.wait(60)
        return f"version {number}"

    async def has_begun(self) -> None:
        """Wait until the first call waits."""
        await poll(lambda: self.calls, deadline=60)


async def test_a_blocking_function(pair: Pair) -> None:
    source = Source()

    @pair.decorate
    def compute() -> str:
        return source.read()

    computing = asyncio.create_task(asyncio.to_thread(compute))
    await source.has_begun()
    await pair.change(pair.other, compute.cache_key())
    source.gate.set()
    assert await computing == "version 1"
    assert [await asyncio.to_thread(compute) for _ in range(2)] == ["version 2"] * 2


@pytest.mark.parametrize("method", ["invalidate", "cache_clear"])
async def test_a_blocking_change(pair: Pair, method: str) -> None:
    source = Source()

    def compute() -> str:
        return source.read()

    here, there = (cached(cache=each, key="one")(compute) for each in pair[:2])
    computing = asyncio.create_task(asyncio.to_thread(here))
    await source.has_begun()
    await asyncio.to_thread(getattr(there, method))
    source.gate.set()
    assert await computing == "version 1"
    assert [await asyncio.to_thread(here) for _ in range(2)] == ["version 2"] * 2


async def test_a_blocking_generator(pair: Pair) -> None:
    source = Source()
    source.gate.set()

    @pair.decorate
    def compute() -> Iterator[str]:
        yield source.read()
        yield "end"

    reading = compute()
    assert await asyncio.to_thread(next, reading) == "version 1"
    await pair.change(pair.other, compute.cache_key())
    assert await asyncio.to_thread(list, reading) == ["end"]
    for _ in range(2):
        assert await asyncio.to_thread(list, compute()) == ["version 2", "end"]


async def test_a_stream(pair: Pair) -> None:
    source = Source()
    source.gate.set()

    @pair.decorate
    async def compute() -> AsyncIterator[str]:
        yield source.read()
        yield "end"

    reading = compute()
    assert await anext(reading) == "version 1"
    await pair.change(pair.other, compute.cache_key())
    assert [chunk async for chunk in compute()] == ["version 2", "end"]
    assert [chunk async for chunk in reading] == ["end"]
    assert [chunk async for chunk in compute()] == ["version 2", "end"]


@pytest.mark.parametrize("is_blocking", [False, True], ids=["async", "blocking"])
async def test_a_batch(pair: Pair, is_blocking: bool) -> None:
    source = Source()

    def compute(numbers: list[int]) -> list[str]:
        version = source.read()
        return [version for _ in numbers]

    async def compute_in_thread(numbers: list[int]) -> list[str]:
        return await asyncio.to_thread(compute, numbers)

    decorate = cached_batch(cache=pair.cache, tags=[TAG], key="{numbers}", key_prefix="batch")
    blocking, awaited = decorate(compute), decorate(compute_in_thread)

    async def call() -> list[str]:
        if is_blocking:
            return await asyncio.to_thread(blocking, [1, 2])
        return await awaited([1, 2])

    computing = asyncio.create_task(call())
    await source.has_begun()
    [first_key, _] = awaited.cache_keys([1, 2])
    await pair.change(pair.other, first_key)
    source.gate.set()
    assert await computing == ["version 1"] * 2
    assert (await call())[0] == "version 2"


@pytest.mark.parametrize(
    ("options", "seconds"),
    [({"refresh_ahead": 0.5}, 40), ({"stale_ttl": 600}, 61)],
    ids=["ahead", "stale"],
)
async def test_a_background_refresh(
    pair: Pair, clock: FakeClock, options: dict[str, Any], seconds: float
) -> None:
    factory, cache = Factory(), pair.cache
    settings: dict[str, Any] = {"ttl": 60, "tags": [TAG], **options}
    assert await cache.get_or_set("one", factory, **settings) == 1
    clock.advance(seconds)
    factory.hold()
    assert await cache.get_or_set("one", factory, **settings) == 1
    await poll(lambda: factory.running, deadline=60)
    await pair.change(pair.other, "one")
    factory.release()
    await wait_for_refreshes(cache)
    await wait_for_miss(cache, "one")


@pytest.mark.parametrize("is_changed_here", [False, True], ids=["other", "same"])
async def test_a_refresh_of_an_earlier_entry_is_not_joined(
    pair: Pair, clock: FakeClock, is_changed_here: bool
) -> None:
    old, new, cache = Factory(), Factory(lambda number: f"new {number}"), pair.cache
    settings: dict[str, Any] = {"ttl": 60, "stale_ttl": 600, "tags": [TAG]}
    assert await cache.get_or_set("one", old, **settings) == 1
    clock.advance(61)
    old.hold()
    assert await cache.get_or_set("one", old, **settings) == 1
    await poll(lambda: old.running, deadline=60)
    changing = cache if is_changed_here else pair.other
    await pair.change(changing, "one")
    assert await changing.get_or_set("one", new, **settings) == "new 1"
    clock.advance(61)
    joining = asyncio.create_task(cache.get_or_set("one", new, soft_timeout=60, **settings))
    await poll(lambda: joining.done() or count_refreshes(cache) > 1)
    old.release()
    assert await joining == "new 2"
    await wait_for_refreshes(cache)
    assert await cache.get("one") == "new 2"


@pytest.mark.parametrize("is_blocking", [False, True], ids=["async", "blocking"])
async def test_the_cache_of_langchain(pair: Pair, is_blocking: bool) -> None:
    llm_cache, answer = LangChainCache(pair.cache, tags=[TAG]), [Generation(text="old")]
    loop = asyncio.get_running_loop()
    namespace = pair.other.namespace("langchain")
    await llm_cache.aupdate("why?", "small", answer)
    key = await take_key(namespace)

    def call_blocking() -> None:
        assert llm_cache.lookup("why?", "small") is None
        asyncio.run_coroutine_threadsafe(make_change(), loop).result(60)
        llm_cache.update("why?", "small", answer)

    async def make_change() -> None:
        await pair.change(namespace, key)

    if is_blocking:
        await asyncio.to_thread(call_blocking)
    else:
        assert await llm_cache.alookup("why?", "small") is None
        await make_change()
        await llm_cache.aupdate("why?", "small", answer)
    assert await llm_cache.alookup("why?", "small") is None


async def take_key(cache: CacheManager) -> str:
    """Return the key of the only entry, and remove the entry."""
    [key] = [key async for key in cache.keys("*")]
    await cache.delete(key)
    return key


async def wait_for_miss(cache: CacheManager, key: str) -> None:
    """Wait until the cache has no entry of a key; over Redis, that takes a moment."""
    found = await cache.get(key)
    while found is not None:
        await asyncio.sleep(POLL_SECONDS)
        found = await cache.get(key)


class ModelServer:
    """A server of which the first answer waits until it is released."""

    def __init__(self) -> None:
        self.source = Source()

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Return a whole answer, or a stream of one chunk."""
        text = self.source.read()
        if b"stream" in request.content:
            part = b'data: {"choices":[{"delta":{"content":"%b"},"finish_reason":"stop"}]}\n\n'
            content = part % text.encode() + b"data: [DONE]\n\n"
            return httpx.Response(
                200, content=content, headers={"content-type": "text/event-stream"}
            )
        choice = {"message": {"content": text}, "finish_reason": "stop"}
        return httpx.Response(200, json={"choices": [choice]})

    async def answer_async(self, request: httpx.Request) -> httpx.Response:
        """Return what `answer` returns."""
        return await asyncio.to_thread(self.answer, request)


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("is_blocking", [False, True], ids=["async", "blocking"])
async def test_an_http_transport(pair: Pair, *, is_blocking: bool, is_stream: bool) -> None:
    cache, server = pair.cache, ModelServer()
    awaited = httpx.AsyncClient(
        transport=AsyncCacheTransport(
            cache, transport=httpx.MockTransport(server.answer_async), tags=[TAG]
        )
    )
    inner = httpx.MockTransport(server.answer)
    blocking = httpx.Client(transport=CacheTransport(cache, transport=inner, tags=[TAG]))
    url, body = "http://model/v1/chat/completions", {"stream": True} if is_stream else {}

    async def post() -> str:
        if is_blocking:
            response = await asyncio.to_thread(blocking.post, url, json=body, timeout=60)
        else:
            response = await awaited.post(url, json=body, timeout=60)
        return response.text

    async with awaited:
        with blocking:
            server.source.gate.set()
            await post()
            key, server.source = await take_key(pair.other), Source()
            requesting = asyncio.create_task(post())
            await server.source.has_begun()
            await pair.change(pair.other, key)
            server.source.gate.set()
            assert "version 1" in await requesting
            assert "version 2" in await post()
            assert "version 2" in await post()
