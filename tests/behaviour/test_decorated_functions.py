"""`cached`: results of decorated functions, and calls that compute again."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from aiocache_pe import CacheManager, UnstableIdentityError, cached
from aiocache_pe.backends.memory import MemoryBackend
from aiocache_pe.exceptions import BackendError, InvalidTTLError
from aiocache_pe.testing.spy_backend import SpyBackend
from tests.support.polling import poll

if TYPE_CHECKING:
    from sqlite3 import Connection as Session


@dataclass
class Answer:
    text: str
    sources: list[str]


class Unregistered:
    """A class that not even pickle can store."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


async def test_the_second_call_is_a_hit(cache: CacheManager) -> None:
    calls = list[Any]()

    @cached(cache=cache)
    async def double(number: int, times: int = 2) -> int:
        calls.append(number)
        return number * times

    assert await double(21) == 42
    assert [await double(21, 2), await double(number=21), await double(21, times=2)] == [42] * 3
    assert calls == [21]
    assert await double(21, 3) == 63
    assert await double(1) == 2
    assert calls == [21, 21, 1]


@pytest.mark.parametrize("value", [None, 0, "", False, [], {}, b"", float("inf"), (1, [2])])
async def test_any_result_is_a_hit(cache: CacheManager, value: Any) -> None:
    calls = 0

    @cached(cache=cache)
    async def function() -> Any:
        nonlocal calls
        calls += 1
        return value

    for _ in range(3):
        result = await function()
        assert (result, type(result)) == (value, type(value))
    assert calls == 1


def list_decorators(
    cache: CacheManager, monkeypatch: pytest.MonkeyPatch
) -> list[Callable[..., Any]]:
    monkeypatch.setattr("aiocache_pe.decorators.settings.get_cache", lambda backend: cache)
    return [cached, cached(), cached(ttl=60), cached(key_prefix="llm"), cached(backend="memory")]


@pytest.mark.parametrize("index", range(5))
async def test_the_decorator_works_bare_called_and_with_settings(
    index: int, memory: CacheManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    async def function(number: int) -> int:
        nonlocal calls
        calls += 1
        return number

    decorated = list_decorators(memory, monkeypatch)[index](function)
    assert [await decorated(1), await decorated(1)] == [1, 1]
    assert calls == 1


async def test_one_of_many_concurrent_callers_computes(cache: CacheManager) -> None:
    calls, end = 0, asyncio.Event()

    @cached(cache=cache)
    async def slow(number: int) -> list[int]:
        nonlocal calls
        calls += 1
        await end.wait()
        return [number]

    tasks = [asyncio.create_task(slow(1)) for _ in range(20)]
    await poll(lambda: calls)
    tasks[0].cancel()
    end.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert results[1:] == [[1]] * 19
    assert calls == 1


async def test_a_caller_that_changes_its_result_affects_no_other_caller(
    cache: CacheManager,
) -> None:
    start = asyncio.Event()

    @cached(cache=cache)
    async def answer() -> dict[str, Any]:
        await start.wait()
        return {"choices": [{"text": "yes"}]}

    tasks = [asyncio.create_task(answer()) for _ in range(3)]
    await asyncio.sleep(0)
    start.set()
    for result in [*await asyncio.gather(*tasks), await answer(), await answer()]:
        assert result == {"choices": [{"text": "yes"}]}
        result["choices"][0]["text"] = "spoiled"
        result["choices"].append(None)


async def test_concurrent_callers_get_their_own_results_when_these_cannot_be_copied() -> None:
    go = asyncio.Event()
    async with CacheManager("null") as cache:

        @cached(cache=cache)
        async def function() -> object:
            await go.wait()
            return Unregistered()

        tasks = [asyncio.create_task(function()) for _ in range(5)]
        await asyncio.sleep(0)
        go.set()
        results = await asyncio.gather(*tasks)
        assert len({id(result) for result in results}) == 5
        assert function.cache_info()[:2] == (0, 5)


async def test_instances_are_decoded_by_the_return_annotation(cache: CacheManager) -> None:
    @cached(cache=cache)
    async def answer(question: str) -> list[Answer | None]:
        return [Answer(question, ["a"]), None]

    first, second = await answer("why?"), await answer("why?")
    assert first == second == [Answer("why?", ["a"]), None]
    assert type(second[0]) is Answer
    assert first[0] is not second[0]


async def test_instances_are_decoded_when_another_annotation_cannot_be_resolved(
    cache: CacheManager,
) -> None:
    @cached(cache=cache, ignore=["session"])
    async def answer(session: Session | None, question: str) -> Answer:
        return Answer(question, ["a"])

    first, second = await answer(None, "why?"), await answer(None, "why?")
    assert first == second
    assert type(second) is Answer


@pytest.mark.parametrize("annotation", ["NoSuchName", "some words", "1 +", "list[", "1 / 0"])
async def test_an_unreadable_annotation_is_ignored(annotation: str, memory: CacheManager) -> None:
    async def function() -> int:
        return 1

    function.__annotations__["return"] = annotation
    decorated = cached(cache=memory)(function)
    assert [await decorated(), await decorated()] == [1, 1]


async def test_an_exception_is_raised_and_not_stored(cache: CacheManager) -> None:
    calls = 0

    @cached(cache=cache)
    async def moody() -> str:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise ValueError(f"attempt {calls}")
        return "well"

    for attempt in (1, 2):
        with pytest.raises(ValueError, match=f"attempt {attempt}"):
            await moody()
    assert [await moody(), await moody()] == ["well", "well"]
    assert calls == 3


async def test_a_result_that_cannot_be_stored_is_returned_counted_and_logged_once(
    cache: CacheManager, caplog: pytest.LogCaptureFixture
) -> None:
    @cached(cache=cache)
    async def function() -> object:
        return Unregistered()

    with caplog.at_level(logging.WARNING, "aiocache_pe"):
        results = [await function() for _ in range(3)]
    assert len({id(result) for result in results}) == 3
    stats = await cache.get_stats()
    assert (stats.unstorable, stats.misses, stats.sets, stats.hits) == (3, 3, 0, 0)
    assert len(caplog.records) == 1


async def test_a_failing_store_costs_only_the_call() -> None:
    recorder = SpyBackend(MemoryBackend())
    recorder.failing = BackendError("away")
    calls = 0
    async with CacheManager(recorder) as cache:

        @cached(cache=cache, ttl="1h")
        async def function() -> list[int]:
            nonlocal calls
            calls += 1
            return [calls]

        assert [await function(), await function()] == [[1], [2]]
        recorder.failing = None
        assert [await function(), await function()] == [[3], [3]]


async def test_an_argument_without_identity_raises_an_error_with_its_name(
    memory: CacheManager,
) -> None:
    @cached(cache=memory)
    async def function(prompt: str, client: object) -> None: ...

    for _ in range(100):
        with pytest.raises(UnstableIdentityError, match=r"client is a .*Unregistered, which has"):
            await function("why?", Unregistered())


async def test_a_recursive_function_does_not_deadlock(memory: CacheManager) -> None:
    @cached(cache=memory)
    async def fibonacci(n: int) -> int:
        return n if n < 2 else await fibonacci(n - 1) + await fibonacci(n - 2)

    assert await asyncio.wait_for(fibonacci(50), 10) == 12_586_269_025


def test_a_decorated_function_works_in_many_loops_and_threads() -> None:
    calls = list[int]()

    @cached(cache=CacheManager("memory"))
    async def function(number: int) -> list[int]:
        calls.append(number)
        await asyncio.sleep(0)
        return [number]

    for _ in range(5):
        assert asyncio.run(function(1)) == [1]
    threads = [threading.Thread(target=lambda: asyncio.run(function(1))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert calls == [1]


def plain(number: int) -> int:
    return number


@pytest.mark.parametrize(
    ("decorate", "error", "says"),
    [
        (lambda: cached("1h"), TypeError, "must decorate a function; got '1h'"),  # type: ignore[call-overload]
        (lambda: cached(60), TypeError, "must decorate a function; got 60"),  # type: ignore[call-overload]
        (lambda: cached(Answer), TypeError, "must decorate a function; got <class"),
        (
            lambda: cached(property(len)),  # type: ignore[call-overload]
            TypeError,
            "must decorate a function; write it below @property, not above",
        ),
        (lambda: cached(lambda: 1), ValueError, "a lambda has no name.*give key_prefix="),
        (lambda: cached(min), ValueError, "the signature of min cannot be read; wrap it"),
        (lambda: cached(ttl=-1), InvalidTTLError, "ttl must be a positive .*; got int: -1"),
        (lambda: cached(ttl="soon"), InvalidTTLError, "ttl must be a positive .*; got str: 'soon'"),
        (lambda: cached(ttl=[1]), InvalidTTLError, "got list"),  # type: ignore[call-overload]
        (lambda: cached(key_prefix=1), TypeError, "key_prefix must be a str; got int: 1"),  # type: ignore[call-overload]
        (lambda: cached(cache="file"), TypeError, "cache must be a CacheManager; got str: 'file'"),  # type: ignore[call-overload]
        (lambda: cached(backend=MemoryBackend()), TypeError, "pass cache=CacheManager"),  # type: ignore[call-overload]
        (
            lambda: cached(cache=CacheManager("null"), backend="file"),
            ValueError,
            "cache= and backend= name two stores; give one of them",
        ),
    ],
)
def test_wrong_usage_raises_at_decoration(
    decorate: Callable[[], object], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        decorate()
