"""Decorated ``def`` with ``yield``: the chunks pass through while they are recorded.

Two threads that call the function at the same moment each run it. A paused generator holds up
no other caller of its process, which may be the same thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from contextvars import copy_context
from functools import partial
from threading import Lock
from typing import Any, ParamSpec, TypeVar

from aiocache_pe import context
from aiocache_pe.context import NO_CONTROL, Call, Cassette, Control, Mode
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
from aiocache_pe.loading.watch import Watch, make_recorded
from aiocache_pe.runtime.portal_call import watch_presence
from aiocache_pe.runtime.threads import call_in_thread
from aiocache_pe.sentinels import MISSING, Missing, Sentinel

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
        self, watch: Watch, key: str, args: Args, kwargs: Kwargs
    ) -> Generator[T, None, Any]:
        namespace = self._loader.namespace
        with watch:
            watch.note(namespace, key)
            if watch.control.mode is not Mode.REFRESH:
                found = self._get_stored(watch.control, key, args, kwargs)
                if found is not MISSING:
                    watch.note(namespace, key, found)
                    return (yield from self._replay(found.value))
            return (yield from self._run(watch, key, args, kwargs))

    def _replay_or_record(
        self, cassette: Cassette, watch: Watch, args: Args, kwargs: Kwargs
    ) -> Generator[T, None, Any]:
        call = self._make_call(args, kwargs, watch.control)
        with watch:
            stored = cassette.find(call)
            watch.note(self._loader.namespace, call.key, make_recorded(stored))
            if read_chunks(stored) is not None:
                return (yield from self._replay(stored))
            return (yield from self._record(cassette, call, args, kwargs))

    def _record(
        self, cassette: Cassette, call: Call, args: Args, kwargs: Kwargs
    ) -> Generator[T, None, Any]:
        """Yield the chunks of the function, and record them at its end."""
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

    def _get_stored(
        self, control: Control, key: str, args: Args, kwargs: Kwargs
    ) -> Outcome | Missing:
        """Return the stored stream if it may be replayed, or `MISSING`."""
        nothing: Outcome | Missing = MISSING
        if control == NO_CONTROL:
            stored = self._peek(key)
            if not isinstance(stored, Sentinel):
                return MISSING if read_chunks(stored) is None else Outcome(stored, "hit")
            if stored is MISSING and not self._policy.serve_stale:
                return MISSING
        if control.mode is None and control.max_age is None and self._policy.serve_stale:
            drain = partial(blocking.run_in_thread, partial(self._drain, args, kwargs))
            request = LoadRequest(key, drain, self._policy, self._make_tags(args, kwargs))
            found = blocking.wait_for(self._loader.get_stored, request, otherwise=nothing)
            is_stream = found is not MISSING and read_chunks(found.value) is not None
            return found if is_stream else MISSING
        return blocking.wait_for(self._find, key, control, otherwise=nothing)

    def _run(self, watch: Watch, key: str, args: Args, kwargs: Kwargs) -> Generator[T, None, Any]:
        """Yield the chunks of a call, computed here or by another process.

        Other processes wait for the lease and replay the stream. Other callers of this process
        do not wait, because the lease may be held by a paused generator of their own thread.
        """
        lease: HeldLease | None = None
        tags, namespace = self._make_tags(args, kwargs), self._loader.namespace
        computation = namespace.make_computation(key, tags)
        running, presence, control = self._running.get(key), Lock(), watch.control
        # The lock is released however the generator ends, also when a signal handler interrupts
        # the statements below.
        with presence:
            is_first = control.mode is None and (running is None or not running.locked())
            try:
                if is_first:
                    self._running[key] = presence
                    nothing: tuple[Any, HeldLease | None] = (MISSING, None)
                    acquire = partial(self._acquire_while_present, computation, control, presence)
                    found, lease = blocking.wait_for(acquire, otherwise=nothing)
                    if found is not MISSING:
                        watch.note(namespace, key, found)
                        return (yield from self._replay(found.value))
                elif control.mode is not Mode.READ_ONLY:
                    supersede = control.mode is Mode.REFRESH
                    begin = partial(namespace.begin_all, supersede=supersede)
                    blocking.wait_for(begin, [computation], otherwise=None)
                return (yield from self._compute(watch, computation, tags, args, kwargs))
            finally:
                if is_first:
                    self._running.pop(key, None)
                if lease is not None:
                    blocking.wait_for(lease.release, otherwise=None)

    async def _acquire_while_present(
        self, computation: Computation, control: Control, presence: Lock
    ) -> tuple[Any, HeldLease | None]:
        stored, lease = await self._get_or_acquire(computation, control)
        if lease is not None:
            watch_presence(presence, lambda: lease.key is None, lease.release)
        return stored, lease

    def _compute(
        self,
        watch: Watch,
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
        with context.apply(watch.control):
            run = copy_context().run  # the calls of the source have the number of the sample
        with closing(self._function(*args, **kwargs)) as source:
            while True:
                try:
                    with stopwatch:
                        chunk = run(next, source) if watch.control.sample else next(source)
                except StopIteration as end:
                    returned = end.value
                    break
                except BaseException as error:
                    computer.count_load_failure(key, error, stopwatch.seconds)
                    raise
                buffer.add(chunk)
                refuse_sent((yield chunk))

        self._finish(key, stopwatch.seconds)
        if self._is_storable(watch.control, computation, buffer.error):
            value, policy, seconds = buffer.make_value(returned), self._policy, stopwatch.seconds
            put = partial(computer.put, value, policy, tokens, seconds)
            blocking.wait_for(put, computation, otherwise=None)
        self._note_computed(watch, computation)
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
