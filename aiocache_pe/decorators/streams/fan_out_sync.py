"""A plain generator that many threads read at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar

from aiocache_pe.decorators.streams.chunk_buffer import ChunkBuffer
from aiocache_pe.decorators.streams.fan_out import SharedStream, StreamReader

T = TypeVar("T")


class PlainLive(SharedStream[T]):
    """A stream under way; whichever reader wants the next chunk first runs the source for it.

    With one reader, that is always its own thread. The source sees the context variables
    of the reader who began it.

    Args:
        source: makes what to read, which is closed at the end.
        on_end: called when nobody else is to join it any more.
    """

    def __init__(
        self,
        source: Callable[[ChunkBuffer], Generator[T, None, Any]],
        on_end: Callable[[PlainLive[T]], None],
    ) -> None:
        super().__init__()
        self._source = source(self.transcript)
        self._context = copy_context()
        self._on_end = on_end
        self._changed = threading.Condition()
        self._is_running = False

    def join(self) -> StreamReader | None:
        """See `SharedStream.join`."""
        with self._changed:
            return super().join()

    def read(self, reader: StreamReader) -> Generator[T, None, Any]:
        """All chunks from the first one on, for one reader, and what the source returned.

        Raises:
            Whatever the source raised.
        """
        try:
            while self._is_there(reader):
                with self._changed:
                    chunk = self.take(reader)
                yield chunk
            if self.error is not None:
                raise self.error
            return self.returned
        finally:
            self.quit(reader)

    def quit(self, reader: StreamReader) -> None:
        """Have a reader leave who may not have begun; with the last one the source is closed."""
        with self._changed:
            is_last = self.leave(reader)
        if is_last:
            self._on_end(self)
            self._context.run(self._source.close)

    def _is_there(self, reader: StreamReader) -> bool:
        """Whether there is another chunk for a reader, after waiting for it or running for it."""
        with self._changed:
            while True:
                if self.has(reader):
                    return True
                if self.has_ended:
                    return False
                if not self._is_running:
                    self._is_running = True
                    break
                self._changed.wait()
        self._step()
        with self._changed:
            return self.has(reader)

    def _step(self) -> None:
        """Run the source to its next chunk, or to its end."""
        try:
            chunk = self._context.run(next, self._source)
        except StopIteration as end:
            self._settle(partial(self.end, returned=end.value))
        except BaseException as error:
            if isinstance(error, Exception):
                self._settle(partial(self.end, error))
                return
            # Meant for this thread alone, but it took the source along.
            self._settle(partial(self.end, InterruptedError("another reader was interrupted")))
            raise
        else:
            self._settle(partial(self.put, chunk))

    def _settle(self, change: Callable[[], None]) -> None:
        with self._changed:
            change()
            self._is_running = False
            self._changed.notify_all()
        if self.has_ended:
            self._on_end(self)
