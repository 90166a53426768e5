"""Exceptions of signal handlers are distinguished from errors of a store."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from aiocache_pe.backends.memory import MemoryBackend
from aiocache_pe.events import BackendFailed
from aiocache_pe.runtime.interrupts import is_interrupt, raise_interrupt
from aiocache_pe.sync import CacheManager


class Handler:
    """Handlers of all forms, which raise a time-out."""

    def __call__(self, *_: object) -> None:
        raise TimeoutError("of the caller")

    def handle(self, *_: object) -> None:
        raise TimeoutError("of the caller")


def raise_timeout(*_: object) -> None:
    raise TimeoutError("of the caller")


HANDLERS = (raise_timeout, Handler(), Handler().handle, partial(partial(raise_timeout), 1))


@contextmanager
def install(handler: Callable[..., Any]) -> Generator[None]:
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


def work() -> None:
    signal.raise_signal(signal.SIGUSR1)


def wrap() -> None:
    try:
        work()
    except TimeoutError as error:
        raise ValueError("a codec has failed") from error


@pytest.mark.parametrize("handler", HANDLERS)
@pytest.mark.parametrize("call", [work, wrap])
def test_an_exception_of_a_handler_is_found(
    handler: Callable[..., Any], call: Callable[[], None]
) -> None:
    with install(handler):
        with pytest.raises((TimeoutError, ValueError)) as caught:
            call()
        assert is_interrupt(caught.value)
        with pytest.raises(TimeoutError, match="of the caller"):
            raise_interrupt(caught.value)


def test_an_error_of_a_store_is_none_of_a_handler_even_while_one_is_handled() -> None:
    with install(raise_timeout):
        try:
            work()
        except TimeoutError:
            with pytest.raises(ZeroDivisionError) as caught:
                divmod(1, 0)
            assert isinstance(caught.value.__context__, TimeoutError)
            assert not is_interrupt(caught.value)


class InterruptedBackend(MemoryBackend):
    """A store that fails at each `peek`, or is interrupted there in the main thread."""

    error: Exception | None = None

    def peek(self, key: str) -> Any:
        if self.error is not None:
            raise self.error
        if threading.current_thread() is threading.main_thread():
            work()


def test_an_interrupted_read_raises_the_exception_and_counts_no_failure_of_the_store() -> None:
    backend = InterruptedBackend()
    with CacheManager(backend, memory_max_bytes=0) as cache, install(raise_timeout):
        failures = list[BackendFailed]()
        cache.subscribe(BackendFailed, failures.append)
        with pytest.raises(TimeoutError, match="of the caller"):
            cache.get("k")
        assert failures == []
        backend.error = TimeoutError("of the store")
        assert cache.get("k") is None
        assert failures
