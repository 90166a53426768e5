"""Decorated ``def`` with ``yield``: as `streams_async`, for threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import closing
from functools import partial
from typing import Any, ParamSpec, TypeVar

from aiocache_pe import context
from aiocache_pe.context import Cassette, Mode
from aiocache_pe.decorators.base import CachedFunction
from aiocache_pe.decorators.settings import Settings
from aiocache_pe.decorators.streams.base import Args, Kwargs, StreamBase
from aiocache_pe.decorators.streams.chunk_buffer import ChunkBuffer, read_chunks, refuse_sent
from aiocache_pe.decorators.streams.fan_out import StreamReader
from aiocache_pe.decorators.streams.fan_out_sync import PlainLive
from aiocache_pe.loading import blocking
from aiocache_pe.loading.copying import Outcome
from aiocache_pe.loading.lease_wait import HeldLease, is_held_by_caller
from aiocache_pe.loading.options import LoadRequest
from aiocache_pe.runtime.fork import reset_after_fork
from aiocache_pe.sentinels import MISSING, PENDING, Missing, Sentinel

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")


class Stream(StreamBase[P, Generator[T, None, R]], CachedFunction[P, Generator[T, None, R]]):
    """A ``def`` with ``yield``; what it returns at its end is stored with the chunks."""

    def __init__(self, function: Callable[P, Generator[T, None, R]], settings: Settings) -> None:
        super().__init__(function, settings)
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Join no stream of the parent's: its threads are not in this process."""
        self._lives: dict[str, PlainLive[T]] = {}
        self._lock = threading.Lock()

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Generator[T, None, R]:
        """Call the function, or replay the stream it gave before."""
        return self._stream(context.mode(), args, kwargs)

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> Generator[T, None, R]:
        """Call the function and store its stream, whatever is stored."""
        return self._stream(Mode.REFRESH, args, kwargs)

    def _stream(self, steered: Mode | None, args: Args, kwargs: Kwargs) -> Generator[T, None, R]:
        if steered is Mode.BYPASS:
            return self._function(*args, **kwargs)  # type: ignore[no-any-return]
        tape = context.current_cassette()
        if tape is not None:
            return self._recorded(tape, args, kwargs)
        return self._chunks(steered, self._key(args, kwargs), args, kwargs)

    def _chunks(
        self, steered: Mode | None, key: str, args: Args, kwargs: Kwargs
    ) -> Generator[T, None, Any]:
        if steered is not Mode.REFRESH:
            stored = self._kept(steered, key, args, kwargs)
            chunks = read_chunks(stored)
            if chunks is not None:
                self._hits += 1
                for chunk in chunks:
                    refuse_sent((yield chunk))
                return stored.get("returned")
        live, reader = self._live(steered, key, args, kwargs)
        passing = live.read(reader)
        with closing(passing):
            while True:
                try:
                    chunk = next(passing)
                except StopIteration as end:
                    return end.value
                refuse_sent((yield chunk))

    def _recorded(self, tape: Cassette, args: Args, kwargs: Kwargs) -> Generator[T, None, Any]:
        call = self._make_call(args, kwargs)
        stored = tape.find(call)
        chunks = read_chunks(stored)
        if chunks is not None:
            self._hits += 1
            for chunk in chunks:
                refuse_sent((yield chunk))
            return stored.get("returned")
        self._misses += 1
        transcript = ChunkBuffer()
        with closing(self._function(*args, **kwargs)) as source:
            while True:
                try:
                    chunk = next(source)
                except StopIteration as end:
                    blocking.wait_for(
                        tape.store, call, transcript.make_value(end.value), otherwise=None
                    )
                    return end.value
                transcript.add(chunk)
                refuse_sent((yield chunk))

    def _kept(self, steered: Mode | None, key: str, args: Args, kwargs: Kwargs) -> Any:
        """What is stored and may be replayed; or `MISSING`."""
        stored = self._peek(key)
        if isinstance(stored, Sentinel) and steered is None and self._policy.serve_stale:
            drain = partial(blocking.run_in_thread, partial(self._drained, args, kwargs))
            wanted = LoadRequest(key, drain, self._policy, self._make_tags(args, kwargs))
            outcome: Outcome | Missing = blocking.wait_for(
                self._loader.get_stored, wanted, otherwise=MISSING
            )
            return MISSING if outcome is MISSING else outcome.value
        if stored is PENDING:
            return blocking.wait_for(self._loader.namespace.get, key, otherwise=MISSING)
        return stored

    def _live(
        self, steered: Mode | None, key: str, args: Args, kwargs: Kwargs
    ) -> tuple[PlainLive[T], StreamReader]:
        """A stream that is under way or begins, and a place in it."""
        source = partial(self._source, steered, key, args, kwargs)
        if steered is not None or is_held_by_caller(key):
            live = PlainLive(source, lambda live: None)
            return live, live.first
        with self._lock:
            live_now = self._lives.get(key)
            reader = None if live_now is None else live_now.join()
            if live_now is None or reader is None:
                live = self._lives[key] = PlainLive(source, partial(self._forget, key))
                return live, live.first
        self._joined(key)
        return live_now, reader

    def _forget(self, key: str, live: PlainLive[T]) -> None:
        with self._lock:
            if self._lives.get(key) is live:
                del self._lives[key]

    def _source(
        self, steered: Mode | None, key: str, args: Args, kwargs: Kwargs, transcript: ChunkBuffer
    ) -> Generator[T, None, Any]:
        """The chunks of a call, which is stored at its end; or of another process's."""
        turn: HeldLease | None = None
        if steered is None:
            nothing: tuple[Any, HeldLease | None] = (MISSING, None)
            value, turn = blocking.wait_for(self._look_or_take, key, otherwise=nothing)
            if value is not MISSING:
                self._hits += 1
                yield from value["chunks"]
                return value.get("returned")
            if turn is not None:
                turn.enter()
        try:
            computing = self._loader.computer
            tags = self._make_tags(args, kwargs)
            tokens = blocking.wait_for(computing.get_tag_tokens, tags, otherwise=dict[str, str]())
            taking = self._begun(key)
            returned: Any = None
            with closing(self._function(*args, **kwargs)) as source:
                while True:
                    try:
                        with taking:
                            chunk = next(source)
                    except StopIteration as end:
                        returned = end.value
                        break
                    except BaseException as error:
                        computing.count_load_failure(key, error)
                        raise
                    yield chunk
            self._ended(key, taking.seconds)
            if self._is_storable(steered, turn, transcript.error):
                value = transcript.value(returned)
                keep, policy, seconds = computing.put, self._policy, taking.seconds
                blocking.wait_for(keep, key, value, policy, tokens, seconds, otherwise=None)
            return returned
        finally:
            if turn is not None:
                blocking.wait_or_leave(turn.release)

    def _drained(self, args: Args, kwargs: Kwargs) -> dict[str, Any]:
        """The whole stream of a call, for nobody who reads."""
        self._misses += 1
        transcript = ChunkBuffer()
        with closing(self._function(*args, **kwargs)) as source:
            while True:
                try:
                    transcript.add(next(source))
                except StopIteration as end:
                    return transcript.make_value(end.value)
