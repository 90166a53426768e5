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
from aiocache_pe.context import Mode, Tape
from aiocache_pe.decorators.base import AsyncCachedFunction
from aiocache_pe.decorators.settings import Settings
from aiocache_pe.decorators.streams.base import Args, Kwargs, Streaming
from aiocache_pe.decorators.streams.chunk_buffer import Transcript, chunks_of, refuse_sent
from aiocache_pe.decorators.streams.fan_out import Reader
from aiocache_pe.decorators.streams.fan_out_async import AsyncLive
from aiocache_pe.loading.lease_wait import is_inside
from aiocache_pe.loading.options import Wanted
from aiocache_pe.runtime.loops import PerLoop
from aiocache_pe.sentinels import MISSING, PENDING, Sentinel

P = ParamSpec("P")
T = TypeVar("T")


class AsyncStream(
    Streaming[P, AsyncGenerator[T, None]], AsyncCachedFunction[P, AsyncGenerator[T, None]]
):
    """An ``async def`` with ``yield``."""

    def __init__(self, function: Callable[P, AsyncGenerator[T, None]], settings: Settings) -> None:
        super().__init__(function, settings)
        self._lives: PerLoop[dict[str, AsyncLive[T]]] = PerLoop(dict)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[T, None]:
        """Call the function, or replay the stream it gave before."""
        return self._stream(context.mode(), args, kwargs)

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[T, None]:
        """Call the function and store its stream, whatever is stored."""
        return self._stream(Mode.REFRESH, args, kwargs)

    def _stream(self, steered: Mode | None, args: Args, kwargs: Kwargs) -> AsyncGenerator[T, None]:
        if steered is Mode.BYPASS:
            return self._function(*args, **kwargs)  # type: ignore[no-any-return]
        tape = context.tape()
        if tape is not None:
            return self._recorded(tape, args, kwargs)
        return self._chunks(steered, self._key(args, kwargs), args, kwargs)

    async def _chunks(
        self, steered: Mode | None, key: str, args: Args, kwargs: Kwargs
    ) -> AsyncGenerator[T, None]:
        if steered is not Mode.REFRESH:
            chunks = chunks_of(await self._kept(steered, key, args, kwargs))
            if chunks is not None:
                self._hits += 1
                for chunk in chunks:
                    refuse_sent((yield chunk))
                return
        live, reader = self._live(steered, key, args, kwargs)
        async with aclosing(live.read(reader)) as passing:
            async for chunk in passing:
                refuse_sent((yield chunk))

    async def _recorded(self, tape: Tape, args: Args, kwargs: Kwargs) -> AsyncGenerator[T, None]:
        call = self._call(args, kwargs)
        chunks = chunks_of(tape.find(call))
        if chunks is not None:
            self._hits += 1
            for chunk in chunks:
                refuse_sent((yield chunk))
            return
        self._misses += 1
        transcript = Transcript()
        async with aclosing(self._function(*args, **kwargs)) as source:
            async for chunk in source:
                transcript.add(chunk)
                refuse_sent((yield chunk))
        await tape.keep(call, transcript.whole())

    async def _kept(self, steered: Mode | None, key: str, args: Args, kwargs: Kwargs) -> Any:
        """What is stored and may be replayed; or `MISSING`."""
        stored = self._lookup(key)
        if isinstance(stored, Sentinel) and steered is None and self._terms.options.serve_old:
            drain = partial(self._drained, args, kwargs)
            wanted = Wanted(key, drain, self._terms, self._tags_of(args, kwargs))
            return await self._loader.kept(wanted)
        return await self._loader.space.load(key) if stored is PENDING else stored

    def _live(
        self, steered: Mode | None, key: str, args: Args, kwargs: Kwargs
    ) -> tuple[AsyncLive[T], Reader]:
        """A stream that is under way or begins, and a place in it."""
        source = partial(self._source, steered, key, args, kwargs)
        if steered is not None or is_inside(key):
            live = AsyncLive(source, lambda live: None)
            return live, live.first
        lives = self._lives.get()
        live_now = lives.get(key)
        reader = None if live_now is None else live_now.join()
        if live_now is not None and reader is not None:
            self._joined(key)
            return live_now, reader

        def ended(live: AsyncLive[T]) -> None:
            if lives.get(key) is live:
                del lives[key]

        live = lives[key] = AsyncLive(source, ended)
        return live, live.first

    async def _source(
        self, steered: Mode | None, key: str, args: Args, kwargs: Kwargs, transcript: Transcript
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
            computing = self._loader.computing
            tokens = await computing.tokens(self._tags_of(args, kwargs))
            taking = self._begun(key)
            async with aclosing(self._function(*args, **kwargs)) as source:
                while True:
                    try:
                        with taking:
                            chunk = await anext(source)
                    except StopAsyncIteration:
                        break
                    except BaseException as error:
                        computing.failed(key, error)
                        raise
                    yield chunk
            self._ended(key, taking.seconds)
            if self._is_storable(steered, turn, transcript.error):
                value = transcript.value()
                await computing.keep(key, value, self._terms, tokens, taking.seconds)
        finally:
            if turn is not None:
                await turn.end()

    async def _drained(self, args: Args, kwargs: Kwargs) -> dict[str, Any]:
        """The whole stream of a call, for nobody who reads."""
        self._misses += 1
        transcript = Transcript()
        async with aclosing(self._function(*args, **kwargs)) as source:
            async for chunk in source:
                transcript.add(chunk)
        return transcript.whole()
