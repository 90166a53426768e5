"""Decorated ``async def`` with ``yield``: the chunks pass while they are recorded.

Who calls first sees each chunk as it comes, and who calls meanwhile the same chunks from
the first one on (`live`). A stream that came to its end is stored whole, empty chunks
too; one that was cut short, by an error or because all its readers had enough, is not.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from typing import Any, ParamSpec, TypeVar

from aiocache_pe import context
from aiocache_pe.context import Cassette, Mode
from aiocache_pe.decorators.base import AsyncCachedFunction
from aiocache_pe.decorators.settings import Settings
from aiocache_pe.decorators.streams.base import Args, Kwargs, StreamBase
from aiocache_pe.decorators.streams.chunk_buffer import ChunkBuffer, read_chunks, refuse_sent
from aiocache_pe.decorators.streams.fan_out import StreamReader
from aiocache_pe.decorators.streams.fan_out_async import AsyncSharedStream
from aiocache_pe.loading.lease_wait import is_held_by_caller
from aiocache_pe.loading.options import LoadRequest
from aiocache_pe.runtime.loops import PerLoop
from aiocache_pe.sentinels import MISSING, PENDING, Sentinel

P = ParamSpec("P")
T = TypeVar("T")


class AsyncStream(
    StreamBase[P, AsyncGenerator[T, None]], AsyncCachedFunction[P, AsyncGenerator[T, None]]
):
    """An ``async def`` with ``yield``."""

    def __init__(self, function: Callable[P, AsyncGenerator[T, None]], settings: Settings) -> None:
        super().__init__(function, settings)
        self._lives: PerLoop[dict[str, AsyncSharedStream[T]]] = PerLoop(dict)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[T, None]:
        """Call the function, or replay the stream it gave before."""
        return self._stream(context.mode(), args, kwargs)

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[T, None]:
        """Call the function and store its stream, whatever is stored."""
        return self._stream(Mode.REFRESH, args, kwargs)

    def _stream(self, steered: Mode | None, args: Args, kwargs: Kwargs) -> AsyncGenerator[T, None]:
        if steered is Mode.BYPASS:
            return self._function(*args, **kwargs)  # type: ignore[no-any-return]
        tape = context.current_cassette()
        if tape is not None:
            return self._recorded(tape, args, kwargs)
        return self._chunks(steered, self._key(args, kwargs), args, kwargs)

    async def _chunks(
        self, steered: Mode | None, key: str, args: Args, kwargs: Kwargs
    ) -> AsyncGenerator[T, None]:
        if steered is not Mode.REFRESH:
            chunks = read_chunks(await self._kept(steered, key, args, kwargs))
            if chunks is not None:
                self._hits += 1
                for chunk in chunks:
                    refuse_sent((yield chunk))
                return
        live, reader = self._live(steered, key, args, kwargs)
        async with aclosing(live.read(reader)) as passing:
            async for chunk in passing:
                refuse_sent((yield chunk))

    async def _recorded(
        self, tape: Cassette, args: Args, kwargs: Kwargs
    ) -> AsyncGenerator[T, None]:
        call = self._make_call(args, kwargs)
        chunks = read_chunks(tape.find(call))
        if chunks is not None:
            self._hits += 1
            for chunk in chunks:
                refuse_sent((yield chunk))
            return
        self._misses += 1
        transcript = ChunkBuffer()
        async with aclosing(self._function(*args, **kwargs)) as source:
            async for chunk in source:
                transcript.add(chunk)
                refuse_sent((yield chunk))
        await tape.store(call, transcript.make_value())

    async def _kept(self, steered: Mode | None, key: str, args: Args, kwargs: Kwargs) -> Any:
        """What is stored and may be replayed; or `MISSING`."""
        stored = self._peek(key)
        if isinstance(stored, Sentinel) and steered is None and self._policy.serve_stale:
            drain = partial(self._drained, args, kwargs)
            wanted = LoadRequest(key, drain, self._policy, self._make_tags(args, kwargs))
            outcome = await self._loader.get_stored(wanted)
            return MISSING if outcome is MISSING else outcome.value
        return await self._loader.namespace.get(key) if stored is PENDING else stored

    def _live(
        self, steered: Mode | None, key: str, args: Args, kwargs: Kwargs
    ) -> tuple[AsyncSharedStream[T], StreamReader]:
        """A stream that is under way or begins, and a place in it."""
        source = partial(self._source, steered, key, args, kwargs)
        if steered is not None or is_held_by_caller(key):
            live = AsyncSharedStream(source, lambda live: None)
            return live, live.first
        lives = self._lives.get()
        live_now = lives.get(key)
        reader = None if live_now is None else live_now.join()
        if live_now is not None and reader is not None:
            self._joined(key)
            return live_now, reader

        def ended(live: AsyncSharedStream[T]) -> None:
            if lives.get(key) is live:
                del lives[key]

        live = lives[key] = AsyncSharedStream(source, ended)
        return live, live.first

    async def _source(
        self, steered: Mode | None, key: str, args: Args, kwargs: Kwargs, transcript: ChunkBuffer
    ) -> AsyncGenerator[T, None]:
        """The chunks of a call, which is stored at its end; or of another process's."""
        turn = None
        if steered is None:
            value, turn = await self._look_or_take(key)
            if value is not MISSING:
                self._hits += 1
                for chunk in value["chunks"]:
                    yield chunk
                return
            if turn is not None:
                turn.enter()
        try:
            computing = self._loader.computer
            tokens = await computing.get_tag_tokens(self._make_tags(args, kwargs))
            taking = self._begun(key)
            async with aclosing(self._function(*args, **kwargs)) as source:
                while True:
                    try:
                        with taking:
                            chunk = await anext(source)
                    except StopAsyncIteration:
                        break
                    except BaseException as error:
                        computing.count_load_failure(key, error)
                        raise
                    yield chunk
            self._ended(key, taking.seconds)
            if self._is_storable(steered, turn, transcript.error):
                value = transcript.value()
                await computing.put(key, value, self._policy, tokens, taking.seconds)
        finally:
            if turn is not None:
                await turn.release()

    async def _drained(self, args: Args, kwargs: Kwargs) -> dict[str, Any]:
        """The whole stream of a call, for nobody who reads."""
        self._misses += 1
        transcript = ChunkBuffer()
        async with aclosing(self._function(*args, **kwargs)) as source:
            async for chunk in source:
                transcript.add(chunk)
        return transcript.make_value()
