"""Circuit breaker: one background task probes an unavailable store, at growing intervals."""

from __future__ import annotations

import asyncio
import threading

import pytest

from aiocache_pe.backends.fallback.circuit_breaker import CircuitBreaker
from tests.support.polling import poll


class FakeStore:
    """A store that fails some attempts to recover; the pauses between them take no time."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.pauses: list[float] = []
        self.may_continue = threading.Event()
        self.may_continue.set()
        self.breaker = CircuitBreaker("a store", self.recover, is_open=True, sleep=self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await poll(self.may_continue.is_set)
        await asyncio.sleep(0)

    async def recover(self) -> None:
        if len(self.pauses) <= self.failures:
            raise ConnectionError
        self.breaker.close()


async def test_the_pauses_double_up_to_a_limit() -> None:
    store = FakeStore(failures=8)
    store.may_continue.clear()
    store.breaker.start_probing()
    store.breaker.start_probing()  # no effect, because the first task runs
    store.may_continue.set()
    await poll(lambda: not store.breaker.is_open)
    assert len(store.pauses) == 9
    expected = [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0, 2.0]
    assert store.pauses == pytest.approx(expected, rel=0.2)
    assert store.pauses != pytest.approx(expected, rel=0.001)  # processes probe at different times


async def test_the_store_is_probed_again_after_the_next_failure() -> None:
    store = FakeStore(failures=1)
    for openings in range(1, 4):
        store.breaker.open(ConnectionError())
        while store.breaker.is_open:  # as each call does that uses the fallback
            store.breaker.start_probing()
            await asyncio.sleep(0.001)
        assert len(store.pauses) >= openings


async def test_all_calls_in_flight_end_when_the_breaker_opens() -> None:
    store = FakeStore(failures=10**9)
    store.breaker.close()
    never_set = asyncio.Event()
    calls = [asyncio.ensure_future(store.breaker.call(never_set.wait)) for _ in range(50)]
    await asyncio.sleep(0)
    store.breaker.open(ConnectionError())
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {TimeoutError}
    with pytest.raises(TimeoutError):
        await store.breaker.call(never_set.wait)
