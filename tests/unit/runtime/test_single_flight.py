"""Single flight: one caller works, the others wait, and no caller affects another by leaving."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar
from typing import Any

import pytest

from aiocache_pe.runtime.single_flight import Flight, Flights
from tests.support.polling import poll

caller_name: ContextVar[str] = ContextVar("caller_name", default="none")


class Work:
    """Work that runs until `end` is set, and counts its calls and cancellations."""

    def __init__(self) -> None:
        self.calls = 0
        self.cancelled = 0
        self.end = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self, flight: Flight, max_wait: float | None = None) -> str:
        self.calls += 1
        try:
            await self.end.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        return f"result {self.calls}"


async def start_callers(
    flights: Flights, work: Work, count: int = 5
) -> list[asyncio.Task[tuple[Any, bool]]]:
    """Start tasks that all wait for the same work; the first of them starts it."""
    tasks = [asyncio.create_task(flights.run("key", work)) for _ in range(count)]
    await poll(lambda: work.calls)
    await asyncio.sleep(0)
    return tasks


async def test_one_caller_works_and_the_others_learn_that_they_joined() -> None:
    flights, work = Flights(), Work()
    tasks = await start_callers(flights, work)
    work.end.set()
    results = await asyncio.gather(*tasks)
    assert work.calls == 1
    assert results == [("result 1", False), *[("result 1", True)] * 4]


async def test_work_on_different_keys_is_independent() -> None:
    flights, one, two = Flights(), Work(), Work()
    one.end.set()
    two.end.set()
    await asyncio.gather(flights.run("one", one), flights.run("two", two))
    assert (one.calls, two.calls) == (1, 1)


async def test_finished_work_is_done_again_by_the_next_caller() -> None:
    flights, work = Flights(), Work()
    work.end.set()
    assert await flights.run("key", work) == ("result 1", False)
    assert await flights.run("key", work) == ("result 2", False)


@pytest.mark.parametrize(
    "cancelled", [[0], [2], [0, 1, 2, 3]], ids=["leader", "waiter", "all but one"]
)
async def test_a_cancelled_caller_does_not_affect_the_others(cancelled: list[int]) -> None:
    flights, work = Flights(), Work()
    tasks = await start_callers(flights, work)
    for index in cancelled:
        tasks[index].cancel()
    errors = await asyncio.gather(*(tasks[index] for index in cancelled), return_exceptions=True)
    assert all(isinstance(error, asyncio.CancelledError) for error in errors)

    work.end.set()
    remaining = [task for index, task in enumerate(tasks) if index not in cancelled]
    assert {result for result, _ in await asyncio.gather(*remaining)} == {"result 1"}
    assert (work.calls, work.cancelled) == (1, 0)


async def test_work_is_cancelled_when_all_callers_are() -> None:
    flights, work = Flights(), Work()
    tasks = await start_callers(flights, work)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await poll(lambda: work.cancelled)
    work.end.set()
    assert await flights.run("key", work) == ("result 2", False)


async def test_a_caller_that_comes_while_abandoned_work_ends_starts_new_work() -> None:
    flights, work = Flights(), Work()
    [task] = await start_callers(flights, work, count=1)
    task.cancel()
    await asyncio.sleep(0)  # the caller has left, its work is about to be cancelled
    work.end.set()
    assert await flights.run("key", work) == ("result 2", False)


async def test_a_timeout_of_one_caller_does_not_affect_the_others() -> None:
    flights, work = Flights(), Work()
    tasks = await start_callers(flights, work, count=3)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(flights.run("key", work), timeout=0.01)
    work.end.set()
    assert {result for result, _ in await asyncio.gather(*tasks)} == {"result 1"}
    assert work.calls == 1


async def test_an_exception_reaches_all_callers_and_is_not_kept() -> None:
    flights, work = Flights(), Work()
    tasks = await start_callers(flights, work)
    work.error = ValueError("no answer")
    work.end.set()
    errors = await asyncio.gather(*tasks, return_exceptions=True)
    assert [repr(error) for error in errors] == [repr(work.error)] * 5
    assert len({id(error) for error in errors}) == 5
    work.error = None
    assert await flights.run("key", work) == ("result 2", False)


async def test_an_exception_of_abandoned_work_is_not_reported() -> None:
    flights, started = Flights(), asyncio.Event()

    async def fail_on_cancel(flight: Flight, max_wait: float | None) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ValueError("while leaving") from None

    reports = list[Any]()
    asyncio.get_running_loop().set_exception_handler(lambda loop, report: reports.append(report))
    task = asyncio.create_task(flights.run("key", fail_on_cancel))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.01)
    assert reports == []


async def test_work_that_needs_its_own_key_does_not_deadlock() -> None:
    flights, depth = Flights(), 0

    async def work(flight: Flight, max_wait: float | None) -> int:
        nonlocal depth
        depth += 1
        return depth if depth > 2 else (await flights.run("key", work))[0]

    assert await asyncio.wait_for(flights.run("key", work), 5) == (3, False)


async def test_work_that_needs_its_own_key_through_another_one_does_not_deadlock() -> None:
    flights = Flights()

    async def outer(flight: Flight, max_wait: float | None) -> str:
        return f"outer {(await flights.run('inner', inner))[0]}"

    async def inner(flight: Flight, max_wait: float | None) -> str:
        return f"inner {(await flights.run('outer', innermost))[0]}"

    async def innermost(flight: Flight, max_wait: float | None) -> str:
        return "innermost"

    assert (await asyncio.wait_for(flights.run("outer", outer), 5))[0] == "outer inner innermost"


async def test_work_has_the_context_variables_of_its_first_caller() -> None:
    flights, start = Flights(), asyncio.Event()

    async def work(flight: Flight, max_wait: float | None) -> str:
        await start.wait()
        return caller_name.get()

    async def call(name: str) -> tuple[str, bool]:
        caller_name.set(name)
        return await flights.run("key", work)

    tasks = [asyncio.create_task(call(name)) for name in ("Ada", "Grace")]
    await asyncio.sleep(0)
    start.set()
    assert await asyncio.gather(*tasks) == [("Ada", False), ("Ada", True)]


async def test_a_task_started_by_finished_work_joins_the_next_flight() -> None:
    flights, work, children = Flights(), Work(), list[asyncio.Task[tuple[Any, bool]]]()
    finished = asyncio.Event()

    async def run_later() -> tuple[Any, bool]:
        await finished.wait()
        return await flights.run("key", work)

    async def start_children(flight: Flight, max_wait: float | None) -> None:
        children.extend(asyncio.create_task(run_later()) for _ in range(3))

    await flights.run("key", start_children)
    finished.set()
    await poll(lambda: work.calls)
    work.end.set()
    await asyncio.gather(*children)
    assert work.calls == 1


def test_flights_of_loops_in_different_threads_are_independent() -> None:
    flights, calls = Flights(), list[int]()
    barrier = threading.Barrier(2, timeout=10)

    async def work(flight: Flight, max_wait: float | None) -> None:
        calls.append(threading.get_ident())
        await asyncio.to_thread(barrier.wait)

    async def run() -> None:
        await flights.run("key", work)

    threads = [threading.Thread(target=lambda: asyncio.run(run())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(set(calls)) == 2


async def test_a_caller_that_was_cancelled_before_can_still_reach_its_wait_limit() -> None:
    flights, work = Flights(), Work()
    [leader] = await start_callers(flights, work, 1)

    async def run_while_cancelled() -> Any:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            work.end.set()
            other = Work()
            other.end.set()
            blocked = asyncio.ensure_future(flights.run("other", Work()))
            await asyncio.sleep(0)
            try:
                return await flights.run("other", other, 0.01)
            finally:
                blocked.cancel()

    task = asyncio.create_task(run_while_cancelled())
    await asyncio.sleep(0)
    task.cancel()
    assert await task == ("result 1", False)
    await leader


async def test_on_shared_gets_a_shared_result_before_any_caller_has_it() -> None:
    shared = list[Any]()
    flights, work = Flights(on_shared=lambda key, result: shared.append((key, result))), Work()
    tasks = await start_callers(flights, work, 3)
    work.end.set()
    await tasks[0]
    assert shared == [("key", "result 1")]
    await asyncio.gather(*tasks)
    assert await flights.run("key", work) == ("result 2", False)
    assert shared == [("key", "result 1")]
