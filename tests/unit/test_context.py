"""The blocks that steer: entered, left, nested, and nobody else's."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import pytest

from aiocache_pe import CacheManager, bypass, read_only, refresh
from aiocache_pe.context import Mode, mode

BLOCKS = [(bypass, Mode.BYPASS), (refresh, Mode.REFRESH), (read_only, Mode.READ_ONLY)]
each_block = pytest.mark.parametrize(("block", "wanted"), BLOCKS)
Block = Callable[[], AbstractContextManager[Any]]


@each_block
def test_a_block_sets_its_mode_and_puts_back_what_was(block: Block, wanted: Mode) -> None:
    assert mode() is None
    with block() as entered:
        assert entered is not None
        assert mode() is wanted
        with bypass():
            assert mode() is Mode.BYPASS
        assert mode() is wanted
    assert mode() is None


@each_block
def test_a_block_is_left_by_an_exception_that_goes_on(block: Block, wanted: Mode) -> None:
    with pytest.raises(KeyError), block():
        raise KeyError
    assert mode() is None


@each_block
def test_a_block_can_be_used_again_but_not_inside_itself(block: Block, wanted: Mode) -> None:
    steered = block()
    for _ in range(2):
        with steered:
            with pytest.raises(RuntimeError, match=f"this {wanted.value} block is entered already"):
                steered.__enter__()
            assert mode() is wanted
        assert mode() is None


def test_leaving_what_was_not_entered_changes_nothing() -> None:
    with refresh():
        bypass().__exit__(None, None, None)
        assert mode() is Mode.REFRESH


def test_many_blocks_end_in_the_order_of_a_stack() -> None:
    with ExitStack() as stack:
        for block, wanted in BLOCKS * 3:
            stack.enter_context(block())
            assert mode() is wanted
    assert mode() is None


async def test_a_block_goes_into_threads_that_take_the_context_along() -> None:
    found = list[Any]()
    with refresh():
        found.append(await asyncio.to_thread(mode))
        found.append(contextvars.copy_context().run(mode))
        thread = threading.Thread(target=lambda: found.append(mode()))
        thread.start()
        thread.join(10)
    assert found == [Mode.REFRESH, Mode.REFRESH, None]


@each_block
async def test_get_or_set_is_steered_like_a_decorated_function(
    block: Block, wanted: Mode, memory: CacheManager
) -> None:
    await memory.set("there", "old")
    with block():
        found = [await memory.get_or_set(key, lambda: "new") for key in ("there", "absent")]
    first = {Mode.BYPASS: "new", Mode.REFRESH: "new", Mode.READ_ONLY: "old"}[wanted]
    assert found == [first, "new"]
    kept = [await memory.get("there"), await memory.get("absent")]
    assert kept == (["new", "new"] if wanted is Mode.REFRESH else ["old", None])
