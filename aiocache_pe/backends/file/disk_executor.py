"""Trips to a thread, each of which costs more than most of what is done there.

All disk work that may wait goes this way, through aiofiles, in a small pool of the
store's own: the loop's default pool belongs to the application, which may have filled
it with calls that last for seconds.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, ParamSpec, TypeVar

from aiofiles.os import wrap

from aiocache_pe.exceptions import BackendError
from aiocache_pe.record import Record
from aiocache_pe.runtime.fork import reset_after_fork
from aiocache_pe.runtime.threads import ThreadPool, is_ending

_THREADS = 4
_BATCH_RECORDS = 512
_BATCH_BYTES = 8 * 1024 * 1024
P = ParamSpec("P")
T = TypeVar("T")


def _call(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    return work(*args, **kwargs)


_hop = wrap(_call)  # once: to wrap each piece of work would take longer than most of the rest


class DiskExecutor:
    """A pool of threads that is made on first use, again after `close`, and after a fork."""

    __slots__ = ("__weakref__", "_lock", "_pool")

    def __init__(self) -> None:
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Begin anew: the parent's threads did not come along."""
        self._lock = threading.Lock()
        self._pool: ThreadPool | None = None

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run blocking work in a thread: one hop, however much is done in it."""
        result: T = await _hop(work, *args, executor=self._executor(), **kwargs)
        return result

    async def close(self) -> None:
        """Let the threads finish what they do, and go."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is None:
            return
        if is_ending():
            pool.shutdown()
        else:
            await asyncio.to_thread(pool.shutdown)

    def _executor(self) -> ThreadPool:
        pool = self._pool
        if pool is not None:
            return pool
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPool(_THREADS, "aiocache_pe-disk")
            return self._pool


Writer = Callable[[Sequence[Record]], Sequence[Record | OSError]]
_Waiting = tuple[Sequence[Record], "asyncio.Future[Sequence[Record]]"]


class GroupCommit:
    """Writes of one event loop, gathered: what is asked for in one tick takes one hop.

    One batch is under way at a time; what arrives meanwhile forms the next. Sixty-four
    tasks that write at once pay for one or two hops, not for sixty-four. Who writes alone
    does not wait for others: a batch begins at once, unless the last one was of several.
    """

    __slots__ = ("_hops", "_idlers", "_is_busy", "_is_crowded", "_waiting", "_write")

    def __init__(self, hops: DiskExecutor, write: Writer) -> None:
        self._hops = hops
        self._write = write
        self._waiting: list[_Waiting] = []
        self._idlers: list[asyncio.Future[None]] = []
        self._is_busy = self._is_crowded = False

    async def submit(self, records: Sequence[Record]) -> Sequence[Record]:
        """Write records in the next hop.

        Returns:
            The records as stored.

        Raises:
            BackendError: one of them could not be written; the others may have been.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Sequence[Record]] = loop.create_future()
        self._waiting.append((records, done))
        if not self._is_busy:
            self._is_busy = True
            if self._is_crowded:
                loop.call_soon(self._begin)
            else:
                self._begin()
        return await done

    async def idle(self) -> None:
        """Wait until everything submitted so far is written."""
        while self._is_busy:
            idler: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idlers.append(idler)
            await idler

    def _begin(self) -> None:
        batch = self._next_batch()
        self._is_crowded = len(batch) > 1
        hop = self._hops.run(self._write, [record for records, _ in batch for record in records])
        _go_on(hop, partial(self._end, batch))

    def _end(
        self,
        batch: Sequence[_Waiting],
        outcomes: Sequence[Record | OSError] | None,
        error: Exception | None,
    ) -> None:
        at = 0
        for records, done in batch:
            if outcomes is None:
                _fail(done, error)
            else:
                _settle(done, outcomes[at : at + len(records)])
                at += len(records)
        if self._waiting:
            # Not at once, so that those can join it who have just been told.
            asyncio.get_running_loop().call_soon(self._begin)
            return
        self._is_busy = False
        while self._idlers:
            idler = self._idlers.pop()
            if not idler.done():
                idler.set_result(None)

    def _next_batch(self) -> list[_Waiting]:
        records = weight = taken = 0
        for group, _ in self._waiting:
            taken += 1
            records += len(group)
            weight += sum(len(record.payload) for record in group)
            if records >= _BATCH_RECORDS or weight >= _BATCH_BYTES:
                break
        batch, self._waiting = self._waiting[:taken], self._waiting[taken:]
        return batch


def _settle(done: asyncio.Future[Sequence[Record]], outcomes: Sequence[Record | OSError]) -> None:
    stored = [outcome for outcome in outcomes if isinstance(outcome, Record)]
    failed = [outcome for outcome in outcomes if isinstance(outcome, OSError)]
    if failed:
        _fail(done, failed[0])
    elif not done.done():
        done.set_result(stored)


def _fail(done: asyncio.Future[Sequence[Record]], cause: Exception | None) -> None:
    if not done.done():
        error = BackendError(f"cannot write an entry: {cause}")
        error.__cause__ = cause
        done.set_exception(error)


def _go_on(
    work: Coroutine[Any, Any, T], then: Callable[[T | None, Exception | None], object]
) -> None:
    """Go on with a coroutine that awaits futures of the loop, and tell how it ended.

    A task would do that too, but needs a turn of the loop to begin and another one to be
    woken, which is a tenth of the time that a lone write takes.
    """
    try:
        awaited: asyncio.Future[Any] = work.send(None)
    except StopIteration as end:
        then(end.value, None)
    except Exception as error:
        then(None, error)
    else:
        awaited.add_done_callback(lambda _: _go_on(work, then))
