"""Decorated ``def`` with ``yield``: the chunks pass through while they are recorded.

Two threads that call the function at the same moment each run it. A paused generator holds up
no other caller of its process, which may be the same thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from functools import partial
from threading import Lock
from typing import Any, ParamSpec, TypeVar

from aiocache_pe.context import Cassette, Mode
from aiocache_pe.decorators.base import CachedFunction
from aiocache_pe.decorators.settings import Settings
from aiocache_pe.decorators.streams.base import StreamBase
from aiocache_pe.decorators.streams.chunk_buffer import ChunkBuffer, read_chunks, refuse_sent
from aiocache_pe.engine.computation import Computation
from aiocache_pe.keys.signatures import Args, Kwargs
from aiocache_pe.loading import blocking
from aiocache_pe.loading.copying import Outcome
from aiocache_pe.loading.lease_wait import HeldLease
from aiocache_pe.loading.options import LoadRequest
from aiocache_pe.runtime.portal_call import watch_presence
from aiocache_pe.runtime.threads import call_in_thread
from aiocache_pe.sentinels import MISSING, PENDING, Missing, Sentinel

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")


class Stream(StreamBase[P, Generator[T, None, R]], CachedFunction[P, Generator[T, None, R]]):
    """A decorated ``def`` with ``yield``; its return value is stored with the chunks."""

    def __init__(self, function: Callable[P, Generator[T, None, R]], settings: Settings) -> None:
        super().__init__(function, settings)
        self._running: dict[str, Lock] = {}

    async def _consume(self, call: Callable[[], Any]) -> None:
        await call_in_thread(lambda: deque(call(), maxlen=0))

    def _replay_or_run(
        self, mode: Mode | None, key: str, args: Args, kwargs: Kwargs
    ) -> Generator[T, None, Any]:
        if mode is not Mode.REFRESH:
            stored = self._get_stored(mode, key, args, kwargs)
            if read_chunks(stored) is not None:
                return (yield from self._replay(stored))
        return (yield from self._run(mode, key, args, kwargs))

    def _replay_or_record(
        self, cassette: Cassette, args: Args, kwargs: Kwargs
    ) -> Generator[T, None, Any]:
        call = self._make_call(args, kwargs)
        stored = cassette.find(call)
        if read_chunks(stored) is not None:
            return (yield from self._replay(stored))
        self._misses += 1
        buffer = ChunkBuffer()
        with closing(self._function(*args, **kwargs)) as source:
            while True:
                try:
                    chunk = next(source)
                except StopIteration as end:
                    value = buffer.make_value(end.value)
                    blocking.wait_for(cassette.store, call, value, otherwise=None)
                    return end.value
                buffer.add(chunk)
                refuse_sent((yield chunk))

    def _replay(self, stored: Any) -> Generator[T, None, Any]:
        self._hits += 1
        for chunk in stored["chunks"]:
            refuse_sent((yield chunk))
        return stored.get("returned")

    def _get_stored(self, mode: Mode | None, key: str, args: Args, kwargs: Kwargs) -> Any:
        """Return the stored stream if it may be replayed, or `MISSING`."""
        stored = self._peek(key)
        if isinstance(stored, Sentinel) and mode is None and self._policy.serve_stale:
            drain = partial(blocking.run_in_thread, partial(self._drain, args, kwargs))
            request = LoadRequest(key, drain, self._policy, self._make_tags(args, kwargs))
            outcome: Outcome | Missing = blocking.wait_for(
                self._loader.get_stored, request, otherwise=MISSING
            )
            return MISSING if outcome is MISSING else outcome.value
        if stored is PENDING:
            return blocking.wait_for(self._loader.namespace.get, key, otherwise=MISSING)
        return stored

    def _run(
        self, mode: Mode | None, key: str, args: Args, kwargs: Kwargs
    ) -> Generator[T, None, Any]:
        """Yield the chunks of a call, computed here or by another process.

        Other processes wait for the lease and replay the stream. Other callers of this process
        do not wait, because the lease may be held by a paused generator of their own thread.
        """
        lease: HeldLease | None = None
        tags, namespace = self._make_tags(args, kwargs), self._loader.namespace
        computation = namespace.make_computation(key, tags)
        running, presence = self._running.get(key), Lock()
        # The lock is released however the generator ends, also when a signal handler interrupts
        # the statements below.
        with presence:
            is_first = mode is None and (running is None or not running.locked())
            try:
                if is_first:
                    self._running[key] = presence
                    nothing: tuple[Any, HeldLease | None] = (MISSING, None)
                    acquire = partial(self._acquire_while_present, computation, presence)
                    stored, lease = blocking.wait_for(acquire, otherwise=nothing)
                    if stored is not MISSING:
                        return (yield from self._replay(stored))
                elif mode is not Mode.READ_ONLY:
                    begin = partial(namespace.begin_all, supersede=mode is Mode.REFRESH)
                    blocking.wait_for(begin, [computation], otherwise=None)
                return (yield from self._compute(mode, computation, tags, args, kwargs))
            finally:
                if is_first:
                    self._running.pop(key, None)
                if lease is not None:
                    blocking.wait_for(lease.release, otherwise=None)

    async def _acquire_while_present(
        self, computation: Computation, presence: Lock
    ) -> tuple[Any, HeldLease | None]:
        stored, lease = await self._get_or_acquire(computation)
        if lease is not None:
            watch_presence(presence, lambda: lease.key is None, lease.release)
        return stored, lease

    def _compute(
        self,
        mode: Mode | None,
        computation: Computation,
        tags: Sequence[str],
        args: Args,
        kwargs: Kwargs,
    ) -> Generator[T, None, Any]:
        """Yield the chunks of the function, and store the stream at its end."""
        computer, buffer, key = self._loader.computer, ChunkBuffer(), computation.key
        tokens = computation.tokens
        if tokens is None:
            tokens = blocking.wait_for(computer.get_tag_tokens, tags, otherwise=dict[str, str]())
        stopwatch = self._start(key)
        returned: Any = None
        with closing(self._function(*args, **kwargs)) as source:
            while True:
                try:
                    with stopwatch:
                        chunk = next(source)
                except StopIteration as end:
                    returned = end.value
                    break
                except BaseException as error:
                    computer.count_load_failure(key, error)
                    raise
                buffer.add(chunk)
                refuse_sent((yield chunk))

        self._finish(key, stopwatch.seconds)
        if self._is_storable(mode, buffer.error):
            value, policy, seconds = buffer.make_value(returned), self._policy, stopwatch.seconds
            put = partial(computer.put, value, policy, tokens, seconds)
            blocking.wait_for(put, computation, otherwise=None)
        return returned

    def _drain(self, args: Args, kwargs: Kwargs) -> dict[str, Any]:
        """Run the function to its end and return the stream to store."""
        self._misses += 1
        buffer = ChunkBuffer()
        with closing(self._function(*args, **kwargs)) as source:
            while True:
                try:
                    buffer.add(next(source))
                except StopIteration as end:
                    return buffer.make_value(end.value)
