"""Simulation of a day with a slow service: the results that callers get with options of a miss.

One key is read at a fixed interval; its lifetime is ten minutes. The service answers after 2 s.
From 6 to 8 o'clock it takes 20 s, and from 12 to 13 o'clock it fails after 5 s. The clock
jumps to the next timer of the event loop, so that no real time passes.
"""

from __future__ import annotations

import asyncio
import selectors
from dataclasses import dataclass
from typing import Any

from aiocache_pe import CacheManager, LoadTimeoutError
from aiocache_pe.loading.options import LoadOptions
from aiocache_pe.testing import FakeClock

HOUR = 3600.0
SLOW_FROM, SLOW_TO = 6, 8
FAILS_FROM, FAILS_TO = 12, 13
TTL = 600.0


class _JumpingSelector(selectors.DefaultSelector):
    """Selector that advances a clock instead of waiting."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return the ready files; if there are none, advance the clock by the timeout."""
        ready = super().select(0)
        if not ready and timeout is not None and timeout > 0:
            self._clock.advance(timeout)
        return ready


class _JumpingLoop(asyncio.SelectorEventLoop):
    """Event loop that takes its time from a clock and advances it."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(_JumpingSelector(clock))
        self._clock = clock

    def time(self) -> float:
        """Return the seconds since the clock was created."""
        return self._clock.monotonic()


@dataclass(slots=True)
class Day:
    """Results of a day's calls.

    Attributes:
        fresh, stale, errors, timeouts: number of calls with this result.
        computations: number of calls of the service.
        longest_wait: longest duration of a call in seconds.
    """

    fresh: int = 0
    stale: int = 0
    errors: int = 0
    timeouts: int = 0
    computations: int = 0
    longest_wait: float = 0.0


def simulate_day(options: LoadOptions, interval: float) -> Day:
    """Return the results of a day with a call every ``interval`` seconds."""
    clock = FakeClock()
    with asyncio.Runner(loop_factory=lambda: _JumpingLoop(clock)) as runner:
        return runner.run(_run_day(clock, options, interval))


async def _run_day(clock: FakeClock, options: LoadOptions, interval: float) -> Day:
    day = Day()

    async def call_service() -> float:
        day.computations += 1
        hour = clock.monotonic() / HOUR
        if FAILS_FROM <= hour < FAILS_TO:
            await asyncio.sleep(5)
            raise ConnectionError
        await asyncio.sleep(20 if SLOW_FROM <= hour < SLOW_TO else 2)
        return clock.time()

    async def call(cache: CacheManager) -> None:
        start = clock.monotonic()
        try:
            await cache.get_or_set("answer", call_service, TTL, **options)
        except LoadTimeoutError:
            day.timeouts += 1
        except ConnectionError:
            day.errors += 1
        else:
            day.fresh += 1
        day.longest_wait = max(day.longest_wait, clock.monotonic() - start)

    async with CacheManager("memory", clock=clock) as cache:
        calls: list[asyncio.Task[Any]] = []
        for _ in range(round(24 * HOUR / interval)):
            calls.append(asyncio.create_task(call(cache)))
            await asyncio.sleep(interval)
        await asyncio.gather(*calls)
        day.stale = (await cache.get_stats()).stale_hits
    day.fresh -= day.stale
    return day
