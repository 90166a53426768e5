"""Async generators that several tasks of one event loop read at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from contextvars import copy_context
from typing import TypeVar

from aiocache_pe.decorators.streams.chunk_buffer import ChunkBuffer
from aiocache_pe.decorators.streams.fan_out import SharedStream, StreamReader
from aiocache_pe.runtime.error_copies import copy_error
from aiocache_pe.runtime.loops import get_loop
from aiocache_pe.runtime.wait_graph import WaitNode, make_context, wait_for

T = TypeVar("T")


class AsyncSharedStream(SharedStream[T]):
    """A stream in flight, run by a task of its own with the context of its first reader.

    The whole source runs in one task. This is required where it holds time-outs or task groups
    open, and the cancellation of a reader cannot interrupt it.

    Args:
        source: makes the generator to read, given the buffer; it is closed at the end.
        on_end: called when no other reader can join any more.

    Attributes:
        node: the source, as the graph of waiting computations sees it.
    """

    def __init__(
        self,
        source: Callable[[ChunkBuffer], AsyncGenerator[T, None]],
        on_end: Callable[[AsyncSharedStream[T]], None],
    ) -> None:
        super().__init__()
        self._on_end = on_end
        self._is_wanted = asyncio.Event()
        self._waiters: list[asyncio.Future[None]] = []
        self.node = WaitNode(get_loop())
        self._task = asyncio.get_running_loop().create_task(
            self._run(source(self.buffer)),
            name="aiocache_pe-stream",
            context=make_context(copy_context(), self.node),
        )

    async def read(self, reader: StreamReader) -> AsyncGenerator[T, None]:
        """Yield all chunks from the first one on.

        Raises:
            BaseException: the source raised it.
        """
        try:
            with wait_for([self.node]):
                while True:
                    while not self.has_next(reader):
                        if self.has_ended:
                            if self.error is not None:
                                raise copy_error(self.error)
                            return
                        await self._wait_for_chunk()
                    yield self.take(reader)
        finally:
            await self.quit(reader)

    async def quit(self, reader: StreamReader) -> None:
        """Remove a reader, which may not have started; close the source with the last one."""
        if self.leave(reader):
            self._on_end(self)
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _wait_for_chunk(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._is_wanted.set()
        await waiter

    async def _run(self, source: AsyncGenerator[T, None]) -> None:
        error: BaseException | None = None
        try:
            async with aclosing(source):
                while True:
                    while all(waiter.done() for waiter in self._waiters):
                        self._is_wanted.clear()
                        await self._is_wanted.wait()
                    self.put(await anext(source))
                    if self.has_ended:  # the last reader left, but the source suppressed that
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
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
