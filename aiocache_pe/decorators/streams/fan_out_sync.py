"""Plain generators that several threads read at once; used by the blocking transports."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar

from aiocache_pe.decorators.streams.fan_out import SharedStream, StreamReader
from aiocache_pe.runtime.error_copies import copy_error

T = TypeVar("T")


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
        self._changed = threading.Condition()
        self._is_running = False

    def join(self) -> StreamReader | None:
        """See `SharedStream.join`."""
        with self._changed:
            return super().join()

    def read(self, reader: StreamReader) -> Generator[T, None, Any]:
        """Yield all chunks from the first one on; return the return value of the source.

        Raises:
            BaseException: the source raised it.
        """
        try:
            while self._advance(reader):
                with self._changed:
                    chunk = self.take(reader)
                yield chunk
            if self.error is not None:
                raise copy_error(self.error)
            return self.returned
        finally:
            self.quit(reader)

    def quit(self, reader: StreamReader) -> None:
        """Remove a reader, which may not have started; close the source with the last one."""
        with self._changed:
            is_last = self.leave(reader)
        if is_last:
            self._context.run(self._source.close)

    def _advance(self, reader: StreamReader) -> bool:
        """Wait or run the source until a reader has a next chunk; return whether it has one."""
        with self._changed:
            while self._is_running and not (self.has_next(reader) or self.has_ended):
                self._changed.wait()
            if self.has_next(reader):
                return True
            if self.has_ended:
                return False
            self._is_running = True
        self._step()
        with self._changed:
            return self.has_next(reader)

    def _step(self) -> None:
        """Run the source to its next chunk or to its end."""
        try:
            chunk = self._context.run(next, self._source)
        except StopIteration as end:
            self._settle(partial(self.end, returned=end.value))
        except BaseException as error:
            if isinstance(error, Exception):
                self._settle(partial(self.end, error))
                return
            # An interrupt concerns this thread alone, but it has ended the source.
            self._settle(partial(self.end, InterruptedError("another reader was interrupted")))
            raise
        else:
            self._settle(partial(self.put, chunk))

    def _settle(self, change: Callable[[], None]) -> None:
        """Apply a change, and wake the waiting readers."""
        with self._changed:
            change()
            self._is_running = False
            self._changed.notify_all()
