"""Threads for blocking work, which is done to the very end of the program.

Threads for disk work that are cheap to ask.

The pools of `concurrent.futures` make a future of their own for each piece of work, with
a condition in it, and one of the event loop's that waits for it. Here the loop's own is the
only one. That halves what a trip takes of the loop's time, 60 us before, and of the caller's.
"""

from __future__ import annotations

import asyncio
import atexit
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any, ParamSpec, Protocol, TypeVar
from weakref import WeakSet

from aiocache_pe.runtime.fork import reset_after_fork

P = ParamSpec("P")
T = TypeVar("T")


class CallerPool(ThreadPoolExecutor):
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


def end_at_exit(thing: Ending) -> None:
    """Call ``thing.end()`` when the program is over, now if it is; does not keep it alive."""
    if is_ending():
        thing.end()
    _program.things.add(thing)


_Job = tuple[Callable[[], Any], asyncio.AbstractEventLoop, "asyncio.Future[Any]"]


class ThreadPool:
    """An executor for `asyncio.loop.run_in_executor`: a few threads, made when they are needed.

    They end after `shutdown`, when nobody holds this object any more, and with the program,
    in each case after the work that they have been given. Once the program is ending, work
    is done by the thread that asks for it.

    Args:
        most: how many threads at most.
        name: what their names begin with.

    Example:
        >>> import asyncio
        >>> workers = Workers(2, "example")
        >>> async def main():
        ...     return await asyncio.get_running_loop().run_in_executor(workers, pow, 2, 3)
        >>> asyncio.run(main())
        8
        >>> workers.shutdown()
    """

    __slots__ = ("__weakref__", "_crew", "_most", "_name")

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._crew = _Workers()
        end_at_exit(self)
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Have threads and a lock of the child's own; one of the parent's may hold the lock."""
        has_ended = self._crew.has_ended
        self._crew = _Workers()
        self._crew.has_ended = has_ended

    def submit(self, fn: Callable[..., T], /, *args: Any) -> asyncio.Future[T]:
        """Have a function called; a future of the running loop, which may be cancelled.

        Raises:
            RuntimeError: after `shutdown`, or where no loop is running.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        work = partial(fn, *args) if args else fn
        crew = self._crew
        with crew.lock:
            if not crew.has_ended:
                crew.unfinished += 1
                if crew.unfinished > len(crew.threads) < self._most:
                    self._hire()
                crew.jobs.put((work, loop, done))
                return done
        if not is_ending():
            raise RuntimeError("these threads were told to end")
        _settle(done, *_outcome(work))
        return done

    def end(self) -> None:
        """Take no more work; the threads end after what they have."""
        crew = self._crew
        with crew.lock:
            crew.has_ended = True
            crew.dismiss()

    def shutdown(self) -> None:
        """The same, and wait for them."""
        self.end()
        for thread in self._crew.threads:
            thread.join()

    def __del__(self) -> None:
        # Without the lock: nobody can ask for work any more, and in a child that is being
        # forked a thread that is not there may have it.
        self._crew.dismiss()

    def _hire(self) -> None:
        """One more thread, unless the system has none to give and there are others."""
        crew = self._crew
        name = f"{self._name}_{len(crew.threads)}"
        thread = threading.Thread(target=_serve, args=(crew,), name=name)
        try:
            thread.start()
        except RuntimeError:
            if not crew.threads:
                crew.unfinished -= 1
                raise
        else:
            crew.threads.append(thread)


class _Workers:
    """What the threads have in common; not the object that they work for, which may go."""

    __slots__ = ("has_ended", "jobs", "lock", "threads", "unfinished")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self.threads: list[threading.Thread] = []
        self.unfinished = 0
        self.has_ended = False

    def dismiss(self) -> None:
        for _ in self.threads:
            self.jobs.put(None)


def _serve(crew: _Workers) -> None:
    while (job := crew.jobs.get()) is not None:
        _do(crew, *job)
        del job  # what was worked on is not kept while there is nothing to do


def _do(
    crew: _Workers, work: Callable[[], T], loop: asyncio.AbstractEventLoop, done: asyncio.Future[T]
) -> None:
    result, error = (None, None) if done.cancelled() else _outcome(work)
    with crew.lock:
        crew.unfinished -= 1
    with suppress(RuntimeError):  # the loop was closed meanwhile
        loop.call_soon_threadsafe(_settle, done, result, error)
    del error  # which knows this frame


def _outcome(work: Callable[[], T]) -> tuple[T | None, BaseException | None]:
    try:
        return work(), None
    except BaseException as error:  # noqa: BLE001 - it is raised where the result is awaited
        return None, error


def _settle(done: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if done.cancelled():
        return
    if error is None:
        done.set_result(result)
    else:
        done.set_exception(error)
