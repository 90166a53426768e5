"""A store that is away is tried again, ever less often, by one task in the background."""

from __future__ import annotations

import asyncio

import pytest

from aiocache_pe.backends.fallback.circuit_breaker import CircuitBreaker
from tests.support.polling import poll


class Store:
    """Away for some tries; the pauses between them take no time."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.pauses: list[float] = []
        self.breaker = CircuitBreaker("a store", self.recover, is_open=True, sleep=self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)

    async def recover(self) -> None:
        if len(self.pauses) <= self.failures:
            raise ConnectionError
        self.breaker.close()


async def test_the_pauses_double_up_to_a_bound() -> None:
    store = Store(failures=8)
    store.breaker.watch()
    store.breaker.watch()  # there is one already
    await poll(lambda: not store.breaker.is_open)
    assert len(store.pauses) == 9
    wanted = [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0, 2.0]
    assert store.pauses == pytest.approx(wanted, rel=0.2)
    assert store.pauses != pytest.approx(wanted, rel=0.001)  # not all processes at once


async def test_it_is_tried_anew_after_the_next_loss() -> None:
    store = Store(failures=1)
    for opened in range(1, 4):
        store.breaker.open(ConnectionError())
        while store.breaker.is_open:  # as each call does that goes to the fallback
            store.breaker.watch()
            await asyncio.sleep(0.001)
        assert len(store.pauses) >= opened


async def test_all_calls_are_let_go_when_it_opens() -> None:
    store = Store(failures=10**9)
    store.breaker.close()
    forever = asyncio.Event()
    calls = [asyncio.ensure_future(store.breaker.call(forever.wait)) for _ in range(50)]
    await asyncio.sleep(0)
    store.breaker.open(ConnectionError())
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {TimeoutError}
    with pytest.raises(TimeoutError):
        await store.breaker.call(forever.wait)
