"""Things of a loop: one each, and gone with it."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref

import pytest

from aiocache_pe.runtime.loops import PerLoop


class Bound:
    """Something that, like a task or a timer, holds its loop."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()


async def test_a_loop_has_one_thing() -> None:
    things = PerLoop(Bound)
    assert things.get() is things.get()


def test_loops_in_a_row_and_in_threads_have_their_own() -> None:
    things, seen = PerLoop(Bound), list[Bound]()

    async def note() -> None:
        seen.append(things.get())

    asyncio.run(note())
    thread = threading.Thread(target=lambda: asyncio.run(note()))
    thread.start()
    thread.join()
    asyncio.run(note())
    assert len({id(thing) for thing in seen}) == 3


def test_there_is_nothing_without_a_loop() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        PerLoop(list).get()


def test_a_loop_that_ended_is_not_kept_by_what_was_bound_to_it() -> None:
    things, loops = PerLoop(Bound), list[weakref.ref[asyncio.AbstractEventLoop]]()

    async def use() -> None:
        things.get()
        loops.append(weakref.ref(asyncio.get_running_loop()))

    for _ in range(10):
        asyncio.run(use())
    gc.collect()
    assert sum(loop() is not None for loop in loops) <= 1
