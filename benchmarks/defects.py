"""Defects of caches, tested on each library: ``python -m benchmarks.defects``.

Every test runs in a process of its own. A cell is ``yes`` if the library behaves as the line
says, ``no`` if it does not, ``error`` if the call fails, and ``-`` if the library has no such
feature. ``tests/behaviour/test_known_defects.py`` holds this library to the lines without the
other libraries.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from importlib import import_module
from typing import Any

Decorate = Callable[[Any], Any]
Check = Callable[[Decorate], Coroutine[Any, Any, bool | None]]

LIBRARIES = ("aiocache_pe", "aiocache", "cashews", "diskcache", "async_lru")


def make_decorator(library: str, directory: str) -> Any:
    """Return a library's usual decorator for an async function."""
    module: Any = import_module(library)
    if library == "aiocache_pe":
        return module.cached(cache=module.CacheManager(directory=directory))
    if library == "aiocache":
        return module.cached(ttl=60)
    if library == "cashews":
        module.cache.setup("mem://")
        return module.cache(ttl=60)
    if library == "async_lru":
        return module.alru_cache(ttl=60)
    return _adapt_blocking(module.Cache(directory).memoize())


def _adapt_blocking(memoize: Decorate) -> Decorate:
    """Return a decorator for async functions that calls a blocking cache in a thread."""

    def decorate(function: Any) -> Any:
        def compute(*args: Any, **kwargs: Any) -> Any:
            return asyncio.run(function(*args, **kwargs))

        compute.__qualname__ = function.__qualname__
        compute.__module__ = function.__module__
        memoized = memoize(compute)

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await asyncio.to_thread(memoized, *args, **kwargs)

        return call

    return decorate


class Counted:
    """A decorated function that counts its calls."""

    def __init__(self, decorate: Decorate, compute: Callable[[Any], Any] = lambda x: x) -> None:
        self.calls = 0

        async def function(value: Any, times: int = 2) -> Any:
            self.calls += 1
            return compute(value)

        self.call = decorate(function)


class Client:
    """An object that is equal only to itself."""

    def __init__(self, name: str) -> None:
        self.name = name


async def _check_spellings(decorate: Decorate) -> bool:
    counted = Counted(decorate)
    await counted.call(1)
    await counted.call(value=1)
    await counted.call(1, 2)
    return counted.calls == 1


async def _check_types_of_arguments(decorate: Decorate) -> bool:
    counted = Counted(decorate, repr)
    values = [1, "1", 1.0, True, None, "", {"a": 1}, {"a": "1"}]
    return [await counted.call(value) for value in values] == [repr(value) for value in values]


async def _check_addresses(decorate: Decorate) -> bool:
    counted = Counted(decorate, lambda client: client.name)
    for start in (0, 100):
        clients = [Client(str(number)) for number in range(start, start + 100)]
        try:
            found = [await counted.call(client) for client in clients]
        except TypeError:  # a refusal is right as well
            return True
        if found != [client.name for client in clients]:
            return False
        del clients  # the next objects are created at the same addresses
    return True


async def _check_mutation(decorate: Decorate) -> bool:
    counted = Counted(decorate, lambda value: {"answer": value})
    (await counted.call("x"))["answer"] = "changed"
    return bool(await counted.call("x") == {"answer": "x"})


async def _check_none(decorate: Decorate) -> bool:
    counted = Counted(decorate, lambda value: None)
    await counted.call("x")
    await counted.call("x")
    return counted.calls == 1


async def _check_cancellation(decorate: Decorate) -> bool:
    started, go = asyncio.Event(), asyncio.Event()
    calls = 0

    async def compute(value: Any) -> Any:
        nonlocal calls
        calls += 1
        started.set()
        await go.wait()
        return value

    call = decorate(compute)
    first = asyncio.ensure_future(asyncio.wait_for(call(1), 0.05))
    others = [asyncio.ensure_future(call(1)) for _ in range(3)]
    await started.wait()
    results = await asyncio.gather(first, return_exceptions=True)
    go.set()
    values = await asyncio.gather(*others, return_exceptions=True)
    return isinstance(results[0], TimeoutError) and values == [1, 1, 1] and calls == 1


async def _check_stampede(decorate: Decorate) -> bool:
    calls = 0

    async def compute(value: Any) -> Any:
        nonlocal calls
        calls += 1
        await asyncio.sleep(3)
        return value

    call = decorate(compute)
    return await asyncio.gather(*(call(1) for _ in range(10))) == [1] * 10 and calls == 1


async def _check_stream(decorate: Decorate) -> bool | None:
    async def stream(value: Any) -> AsyncIterator[str]:
        for chunk in ("a", "", "b"):
            yield chunk

    if getattr(decorate, "__module__", "").startswith("cashews"):
        decorate = import_module("cashews").cache.iterator(ttl=60)
    try:
        call = decorate(stream)
        first = [chunk async for chunk in call("x")]
    except Exception:  # noqa: BLE001 - the library has no streams
        return None
    return first == [chunk async for chunk in call("x")] == ["a", "", "b"]


async def _check_types_of_values(decorate: Decorate) -> bool:
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


CHECKS: dict[str, Check] = {
    "f(1), f(a=1) and defaults are one entry": _check_spellings,
    '1, "1", 1.0 and True are different keys': _check_types_of_arguments,
    "an address of an object is never a key": _check_addresses,
    "a changed result stays the caller's own": _check_mutation,
    "None is a hit": _check_none,
    "a caller's timeout cancels no other call": _check_cancellation,
    "ten tasks at once compute once": _check_stampede,
    "a replayed stream has its empty chunks": _check_stream,
    "types of values survive the store": _check_types_of_values,
}
ASYNC_ONLY = (_check_cancellation, _check_stream)


def run_check(library: str, name: str) -> str:
    """Run one check of one library in a process of its own; return the cell of the table."""
    if library == "diskcache" and CHECKS[name] in ASYNC_ONLY:
        return "-"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.defects", library, name],
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )
    words = done.stdout.split()
    return words[-1] if done.returncode == 0 and words else "error"


def main(arguments: list[str]) -> None:
    """Run one check of one library, or print the table."""
    if arguments:
        library, name = arguments
        with tempfile.TemporaryDirectory() as directory:
            result = asyncio.run(CHECKS[name](make_decorator(library, directory)))
        print({True: "yes", False: "no", None: "-"}[result])
        return
    print(f"{'':42}" + "".join(f"{library:>13}" for library in LIBRARIES))
    for name in CHECKS:
        print(f"{name:42}", end="", flush=True)
        for library in LIBRARIES:
            print(f"{run_check(library, name):>13}", end="", flush=True)
        print()


if __name__ == "__main__":
    main(sys.argv[1:])
