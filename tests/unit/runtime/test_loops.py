"""The end of a loop: whatever way it comes, what waits for it is called once."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections.abc import Awaitable, Callable

import pytest

from aiocache_pe.runtime.loops import LoopEndHook


def counting() -> tuple[LoopEndHook, list[asyncio.AbstractEventLoop]]:
    ended = list[asyncio.AbstractEventLoop]()

    async def callback() -> None:
        await asyncio.sleep(0)  # the loop still works
        ended.append(asyncio.get_running_loop())

    return LoopEndHook(callback), ended


async def _interrupt() -> None:
    raise KeyboardInterrupt


async def _fail() -> None:
    raise ValueError("the application's own")


async def _leave_tasks() -> None:
    tasks = [asyncio.create_task(asyncio.sleep(3600)) for _ in range(3)]
    await asyncio.sleep(0)
    assert not any(task.done() for task in tasks)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (lambda: asyncio.sleep(0), None),
        (_leave_tasks, None),
        (_fail, ValueError),
        (_interrupt, KeyboardInterrupt),
    ],
    ids=["in peace", "with tasks left", "by an error", "by ctrl-c"],
)
def test_it_is_called_however_the_loop_ends(
    body: Callable[[], Awaitable[None]], error: type[BaseException] | None
) -> None:
    at_end, ended = counting()

    async def main() -> None:
        at_end.arm()
        at_end.arm()
        await body()

    if error is None:
        asyncio.run(main())
    else:
        with pytest.raises(error):
            asyncio.run(main())
    assert len(ended) == 1


def test_it_is_called_at_the_end_of_each_loop_it_was_armed_in() -> None:
    at_end, ended = counting()

    async def main(armed: bool) -> None:
        if armed:
            at_end.arm()

    for armed in (True, False, True):
        asyncio.run(main(armed))
    assert len({id(loop) for loop in ended}) == 2


def test_an_error_at_the_end_is_logged_and_does_not_replace_the_result(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def callback() -> None:
        raise OSError("disk full")

    at_end = LoopEndHook(callback)

    async def main() -> str:
        at_end.arm()
        return "result"

    with caplog.at_level(logging.ERROR, "aiocache_pe"):
        assert asyncio.run(main()) == "result"
    assert "could not finish at the end of the event loop" in caplog.text
    assert "disk full" in caplog.text


@pytest.mark.parametrize("is_first", [True, False])
def test_what_others_use_is_given_back_after_they_have_finished(is_first: bool) -> None:
    finished = list[str]()

    async def report() -> None:
        for _ in range(10):
            await asyncio.sleep(0)
        finished.append("report")

    async def give_back() -> None:
        finished.append("give back")

    ends = [LoopEndHook(give_back, last=True), LoopEndHook(report)]

    async def main() -> None:
        for end in ends if is_first else reversed(ends):
            end.arm()

    asyncio.run(main())
    assert finished == ["report", "give back"]


def test_a_loop_that_was_dropped_is_collected_without_complaint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    complaints = list[object]()
    monkeypatch.setattr(sys, "unraisablehook", complaints.append)
    at_end, ended = counting()

    async def main() -> None:
        at_end.arm()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    loop.close()  # and no asynchronous generator was closed before
    asyncio.run(main())  # the first is forgotten, the second comes to its end
    del loop
    gc.collect()
    assert complaints == []
    assert len(ended) == 1
