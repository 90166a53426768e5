"""Calls of threads without an event loop: a loop does the work, and the thread waits for it.

A thread may be interrupted at any instruction, by an exception that a signal handler raises. A
handler, or a finalizer that the garbage collector runs, may also make another call in the middle
of one. The waiting thread therefore shares no lock with the loop and changes no shared state:

- Each step of a hand-over is a single operation of C, to which Python adds no interruption:
  an append to a deque, or a message to a `SimpleQueue`.
- The thread holds the lock `_presence` of its call. The ``with`` statement of a lock releases it
  however the thread leaves. The loop looks at this lock each second. It cancels the call of a
  thread that left without a message.

The thread also runs the functions that the loop sends to it while it waits: the user's plain
functions, and the log records of the call.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from functools import partial
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, Generic, NamedTuple, TypeVar

from aiocache_pe.exceptions import DeadlockError
from aiocache_pe.runtime import wait_graph
from aiocache_pe.runtime.interrupts import raise_interrupt
from aiocache_pe.runtime.threads import own_threads
from aiocache_pe.runtime.wait_graph import WaitNode

T = TypeVar("T")
INTERRUPT_SECONDS = 1.0
"""Time between two checks: of a waiting thread for Ctrl-C, and of the loop for lost threads.

A signal that arrives just before a thread begins to wait does not end the wait.
"""
_WORKER_SECONDS = 1.0
"""Time that a worker of the library waits for a call of the user's code in it.

The garbage collector runs finalizers in any thread, also in one that holds a lock of the store.
"""


class _Delivery(NamedTuple):
    """A function for a loop; the loop calls ``refuse`` if it ends before it runs the function."""

    context: Context
    run: Callable[[], object]
    refuse: Callable[[], object]


class Inbox:
    """Functions that other threads hand over to an event loop.

    Attributes:
        loop: the loop; ``None`` before it starts.
        has_ended: whether the loop has ended.
    """

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self.has_ended = False
        self._deliveries: deque[_Delivery] = deque()
        self._checks = set[Callable[[], object]]()
        self._timer: asyncio.TimerHandle | None = None

    def put(
        self,
        run: Callable[[], object],
        refuse: Callable[[], object] = lambda: None,
        context: Context | None = None,
    ) -> None:
        """Run a function in the loop, as soon as it has started."""
        self._deliveries.append(_Delivery(context or copy_context(), run, refuse))
        self.wake()
        if self.has_ended:
            self._refuse_all()

    def wake(self) -> None:
        """Have the loop run the deliveries."""
        loop = self.loop
        if loop is not None:
            _call_soon(loop, self._run_all)

    def start(self) -> None:
        """Accept deliveries in the running loop."""
        self.loop = asyncio.get_running_loop()
        self._run_all()

    def close(self) -> None:
        """Refuse deliveries from now on."""
        self.has_ended = True
        self._refuse_all()

    def watch(self, check: Callable[[], object]) -> None:
        """Call a function each second until `unwatch`; called in the loop."""
        self._checks.add(check)
        if self._timer is None:
            self._set_timer()

    def unwatch(self, check: Callable[[], object]) -> None:
        """Undo `watch`; called in the loop."""
        self._checks.discard(check)

    def _run_all(self) -> None:
        with suppress(IndexError):
            while True:
                delivery = self._deliveries.popleft()
                # In a callback of its own, so that an error in one function affects no other.
                asyncio.get_running_loop().call_soon(delivery.run, context=delivery.context)

    def _refuse_all(self) -> None:
        with suppress(IndexError):
            while True:
                self._deliveries.popleft().refuse()

    def _set_timer(self) -> None:
        self._timer = None
        if self._checks:
            # In a context of its own: that of a call would keep the arguments of the call alive.
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(INTERRUPT_SECONDS, self._check_all, context=Context())

    def _check_all(self) -> None:
        for check in list(self._checks):
            check()
        self._set_timer()


def _call_soon(loop: asyncio.AbstractEventLoop, function: Callable[[], object]) -> None:
    """Have a loop of another thread call a function, unless the loop is closed."""
    try:
        loop.call_soon_threadsafe(function)
    except RuntimeError as error:
        raise_interrupt(error)


current_call: ContextVar[PortalCall[Any] | None] = ContextVar("aiocache_pe_call", default=None)
"""The call for which the running code works in an event loop of the library."""


class _Thread(threading.local):
    """The calls that this thread makes, one inside another."""

    calls: list[PortalCall[Any]] = []  # noqa: RUF012 - replaced before it is changed


_thread = _Thread()


def get_waiting_calls() -> list[PortalCall[Any]]:
    """Return the calls of this thread that are under way, one inside another."""
    return [call for call in _thread.calls if call.is_present]


def watch_presence(
    presence: threading.Lock,
    has_ended: Callable[[], bool],
    release: Callable[[], Coroutine[Any, Any, object]],
) -> None:
    """Call an async function once a thread has left a block without doing so itself.

    Args:
        presence: a lock that the thread holds during the block.
        has_ended: returns whether the function was called already.
        release: the function; called in the loop that runs the present call.
    """
    call = current_call.get()
    inbox = None if call is None else call.inbox
    if inbox is None:  # at interpreter shutdown no loop outlives a call
        return

    def check() -> None:
        if has_ended() or not presence.locked():
            inbox.unwatch(check)
            if not has_ended():
                task = asyncio.ensure_future(release())
                _releases.add(task)
                task.add_done_callback(_releases.discard)

    inbox.watch(check)


_releases: set[asyncio.Future[object]] = set()


class PortalCall(Generic[T]):
    """One call of an async function by a thread that waits for its result.

    Args:
        find_inbox: returns the inbox of a running loop.
        function: the async function.
        args: its arguments.
        is_helped: whether the function has the caller compute values by `run_in_caller`.

    Attributes:
        has_started: whether the loop has called the function.
        inbox: the inbox of the loop; ``None`` before the call reached one.
    """

    __slots__ = (
        *("_is_helped", "_args", "_done", "_error", "_find_inbox", "_function", "inbox", "_jobs"),
        *("_mail", "_presence", "_result", "_task", "has_started"),
    )

    def __init__(
        self,
        find_inbox: Callable[[], Inbox],
        function: Callable[..., Coroutine[Any, Any, T]],
        args: tuple[Any, ...],
        *,
        is_helped: bool = False,
    ) -> None:
        self._find_inbox = find_inbox
        self._function = function
        self._args = args
        self._is_helped = is_helped
        self._mail: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._presence = threading.Lock()
        self._jobs: set[asyncio.Future[Any]] = set()
        self.inbox: Inbox | None = None
        self._task: asyncio.Future[T] | None = None
        self._result: Any = None
        self._error: BaseException | None = None
        self._done = self.has_started = False

    @property
    def is_present(self) -> bool:
        """Whether the thread of the caller is inside `run`."""
        return self._presence.locked()

    # In the thread of the caller

    def run(self, context: Context | None = None) -> T:
        """Have the loop call the function, and wait for its result.

        Raises:
            CancelledError: the loop has ended, or the call was cancelled in it.
            DeadlockError: a thread of the library has waited too long.
            Exception: any exception of the function or of ``find_inbox``.
        """
        with self._presence:
            calls = _thread.calls = get_waiting_calls()
            calls.append(self)
            try:
                self._hand_over(context)
                self._run_mail()
            except BaseException:
                if self.inbox is not None:
                    self.inbox.put(self._abandon)
                raise
        _thread.calls = get_waiting_calls()  # the thread must not keep the arguments alive
        error = self._error
        if error is None:
            return self._result  # type: ignore[no-any-return]
        try:
            raise error
        finally:
            del error, self._error  # they refer to this frame

    def _hand_over(self, context: Context | None) -> None:
        """Deliver the call; if the loop ends before it starts the call, deliver it again."""
        inbox = self.inbox = self._find_inbox()
        retry = partial(self._hand_over, context)
        refuse = partial(self._mail.put, retry)
        inbox.put(partial(self._start, inbox, refuse), refuse, context)

    def _run_mail(self) -> None:
        """Run the functions that the loop sends, until it sends ``None``."""
        is_worker = threading.get_ident() in own_threads.workers
        deadline = monotonic() + _WORKER_SECONDS if is_worker else float("inf")
        while True:
            try:
                work = self._mail.get(timeout=INTERRUPT_SECONDS)
            except Empty:
                if monotonic() > deadline:
                    raise DeadlockError(
                        f"a call in the thread {threading.current_thread().name!r} of the cache "
                        "must not wait for the cache; make it in a thread of your own"
                    ) from None
                inbox = self.inbox
                if inbox is not None:
                    if inbox.has_ended and self.has_started and not self._done:
                        raise CancelledError from None
                    inbox.wake()  # an interrupt may have prevented it
                continue
            if work is None:
                return
            work()

    # In the thread of the loop

    async def run_in_caller(self, function: Callable[[], Any]) -> Any:
        """Call a function in the caller's thread, and return its result.

        An interrupt is raised in the caller's thread, because it concerns this thread only.

        Raises:
            CancelledError: the caller has left. Another caller may compute the value.
            Exception: the function raised it.
        """
        loop, context = asyncio.get_running_loop(), copy_context()
        future: asyncio.Future[Any] = loop.create_future()

        def settle(change: Callable[..., object], *args: Any) -> None:
            _call_soon(loop, lambda: future.done() or change(*args))

        def work() -> None:
            try:
                value = context.run(function)
            except BaseException as error:
                # A future cannot hold a StopIteration.
                if not isinstance(error, Exception) or isinstance(error, StopIteration):
                    settle(future.cancel)
                    raise
                settle(future.set_exception, error)
            else:
                settle(future.set_result, value)

        if self._done:
            future.cancel()
        else:
            self._jobs.add(future)
            self._mail.put(work)
        try:
            return await future
        finally:
            self._jobs.discard(future)

    def make_coroutine(self) -> Coroutine[Any, Any, T]:
        """Return the coroutine of the function, for a call that no loop serves."""
        return self._function(*self._args)

    def send(self, function: Callable[[], object]) -> bool:
        """Have the waiting thread call a function; return ``False`` if it does not wait."""
        if self._done or not self.is_present:
            return False
        self._mail.put(function)
        return True

    def _start(self, inbox: Inbox, refuse: Callable[[], object]) -> None:
        if inbox.has_ended:
            refuse()
        if inbox.has_ended or not self.is_present:
            return
        self.has_started = True
        current_call.set(self)
        if self._is_helped:
            # The caller may make another call before it runs a function, in a signal handler.
            wait_graph.need(WaitNode(self))
        try:
            self._task = asyncio.ensure_future(self._function(*self._args))
        except Exception as error:  # noqa: BLE001 - raised in the thread that waits
            self._finish(None, error)
            return
        inbox.watch(self._check_presence)
        self._task.add_done_callback(partial(self._copy_outcome, inbox))

    def _copy_outcome(self, inbox: Inbox, task: asyncio.Future[T]) -> None:
        inbox.unwatch(self._check_presence)
        error = CancelledError() if task.cancelled() else task.exception()
        if isinstance(error, SystemExit | KeyboardInterrupt):
            inbox.close()  # it ends the loop
        self._finish(task.result() if error is None else None, error)
        self._task = None  # or the caller's thread would free the task, and run its callbacks

    def _finish(self, result: T | None, error: BaseException | None) -> None:
        self._result, self._error, self._done = result, error, True
        for future in list(self._jobs):
            future.cancel()
        self._mail.put(None)

    def _abandon(self) -> None:
        """Cancel the work of a caller that has left."""
        for future in list(self._jobs):
            future.cancel()
        if self._task is not None:
            self._task.cancel()

    def _check_presence(self) -> None:
        if not self.is_present:
            self._abandon()
