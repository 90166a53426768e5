"""Wrong uses of the public API; both type checkers must reject every marked line.

An unneeded ignore comment is an error for both (`test_types`), so that this file has no errors
only if every marked line is an error.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from aiocache_pe import CacheManager, CacheStats, cached, cached_batch, get_cache, sync
from aiocache_pe.events import Hit


@cached
async def double(number: int) -> int:
    return 2 * number


@cached(ttl="1h")
async def answer(question: str, *, model: str = "gpt") -> str:
    return question + model


@cached
def plain(number: int) -> int:
    return number


@cached(ignore=["session"])
def with_settings(session: object, number: int) -> list[int]:
    return [number]


@cached
async def stream(count: int) -> AsyncIterator[int]:
    yield count


@cached
def plain_stream(count: int) -> Iterator[int]:
    yield count


@cached_batch
async def embed(texts: list[str]) -> list[list[float]]:
    return [[float(len(text))] for text in texts]


@cached_batch(batch_size=2)
def plain_batch(numbers: list[int]) -> list[int]:
    return numbers


class Service:
    @cached
    async def method(self, number: int) -> str:
        return str(number)

    @cached
    def plain_method(self, number: int) -> str:
        return str(number)

    @classmethod
    @cached
    async def of_class(cls, number: int) -> bytes:
        return bytes(number)


async def wrong_calls() -> None:
    await double("21")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await double()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await double(1, 2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await answer("why?", "gpt")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await answer("why?", temperature=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    text: str = await double(1)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    await answer(text).real  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


async def wrong_calls_of_plain_functions() -> None:
    plain("21")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    plain()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await plain(1)  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]
    text: str = plain(1)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    with_settings(text)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    with_settings(None, 1).real()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


async def wrong_streams() -> None:
    await stream(1)  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]
    stream("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    for _ in stream(1):  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        pass
    async for chunk in stream(1):
        text: str = chunk  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
        await double(text)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    async for _ in plain_stream(1):  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        pass
    next(plain_stream("1"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def wrong_batches() -> None:
    await embed("text")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await embed()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    numbers: list[int] = await embed(["text"])  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    plain_batch(["1"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    await plain_batch(numbers)  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]
    embed.cache_key(["text"])  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    cached_batch(batch_size="2")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    cached_batch(stale_ttl="1h")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


async def wrong_methods(service: Service) -> None:
    await service.method("1")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    await service.method()  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    number: int = await service.method(1)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    await service.plain_method(number)  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]
    await Service.of_class("1")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    await service.method.invalidate("1")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    service.method.no_such_verb()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


async def wrong_methods_of_functions() -> None:
    await double.invalidate("21")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    double.cache_key()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await plain.invalidate(1)  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]
    await double.cache_info()  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]
    double.cache = None  # type: ignore[misc, assignment]  # pyright: ignore[reportAttributeAccessIssue]
    plain.no_such_verb()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


def wrong_decorations(cache: CacheManager) -> None:
    cached(7)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    cached(ttl=[1])  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    cached(cache="file")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    cached(tll=60)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    cached(key=7)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    cached(cache_if=True)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    cached(version=1.5)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    cached(ttl=60, stale_ttl=b"1h")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    cached(ttl=60, refresh_ahead="0.8")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    cached(ttl=60, jitter=[1])  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    cached(ttl=60, soft_timeout={})  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    cached(ttl=60, hard_timeout=object())  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    cached(ttl=60, lock=b"1m")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    cached(ttl=60, stale=60)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


async def wrong_methods_of_managers(cache: CacheManager) -> None:
    await cache.get(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await cache.set("k")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await cache.set("k", 1, ttl=b"1h")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await cache.set("k", 1, 60, ["t"])  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await cache.set_many([("k", 1)])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await cache.incr("k", "1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await cache.get_or_set("k", 1)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    cache.subscribe(Hit, 7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    cache.subscribe("hit", print)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    for _ in cache.keys("*"):  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        pass


def wrong_settings() -> None:
    CacheManager("memory", "cache")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    CacheManager(max_entries="10")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    CacheManager(prices={"small": 1})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
    CacheManager(clock=60)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    CacheManager(object())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    CacheManager(fallback="memory")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    get_cache(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def wrong_changes(stats: CacheStats) -> None:
    stats.hits = 7  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


def wrong_blocking(cache: sync.CacheManager) -> None:
    sync.CacheManager(ttl=[])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    sync.CacheManager("memory", size=7)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    cache.set(1, 1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    cache.set("k")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    cache.set("k", 1, "1h", ["tag"])  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    cache.incr("k", "1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    cache.delete_many(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    text: str = cache.delete("k")  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    number: int = cache.get_or_set("k", lambda: "1")  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    cache.unknown("k")  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    sync.warm_cache(cache, {}, concurrency="8")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    del text, number


async def wrong_waiting(cache: sync.CacheManager) -> None:
    await cache.delete("k")  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]
    async for _ in cache.keys():  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        pass
