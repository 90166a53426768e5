"""Single flight: one works, all others wait, and nobody suffers for another's leaving."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar
from typing import Any

import pytest

from aiocache_pe.runtime.single_flight import Flights
from tests.support.polling import poll

who: ContextVar[str] = ContextVar("who", default="nobody")


class Work:
    """Work that lasts until it is told to end."""

    def __init__(self) -> None:
        self.calls = 0
        self.cancelled = 0
        self.end = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self, patience: float | None = None) -> str:
        self.calls += 1
        try:
            await self.end.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        return f"result {self.calls}"


async def crowd(
    flights: Flights, work: Work, size: int = 5
) -> list[asyncio.Task[tuple[Any, bool]]]:
    """Tasks that all wait for the same work; the first of them leads."""
    tasks = [asyncio.create_task(flights.run("key", work)) for _ in range(size)]
    await poll(lambda: work.calls)
    await asyncio.sleep(0)
    return tasks


async def test_one_works_and_the_others_know_that_they_joined() -> None:
    flights, work = Flights(), Work()
    tasks = await crowd(flights, work)
    work.end.set()
    results = await asyncio.gather(*tasks)
    assert work.calls == 1
    assert results == [("result 1", False), *[("result 1", True)] * 4]


async def test_other_keys_fly_by_themselves() -> None:
    flights, one, two = Flights(), Work(), Work()
    one.end.set()
    two.end.set()
    await asyncio.gather(flights.run("one", one), flights.run("two", two))
    assert (one.calls, two.calls) == (1, 1)


async def test_what_has_landed_is_done_anew() -> None:
    flights, work = Flights(), Work()
    work.end.set()
    assert await flights.run("key", work) == ("result 1", False)
    assert await flights.run("key", work) == ("result 2", False)


@pytest.mark.parametrize(
    "leaves", [[0], [2], [0, 1, 2, 3]], ids=["leader", "waiter", "all but one"]
)
async def test_whoever_is_cancelled_takes_nobody_along(leaves: list[int]) -> None:
    flights, work = Flights(), Work()
    tasks = await crowd(flights, work)
    for index in leaves:
        tasks[index].cancel()
    gone = await asyncio.gather(*(tasks[index] for index in leaves), return_exceptions=True)
    assert all(isinstance(error, asyncio.CancelledError) for error in gone)
    work.end.set()
    stayed = [task for index, task in enumerate(tasks) if index not in leaves]
    assert {result for result, _ in await asyncio.gather(*stayed)} == {"result 1"}
    assert (work.calls, work.cancelled) == (1, 0)


async def test_when_all_are_cancelled_the_work_is_too() -> None:
    flights, work = Flights(), Work()
    tasks = await crowd(flights, work)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await poll(lambda: work.cancelled)
    work.end.set()
    assert await flights.run("key", work) == ("result 2", False)


async def test_who_comes_while_abandoned_work_ends_starts_afresh() -> None:
    flights, work = Flights(), Work()
    [task] = await crowd(flights, work, size=1)
    task.cancel()
    await asyncio.sleep(0)  # the caller is gone, its work is about to hear of it
    work.end.set()
    assert await flights.run("key", work) == ("result 2", False)


async def test_one_callers_timeout_is_its_own() -> None:
    flights, work = Flights(), Work()
    others = await crowd(flights, work, size=3)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(flights.run("key", work), timeout=0.01)
    work.end.set()
    assert {result for result, _ in await asyncio.gather(*others)} == {"result 1"}
    assert work.calls == 1


async def test_an_exception_reaches_all_and_is_not_kept() -> None:
    flights, work = Flights(), Work()
    tasks = await crowd(flights, work)
    work.error = ValueError("no answer")
    work.end.set()
    errors = await asyncio.gather(*tasks, return_exceptions=True)
    assert errors == [work.error] * 5
    work.error = None
    assert await flights.run("key", work) == ("result 2", False)


async def test_an_exception_that_nobody_waits_for_is_nobodys() -> None:
    flights, started = Flights(), asyncio.Event()

    async def stubborn(patience: float | None) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ValueError("while leaving") from None

    reports = list[Any]()
    asyncio.get_running_loop().set_exception_handler(lambda loop, report: reports.append(report))
    task = asyncio.create_task(flights.run("key", stubborn))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.01)
    assert reports == []


async def test_asking_for_itself_does_not_deadlock() -> None:
    flights, depth = Flights(), 0

    async def work(patience: float | None) -> int:
        nonlocal depth
        depth += 1
        return depth if depth > 2 else (await flights.run("key", work))[0]

    assert await asyncio.wait_for(flights.run("key", work), 5) == (3, False)


async def test_asking_for_itself_by_way_of_another_does_not_deadlock() -> None:
    flights = Flights()

    async def outer(patience: float | None) -> str:
        return f"outer {(await flights.run('inner', inner))[0]}"

    async def inner(patience: float | None) -> str:
        return f"inner {(await flights.run('outer', innermost))[0]}"

    async def innermost(patience: float | None) -> str:
        return "innermost"

    assert (await asyncio.wait_for(flights.run("outer", outer), 5))[0] == "outer inner innermost"


async def test_work_sees_the_context_variables_of_its_first_caller() -> None:
    flights, start = Flights(), asyncio.Event()

    async def work(patience: float | None) -> str:
        await start.wait()
        return who.get()

    async def call(name: str) -> tuple[str, bool]:
        who.set(name)
        return await flights.run("key", work)

    tasks = [asyncio.create_task(call(name)) for name in ("Ada", "Grace")]
    await asyncio.sleep(0)
    start.set()
    assert await asyncio.gather(*tasks) == [("Ada", False), ("Ada", True)]


async def test_a_task_begun_in_a_flight_joins_the_next_one() -> None:
    flights, work, children = Flights(), Work(), list[asyncio.Task[tuple[Any, bool]]]()
    landed = asyncio.Event()

    async def later() -> tuple[Any, bool]:
        await landed.wait()
        return await flights.run("key", work)

    async def begins_tasks(patience: float | None) -> None:
        children.extend(asyncio.create_task(later()) for _ in range(3))

    await flights.run("key", begins_tasks)
    landed.set()
    await poll(lambda: work.calls)
    work.end.set()
    await asyncio.gather(*children)
    assert work.calls == 1


def test_loops_in_other_threads_fly_by_themselves() -> None:
    flights, calls = Flights(), list[int]()
    barrier = threading.Barrier(2, timeout=10)

    async def work(patience: float | None) -> None:
        calls.append(threading.get_ident())
        await asyncio.to_thread(barrier.wait)

    threads = [threading.Thread(target=lambda: asyncio.run(_run(flights, work))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(set(calls)) == 2


async def _run(flights: Flights, work: Any) -> None:
    await flights.run("key", work)


async def test_who_was_cancelled_before_may_still_run_out_of_patience() -> None:
    flights, work = Flights(), Work()
    [leader] = await crowd(flights, work, 1)

    async def tidy_up() -> Any:
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

    task = asyncio.create_task(tidy_up())
    await asyncio.sleep(0)
    task.cancel()
    assert await task == ("result 1", False)
    await leader


async def test_what_several_get_is_told_of_before_any_has_it() -> None:
    told = list[Any]()
    flights, work = Flights(on_shared=told.append), Work()
    tasks = await crowd(flights, work, 3)
    work.end.set()
    await tasks[0]
    assert told == ["result 1"]
    await asyncio.gather(*tasks)
    assert await flights.run("key", work) == ("result 2", False)
    assert told == ["result 1"]
