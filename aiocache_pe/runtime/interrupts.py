"""Exceptions that signal handlers raise, such as the time limit of a task queue.

A handler may raise at any instruction of the main thread, also inside a block of the library that
catches the errors of a store or of a codec. Such an exception belongs to the caller. The library
must neither swallow it nor count it as a failure of the store.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from types import CodeType, MethodType
from typing import Any


def is_interrupt(error: BaseException) -> bool:
    """Return whether an error is the exception of a signal handler, or is caused by one.

    Example:
        >>> is_interrupt(ValueError("of a store"))
        False
    """
    return _find_interrupt(error) is not None


def raise_interrupt(error: BaseException) -> None:
    """Raise the exception of a signal handler if an error is one, or is caused by one.

    Any other error returns after a few comparisons.

    Raises:
        BaseException: the exception of the handler.

    Example:
        >>> raise_interrupt(ValueError("of a store"))
    """
    interrupt = _find_interrupt(error)
    if interrupt is not None:
        raise interrupt


def _find_interrupt(error: BaseException) -> BaseException | None:
    if threading.current_thread() is not threading.main_thread():
        return None
    codes: set[CodeType] | None = None
    for cause in _iter_causes(error):
        traceback = cause.__traceback__
        # The first entry is the frame that has caught the error. A handler has one of its own.
        traceback = None if traceback is None else traceback.tb_next
        if traceback is None:
            continue
        codes = _find_handler_codes() if codes is None else codes
        while traceback is not None:
            if traceback.tb_frame.f_code in codes:
                return cause
            traceback = traceback.tb_next
    return None


def _iter_causes(error: BaseException | None) -> Iterator[BaseException]:
    seen = set[int]()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        # Not the context: it may be an interrupt that the caller is handling now.
        error = error.__cause__


def _find_handler_codes() -> set[CodeType]:
    """Return the code of each handler that the application has installed."""
    codes = set[CodeType]()
    for number in signal.valid_signals():
        with suppress(ValueError):
            handler: Any = signal.getsignal(number)
            while isinstance(handler, partial):
                handler = handler.func
            if isinstance(handler, MethodType):
                handler = handler.__func__
            with suppress(AttributeError):  # a handler of C, or a constant of `signal`
                is_function = hasattr(handler, "__code__")
                codes.add((handler if is_function else type(handler).__call__).__code__)
    return codes
