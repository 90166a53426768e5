"""A round in the background disturbs nobody: it fails quietly and stops when it is told to."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

import pytest

from aiocache_pe import CacheManager
from aiocache_pe.backends.memory import MemoryBackend
from aiocache_pe.engine.maintenance import AGAIN, FIRST, Maintenance
from aiocache_pe.record import Head
from aiocache_pe.testing import FakeClock
from tests.support.polling import poll


class Tended(MemoryBackend):
    """A store of which a round is as long as a test says, and that fails when it says so."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = self.under_way = 0
        self.length = 3
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def tend(self, now: float) -> Sequence[Head] | None:
        assert not self.under_way
        self.under_way += 1
        try:
            self.steps += 1
            await self.gate.wait()
            if self.error is not None:
                raise self.error
        finally:
            self.under_way -= 1
        if self.steps % self.length == 0:
            return None
        return [Head(1, f"default:{self.steps}", "json", 0.0, 1)]


class Rounds:
    """A tender over such a store, armed and due."""

    def __init__(self) -> None:
        self.store, self.clock, self.told = Tended(), FakeClock(), list[Head]()
        self.cache = CacheManager(self.store, clock=self.clock)
        self.tender = Maintenance(self.cache._shared.engine, self.told.append)
        self.clock.advance(1000)  # made long before it is used
        self.tender.arm()
        self.clock.advance(FIRST)

    def is_over(self) -> bool:
        return self.tender._loop is None


@pytest.fixture
async def rounds() -> AsyncIterator[Rounds]:
    made = Rounds()
    yield made
    made.store.gate.set()
    made.tender.stop()
    await made.cache.close()


async def test_a_round_goes_on_until_the_store_says_it_is_over(rounds: Rounds) -> None:
    rounds.tender.arm()
    rounds.tender.arm()  # one at a time
    await poll(rounds.is_over)
    assert rounds.store.steps == 3
    assert [head.key for head in rounds.told] == ["default:1", "default:2"]
    rounds.tender.arm()  # too soon
    assert rounds.is_over()
    rounds.clock.advance(AGAIN)
    rounds.tender.arm()
    await poll(rounds.is_over)
    assert rounds.store.steps == 6


async def test_a_store_that_fails_is_asked_again_later(
    rounds: Rounds, caplog: pytest.LogCaptureFixture
) -> None:
    rounds.store.error = OSError("the disk is gone")
    with caplog.at_level(logging.INFO, "aiocache_pe"):
        rounds.tender.arm()
        await poll(rounds.is_over)
    assert "the disk is gone" in caplog.text
    assert rounds.store.steps == 1
    rounds.store.error = None
    rounds.clock.advance(AGAIN)
    rounds.tender.arm()
    await poll(rounds.is_over)
    assert len(rounds.told) == 1


async def test_a_round_that_is_stopped_during_a_step_ends_there(rounds: Rounds) -> None:
    rounds.store.gate.clear()
    rounds.tender.arm()
    await poll(lambda: rounds.store.under_way)
    rounds.tender.stop()
    await poll(lambda: not rounds.store.under_way)
    assert rounds.told == []
    rounds.store.gate.set()
    rounds.tender.arm()  # it may begin again at once
    await poll(rounds.is_over)
    assert rounds.store.steps == 3


async def test_a_round_whose_task_is_cancelled_is_begun_again_later(rounds: Rounds) -> None:
    rounds.store.gate.clear()
    rounds.tender.arm()
    await poll(lambda: rounds.store.under_way)
    assert rounds.tender._task is not None
    rounds.tender._task.cancel()  # as by a test runner that cancels all there is
    await poll(lambda: not rounds.store.under_way)
    rounds.store.gate.set()
    rounds.tender.arm()
    await poll(rounds.is_over)
    assert rounds.store.steps == 3


async def test_a_round_that_is_stopped_between_steps_takes_none_any_more(rounds: Rounds) -> None:
    rounds.store.length = 1000
    rounds.tender.arm()
    await poll(lambda: rounds.told)
    rounds.tender.stop()
    rounds.tender.stop()
    assert rounds.is_over()
    steps = rounds.store.steps
    handle = rounds.tender._handle
    assert handle is not None
    assert handle.cancelled()
    await asyncio.sleep(0)
    assert rounds.store.steps == steps


async def test_a_step_that_was_stopped_and_done_all_the_same_is_not_gone_on_with(
    rounds: Rounds,
) -> None:
    rounds.store.gate.clear()
    rounds.tender.arm()
    await poll(lambda: rounds.store.under_way)
    task = rounds.tender._task
    assert task is not None
    rounds.tender._task = None  # as with a store that does not let itself be cancelled
    rounds.tender.stop()
    rounds.store.gate.set()
    await task
    assert rounds.told == []
    assert rounds.tender._handle is None


async def test_a_round_can_be_stopped_from_another_thread_with_a_loop(rounds: Rounds) -> None:
    rounds.store.gate.clear()
    rounds.tender.arm()
    await poll(lambda: rounds.store.under_way)

    async def stop() -> None:
        rounds.tender.stop()

    thread = threading.Thread(target=asyncio.run, args=(stop(),))
    thread.start()
    await poll(lambda: not rounds.store.under_way)
    thread.join()
    assert rounds.is_over()


def test_a_round_of_a_loop_that_was_closed_is_forgotten() -> None:
    made = Rounds()

    async def begin() -> None:
        made.tender.arm()
        await poll(lambda: made.told and not made.store.under_way)

    async def go_on() -> None:
        assert not made.is_over()
        made.tender.stop()  # there is nothing left to stop
        made.store.length = made.store.steps + 2
        made.tender.arm()
        await poll(made.is_over)
        await made.cache.close()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(begin())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()  # and not a word to those who wait for its end
    asyncio.run(go_on())
    assert made.store.steps == made.store.length


@pytest.mark.parametrize("when", ["at rest", "in a step"])
def test_the_end_of_a_loop_ends_a_round(when: str, caplog: pytest.LogCaptureFixture) -> None:
    made = Rounds()
    made.store.length = 1000

    async def late() -> AsyncGenerator[None, None]:  # keeps the loop alive for a while
        try:
            yield
        finally:
            await poll(made.is_over)
            await asyncio.sleep(0)

    async def begin() -> AsyncGenerator[None, None]:
        made.store.gate = asyncio.Event()
        made.store.gate.set()
        made.tender.arm()
        if when == "at rest":
            await poll(lambda: made.told)
        generator = late()
        await anext(generator)
        return generator

    kept = asyncio.run(begin())
    steps, task = made.store.steps, made.tender._task
    assert task is not None
    assert task.done()
    assert made.tender._handle is None or made.tender._handle.cancelled()
    del kept
    gc.collect()
    assert not caplog.records
    assert made.store.steps == steps


async def test_a_store_that_needs_no_tending_has_no_rounds() -> None:
    clock = FakeClock()
    async with CacheManager("memory", clock=clock) as cache:
        tender = Maintenance(cache._shared.engine, lambda head: pytest.fail(f"removed {head}"))
        clock.advance(FIRST)
        tender.arm()
        await poll(lambda: tender._loop is None)
