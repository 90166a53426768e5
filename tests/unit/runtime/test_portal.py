"""The portal's promise to those who wait for it: what they leave does not go on without them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any, Protocol

import pytest

from aiocache_pe.runtime.portal import Portal, portal
from aiocache_pe.sync import CacheManager, cached_batch


class Interrupting(Protocol):
    """Interrupts the next call, when something has begun."""

    def __call__(self, begun: threading.Event | None = None) -> None:
        """Be ready for it."""


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Interrupting:
    """Have the next call interrupted just when the loop has got it, or has begun something.

    That is where a signal is most likely to come: the loop's thread has the interpreter then.
    """

    def arm(begun: threading.Event | None = None) -> None:
        loop = portal._running().loop
        hand_over = loop.call_soon_threadsafe

        def interrupted(*args: Any) -> None:
            monkeypatch.undo()
            hand_over(*args)
            assert begun is None or begun.wait(60)
            raise KeyboardInterrupt

        monkeypatch.setattr(loop, "call_soon_threadsafe", interrupted)

    return arm


@pytest.fixture
def cache() -> Iterator[CacheManager]:
    with CacheManager("memory") as cache:
        yield cache


class Slow:
    """A call that goes on until it is cancelled."""

    def __init__(self) -> None:
        self.begun, self.ended = threading.Event(), threading.Event()

    async def __call__(self) -> str:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.set()
        return "never"


def test_a_call_that_is_interrupted_while_it_is_handed_over_is_cancelled(
    interrupted: Interrupting,
) -> None:
    slow = Slow()
    interrupted(slow.begun)
    with pytest.raises(KeyboardInterrupt):
        portal.call(slow)
    assert slow.ended.wait(60)


def test_a_factory_whose_caller_is_interrupted_then_keeps_nobody_waiting(
    interrupted: Interrupting, cache: CacheManager
) -> None:
    interrupted()
    with pytest.raises(KeyboardInterrupt):
        cache.get_or_set("key", lambda: "never called")
    assert cache.get_or_set("key", lambda: "works again") == "works again"


def test_an_async_factory_whose_caller_is_interrupted_then_keeps_nobody_waiting(
    interrupted: Interrupting, cache: CacheManager
) -> None:
    slow = Slow()
    interrupted()
    with pytest.raises(KeyboardInterrupt):
        cache.get_or_set("key", slow)
    assert cache.get_or_set("key", lambda: "works again") == "works again"


def test_a_batch_whose_caller_is_interrupted_then_keeps_nobody_waiting(
    interrupted: Interrupting, cache: CacheManager
) -> None:
    calls: list[list[int]] = []

    @cached_batch(cache=cache)
    def double(numbers: list[int]) -> list[int]:
        calls.append(numbers)
        return [2 * number for number in numbers]

    interrupted()
    with pytest.raises(KeyboardInterrupt):
        double([1, 2])
    assert double([1, 2]) == [2, 4]
    assert calls == [[1, 2]]


def test_a_call_that_cannot_be_made_raises_what_it_would_raise_anywhere() -> None:
    async def add(a: int, b: int) -> int:
        return a + b

    own = Portal()
    try:
        with pytest.raises(TypeError, match="missing 1 required positional argument"):
            own.call(add, 1)
        assert own.call(add, 1, 2) == 3
    finally:
        own.end()
