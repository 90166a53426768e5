"""Warming: filling a cache before anybody asks, and keeping it filled.

It calls what the application would call, so what it stores is what the application will
find: the decorated functions themselves, or factories by key.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
)
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aiocache_pe.backends.base import Usage
from aiocache_pe.cache import sync_manager
from aiocache_pe.cache.manager import CacheManager
from aiocache_pe.engine import bulk_operations
from aiocache_pe.keys.store_keys import check_key
from aiocache_pe.sentinels import DEFAULT, Default
from aiocache_pe.ttl import TTL, Duration, duration
from aiocache_pe.warming.call_file import read_calls
from aiocache_pe.warming.calls import Warmable, warmable

AnyCache = CacheManager | sync_manager.CacheManager
Calls = Mapping[str, Any] | Iterable[Any] | AsyncIterable[Any] | str | Path
_TOLD = 20  # failures that a report names; all are counted
_SOONEST, _LATEST = 1.0, 3600.0  # seconds between two rounds of `keep_warm`


@dataclass(frozen=True, slots=True)
class WarmReport:
    """What became of the calls so far.

    Attributes:
        total: how many calls there are; ``None`` while that is not known.
        computed: how many were computed, or stored.
        present: how many were there already.
        failed: how many raised.
        failures: the first 20 of those: the call in words, and what it raised.
    """

    total: int | None = None
    computed: int = 0
    present: int = 0
    failed: int = 0
    failures: tuple[tuple[str, Exception], ...] = ()

    @property
    def done(self) -> int:
        """How many calls are over."""
        return self.computed + self.present + self.failed


async def warm_cache(
    cache: AnyCache,
    calls: Calls,
    *,
    ttl: TTL | Default = DEFAULT,
    concurrency: int = 8,
    before_expiry: Duration | None = None,
    refresh: bool = False,
    on_progress: Callable[[WarmReport], object] | None = None,
) -> WarmReport:
    """Compute and store what is not there yet, some calls at a time.

    One call that fails does not stop the others. Where an entry is there already, nothing
    is computed, and that does not count as a read.

    Args:
        cache: where keys go. A decorated function fills its own cache.
        calls: what to call. A mapping from keys to factories (functions without arguments,
            plain or ``async``) or to plain values; the path of a file of calls (JSON
            lines, see ``docs/cli.md``); or a list, or an iterable, also an async one, of

            * ``(function, args)`` or ``(function, args, kwargs)``, with a function
              decorated by `cached`; ``(function,)`` and a `functools.partial` too,
            * ``(key, factory)``, or ``(key, value)``,
            * a key alone, whose entry is loaded into memory (see `most_hit`).

            A plain function is called in a thread, a stream is read to its end.
        ttl: how long what is stored by key lives; a function has its own.
        concurrency: how many calls at a time.
        before_expiry: compute anew also what expires within this time.
        refresh: compute everything anew.
        on_progress: called after each call with the report so far.

    Returns:
        How many were computed, there already, and failed.

    Raises:
        TypeError: something is none of these; with a list, before anything is called.
        ValueError: the concurrency, or a line of the file, means nothing.

    Example:
        >>> from aiocache_pe import cached
        >>> @cached(ttl="1h", cache=cache)
        ... async def double(number: int) -> int:
        ...     return 2 * number
        >>> report = run(warm_cache(cache, [(double, (n,)) for n in (1, 2, 2)], concurrency=1))
        >>> report.computed, report.present
        (2, 1)
        >>> run(warm_cache(cache, {"answer": lambda: 42})).computed, run(cache.get("answer"))
        (1, 42)
    """
    if type(concurrency) is not int or concurrency < 1:
        raise ValueError(f"concurrency={concurrency!r}: accepted is an int of at least 1")
    ahead = math.inf if refresh else 0.0
    if before_expiry is not None and not refresh:
        ahead = math.inf if (given := duration("before_expiry", before_expiry)) is None else given
    steps, total = await _steps(sync_manager.asynchronous(cache), calls, ttl)
    return await _Warming(ahead, on_progress, WarmReport(total)).run(steps, concurrency)


async def most_hit(cache: AnyCache, count: int = 100, pattern: str = "*") -> list[str]:
    """The keys that were read most often, the most read first.

    Give them to `warm_cache` to have their entries in memory after a start, or with a
    factory each to compute them anew.

    Args:
        cache: whose keys.
        count: how many at most.
        pattern: a glob over keys.

    Returns:
        Keys of live entries that were read at all, as far as the store notes it.

    Example:
        >>> async def main():
        ...     await cache.set_many({"a": 1, "b": 2})
        ...     await cache.get("b")
        ...     return await most_hit(cache)
        >>> run(main())
        ['b']
    """
    manager = sync_manager.asynchronous(cache)
    space = manager.loader.open_namespace()
    await manager.loader.flush()
    backend = space.engine.backend
    if not isinstance(backend, Usage):
        return []
    hits: dict[str, int] = {}
    async for key in bulk_operations.iter_live_keys(space, check_key(pattern)):
        read, _ = await space.attempt("usage", backend.usage(space.prefix + key), (0, None))
        if read:
            hits[key] = read
    return sorted(hits, key=lambda key: (-hits[key], key))[:count]


@asynccontextmanager
async def keep_warm(
    cache: AnyCache,
    calls: Calls,
    *,
    before_expiry: Duration,
    ttl: TTL | Default = DEFAULT,
    concurrency: int = 8,
    on_round: Callable[[WarmReport], object] | None = None,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> AsyncGenerator[None]:
    """Within the block, compute calls anew in the background before their entries expire.

    Args:
        cache: as for `warm_cache`.
        calls: as for `warm_cache`; they are gone through again and again, so no iterator.
            A file is read again each time.
        before_expiry: how long before.
        ttl: as for `warm_cache`.
        concurrency: how many calls at a time.
        on_round: called after each round with its report.
        sleep: waits between two rounds, for a second at least and an hour at most.

    Yields:
        At once; the first round is under way.

    Raises:
        TypeError: the calls can be gone through only once, or are none.

    Example:
        >>> async def main():
        ...     rounds = asyncio.Queue()
        ...     report = rounds.put_nowait
        ...     async with keep_warm(
        ...         cache, {"n": lambda: 1}, ttl="1h", before_expiry="5m", on_round=report
        ...     ):
        ...         return (await rounds.get()).computed
        >>> run(main())
        1
    """
    if isinstance(calls, AsyncIterable | Iterator):
        raise TypeError("keep_warm goes through the calls again and again; give it a list")
    manager = sync_manager.asynchronous(cache)
    ahead = duration("before_expiry", before_expiry) or 0.0
    await _steps(manager, calls, ttl)  # what is no call is said here, not in the background

    async def rounds() -> None:
        while True:
            report = await warm_cache(
                cache, calls, ttl=ttl, concurrency=concurrency, before_expiry=before_expiry
            )
            if on_round is not None:
                on_round(report)
            steps, _ = await _steps(manager, calls, ttl)
            left = [await step.time_left() async for step in steps]
            soonest = min((seconds for seconds in left if seconds is not None), default=math.inf)
            await sleep(min(max(soonest - ahead, _SOONEST), _LATEST))

    task = asyncio.create_task(rounds())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})  # and not for itself: its end would look like ours
        if not task.cancelled():
            task.result()  # raises what ended it before


class _Warming:
    """Goes through calls and counts what becomes of them."""

    def __init__(
        self, ahead: float, tell: Callable[[WarmReport], object] | None, report: WarmReport
    ) -> None:
        self._ahead = ahead
        self._tell = tell
        self._report = report

    async def run(self, steps: AsyncGenerator[Warmable, None], concurrency: int) -> WarmReport:
        turn = asyncio.Lock()  # an async generator has one caller at a time

        async def work() -> None:
            while True:
                async with turn:
                    step = await anext(steps, None)
                if step is None:
                    return
                await self._do(step)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(concurrency):
                    group.create_task(work())
        except BaseExceptionGroup as failed:  # what no call raised: a call that is none
            raise failed.exceptions[0] from None
        finally:
            await steps.aclose()
        return replace(self._report, total=self._report.done)

    async def _do(self, step: Warmable) -> None:
        try:
            left = await step.time_left()
            wanted = left is None or left <= self._ahead
            if wanted:
                await step.run(anew=left is not None)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            self._failed(step, RuntimeError("the call was cancelled"))
        except Exception as error:  # noqa: BLE001 - what a user's function raises is its own
            self._failed(step, error)
        else:
            report = self._report
            computed = wanted and step.computes
            self._report = replace(
                report,
                computed=report.computed + computed,
                present=report.present + (not computed),
            )
        if self._tell is not None:
            self._tell(self._report)

    def _failed(self, step: Warmable, error: Exception) -> None:
        report = self._report
        failures = (*report.failures, (step.words, error))[:_TOLD]
        self._report = replace(report, failed=report.failed + 1, failures=failures)


async def _steps(
    cache: CacheManager, calls: Calls, ttl: TTL | Default
) -> tuple[AsyncGenerator[Warmable, None], int | None]:
    """The calls, in their common form, and how many there are if that is known."""
    if isinstance(calls, str | Path):
        calls = await asyncio.to_thread(read_calls, calls)
    elif isinstance(calls, Mapping):
        calls = list(calls.items())
    if isinstance(calls, list | tuple):
        made = [warmable(cache, call, ttl) for call in calls]
        return _given(made, lambda step: step), len(made)
    if not isinstance(calls, Iterable | AsyncIterable):
        raise TypeError(f"calls are a list, a mapping or a path, not {type(calls).__name__}")
    return _given(calls, lambda call: warmable(cache, call, ttl)), None


async def _given(
    items: Iterable[Any] | AsyncIterable[Any], made: Callable[[Any], Warmable]
) -> AsyncGenerator[Warmable, None]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield made(item)
    else:
        for item in items:
            yield made(item)
