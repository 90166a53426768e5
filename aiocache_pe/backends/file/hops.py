"""Trips to a thread, each of which costs more than most of what is done there.

All disk work that may wait goes this way, through aiofiles, in a small pool of the
store's own: the loop's default pool belongs to the application, which may have filled
it with calls that last for seconds.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import ParamSpec, TypeVar

from aiofiles.os import wrap

from aiocache_pe.exceptions import BackendError
from aiocache_pe.forks import renewed_at_fork
from aiocache_pe.pool import Pool, is_ending
from aiocache_pe.record import Record

_THREADS = 4
_BATCH_RECORDS = 512
_BATCH_BYTES = 8 * 1024 * 1024
P = ParamSpec("P")
T = TypeVar("T")


class Hops:
    """A pool of threads that is made on first use, again after `close`, and after a fork."""

    __slots__ = ("__weakref__", "_lock", "_pool")

    def __init__(self) -> None:
        self.after_fork()
        renewed_at_fork(self)

    def after_fork(self) -> None:
        """Begin anew: the parent's threads did not come along."""
        self._lock = threading.Lock()
        self._pool: Pool | None = None

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run blocking work in a thread: one hop, however much is done in it."""
        hop = wrap(work)
        return await hop(*args, executor=self._executor(), **kwargs)

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

    def _executor(self) -> Pool:
        pool = self._pool
        if pool is not None:
            return pool
        with self._lock:
            if self._pool is None:
                self._pool = Pool(_THREADS, thread_name_prefix="aiocache_pe-disk")
            return self._pool


Writer = Callable[[Sequence[Record]], Sequence[Record | OSError]]
_Waiting = tuple[Sequence[Record], "asyncio.Future[Sequence[Record]]"]


class GroupCommit:
    """Writes of one event loop, gathered: what is asked for in one tick takes one hop.

    One batch is under way at a time; what arrives meanwhile forms the next. Sixty-four
    tasks that write at once pay for one or two hops, not for sixty-four.
    """

    __slots__ = ("_hops", "_task", "_waiting", "_write")

    def __init__(self, hops: Hops, write: Writer) -> None:
        self._hops = hops
        self._write = write
        self._waiting: list[_Waiting] = []
        self._task: asyncio.Task[None] | None = None

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
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._drain(), name="aiocache_pe-group-commit")
        return await done

    async def idle(self) -> None:
        """Wait until everything submitted so far is written."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _drain(self) -> None:
        while self._waiting:
            batch = self._next_batch()
            try:
                outcomes = await self._hops.run(self._write, [r for rs, _ in batch for r in rs])
            except asyncio.CancelledError:  # the loop is ending; so are those who wait
                for _, done in [*batch, *self._waiting]:
                    done.cancel()
                self._waiting.clear()
                raise
            except Exception as error:
                for _, done in batch:
                    _fail(done, error)
                continue
            at = 0
            for records, done in batch:
                _settle(done, outcomes[at : at + len(records)])
                at += len(records)

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


def _fail(done: asyncio.Future[Sequence[Record]], cause: Exception) -> None:
    if not done.done():
        error = BackendError(f"cannot write an entry: {cause}")
        error.__cause__ = cause
        done.set_exception(error)
