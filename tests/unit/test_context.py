"""Modes of cached calls: blocks are entered, left and nested, and affect their context only."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import pytest

from aiocache_pe import CacheManager, bypass, read_only, refresh
from aiocache_pe.context import Mode, current_mode

BLOCKS = [(bypass, Mode.BYPASS), (refresh, Mode.REFRESH), (read_only, Mode.READ_ONLY)]
each_block = pytest.mark.parametrize(("block", "mode"), BLOCKS)
Block = Callable[[], AbstractContextManager[Any]]


@each_block
def test_a_block_sets_its_mode_and_restores_the_previous_one(block: Block, mode: Mode) -> None:
    assert current_mode() is None
    with block() as entered:
        assert entered is not None
        assert current_mode() is mode
        with bypass():
            assert current_mode() is Mode.BYPASS
        assert current_mode() is mode
    assert current_mode() is None


@each_block
def test_an_exception_ends_a_block_and_propagates(block: Block, mode: Mode) -> None:
    with pytest.raises(KeyError), block():
        raise KeyError
    assert current_mode() is None


@each_block
def test_a_block_can_be_entered_again_but_not_inside_itself(block: Block, mode: Mode) -> None:
    manager = block()
    for _ in range(2):
        with manager:
            with pytest.raises(
                RuntimeError, match=f"a {mode.value} block must not be entered inside itself"
            ):
                manager.__enter__()
            assert current_mode() is mode
        assert current_mode() is None


def test_leaving_a_block_that_was_not_entered_has_no_effect() -> None:
    with refresh():
        bypass().__exit__(None, None, None)
        assert current_mode() is Mode.REFRESH


def test_nested_blocks_restore_the_modes_in_reverse_order() -> None:
    with ExitStack() as stack:
        for block, mode in BLOCKS * 3:
            stack.enter_context(block())
            assert current_mode() is mode
    assert current_mode() is None


async def test_a_mode_holds_in_threads_that_copy_the_context() -> None:
    modes = list[Any]()
    with refresh():
        modes.append(await asyncio.to_thread(current_mode))
        modes.append(contextvars.copy_context().run(current_mode))
        thread = threading.Thread(target=lambda: modes.append(current_mode()))
        thread.start()
        thread.join(10)
    assert modes == [Mode.REFRESH, Mode.REFRESH, None]


@each_block
async def test_get_or_set_follows_the_mode_like_a_decorated_function(
    block: Block, mode: Mode, memory: CacheManager
) -> None:
    await memory.set("present", "old")
    with block():
        found = [await memory.get_or_set(key, lambda: "new") for key in ("present", "absent")]
    first = {Mode.BYPASS: "new", Mode.REFRESH: "new", Mode.READ_ONLY: "old"}[mode]
    assert found == [first, "new"]
    stored = [await memory.get("present"), await memory.get("absent")]
    assert stored == (["new", "new"] if mode is Mode.REFRESH else ["old", None])
