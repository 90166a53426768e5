"""Calls through the portal: an interrupted caller leaves no work and no waiter behind."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from functools import partial
from typing import Any, Protocol

import pytest

from aiocache_pe.runtime.portal import Portal, portal
from aiocache_pe.sync import CacheManager, cached_batch


class InterruptNextCall(Protocol):
    """A function that has the next call through the portal raise `KeyboardInterrupt`."""

    def __call__(self, after: threading.Event | None = None) -> None:
        """Interrupt the next call as soon as the loop has it and ``after`` is set."""


@pytest.fixture
def interrupt_next_call(monkeypatch: pytest.MonkeyPatch) -> InterruptNextCall:
    """Interrupt a call just when the loop has received it.

    A signal is most likely to arrive there: the loop's thread holds the interpreter then.
    """

    def arm(after: threading.Event | None = None) -> None:
        portal.call(asyncio.sleep, 0)
        loop = portal._find_inbox().loop
        assert loop is not None
        call_soon_threadsafe = loop.call_soon_threadsafe

        def call_and_interrupt(*args: Any) -> None:
            monkeypatch.undo()
            call_soon_threadsafe(*args)
            assert after is None or after.wait(60)
            raise KeyboardInterrupt

        monkeypatch.setattr(loop, "call_soon_threadsafe", call_and_interrupt)

    return arm


@pytest.fixture
def cache() -> Iterator[CacheManager]:
    with CacheManager("memory") as cache:
        yield cache


class EndlessCall:
    """An async function that runs until it is cancelled."""

    def __init__(self) -> None:
        self.started, self.ended = threading.Event(), threading.Event()

    async def __call__(self) -> str:
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.set()
        return "never"


def test_an_interrupted_call_is_cancelled(interrupt_next_call: InterruptNextCall) -> None:
    endless = EndlessCall()
    interrupt_next_call(endless.started)
    with pytest.raises(KeyboardInterrupt):
        portal.call(endless)
    assert endless.ended.wait(60)


@pytest.mark.parametrize("is_factory", [False, True])
def test_a_signal_that_does_not_wake_the_waiting_thread_ends_the_call(
    cache: CacheManager, is_factory: bool
) -> None:
    endless = EndlessCall()
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)

    async def signal_this_thread() -> str:
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        return await endless()

    try:
        call = partial(cache.get_or_set, "key") if is_factory else portal.call
        with pytest.raises(KeyboardInterrupt):
            call(signal_this_thread)
    finally:
        signal.signal(signal.SIGINT, handler)
    assert endless.ended.wait(60)


def test_a_timeout_error_of_the_function_ends_the_wait() -> None:
    async def fail() -> None:
        raise TimeoutError("of the function")

    with pytest.raises(TimeoutError, match="of the function"):
        portal.call(fail)


def test_a_factory_of_an_interrupted_caller_blocks_no_later_caller(
    interrupt_next_call: InterruptNextCall, cache: CacheManager
) -> None:
    interrupt_next_call()
    with pytest.raises(KeyboardInterrupt):
        cache.get_or_set("key", lambda: "never called")
    assert cache.get_or_set("key", lambda: "works again") == "works again"


def test_an_async_factory_of_an_interrupted_caller_blocks_no_later_caller(
    interrupt_next_call: InterruptNextCall, cache: CacheManager
) -> None:
    endless = EndlessCall()
    interrupt_next_call()
    with pytest.raises(KeyboardInterrupt):
        cache.get_or_set("key", endless)
    assert cache.get_or_set("key", lambda: "works again") == "works again"


def test_a_batch_of_an_interrupted_caller_blocks_no_later_caller(
    interrupt_next_call: InterruptNextCall, cache: CacheManager
) -> None:
    calls: list[list[int]] = []

    @cached_batch(cache=cache)
    def double(numbers: list[int]) -> list[int]:
        calls.append(numbers)
        return [2 * number for number in numbers]

    interrupt_next_call()
    with pytest.raises(KeyboardInterrupt):
        double([1, 2])
    assert double([1, 2]) == [2, 4]
    assert calls == [[1, 2]]


def test_a_call_with_wrong_arguments_raises_the_type_error_in_the_caller() -> None:
    async def add(a: int, b: int) -> int:
        return a + b

    own_portal = Portal()
    try:
        with pytest.raises(TypeError, match="missing 1 required positional argument"):
            own_portal.call(add, 1)
        assert own_portal.call(add, 1, 2) == 3
    finally:
        own_portal.end()


def test_the_portal_starts_again_after_its_loop_thread_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    own = Portal()

    async def leave() -> None:
        sys.exit(7)

    async def answer() -> int:
        return 42

    assert own.call(answer) == 42
    thread = own._threads[0]._thread
    with pytest.raises((SystemExit, CancelledError)):
        own.call(leave)
    thread.join(60)
    assert own.call(answer) == 42
    own.stop()
