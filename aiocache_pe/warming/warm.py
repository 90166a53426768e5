"""Warming: filling a cache ahead of requests, and keeping it filled.

Warming makes the calls that an application makes: it calls decorated functions, or factories
by key. Therefore the application finds the entries under its own keys.
"""

from __future__ import annotations

import asyncio
import math
import os
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

import anyio

from aiocache_pe.cache import sync_manager
from aiocache_pe.cache.manager import CacheManager
from aiocache_pe.engine import bulk_operations
from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.keys.store_keys import check_key
from aiocache_pe.runtime.threads import call_in_thread
from aiocache_pe.sentinels import DEFAULT, Default
from aiocache_pe.ttl import TTL, Duration, parse_duration
from aiocache_pe.warming.call_file import read_calls
from aiocache_pe.warming.calls import WarmCall, parse_call

AnyCache = CacheManager | sync_manager.CacheManager
Calls = Mapping[str, Any] | Iterable[Any] | AsyncIterable[Any] | str | Path
_MAX_FAILURES = 20  # in a report; all failures are counted
_MIN_PAUSE_SECONDS, _MAX_PAUSE_SECONDS = 1.0, 3600.0  # between two rounds of `keep_warm`


@dataclass(frozen=True, slots=True)
class WarmReport:
    """Outcome of the calls so far.

    Attributes:
        total: the number of calls; ``None`` while it is unknown.
        computed: the number of calls that computed or stored a value.
        present: the number of calls that found their entries.
        failed: the number of calls that raised.
        failures: the first 20 failed calls: a description of each, and its exception.

    Example:
        >>> from aiocache_pe import warm_cache
        >>> @cache.cached(ttl="1h")
        ... async def double(number: int) -> int:
        ...     return 2 * number
        >>> report = run(warm_cache(cache, [(double, (1,)), (double, (2,))]))
        >>> report.computed, report.present, report.failed
        (2, 0, 0)
    """

    total: int | None = None
    computed: int = 0
    present: int = 0
    failed: int = 0
    failures: tuple[tuple[str, Exception], ...] = ()

    @property
    def done(self) -> int:
        """Return the number of calls that have ended."""
        return self.computed + self.present + self.failed


async def warm_cache(
    cache: AnyCache,
    calls: Calls | None = None,
    *,
    ttl: TTL | Default = DEFAULT,
    concurrency: int = 8,
    before_expiry: Duration | None = None,
    refresh: bool = False,
    on_progress: Callable[[WarmReport], object] | None = None,
) -> WarmReport:
    """Compute and store missing entries, several calls at a time.

    A call that fails does not stop the others. A call that finds its entries computes nothing,
    and does not count as a read.

    Args:
        cache: the cache for entries by key. A decorated function fills its own cache.
        calls: the calls. A mapping from keys to factories (functions without arguments, plain
            or ``async``) or to plain values; the path of a call file (JSON lines, see
            ``docs/warming.md``); or a list, an iterable or an async iterable of

            * ``(function, args)`` or ``(function, args, kwargs)``, with a function
              decorated by `cached`; also ``(function,)`` and a `functools.partial`,
            * ``(key, factory)``, or ``(key, value)``,
            * a key alone, to load its entry into memory (see `most_hit`).

            The default is the call file that ``AIOCACHE_PE_WARM`` names. A plain function is
            called in a thread. A stream is read to its end.
        ttl: the lifetime of entries by key; a function has its own.
        concurrency: the number of simultaneous calls.
        before_expiry: also recompute entries that expire within this time.
        refresh: recompute all entries.
        on_progress: called after each call with the report so far.

    Returns:
        The number of calls that computed, found their entries, and failed.

    Raises:
        TypeError: an element is not a call; with a list, before the first call is made.
        ValueError: the concurrency, or a line of the file, is not valid.
        ConfigurationError: no calls are given, and ``AIOCACHE_PE_WARM`` is not set.

    Example:
        >>> from aiocache_pe import cached
        >>> @cached(ttl="1h", cache=cache)
        ... def double(number: int) -> int:
        ...     return 2 * number
        >>> report = run(warm_cache(cache, [(double, (n,)) for n in (1, 2, 2)], concurrency=1))
        >>> report.computed, report.present
        (2, 1)
        >>> run(warm_cache(cache, {"answer": lambda: 42})).computed
        1
    """
    if type(concurrency) is not int or concurrency < 1:
        raise ValueError(f"concurrency must be an int of at least 1; got {concurrency!r}")
    margin: float | None = None if refresh else 0.0
    if before_expiry is not None and not refresh:
        margin = parse_duration("before_expiry", before_expiry)
    parsed, total = await _parse_calls(sync_manager.get_async_manager(cache), calls, ttl)
    warmer = _Warmer(math.inf if margin is None else margin, on_progress, WarmReport(total))
    return await warmer.run(parsed, concurrency)


async def most_hit(cache: AnyCache, count: int = 100, pattern: str = "*") -> list[str]:
    """Return the keys that were read most often, the most read key first.

    Pass them to `warm_cache` to load their entries into memory after a start, or with a
    factory for each key to recompute them.

    Args:
        cache: the cache.
        count: the greatest number of keys.
        pattern: a glob over keys.

    Returns:
        Keys of live entries that were read, as far as the store counts reads.

    Example:
        >>> run(cache.set_many({"a": 1, "b": 2}))
        True
        >>> run(cache.get("b"))
        2
        >>> run(most_hit(cache))
        ['b']
    """
    manager = sync_manager.get_async_manager(cache)
    namespace = manager.loader.open_namespace()
    await manager.loader.flush()
    hits: dict[str, int] = {}
    async for key in bulk_operations.iter_live_keys(namespace, check_key(pattern)):
        reads, _ = await namespace.get_usage(namespace.prefix + key)
        if reads:
            hits[key] = reads
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
    """Recompute entries in the background before they expire, while the block runs.

    Args:
        cache: as for `warm_cache`.
        calls: as for `warm_cache`. Every round makes all calls, so an iterator is not accepted.
            Every round reads a call file again.
        before_expiry: the time before expiry at which an entry is recomputed. It must be shorter
            than the lifetimes of the entries.
        ttl: as for `warm_cache`.
        concurrency: the number of simultaneous calls.
        on_round: called after each round with its report.
        sleep: waits between two rounds, from one second to one hour.

    Yields:
        Control, at once; the first round runs in the background.

    Raises:
        TypeError: the calls are an iterator, or an element is not a call.
        ConfigurationError: ``before_expiry`` is not shorter than the lifetime of an entry.

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
        raise TypeError(
            "keep_warm makes the calls again and again; pass a list instead of an iterator"
        )
    manager = sync_manager.get_async_manager(cache)
    margin = parse_duration("before_expiry", before_expiry) or 0.0
    parsed, _ = await _parse_calls(manager, calls, ttl)  # raises here, not in the background
    async for call in parsed:
        if call.lifetime is not None and call.lifetime <= (margin or math.inf):
            raise ConfigurationError(
                f"before_expiry must be shorter than the ttl of {call.description}, which is "
                f"{call.lifetime:g} s; got {before_expiry!r:.80}"
            )

    async def run_rounds() -> None:
        while True:
            report = await warm_cache(
                cache, calls, ttl=ttl, concurrency=concurrency, before_expiry=before_expiry
            )
            if on_round is not None:
                on_round(report)

            parsed, _ = await _parse_calls(manager, calls, ttl)
            ttls = [await call.get_ttl() async for call in parsed]
            least = min((seconds for seconds in ttls if seconds is not None), default=math.inf)
            await sleep(min(max(least - margin, _MIN_PAUSE_SECONDS), _MAX_PAUSE_SECONDS))

    task = asyncio.create_task(run_rounds())
    try:
        yield
    finally:
        task.cancel()
        # Awaiting the task itself would raise its CancelledError as if this task were cancelled.
        await asyncio.wait({task})
        if not task.cancelled():
            task.result()  # raises the exception that ended the rounds


@dataclass
class _Warmer:
    """Makes calls and counts their outcomes."""

    margin: float
    on_progress: Callable[[WarmReport], object] | None
    report: WarmReport

    async def run(self, calls: AsyncGenerator[WarmCall, None], concurrency: int) -> WarmReport:
        lock = asyncio.Lock()  # an async generator has one caller at a time

        async def work() -> None:
            while True:
                async with lock:
                    call = await anext(calls, None)
                if call is None:
                    return
                await self._make(call)

        try:
            async with anyio.create_task_group() as group:
                for _ in range(concurrency):
                    group.start_soon(work)
        except BaseExceptionGroup as failed:  # failures of calls are counted, so this is another
            raise failed.exceptions[0] from None
        finally:
            await calls.aclose()
        return replace(self.report, total=self.report.done)

    async def _make(self, call: WarmCall) -> None:
        try:
            ttl = await call.get_ttl()
            runs = ttl is None or ttl <= self.margin
            if runs:
                await call.run(refresh=ttl is not None)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            self._count_failure(call, RuntimeError("the call was cancelled"))
        except Exception as error:  # noqa: BLE001 - a user's function may raise anything
            self._count_failure(call, error)
        else:
            report = self.report
            computed = runs and call.computes
            self.report = replace(
                report,
                computed=report.computed + computed,
                present=report.present + (not computed),
            )
        if self.on_progress is not None:
            self.on_progress(self.report)

    def _count_failure(self, call: WarmCall, error: Exception) -> None:
        report = self.report
        failures = (*report.failures, (call.description, error))[:_MAX_FAILURES]
        self.report = replace(report, failed=report.failed + 1, failures=failures)


async def _parse_calls(
    cache: CacheManager, calls: Calls | None, ttl: TTL | Default
) -> tuple[AsyncGenerator[WarmCall, None], int | None]:
    """Return the calls in their common form, and their number if it is known."""
    if calls is None:
        calls = os.environ.get("AIOCACHE_PE_WARM")
        if not calls:
            raise ConfigurationError(
                "calls must be given, or the environment variable AIOCACHE_PE_WARM must name a "
                "call file"
            )
    if isinstance(calls, str | Path):
        calls = await call_in_thread(read_calls, calls)
    elif isinstance(calls, Mapping):
        calls = list(calls.items())
    if isinstance(calls, list | tuple):
        parsed = [parse_call(cache, call, ttl) for call in calls]
        return _iterate(parsed), len(parsed)
    if isinstance(calls, AsyncIterable):
        return (parse_call(cache, call, ttl) async for call in calls), None
    if isinstance(calls, Iterable):
        return _iterate(parse_call(cache, call, ttl) for call in calls), None
    raise TypeError(
        f"calls must be a list, a mapping, an iterable or a path; got {type(calls).__name__}"
    )


async def _iterate(calls: Iterable[WarmCall]) -> AsyncGenerator[WarmCall, None]:
    for call in calls:
        yield call
