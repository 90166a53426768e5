"""What others get wrong: each defect tried on each library, in a process of its own.

``python -m benchmarks.defects`` prints the table. A cell says whether the library is on the
right side of it, ``error`` where the call fails, ``-`` where it has no such thing. The
project's own side is held by ``tests/behaviour/test_known_defects.py``, which needs
none of the others.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

AsyncFunction = Callable[..., Coroutine[Any, Any, Any]]
Decorate = Callable[[Any], Any]
Probe = Callable[[Decorate], Awaitable[bool]]
BLOCKING = ("one_timeout_cancels_nobody_else", "a_replayed_stream_has_its_empty_chunks")
"""What cannot be asked of a library that is not asynchronous."""

LIBRARIES = ("aiocache_pe", "aiocache", "cashews", "diskcache", "async_lru")


def decorator_of(library: str, directory: str) -> Decorate:
    """How a library caches an async function, in its most usual way."""
    if library == "aiocache_pe":
        from aiocache_pe import CacheManager, cached

        return cached(cache=CacheManager(directory=directory))
    if library == "aiocache":
        from aiocache import cached as aiocache_cached

        return aiocache_cached(ttl=60)
    if library == "cashews":
        from cashews import cache

        cache.setup("mem://")
        return cache(ttl=60)
    if library == "async_lru":
        from async_lru import alru_cache

        return alru_cache(ttl=60)
    import diskcache

    store = diskcache.Cache(directory)

    def decorate(function: AsyncFunction) -> AsyncFunction:
        # It is blocking, so the function that it sees is made so.
        def blocking(*args: Any, **kwargs: Any) -> Any:
            return _result(function(*args, **kwargs))

        blocking.__qualname__ = function.__qualname__
        blocking.__module__ = function.__module__
        memoized = store.memoize()(blocking)

        async def calling(*args: Any, **kwargs: Any) -> Any:
            return await asyncio.to_thread(memoized, *args, **kwargs)

        return calling

    return decorate


def _is_cashews(decorate: Decorate) -> bool:
    return getattr(decorate, "__module__", "").startswith("cashews")


def _result(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(coroutine)


def _same(value: Any) -> Any:
    return value


class Counted:
    """A function that counts its calls."""

    def __init__(self, decorate: Decorate, result: Callable[[Any], Any] = _same) -> None:
        self.calls = 0

        async def function(value: Any, times: int = 2) -> Any:
            self.calls += 1
            return result(value)

        self.call = decorate(function)


async def one_call_however_it_is_spelled(decorate: Decorate) -> bool:
    counted = Counted(decorate)
    await counted.call(1)
    await counted.call(value=1)
    await counted.call(1, 2)
    return counted.calls == 1


async def different_values_differ(decorate: Decorate) -> bool:
    counted = Counted(decorate, repr)
    values = [1, "1", 1.0, True, None, "", {"a": 1}, {"a": "1"}]
    return [await counted.call(value) for value in values] == [repr(value) for value in values]


class Client:
    """Equal only to itself."""

    def __init__(self, name: str) -> None:
        self.name = name


async def objects_at_one_address_differ(decorate: Decorate) -> bool:
    """Temporary objects follow each other at the same address, and are not the same."""
    counted = Counted(decorate, lambda client: client.name)
    for number in range(500):
        try:
            if await counted.call(Client(str(number))) != str(number):
                return False
        except TypeError:  # refused: right as well
            return True
    return True


async def mutating_a_result_harms_nobody(decorate: Decorate) -> bool:
    counted = Counted(decorate, lambda value: {"answer": value})
    (await counted.call("x"))["answer"] = "spoiled"
    return bool(await counted.call("x") == {"answer": "x"})


async def none_is_a_hit(decorate: Decorate) -> bool:
    counted = Counted(decorate, lambda value: None)
    await counted.call("x")
    await counted.call("x")
    return counted.calls == 1


async def types_come_back(decorate: Decorate) -> bool:
    value = {
        "pair": (1, 2),
        "keys": {1: "a"},
        "at": dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        "set": {1},
    }
    counted = Counted(decorate, lambda _: value)
    await counted.call("x")
    found = await counted.call("x")
    return bool(found == value and type(found["pair"]) is tuple)


async def one_timeout_cancels_nobody_else(decorate: Decorate) -> bool:
    begun, go = asyncio.Event(), asyncio.Event()
    calls = 0

    async def slow(value: Any) -> Any:
        nonlocal calls
        calls += 1
        begun.set()
        await go.wait()
        return value

    call = decorate(slow)
    first = asyncio.ensure_future(asyncio.wait_for(call(1), 0.05))
    others = [asyncio.ensure_future(call(1)) for _ in range(3)]
    await begun.wait()
    results = await asyncio.gather(first, return_exceptions=True)
    go.set()
    done = await asyncio.gather(*others, return_exceptions=True)
    return isinstance(results[0], TimeoutError) and done == [1, 1, 1] and calls == 1


async def ten_callers_compute_once(decorate: Decorate) -> bool:
    calls = 0

    async def slow(value: Any) -> Any:
        nonlocal calls
        calls += 1
        await asyncio.sleep(3)
        return value

    call = decorate(slow)
    return await asyncio.gather(*(call(1) for _ in range(10))) == [1] * 10 and calls == 1


async def a_replayed_stream_has_its_empty_chunks(decorate: Decorate) -> bool | None:
    async def stream(value: Any) -> AsyncIterator[str]:
        for chunk in ("a", "", "b"):
            yield chunk

    if _is_cashews(decorate):
        from cashews import cache

        decorate = cache.iterator(ttl=60)
    try:
        call = decorate(stream)
        first = [chunk async for chunk in call("x")]
    except Exception:  # noqa: BLE001 - it knows no streams
        return None
    return first == [chunk async for chunk in call("x")] == ["a", "", "b"]


PROBES: dict[str, Probe] = {
    probe.__name__: probe  # type: ignore[dict-item, misc]
    for probe in (
        one_call_however_it_is_spelled,
        different_values_differ,
        objects_at_one_address_differ,
        mutating_a_result_harms_nobody,
        none_is_a_hit,
        types_come_back,
        one_timeout_cancels_nobody_else,
        ten_callers_compute_once,
        a_replayed_stream_has_its_empty_chunks,
    )
}


def tried(library: str, probe: str) -> str:
    """What a process of its own says of one defect of one library."""
    if library == "diskcache" and probe in BLOCKING:
        return "-"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.defects", library, probe],
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )
    said = done.stdout.split()
    return said[-1] if done.returncode == 0 and said else "error"


def main(arguments: list[str]) -> None:
    """Try one defect of one library, or print the table."""
    if arguments:
        library, name = arguments
        with tempfile.TemporaryDirectory() as directory:
            verdict = asyncio.run(PROBES[name](decorator_of(library, directory)))
        print({True: "yes", False: "no", None: "-"}[verdict])
        return
    print(f"{'':42}" + "".join(f"{library:>13}" for library in LIBRARIES))
    for name in PROBES:
        print(f"{name.replace('_', ' '):42}", end="", flush=True)
        for library in LIBRARIES:
            print(f"{tried(library, name):>13}", end="", flush=True)
        print()


if __name__ == "__main__":
    main(sys.argv[1:])
