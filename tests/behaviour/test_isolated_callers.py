"""Callers of one computation: nothing that one of them does to its result reaches another."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from aiocache_pe import CacheManager, cached, cached_batch
from aiocache_pe.sync import CacheManager as SyncCacheManager
from aiocache_pe.sync import cached as sync_cached
from tests.support.polling import poll_blocking

CALLERS = 4
OPTIONS: dict[str, dict[str, Any]] = {
    "stored": {"ttl": 60},
    "expired at once": {"ttl": 1e-9},
    "refused": {"ttl": 60, "cache_if": lambda _: False},
}


class RequestError(Exception):
    """An error with other parameters than arguments, and with a mutable attribute."""

    def __init__(self, code: int, *, details: list[str]) -> None:
        super().__init__(f"request failed with code {code}")
        self.code = code
        self.details = details


async def call_together(call: Callable[[], Awaitable[Any]]) -> list[Any]:
    """Return the results of some callers, each of which changes its result at once."""

    async def call_and_change() -> Any:
        result = await call()
        seen = [*result]
        result.append("changed")
        return seen, id(result), result

    outcomes = await asyncio.gather(*(call_and_change() for _ in range(CALLERS)))
    assert len({identity for _, identity, _ in outcomes}) == CALLERS
    return [seen for seen, _, _ in outcomes]


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("tier", [0, 1 << 20])
async def test_no_caller_sees_the_change_of_another_one(name: str, tier: int) -> None:
    async with CacheManager("memory", memory_max_bytes=tier) as cache:

        @cached(cache=cache, **OPTIONS[name])
        async def compute() -> list[Any]:
            await asyncio.sleep(0)
            return [1, 2]

        assert await call_together(compute) == [[1, 2]] * CALLERS


@pytest.mark.parametrize("name", OPTIONS)
async def test_no_caller_of_a_batch_sees_the_change_of_another_one(name: str) -> None:
    async with CacheManager("memory") as cache:

        @cached_batch(cache=cache, **OPTIONS[name])
        async def compute(numbers: list[int]) -> list[list[Any]]:
            await asyncio.sleep(0)
            return [[number] for number in numbers]

        async def call() -> list[Any]:
            return (await compute([1]))[0]

        assert await call_together(call) == [[1]] * CALLERS


async def test_callers_of_a_batch_do_not_share_a_value_that_cannot_be_copied() -> None:
    async with CacheManager("memory") as cache:

        @cached_batch(cache=cache)
        async def open_locks(numbers: list[int]) -> list[Any]:
            await asyncio.sleep(0)
            return [threading.Lock() for _ in numbers]

        results = await asyncio.gather(*(open_locks([1]) for _ in range(CALLERS)))
        assert len({id(lock) for (lock,) in results}) == CALLERS


def check_errors(errors: list[BaseException]) -> None:
    assert len({id(error) for error in errors}) == CALLERS
    for number, error in enumerate(errors):
        assert type(error) is RequestError
        assert str(error) == "request failed with code 7"
        assert (error.code, error.details) == (7, ["first"])
        assert isinstance(error.__cause__, ZeroDivisionError)
        assert error.__notes__ == ["of the function"]
        error.details.append(f"of caller {number}")
        error.add_note(f"of caller {number}")
        error.__cause__.add_note(f"of caller {number}")
        assert error.__cause__.__notes__ == [f"of caller {number}"]


def fail() -> None:
    try:
        _ = 1 / 0
    except ZeroDivisionError as cause:
        error = RequestError(7, details=["first"])
        error.add_note("of the function")
        raise error from cause


@pytest.mark.parametrize("kind", ["function", "batch", "stream"])
async def test_each_caller_gets_an_exception_of_its_own(memory: CacheManager, kind: str) -> None:
    @cached(cache=memory)
    async def compute() -> None:
        await asyncio.sleep(0)
        fail()

    @cached_batch(cache=memory)
    async def compute_batch(numbers: list[int]) -> list[int]:
        await asyncio.sleep(0)
        fail()
        return numbers

    @cached(cache=memory)
    async def generate() -> AsyncIterator[int]:
        yield 1
        await asyncio.sleep(0)
        fail()

    async def read() -> None:
        async for _ in generate():
            pass

    calls: dict[str, Callable[[], Awaitable[Any]]] = {
        "function": compute,
        "batch": lambda: compute_batch([1]),
        "stream": read,
    }
    results = (calls[kind]() for _ in range(CALLERS))
    errors = await asyncio.gather(*results, return_exceptions=True)
    check_errors(errors)


def test_each_thread_gets_an_exception_of_its_own() -> None:
    waiting = threading.Barrier(CALLERS)
    errors: list[BaseException] = []
    with SyncCacheManager("memory") as cache:

        @sync_cached(cache=cache)
        def compute() -> None:
            poll_blocking(lambda: len(started) == CALLERS)
            fail()

        started: list[int] = []

        def call() -> None:
            waiting.wait()
            started.append(1)
            try:
                compute()
            except RequestError as error:
                errors.append(error)

        threads = [threading.Thread(target=call) for _ in range(CALLERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    check_errors(errors)
