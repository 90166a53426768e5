"""Maintenance rounds run in the background, survive failures and stop on request."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

import pytest

from aiocache_pe import CacheManager
from aiocache_pe.backends.memory import MemoryBackend
from aiocache_pe.engine.maintenance import FIRST_ROUND_DELAY, ROUND_INTERVAL, Maintenance
from aiocache_pe.record import Head
from aiocache_pe.testing import FakeClock
from tests.support.internals import get_engine
from tests.support.polling import poll


class MaintainableBackend(MemoryBackend):
    """A store with rounds of a given length, which waits and fails as the test demands.

    Attributes:
        steps: number of steps that were started.
        running: number of steps in progress.
        length: number of steps of a round.
        error: raised by a step, if given.
        gate: every step waits for this event.
    """

    def __init__(self) -> None:
        super().__init__()
        self.steps = self.running = 0
        self.length = 3
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def maintain(self, now: float) -> Sequence[Head] | None:
        assert not self.running
        self.running += 1
        try:
            self.steps += 1
            await self.gate.wait()
            if self.error is not None:
                raise self.error
        finally:
            self.running -= 1
        if self.steps % self.length == 0:
            return None
        return [Head(1, f"default:{self.steps}", "json", 0.0, 1)]


class Scenario:
    """Maintenance of such a store, with a round that is due.

    Attributes:
        expired: the heads that the maintenance has reported.
    """

    def __init__(self) -> None:
        self.store, self.clock, self.expired = MaintainableBackend(), FakeClock(), list[Head]()
        self.cache = CacheManager(self.store, clock=self.clock)
        self.maintenance = Maintenance(get_engine(self.cache), self.expired.append)
        self.clock.advance(1000)  # the delay counts from the first use, not from the creation
        self.maintenance.arm()
        self.clock.advance(FIRST_ROUND_DELAY)

    def is_idle(self) -> bool:
        return self.maintenance._loop is None


@pytest.fixture
async def scenario() -> AsyncIterator[Scenario]:
    scenario = Scenario()
    yield scenario
    scenario.store.gate.set()
    scenario.maintenance.stop()
    await scenario.cache.close()


async def test_a_round_continues_until_the_store_ends_it(scenario: Scenario) -> None:
    scenario.maintenance.arm()
    scenario.maintenance.arm()  # no second round at the same time
    await poll(scenario.is_idle)
    assert scenario.store.steps == 3
    assert [head.key for head in scenario.expired] == ["default:1", "default:2"]
    scenario.maintenance.arm()  # the next round is not due yet
    assert scenario.is_idle()
    scenario.clock.advance(ROUND_INTERVAL)
    scenario.maintenance.arm()
    await poll(scenario.is_idle)
    assert scenario.store.steps == 6


async def test_a_failure_is_logged_and_the_next_round_tries_again(
    scenario: Scenario, caplog: pytest.LogCaptureFixture
) -> None:
    scenario.store.error = OSError("the disk is gone")
    with caplog.at_level(logging.INFO, "aiocache_pe"):
        scenario.maintenance.arm()
        await poll(scenario.is_idle)
    assert "the disk is gone" in caplog.text
    assert scenario.store.steps == 1
    scenario.store.error = None
    scenario.clock.advance(ROUND_INTERVAL)
    scenario.maintenance.arm()
    await poll(scenario.is_idle)
    assert len(scenario.expired) == 1


async def test_stopping_during_a_step_cancels_the_step(scenario: Scenario) -> None:
    scenario.store.gate.clear()
    scenario.maintenance.arm()
    await poll(lambda: scenario.store.running)
    scenario.maintenance.stop()
    await poll(lambda: not scenario.store.running)
    assert scenario.expired == []
    scenario.store.gate.set()
    scenario.maintenance.arm()  # a new round may start at once
    await poll(scenario.is_idle)
    assert scenario.store.steps == 3


async def test_a_cancelled_task_does_not_prevent_the_next_round(scenario: Scenario) -> None:
    scenario.store.gate.clear()
    scenario.maintenance.arm()
    await poll(lambda: scenario.store.running)
    assert scenario.maintenance._task is not None
    scenario.maintenance._task.cancel()  # as by a test runner that cancels all tasks
    await poll(lambda: not scenario.store.running)
    scenario.store.gate.set()
    scenario.maintenance.arm()
    await poll(scenario.is_idle)
    assert scenario.store.steps == 3


async def test_stopping_between_steps_cancels_the_next_step(scenario: Scenario) -> None:
    scenario.store.length = 1000
    scenario.maintenance.arm()
    await poll(lambda: scenario.expired)
    scenario.maintenance.stop()
    scenario.maintenance.stop()
    assert scenario.is_idle()
    steps = scenario.store.steps
    handle = scenario.maintenance._handle
    assert handle is not None
    assert handle.cancelled()
    await asyncio.sleep(0)
    assert scenario.store.steps == steps


async def test_a_stopped_step_that_completes_anyway_has_no_successor(scenario: Scenario) -> None:
    scenario.store.gate.clear()
    scenario.maintenance.arm()
    await poll(lambda: scenario.store.running)
    task = scenario.maintenance._task
    assert task is not None
    scenario.maintenance._task = None  # as with a store that ignores its cancellation
    scenario.maintenance.stop()
    scenario.store.gate.set()
    await task
    assert scenario.expired == []
    assert scenario.maintenance._handle is None


async def test_the_event_loop_of_another_thread_can_stop_a_round(scenario: Scenario) -> None:
    scenario.store.gate.clear()
    scenario.maintenance.arm()
    await poll(lambda: scenario.store.running)

    async def stop() -> None:
        scenario.maintenance.stop()

    thread = threading.Thread(target=asyncio.run, args=(stop(),))
    thread.start()
    await poll(lambda: not scenario.store.running)
    thread.join()
    assert scenario.is_idle()


def test_a_round_of_a_closed_event_loop_does_not_prevent_the_next() -> None:
    scenario = Scenario()

    async def start_round() -> None:
        scenario.maintenance.arm()
        await poll(lambda: scenario.expired and not scenario.store.running)

    async def run_next_round() -> None:
        assert not scenario.is_idle()
        scenario.maintenance.stop()  # nothing is left to stop
        scenario.store.length = scenario.store.steps + 2
        scenario.maintenance.arm()
        await poll(scenario.is_idle)
        await scenario.cache.close()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(start_round())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()  # without `shutdown_asyncgens`, so no hook runs
    asyncio.run(run_next_round())
    assert scenario.store.steps == scenario.store.length


@pytest.mark.parametrize("moment", ["between steps", "in a step"])
def test_the_end_of_an_event_loop_ends_its_round(
    moment: str, caplog: pytest.LogCaptureFixture
) -> None:
    scenario = Scenario()
    scenario.store.length = 1000

    async def delay_the_end() -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            await poll(scenario.is_idle)
            await asyncio.sleep(0)

    async def start_round() -> AsyncGenerator[None, None]:
        scenario.store.gate = asyncio.Event()
        scenario.store.gate.set()
        scenario.maintenance.arm()
        if moment == "between steps":
            await poll(lambda: scenario.expired)
        generator = delay_the_end()
        await anext(generator)
        return generator

    generator = asyncio.run(start_round())
    steps, task = scenario.store.steps, scenario.maintenance._task
    assert task is not None
    assert task.done()
    assert scenario.maintenance._handle is None or scenario.maintenance._handle.cancelled()
    del generator
    gc.collect()
    assert not caplog.records
    assert scenario.store.steps == steps


async def test_a_store_without_the_capability_has_no_rounds() -> None:
    clock = FakeClock()
    async with CacheManager("memory", clock=clock) as cache:
        maintenance = Maintenance(get_engine(cache), lambda head: pytest.fail(f"removed {head}"))
        clock.advance(FIRST_ROUND_DELAY)
        maintenance.arm()
        await poll(lambda: maintenance._loop is None)
