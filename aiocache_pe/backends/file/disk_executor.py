"""Hops to a thread for disk work, and group commit of writes.

All disk work that may wait runs in threads, through aiofiles. A hop costs more than most of the
work that it does, so writes share hops. The store has a small pool of its own: the loop's default
pool belongs to the application, which may have filled it with calls that last for seconds.

No work keeps a thread for long. Large batches take several hops, and the store runs its scans and
clears in a second pool. A lock that another process holds too long is awaited between hops, for ten
seconds at most.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from functools import partial
from typing import Any, ParamSpec, TypeVar

from aiofiles.os import wrap

from aiocache_pe.exceptions import BackendError, LockTimeoutError, NewerRecordError
from aiocache_pe.record import Record
from aiocache_pe.runtime.fork import reset_after_fork
from aiocache_pe.runtime.threads import ThreadPool, call_in_thread, is_ending

_THREADS = 4
_BATCH_RECORDS = 512
_LOCK_TIMEOUT = 10.0  # seconds
_FIRST_PAUSE, _MAX_PAUSE = 0.005, 0.1  # seconds between two attempts to acquire a lock
_BATCH_BYTES = 8 * 1024 * 1024
P = ParamSpec("P")
T = TypeVar("T")
K = TypeVar("K")


def _call(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    return work(*args, **kwargs)


_run_in_thread = wrap(_call)  # wrapped once: wrapping each call would take longer than the call


class DiskExecutor:
    """Runs blocking work in a pool of threads, which is created on first use.

    The pool is created again when it is needed after `close` or after a fork.

    Args:
        threads: greatest number of threads.
    """

    def __init__(self, threads: int = _THREADS) -> None:
        self._threads = threads
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Use a pool of the child's own: the parent's threads do not exist in it."""
        self._lock = threading.Lock()
        self._pool: ThreadPool | None = None

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run blocking work in a thread, in one hop, and return its result."""
        result: T = await _run_in_thread(work, *args, executor=self._get_pool(), **kwargs)
        return result

    async def run_locking(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run work that acquires one lock; run it again while another caller holds the lock.

        Raises:
            LockTimeoutError: the lock was not released in ten seconds.
        """
        for pause in _iter_pauses():
            try:
                return await self.run(work, *args, **kwargs)
            except LockTimeoutError:
                await asyncio.sleep(pause)
        return await self.run(work, *args, **kwargs)

    async def run_for_each(
        self, work: Callable[[Sequence[K]], Sequence[T | Exception]], items: Sequence[K]
    ) -> list[T | Exception]:
        """Run work that acquires a lock for each item, in several hops if the items are many.

        Returns:
            The outcome of each item; the work is run again for an item with a `LockTimeoutError`.
        """
        outcomes: list[T | Exception] = []
        for part in split(items):
            first = await self.run(work, part)
            outcomes += await self.repeat_locked(work, part, first)
        return outcomes

    async def repeat_locked(
        self,
        work: Callable[[Sequence[K]], Sequence[T | Exception]],
        items: Sequence[K],
        outcomes: Sequence[T | Exception],
    ) -> Sequence[T | Exception]:
        """Run work again for the items whose lock was held; return all outcomes."""
        for pause in _iter_pauses():
            locked = [
                n for n, outcome in enumerate(outcomes) if isinstance(outcome, LockTimeoutError)
            ]
            if not locked:
                break
            await asyncio.sleep(pause)
            repeated = await self.run(work, [items[n] for n in locked])
            outcomes = list(outcomes)
            for n, outcome in zip(locked, repeated, strict=True):
                outcomes[n] = outcome
        return outcomes

    async def close(self) -> None:
        """Wait for the work in progress and end the threads."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is None:
            return
        if is_ending():
            pool.shutdown()
        else:
            await call_in_thread(pool.shutdown)

    def _get_pool(self) -> ThreadPool:
        pool = self._pool
        if pool is not None:
            return pool
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPool(self._threads, "aiocache_pe-disk")
            return self._pool


def split(items: Sequence[K]) -> Iterator[Sequence[K]]:
    """Yield the items in parts that one hop may process."""
    for start in range(0, len(items), _BATCH_RECORDS):
        yield items[start : start + _BATCH_RECORDS]


def take_results(outcomes: Sequence[T | Exception], action: str) -> list[T]:
    """Return the outcomes if none is an error.

    Raises:
        BackendError: the first of the errors; the message names the action, such as "write".
        NewerRecordError: the first of the errors, if it is one.
    """
    results = [outcome for outcome in outcomes if not isinstance(outcome, Exception)]
    for outcome in outcomes if len(results) < len(outcomes) else ():
        if isinstance(outcome, Exception):
            done = [result for result in results if result is not None]
            if isinstance(outcome, NewerRecordError):
                outcome.done = done
                raise outcome
            error = BackendError(f"cannot {action} an entry: {outcome}")
            error.done = done
            raise error from outcome
    return results


def _iter_pauses() -> Iterator[float]:
    """Yield the pauses between attempts to acquire a lock, in seconds."""
    pause, left = _FIRST_PAUSE, _LOCK_TIMEOUT
    while left > 0:
        yield pause
        left -= pause
        pause = min(2 * pause, _MAX_PAUSE)


_Outcomes = Sequence[Record | None | Exception]
Writer = Callable[[Sequence[Record]], _Outcomes]
"""Function that stores records and returns, for each one, the stored record or an error.

It returns ``None`` for a computed record that must not be stored.
"""

_Group = tuple[Sequence[Record], "asyncio.Future[_Outcomes]"]


class GroupCommit:
    """Group commit: the writes of one event loop within one tick share a hop.

    One batch is in progress at a time, and the writes that arrive meanwhile form the next batch.
    Sixty-four tasks that write at once need one or two hops, not sixty-four. A single writer does
    not wait for others: a batch starts at once, unless the last one had several writers.

    Args:
        executor: runs the writes.
        write: stores the records of a batch in a thread.
    """

    def __init__(self, executor: DiskExecutor, write: Writer) -> None:
        self._executor = executor
        self._write = write
        self._pending: deque[_Group] = deque()
        self._idle = asyncio.Event()
        self._idle.set()
        self._is_shared = False  # whether the last batch had several writers

    async def submit(self, records: Sequence[Record]) -> Sequence[Record | None]:
        """Write records in the next hop.

        Returns:
            The records as stored; ``None`` for a computed record that must not be stored.

        Raises:
            BackendError: a record could not be written; the others may have been.
        """
        outcomes: list[Record | None | Exception] = []
        for part in split(records):
            written = await self._join_batch(part)
            outcomes += await self._executor.repeat_locked(self._write, part, written)
        return take_results(outcomes, "write")

    async def wait_until_idle(self) -> None:
        """Wait until all submitted records are written."""
        while not self._idle.is_set():
            await self._idle.wait()

    def _join_batch(self, records: Sequence[Record]) -> asyncio.Future[_Outcomes]:
        """Add records to the next batch; the future's result has an outcome for each record."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[_Outcomes] = loop.create_future()
        self._pending.append((records, done))
        if self._idle.is_set():
            self._idle.clear()
            if self._is_shared:
                loop.call_soon(self._start_batch)
            else:
                self._start_batch()
        return done

    def _start_batch(self) -> None:
        batch: list[_Group] = []
        records: list[Record] = []
        size = 0
        while self._pending and len(records) < _BATCH_RECORDS and size < _BATCH_BYTES:
            group, done = self._pending.popleft()
            batch.append((group, done))
            records += group
            size += sum(len(record.payload) for record in group)
        self._is_shared = len(batch) > 1
        _drive(self._executor.run(self._write, records), partial(self._finish_batch, batch))

    def _finish_batch(self, batch: Sequence[_Group], outcomes: _Outcomes | Exception) -> None:
        at = 0
        for records, done in batch:
            if isinstance(outcomes, Exception):
                part: _Outcomes = [outcomes] * len(records)
            else:
                part = outcomes[at : at + len(records)]
                at += len(records)
            if not done.done():  # otherwise its caller was cancelled
                done.set_result(part)

        if self._pending:
            # In the next tick, so that the writers of this batch can join the next one.
            asyncio.get_running_loop().call_soon(self._start_batch)
        else:
            self._idle.set()


def _drive(work: Coroutine[Any, Any, T], on_done: Callable[[T | Exception], object]) -> None:
    """Run a coroutine that awaits futures of the loop, and pass its outcome to a callback.

    A task would need one tick of the loop to start and another to resume, which is a tenth of the
    duration of a single write.
    """
    try:
        awaited: asyncio.Future[Any] = work.send(None)
    except StopIteration as end:
        on_done(end.value)
    except Exception as error:
        on_done(error)
    else:
        awaited.add_done_callback(lambda _: _drive(work, on_done))
