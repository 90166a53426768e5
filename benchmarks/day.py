"""A day of a slow service, simulated: what callers get with each option for misses.

``python -m benchmarks.day`` prints the table. One key is asked for every 30 seconds, its ttl
is ten minutes. The service answers in 2 s; from 6 to 8 o'clock it takes 20 s; from 12 to 13
it fails, after 5 s. No time passes: the clock jumps to whatever is due next.
"""

from __future__ import annotations

import asyncio
import logging
import selectors
from dataclasses import dataclass
from typing import Any

from aiocache_pe import CacheManager
from aiocache_pe.exceptions import LoadTimeoutError
from aiocache_pe.loading.options import LoadOptions
from aiocache_pe.testing import FakeClock

HOUR = 3600.0
STEP = 30.0  # seconds between two calls
TTL = 600.0
OPTIONS: dict[str, LoadOptions] = {
    "none": {},
    "jitter=0.1": {"jitter": 0.1},
    "hard_timeout=5": {"hard_timeout": 5},
    "refresh_ahead=0.8": {"refresh_ahead": 0.8},
    "stale_ttl=2h": {"stale_ttl": "2h"},
    "stale_ttl=30m": {"stale_ttl": "30m"},
    "stale_ttl=2h, soft_timeout=3": {"stale_ttl": "2h", "soft_timeout": 3},
    "stale_ttl=2h, refresh_ahead=0.8": {"stale_ttl": "2h", "refresh_ahead": 0.8},
}


class _Jump(selectors.DefaultSelector):
    """Does not wait, but moves the clock."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready now; and if nothing is, the time of what is due next."""
        ready = super().select(0)
        if not ready and timeout is not None and timeout > 0:
            self._clock.advance(timeout)
        return ready


class _Loop(asyncio.SelectorEventLoop):
    """An event loop whose time is that of a clock which it moves itself."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(_Jump(clock))
        self._clock = clock

    def time(self) -> float:
        """Seconds since the clock was made."""
        return self._clock.monotonic()


@dataclass(slots=True)
class Day:
    """What callers got.

    Attributes:
        fresh, stale, errors, timeouts: how many calls ended so.
        computations: how often the service was asked.
        mean_wait, longest_wait: of a call, in seconds.
    """

    fresh: int = 0
    stale: int = 0
    errors: int = 0
    timeouts: int = 0
    computations: int = 0
    mean_wait: float = 0.0
    longest_wait: float = 0.0


def simulate(options: LoadOptions, step: float = STEP) -> Day:
    """A day with these options, and a call every so many seconds."""
    clock = FakeClock()
    with asyncio.Runner(loop_factory=lambda: _Loop(clock)) as runner:
        return runner.run(_day(clock, options, step))


async def _day(clock: FakeClock, options: LoadOptions, step: float) -> Day:
    day, waits = Day(), list[float]()

    async def service() -> float:
        day.computations += 1
        hour = clock.monotonic() / HOUR
        if 12 <= hour < 13:  # noqa: PLR2004 - o'clock
            await asyncio.sleep(5)
            raise ConnectionError
        await asyncio.sleep(20 if 6 <= hour < 8 else 2)  # noqa: PLR2004 - the same
        return clock.time()

    async def call(cache: CacheManager) -> None:
        began = clock.monotonic()
        try:
            await cache.get_or_set("answer", service, TTL, **options)
        except LoadTimeoutError:
            day.timeouts += 1
        except ConnectionError:
            day.errors += 1
        else:
            day.fresh += 1
        waits.append(clock.monotonic() - began)

    async with CacheManager("memory", clock=clock) as cache:
        calls: list[asyncio.Task[Any]] = []
        for _ in range(round(24 * HOUR / step)):
            calls.append(asyncio.create_task(call(cache)))
            await asyncio.sleep(step)
        await asyncio.gather(*calls)
        day.stale = (await cache.get_stats()).stale_hits
    day.fresh -= day.stale
    day.mean_wait, day.longest_wait = sum(waits) / len(waits), max(waits)
    return day


def main() -> None:
    """Print a line for each set of options."""
    logging.getLogger("aiocache_pe").setLevel(logging.ERROR)
    print(f"{'options':33}  fresh  stale  errors  timeouts  computations  mean wait  longest")
    for name, options in OPTIONS.items():
        day = simulate(options)
        print(
            f"{name:33} {day.fresh:6} {day.stale:6} {day.errors:7} {day.timeouts:9} "
            f"{day.computations:13} {day.mean_wait:8.2f} s {day.longest_wait:6.1f} s"
        )


if __name__ == "__main__":
    main()
