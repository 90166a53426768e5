"""Plain generators that several threads read at once; used by the blocking transports.

A signal handler may interrupt a thread at any instruction. It may raise, and it may read the same
stream. So no thread waits for a lock while another one waits for the source:

- The lock of a stream guards its buffer and its readers for some microseconds. A ``with``
  statement releases it however the thread leaves.
- A thread that runs the source holds a lock of its own, its presence. Other readers see by it
  whether the thread still runs the source. If it left between two steps, a chunk may be lost, and
  the other readers get an error.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextvars import copy_context
from functools import partial
from inspect import GEN_CLOSED, getgeneratorstate
from typing import Any, TypeVar

from aiocache_pe.decorators.streams.fan_out import SharedStream, StreamReader
from aiocache_pe.exceptions import DeadlockError
from aiocache_pe.runtime.error_copies import copy_error
from aiocache_pe.runtime.interrupts import is_interrupt
from aiocache_pe.runtime.waiting_threads import WaitingThreads

T = TypeVar("T")


_CLOSING = -1  # in place of the number of a chunk, while the source is closed


class _Run:
    """One step of the source in the thread that makes it."""

    def __init__(self) -> None:
        self.ident = threading.get_ident()
        self.presence = threading.Lock()

    @property
    def is_present(self) -> bool:
        """Return whether the thread is inside the step."""
        return self.presence.locked()


class SyncSharedStream(SharedStream[T]):
    """A stream in flight, run by the thread of the reader that needs the next chunk first.

    With one reader, that is always the reader's thread. The source sees the context variables
    of the first reader.

    Args:
        source: the generator to read; it is closed at the end.
    """

    def __init__(self, source: Generator[T, None, Any]) -> None:
        super().__init__()
        self._source = source
        self._context = copy_context()
        self._lock = threading.RLock()
        self._waiting = WaitingThreads()
        self._runs: dict[int, _Run] = {}  # by the number of the chunk

    @property
    def is_run_here(self) -> bool:
        """Return whether this very thread runs the source, and a signal handler asks."""
        ident = threading.get_ident()
        return any(run.ident == ident and run.is_present for run in list(self._runs.values()))

    @property
    def is_source_closed(self) -> bool:
        """Return whether the source has come to its end, or was closed."""
        return getgeneratorstate(self._source) == GEN_CLOSED

    def join(self) -> StreamReader | None:
        """See `SharedStream.join`."""
        with self._lock:
            return super().join()

    def read(self, reader: StreamReader) -> Generator[T, None, Any]:
        """Yield all chunks from the first one on; return the return value of the source.

        Raises:
            BaseException: the source raised it.
        """
        try:
            while self._advance(reader):
                with self._lock:
                    chunk = self.take(reader)
                yield chunk
            if self.error is not None:
                raise copy_error(self.error)
            return self.returned
        finally:
            self.quit(reader)

    def quit(self, reader: StreamReader) -> None:
        """Remove a reader, which may not have started; close the source with the last one."""
        with self._lock:
            is_last = self.leave(reader)
        if is_last:
            run = _Run()
            with run.presence:
                self._runs[_CLOSING] = run
                self._context.run(self._source.close)
            self._runs.pop(_CLOSING, None)

    def _advance(self, reader: StreamReader) -> bool:
        """Wait or run the source until a reader has a next chunk; return whether it has one.

        Raises:
            DeadlockError: this very thread runs the source.
        """
        while not (self.has_next(reader) or self.has_ended):
            number, own = len(self.buffer), _Run()
            with own.presence:
                run = self._runs.setdefault(number, own)
                if run is own:
                    if number == len(self.buffer) and not self.has_ended:
                        self._step()
                    self._runs.pop(number, None)
                    continue
            if run.ident == own.ident and run.is_present:
                raise DeadlockError("a signal handler must not read the stream that it interrupts")
            self._waiting.wait_until(partial(self._has_left, number, run))
            if not (run.is_present or self._has_moved(number)):
                self._end_lost(number, run)
        return self.has_next(reader)

    def _has_left(self, number: int, run: _Run) -> bool:
        return self._has_moved(number) or not run.is_present

    def _has_moved(self, number: int) -> bool:
        return number < len(self.buffer) or self.has_ended

    def _end_lost(self, number: int, run: _Run) -> None:
        """End the stream if the thread that ran the source has left without a result."""
        with self._lock:
            if self._runs.get(number) is run and not self._has_moved(number):
                self.end(_make_lost_error())
        self._waiting.wake()

    def _step(self) -> None:
        """Run the source to its next chunk or to its end."""
        try:
            chunk = self._context.run(next, self._source)
        except StopIteration as end:
            self._settle(partial(self.end, returned=end.value))
        except BaseException as error:
            # An interrupt concerns this thread alone, but it has ended the source.
            is_shared = isinstance(error, Exception) and not is_interrupt(error)
            self._settle(partial(self.end, error if is_shared else _make_lost_error()))
            if not is_shared:
                raise
        else:
            self._settle(partial(self.put, chunk))

    def _settle(self, change: Callable[[], None]) -> None:
        """Apply a change, and wake the waiting readers."""
        with self._lock:
            change()
        self._waiting.wake()


def _make_lost_error() -> Exception:
    return InterruptedError("another reader was interrupted")
