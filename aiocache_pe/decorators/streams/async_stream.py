"""Decorated ``async def`` with ``yield``: the chunks pass through while they are recorded.

The first caller sees each chunk as it comes. Callers that arrive meanwhile get the same chunks
from the first one on (`fan_out`). A stream that comes to its end is stored whole, with its empty
chunks. A stream that ends by an error, or because all readers left, is not stored.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from typing import Any, ParamSpec, TypeVar

from aiocache_pe import context
from aiocache_pe.context import Cassette, Control, Mode
from aiocache_pe.decorators.base import AsyncCachedFunction
from aiocache_pe.decorators.settings import Settings
from aiocache_pe.decorators.streams.base import StreamBase
from aiocache_pe.decorators.streams.chunk_buffer import ChunkBuffer, read_chunks, refuse_sent
from aiocache_pe.decorators.streams.fan_out import StreamReader
from aiocache_pe.decorators.streams.fan_out_async import AsyncSharedStream
from aiocache_pe.engine.computation import Computation
from aiocache_pe.engine.engine import Item
from aiocache_pe.keys.signatures import Args, Kwargs
from aiocache_pe.loading.compute import SharedComputation
from aiocache_pe.loading.copying import Outcome
from aiocache_pe.loading.lease_wait import is_held_by_caller
from aiocache_pe.loading.options import LoadRequest
from aiocache_pe.loading.watch import Watch, make_recorded
from aiocache_pe.runtime.loops import PerLoop
from aiocache_pe.runtime.wait_graph import depends_on_caller
from aiocache_pe.sentinels import MISSING, Missing

P = ParamSpec("P")
T = TypeVar("T")


class AsyncStream(
    StreamBase[P, AsyncGenerator[T, None]], AsyncCachedFunction[P, AsyncGenerator[T, None]]
):
    """A decorated ``async def`` with ``yield``."""

    def __init__(self, function: Callable[P, AsyncGenerator[T, None]], settings: Settings) -> None:
        super().__init__(function, settings)
        self._shared: PerLoop[dict[str, tuple[AsyncSharedStream[T], SharedComputation]]]
        self._shared = PerLoop(dict)

    async def _consume(self, call: Callable[[], Any]) -> None:
        async for _ in call():
            pass

    async def _replay_or_run(
        self, watch: Watch, key: str, args: Args, kwargs: Kwargs
    ) -> AsyncGenerator[T, None]:
        namespace = self._loader.namespace
        own = namespace.make_computation(key, self._make_tags(args, kwargs))
        with watch:
            watch.note(namespace, key)
            if watch.control.mode is not Mode.REFRESH:
                found = await self._get_stored(watch.control, own, args, kwargs)
                if found is not MISSING:
                    self._hits += 1
                    watch.note(namespace, key, found)
                    for chunk in found.value["chunks"]:
                        refuse_sent((yield chunk))
                    return
            stream, reader = await self._join_or_start(watch, own, args, kwargs)
            async with aclosing(stream.read(reader)) as chunks_so_far:
                async for chunk in chunks_so_far:
                    refuse_sent((yield chunk))

    async def _replay_or_record(
        self, cassette: Cassette, watch: Watch, args: Args, kwargs: Kwargs
    ) -> AsyncGenerator[T, None]:
        call = self._make_call(args, kwargs, watch.control)
        with watch:
            answer = cassette.find(call)
            watch.note(self._loader.namespace, call.key, make_recorded(answer))
            chunks = read_chunks(answer)
            if chunks is not None:
                self._hits += 1
                for chunk in chunks:
                    refuse_sent((yield chunk))
                return
            self._misses += 1
            buffer = ChunkBuffer()
            async with aclosing(self._function(*args, **kwargs)) as source:
                async for chunk in source:
                    buffer.add(chunk)
                    refuse_sent((yield chunk))
            await cassette.store(call, buffer.make_value())

    async def _get_stored(
        self, control: Control, own: Computation, args: Args, kwargs: Kwargs
    ) -> Outcome | Missing:
        """Return the stored stream if it may be replayed, or `MISSING`; the computation begins."""
        key = own.key
        if control.mode is None and control.max_age is None and self._policy.serve_stale:
            drain = partial(self._drain, args, kwargs)
            request = LoadRequest(key, drain, self._policy, own.tags)
            found = await self._loader.get_stored(request)
            if found is not MISSING and read_chunks(found.value) is not None:
                return found
        return await self._find(key, control, own)

    async def _join_or_start(
        self, watch: Watch, own: Computation, args: Args, kwargs: Kwargs
    ) -> tuple[AsyncSharedStream[T], StreamReader]:
        """Return a stream that is in flight or starts now, and a reader of it."""
        key = own.key
        computation = self._loader.namespace.make_computation(key, own.tags)
        shared = SharedComputation(self._loader.namespace, computation)
        source = partial(self._run, watch, shared, args, kwargs)
        if watch.control.mode is not None or is_held_by_caller(key):
            with context.apply(watch.control):
                stream = AsyncSharedStream(source, lambda stream: None)
            return stream, stream.first
        streams = self._shared.get()
        in_flight, present = streams.get(key, (None, None))
        if in_flight is not None and depends_on_caller(in_flight.node):
            in_flight = None  # waiting for it would never end
        elif present and not await self._loader.computer.can_join(present.computation, own):
            in_flight = None
        reader = None if in_flight is None else in_flight.join()
        if in_flight and present and reader:
            self._hits += 1
            present.count_joined()
            watch.note(self._loader.namespace, key, Outcome(None, "joined"))
            return in_flight, reader

        def remove(stream: AsyncSharedStream[T]) -> None:
            if streams.get(key, (None, None))[0] is stream:
                del streams[key]

        with context.apply(watch.control):
            stream = AsyncSharedStream(source, remove)
        streams[key] = stream, shared
        return stream, stream.first

    async def _run(
        self,
        watch: Watch,
        shared: SharedComputation,
        args: Args,
        kwargs: Kwargs,
        buffer: ChunkBuffer,
    ) -> AsyncGenerator[T, None]:
        """Yield the chunks of a call, and store them at its end; or those of another process."""
        lease, computation, mode = None, shared.computation, watch.control.mode
        if mode is None:
            found, lease = await self._get_or_acquire(computation, watch.control)
            if found is not MISSING:
                self._hits += 1
                watch.note(self._loader.namespace, computation.key, found)
                shared.settle(Item(computation.key, found.value))
                for chunk in found.value["chunks"]:
                    yield chunk
                return
            if lease is not None:
                lease.enter()
        elif mode is Mode.REFRESH:
            await self._loader.namespace.begin_all([computation], supersede=True)
        try:
            async with aclosing(self._record(watch, shared, args, kwargs, buffer)) as chunks:
                async for chunk in chunks:
                    yield chunk
        finally:
            if lease is not None:
                await lease.release()

    async def _record(
        self,
        watch: Watch,
        shared: SharedComputation,
        args: Args,
        kwargs: Kwargs,
        buffer: ChunkBuffer,
    ) -> AsyncGenerator[T, None]:
        """Yield the chunks of the function, and store them at its end."""
        computation = shared.computation
        computer, key = self._loader.computer, computation.key
        tokens = computation.tokens or await computer.get_tag_tokens(computation.tags)
        computation.tokens = tokens or None
        stopwatch = self._start(key)
        async with aclosing(self._function(*args, **kwargs)) as source:
            while True:
                try:
                    with stopwatch:
                        chunk = await anext(source)
                except StopAsyncIteration:
                    break
                except BaseException as error:
                    computer.count_load_failure(key, error, stopwatch.seconds)
                    raise
                yield chunk

        self._finish(key, stopwatch.seconds)
        if self._is_storable(watch.control, computation, buffer.error):
            value, seconds = buffer.make_value(), stopwatch.seconds
            await computer.put(value, self._policy, tokens, seconds, shared)
        self._note_computed(watch, computation)

    async def _drain(self, args: Args, kwargs: Kwargs) -> dict[str, Any]:
        """Run the function to its end and return the stream to store."""
        self._misses += 1
        buffer = ChunkBuffer()
        async with aclosing(self._function(*args, **kwargs)) as source:
            async for chunk in source:
                buffer.add(chunk)
        return buffer.make_value()
