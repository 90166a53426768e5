"""Threads for blocking work, which is done to the very end of the program."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, Protocol, TypeVar
from weakref import WeakSet

P = ParamSpec("P")
T = TypeVar("T")


class Pool(ThreadPoolExecutor):
    """A pool that works in its caller's thread once the interpreter has no others.

    Pools end before handlers of `atexit` are called and before counters are reported for
    the last time. A loop that still waits for its disk then has nothing else to do.

    Example:
        >>> with Pool(1) as pool:
        ...     pool.submit(pow, 2, 3).result()
        8
    """

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have a function called; its result to come."""
        try:
            return super().submit(fn, *args, **kwargs)
        except RuntimeError:
            if not is_ending():
                raise
        done: Future[T] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - it is raised where the result is asked for
            done.set_exception(error)
        return done


class Ending(Protocol):
    """What has threads of its own."""

    def end(self) -> None:
        """Called once, when the program is ending; the threads are waited for after it."""


class _Program:
    """What is known of the program's end."""

    def __init__(self) -> None:
        self.is_ending = False
        self.things = WeakSet[Ending]()

    def end(self) -> None:
        """The interpreter's end has begun."""
        self.is_ending = True
        for thing in list(self.things):
            thing.end()


_program = _Program()
# Pools end before handlers of `atexit` are called, by a handler of `threading`. Those are
# called the last registered first, so ours is called before the pools refuse work.
getattr(threading, "_register_atexit", atexit.register)(_program.end)


def is_ending() -> bool:
    """Whether the program is over, and pools may refuse what they are given."""
    return _program.is_ending


def ends_with_program(thing: Ending) -> None:
    """Call ``thing.end()`` when the program is over, now if it is; does not keep it alive."""
    if is_ending():
        thing.end()
    _program.things.add(thing)
