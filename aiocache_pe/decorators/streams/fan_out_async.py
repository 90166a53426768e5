"""An async generator that many tasks of one event loop read at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TypeVar

from aiocache_pe.decorators.streams.chunk_buffer import ChunkBuffer
from aiocache_pe.decorators.streams.fan_out import SharedStream, StreamReader

T = TypeVar("T")


class AsyncSharedStream(SharedStream[T]):
    """A stream under way; a task of its own runs it, with the context of its first reader.

    So all of the source happens in one task, as it must where it holds time limits or
    groups of tasks open, and no reader's cancelling can hit it half-way.

    Args:
        source: makes what to read, which is closed at the end.
        on_end: called when nobody else is to join it any more.
    """

    def __init__(
        self,
        source: Callable[[ChunkBuffer], AsyncGenerator[T, None]],
        on_end: Callable[[AsyncSharedStream[T]], None],
    ) -> None:
        super().__init__()
        self._on_end = on_end
        self._wanted = asyncio.Event()
        self._waiting: list[asyncio.Future[None]] = []
        self._task = asyncio.create_task(
            self._run(source(self.transcript)), name="aiocache_pe-stream"
        )

    async def read(self, reader: StreamReader) -> AsyncGenerator[T, None]:
        """All chunks from the first one on, for one reader.

        Raises:
            Whatever the source raised.
        """
        try:
            while True:
                while not self.has(reader):
                    if self.has_ended:
                        if self.error is not None:
                            raise self.error
                        return
                    await self._more()
                yield self.take(reader)
        finally:
            await self.quit(reader)

    async def quit(self, reader: StreamReader) -> None:
        """Have a reader leave who may not have begun; with the last one the source is closed."""
        if self.leave(reader):
            self._on_end(self)
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _more(self) -> None:
        """Wait for the next chunk, or the end."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self._wanted.set()
        await waiter

    async def _run(self, source: AsyncGenerator[T, None]) -> None:
        error: BaseException | None = None
        try:
            async with aclosing(source):
                while True:
                    while all(waiter.done() for waiter in self._waiting):
                        self._wanted.clear()
                        await self._wanted.wait()
                    self.put(await anext(source))
                    if self.has_ended:  # the last one left, and the source went on all the same
                        return
                    self._wake()
        except StopAsyncIteration:
            pass
        except BaseException as raised:
            error = raised
            if not isinstance(raised, Exception | asyncio.CancelledError):
                raise
        finally:
            self._on_end(self)
            self.end(error)
            self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)
