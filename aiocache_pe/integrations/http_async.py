"""The way of a request through an async transport; `http_blocking` is its twin."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

from aiocache_pe import steering
from aiocache_pe.integrations import http_recorded
from aiocache_pe.integrations.http_caching import (
    OK,
    Fresh,
    HttpCaching,
    Passing,
    StaleWatch,
    as_bytes,
    chunks_of,
    response_of,
    without_coding,
)
from aiocache_pe.integrations.requests import Asked
from aiocache_pe.sentinels import MISSING
from aiocache_pe.steering import Mode
from aiocache_pe.tape import Tape

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
        self._response = partial(response_of, library)
        self._stream_class = stream_class

    async def answer(self, request: Any) -> Any:
        """The response to a request."""
        caching = self._caching
        if steering.mode() is Mode.BYPASS:
            return await self._send(request)
        may = caching.may_be_kept(request)
        what = caching.asked(request, await request.aread()) if may else None
        tape = steering.tape()
        if what is None:
            http_recorded.check_may_be_sent(tape, request)
            return await self._send(request)
        if tape is not None:
            return await self._recorded(tape, request, what)
        return await (self._streamed if what.streams else self._in_one_piece)(request, what)

    async def _in_one_piece(self, request: Any, what: Asked) -> Any:
        fresh: list[Fresh] = []

        async def fetch() -> dict[str, Any]:
            fresh.append(await self._fetched(request))
            return self._caching.whole(fresh[-1])

        with StaleWatch() as stale:
            wanted = self._caching.wanted(what, fetch)
            value = await self._caching.loader.get_or_load(wanted)
        if fresh and not stale:
            return self._response(
                fresh[-1].status, without_coding(fresh[-1].headers), "miss", fresh[-1].body
            )
        body = as_bytes(value["body"])
        return self._response(value["status"], value["headers"], "stale" if stale else "hit", body)

    async def _recorded(self, tape: Tape, request: Any, what: Asked) -> Any:
        fresh: list[Fresh] = []

        async def fetch() -> dict[str, Any]:
            fresh.append(await self._fetched(request))
            return http_recorded.recorded(fresh[-1], streams=what.streams)

        answer = await tape.answer(http_recorded.call_of(what, self._caching.loader), fetch)
        given = http_recorded.given(answer, fresh)
        if not what.streams:
            return self._response(*given[:3], b"".join(given.chunks))
        stream = self._stream_class(_replayed(given.chunks), None)
        return self._response(*given[:3], stream=stream)

    async def _fetched(self, request: Any) -> Fresh:
        response = await self._send(request)
        response.request = request
        try:
            body = await response.aread()
        finally:
            await response.aclose()
        return Fresh(response.status_code, response.headers.multi_items(), body)

    async def _streamed(self, request: Any, what: Asked) -> Any:
        loader = self._caching.loader
        wanted = self._caching.wanted(what, lambda: None)
        space = loader.space
        value: Any = MISSING
        if steering.mode() is not Mode.REFRESH:
            value = await space.load(wanted.key)
        kept = chunks_of(value)
        if kept is not None:
            stream = self._stream_class(_replayed(kept), None)
            return self._response(value["status"], value["headers"], "hit", stream=stream)
        space.missed(wanted.key)
        tokens = await loader.computing.tokens(wanted.tags)
        response = await self._send(request)
        response.request = request
        headers = response.headers.multi_items()
        keep = response.status_code == OK and steering.mode() is not Mode.READ_ONLY
        passing = Passing(self._caching, wanted, tokens, headers, keep=keep)

        async def chunks() -> AsyncIterator[bytes]:
            async for chunk in response.aiter_bytes():
                yield passing.take(chunk)
            await passing.end()

        async def close() -> None:
            try:
                await response.aclose()
            finally:
                await passing.end()

        stream = self._stream_class(chunks(), close)
        return self._response(response.status_code, without_coding(headers), "miss", stream=stream)


async def _replayed(chunks: list[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
