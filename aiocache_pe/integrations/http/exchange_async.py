"""The way of a request through an async transport; `http_blocking` is its twin."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

from aiocache_pe import context
from aiocache_pe.context import Cassette, Mode
from aiocache_pe.integrations.http import recording
from aiocache_pe.integrations.http.caching import (
    OK,
    FetchedResponse,
    HttpCaching,
    StreamCapture,
    choose_response,
    drop_coding,
    make_response,
    split_chunks,
)
from aiocache_pe.integrations.http.requests import CacheableRequest
from aiocache_pe.integrations.http.shared_streams import AsyncSharing, OpenedStream, StreamSeat

Send = Callable[[Any], Awaitable[Any]]


class AsyncExchange:
    """Answers requests from the cache, or sends them on.

    Args:
        caching: the settings.
        send: sends a request to the server.
        library: httpx or httpx2.
        stream_class: makes that library's byte stream of an async iterator and what closes it.
    """

    def __init__(self, caching: HttpCaching, send: Send, library: Any, stream_class: Any) -> None:
        self._caching = caching
        self._send = send
        self._response = partial(make_response, library)
        self._stream_class = stream_class
        self._sharing = AsyncSharing()

    async def answer(self, request: Any) -> Any:
        """The response to a request."""
        caching = self._caching
        if context.mode() is Mode.BYPASS:
            return await self._send(request)
        may = caching.may_be_kept(request)
        what = caching.parse_request(request, await request.aread()) if may else None
        tape = context.current_cassette()
        if what is None:
            recording.check_may_be_sent(tape, request)
            return await self._send(request)
        if tape is not None:
            return await self._recorded(tape, request, what)
        return await (self._streamed if what.streams else self._in_one_piece)(request, what)

    async def _in_one_piece(self, request: Any, what: CacheableRequest) -> Any:
        fresh: list[FetchedResponse] = []

        async def fetch() -> dict[str, Any]:
            fresh.append(await self._fetched(request))
            return self._caching.make_stored(fresh[-1])

        load = self._caching.make_request(what, fetch)
        outcome = await self._caching.loader.get_or_compute(load)
        return self._response(*choose_response(outcome, fresh))

    async def _recorded(self, tape: Cassette, request: Any, what: CacheableRequest) -> Any:
        fresh: list[FetchedResponse] = []

        async def fetch() -> dict[str, Any]:
            fresh.append(await self._fetched(request))
            return recording.record(fresh[-1], streams=what.streams)

        answer = await tape.answer(recording.make_call(what, self._caching.loader), fetch)
        given = recording.replay(answer, is_fresh=bool(fresh))
        if not what.streams:
            return self._response(*given[:3], b"".join(given.chunks))
        stream = self._stream_class(_replayed(given.chunks), None)
        return self._response(*given[:3], stream=stream)

    async def _fetched(self, request: Any) -> FetchedResponse:
        response = await self._send(request)
        response.request = request
        try:
            body = await response.aread()
        finally:
            await response.aclose()
        return FetchedResponse(response.status_code, response.headers.multi_items(), body)

    async def _streamed(self, request: Any, what: CacheableRequest) -> Any:
        loader = self._caching.loader
        wanted = self._caching.make_request(what, lambda: None)
        space, steered = loader.namespace, context.mode()

        async def open_it(settled: Callable[[], None]) -> OpenedStream:
            space.count_miss(wanted.key)
            tokens = await loader.computer.get_tag_tokens(wanted.tags)
            response = await self._send(request)
            response.request = request
            headers = response.headers.multi_items()
            if response.status_code != OK:
                try:
                    body = await response.aread()
                finally:
                    await response.aclose()
                return OpenedStream(response.status_code, headers, body=body)
            keep = steered is not Mode.READ_ONLY
            passing = StreamCapture(self._caching, wanted, tokens, headers, keep=keep)

            async def chunks() -> AsyncGenerator[bytes, None]:
                try:
                    yield b""  # from here on, closing it closes the response
                    async for chunk in response.aiter_bytes():
                        yield passing.take(chunk)
                finally:
                    try:
                        await response.aclose()
                    finally:
                        try:
                            await passing.end()
                        finally:
                            settled()

            begun = chunks()
            await anext(begun)
            return OpenedStream(response.status_code, headers, begun)

        sharing = self._sharing if steered is None else AsyncSharing()
        while True:
            if steered is not Mode.REFRESH:
                value = await space.get(wanted.key)
                kept = split_chunks(value)
                if kept is not None:
                    stream = self._stream_class(_replayed(kept), None)
                    return self._response(value["status"], value["headers"], "hit", stream=stream)
            place = await sharing.place(wanted.key, open_it)
            if place is not None:
                return self._begun(place, wanted.key)
            sharing = AsyncSharing()  # that one cannot be joined; the next is one's own

    def _begun(self, place: StreamSeat, key: str) -> Any:
        """The response to a request whose answer has begun, for oneself or for another."""
        opened, live, reader = place.opened, place.live, place.reader
        headers = drop_coding(opened.headers)
        if live is None or reader is None:
            return self._response(opened.status, headers, "miss", opened.body)
        if place.joined:
            self._caching.loader.namespace.count_hit(key)
        chunks = live.read(reader)

        async def close() -> None:
            await chunks.aclose()
            await live.quit(reader)  # who never began to read has a place all the same

        stream = self._stream_class(chunks, close)
        return self._response(
            opened.status, headers, "hit" if place.joined else "miss", stream=stream
        )


async def _replayed(chunks: list[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
