"""Forwarding of log records from the threads of the library to threads that may wait.

A handler of the user may need a lock, or the cache. A caller that logs holds the lock of the
handler, and may wait for the portal at the same time. A thread of the library that waited for
this lock would never continue. So it emits no record itself. The thread that waits for a call
emits the records of this call. A thread that does nothing else emits all other records.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from queue import Empty, SimpleQueue

from aiocache_pe.runtime.fork import reset_after_fork
from aiocache_pe.runtime.portal_call import current_call
from aiocache_pe.runtime.threads import own_threads

_FLUSH_SECONDS = 2.0  # that the end of the program waits for the last records

is_emitting: ContextVar[bool] = ContextVar("aiocache_pe_is_emitting", default=False)
"""Whether a handler runs for a record of the library; the calls that it makes inherit this."""


@contextmanager
def mark_emission() -> Generator[None]:
    """Let `is_emitting` be true within a block."""
    token = is_emitting.set(True)
    try:
        yield
    finally:
        is_emitting.reset(token)


class _LogThread:
    """A thread that emits log records; it starts with the first one."""

    def __init__(self) -> None:
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Begin without a thread: the parent's thread is not in this process."""
        self._records: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._has_thread = False

    def put(self, emit: Callable[[], object]) -> None:
        """Call a function in the thread."""
        self._records.put(emit)
        if not self._has_thread:
            self._has_thread = True
            name = "aiocache_pe-log"
            # The last records of a program are lost if no thread can start any more.
            with suppress(RuntimeError):
                threading.Thread(target=self._run, name=name, daemon=True).start()

    def flush(self) -> None:
        """Wait a limited time until all records are emitted."""
        if self._has_thread:
            done: SimpleQueue[None] = SimpleQueue()
            self._records.put(partial(done.put, None))
            with suppress(Empty):
                done.get(timeout=_FLUSH_SECONDS)

    def _run(self) -> None:
        records = self._records
        while True:
            with suppress(Exception):  # of a handler; no caller waits for it
                records.get()()


_log_thread = _LogThread()
flush = _log_thread.flush


class _Forwarder(logging.Filter):
    """Filter that forwards the records of some threads, and passes all others on."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Forward a record; see `logging.Filter.filter`."""
        ident = threading.get_ident()
        if ident not in own_threads.workers and ident not in own_threads.loops:
            return True
        emit = partial(_emit, record)
        call = current_call.get()
        if call is None or not call.send(emit):
            _log_thread.put(emit)
        return False


def _emit(record: logging.LogRecord) -> None:
    with mark_emission():
        logging.getLogger(record.name).handle(record)


def install() -> None:
    """Forward the records of the library and of its event loops."""
    for name in ("aiocache_pe", "asyncio"):
        logging.getLogger(name).addFilter(_forwarder)


_forwarder = _Forwarder()
