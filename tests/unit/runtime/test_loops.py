"""Per-loop values and callbacks at the end of an event loop."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import threading
import weakref
from collections.abc import Awaitable, Callable

import pytest

from aiocache_pe.runtime.loops import LoopEndHook, PerLoop


class LoopReference:
    """A value that, like a task or a timer, refers to its loop."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()


async def test_a_loop_has_one_value() -> None:
    values = PerLoop(LoopReference)
    assert values.get() is values.get()


def test_successive_loops_and_loops_in_threads_have_values_of_their_own() -> None:
    values, seen = PerLoop(LoopReference), list[LoopReference]()

    async def note() -> None:
        seen.append(values.get())

    asyncio.run(note())
    thread = threading.Thread(target=lambda: asyncio.run(note()))
    thread.start()
    thread.join()
    asyncio.run(note())
    assert len({id(value) for value in seen}) == 3


def test_without_a_running_loop_there_is_no_value() -> None:
    with pytest.raises(RuntimeError, match="needs a running asyncio event loop"):
        PerLoop(list).get()


def test_a_closed_loop_is_collected_although_its_value_refers_to_it() -> None:
    values, loops = PerLoop(LoopReference), list[weakref.ref[asyncio.AbstractEventLoop]]()

    async def use() -> None:
        values.get()
        loops.append(weakref.ref(asyncio.get_running_loop()))

    for _ in range(10):
        asyncio.run(use())
    gc.collect()
    assert sum(loop() is not None for loop in loops) <= 1


def make_hook() -> tuple[LoopEndHook, list[asyncio.AbstractEventLoop]]:
    """Return a hook, and the list to which its callback appends the loops that ended."""
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
    ids=["a return", "a return with tasks left", "an error", "ctrl-c"],
)
def test_the_callback_runs_once_when_the_loop_ends_by(
    body: Callable[[], Awaitable[None]], error: type[BaseException] | None
) -> None:
    hook, ended = make_hook()

    async def main() -> None:
        hook.arm()
        hook.arm()
        await body()

    if error is None:
        asyncio.run(main())
    else:
        with pytest.raises(error):
            asyncio.run(main())
    assert len(ended) == 1


def test_the_callback_runs_at_the_end_of_each_loop_in_which_the_hook_was_armed() -> None:
    hook, ended = make_hook()

    async def main(armed: bool) -> None:
        if armed:
            hook.arm()

    for armed in (True, False, True):
        asyncio.run(main(armed))
    assert len({id(loop) for loop in ended}) == 2


def test_an_error_of_the_callback_is_logged_and_does_not_replace_the_result(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def callback() -> None:
        raise OSError("disk full")

    hook = LoopEndHook(callback)

    async def main() -> str:
        hook.arm()
        return "result"

    with caplog.at_level(logging.ERROR, "aiocache_pe"):
        assert asyncio.run(main()) == "result"
    assert "failed at the end of the event loop" in caplog.text
    assert "disk full" in caplog.text


@pytest.mark.parametrize("last_is_armed_first", [True, False])
def test_a_last_hook_runs_after_the_other_hooks_have_finished(last_is_armed_first: bool) -> None:
    calls = list[str]()

    async def report() -> None:
        for _ in range(10):
            await asyncio.sleep(0)
        calls.append("report")

    async def release() -> None:
        calls.append("release")

    hooks = [LoopEndHook(release, last=True), LoopEndHook(report)]

    async def main() -> None:
        for hook in hooks if last_is_armed_first else reversed(hooks):
            hook.arm()

    asyncio.run(main())
    assert calls == ["report", "release"]


def test_a_loop_that_was_closed_without_shutdown_is_collected_without_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unraisable = list[object]()
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    hook, ended = make_hook()

    async def main() -> None:
        hook.arm()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    loop.close()  # without `shutdown_asyncgens`
    asyncio.run(main())  # drops the first loop's generator, and ends with a shutdown
    del loop
    gc.collect()
    assert unraisable == []
    assert len(ended) == 1
