"""Async transport: the input and output of a request.

The decisions are in `aiocache_pe.integrations.http.caching`. Blocking clients use
`aiocache_pe.integrations.http.sync_transport`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, aclosing
from functools import partial
from time import monotonic
from typing import Any, NoReturn

from aiocache_pe import context
from aiocache_pe.context import Cassette, Mode
from aiocache_pe.engine.computation import Computation
from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.integrations.http import recording
from aiocache_pe.integrations.http.caching import (
    CachingTransport,
    Request,
    Response,
    StreamCapture,
    Transport,
    Turn,
)
from aiocache_pe.integrations.http.pairs import check_request, refuse_client
from aiocache_pe.integrations.http.request_control import (
    HEADER,
    NO_CONTROL,
    RequestControl,
    parse_control,
)
from aiocache_pe.integrations.http.requests import (
    MAX_TURNS,
    CacheableRequest,
    get_read_timeout,
    identify_account,
)
from aiocache_pe.integrations.http.responses import (
    OK,
    FetchedResponse,
    is_framed,
    read_headers,
    read_protocol,
)
from aiocache_pe.integrations.http.shared_streams import (
    AsyncSharedStreams,
    OpenedStream,
    StreamSeat,
)
from aiocache_pe.integrations.http.usage_eraser import erase_chunks_async
from aiocache_pe.loading.options import LoadRequest

_MAX_HOLD_SECONDS = 0.001
"""Time for which a reader of chunks that are in memory may keep other tasks from running."""


class AsyncTransport(CachingTransport[Transport, Request, Response]):
    """Transport that sends requests and caches the responses of model servers.

    Complete, successful responses are stored, whether they are streams or not. Errors are not
    stored. Identical requests at the same time are sent once. The header ``x-aiocache-pe`` of a
    response has its origin: ``hit``, ``miss`` or ``stale``. The headers of a request are neither
    stored nor part of a key, except for the few that change a response, such as
    ``anthropic-version``.
    """

    _streams_class = AsyncSharedStreams
    _send_method = "handle_async_request"

    async def handle_async_request(self, request: Request) -> Response:
        """Return the response to a request, from the cache or from the server."""
        control = context.current_control()
        if control is None or control.calls is None:
            return await self._answer(request)  # type: ignore[no-any-return]
        with self._watch(control, request) as watch:
            response = await self._answer(request)
            self._note_response(watch, request, response)
            return response  # type: ignore[no-any-return]

    def handle_request(self, request: object) -> NoReturn:
        """Raise `ConfigurationError`: this is no transport of a blocking client."""
        refuse_client(self, self._library.__name__, "Client", request)

    def __enter__(self) -> NoReturn:
        self.handle_request(None)

    async def aclose(self) -> None:
        """Close the connections; the cache stays open."""
        await self._inner.aclose()

    async def _answer(self, request: Any) -> Any:
        check_request(self, self._library, request)
        if HEADER not in request.headers:
            return await self._answer_controlled(NO_CONTROL, request)
        try:
            control = parse_control(request.headers[HEADER])
        except ConfigurationError as error:
            return self._respond_to_error(request, error)
        with control.enter():
            return await self._answer_controlled(control, self._drop_control(request))

    async def _answer_controlled(self, control: RequestControl, request: Any) -> Any:
        if context.current_mode() is Mode.BYPASS:
            return await self._send(request)
        content = await request.aread() if self._caching.is_cacheable(request) else None
        parsed = self._parse(control, request, content)
        with self._caching.number(parsed) as numbered:
            response = await self._choose_handler(request, numbered)(request)
        self._caching.note_status(parsed, numbered, response.status_code)
        return response

    async def _send(self, request: Any) -> Any:
        response = await self._inner.handle_async_request(request)
        response.request = request
        return response

    def _make_inner(self) -> Any:
        return self._library.AsyncHTTPTransport()

    def _make_stream_class(self) -> Callable[..., Any]:
        return type("ChunkStream", (_ChunkStream, self._library.AsyncByteStream), {})

    async def _answer_whole(self, parsed: CacheableRequest, request: Any) -> Any:
        for _ in range(MAX_TURNS):
            response = await self._take_turn(Turn(self, request), parsed, request)
            if response is not None:
                return response
        return await self._send(request)

    async def _take_turn(self, turn: Turn, parsed: CacheableRequest, request: Any) -> Any:
        """Return the response; ``None`` after a failure that concerns another caller only."""

        async def fetch() -> dict[str, Any]:
            turn.fetched = await self._fetch(request)
            return self._caching.make_value(parsed, turn.fetched, identify_account(request))

        load = self._caching.make_load_request(parsed, fetch)
        try:
            outcome = await turn.load(load)
        except Exception:
            if turn.has_begun or turn.is_over:
                raise
            return None
        may_have = turn.may_have(outcome.value)
        return self._respond_to_outcome(parsed, outcome, turn.fetched) if may_have else None

    async def _answer_recorded(
        self, cassette: Cassette, parsed: CacheableRequest, request: Any
    ) -> Any:
        fetched: list[FetchedResponse] = []

        async def fetch() -> dict[str, Any]:
            fetched.append(await self._fetch(request))
            return recording.make_answer(parsed, fetched[-1])

        answer = await cassette.answer(recording.make_call(parsed, self._loader), fetch)
        return self._respond_to_recording(answer, parsed, is_fetched=bool(fetched))

    async def _answer_stream(self, parsed: CacheableRequest, request: Any) -> Any:
        load = self._caching.make_load_request(parsed, lambda: None)
        control = context.current_control() or context.NO_CONTROL
        mode = control.mode
        streams = self._streams if mode is None else self._streams_class()
        turns = 0
        namespace, computer = self._loader.namespace, self._loader.computer
        while True:
            computation = namespace.make_computation(load.key, load.tags)
            if mode is Mode.REFRESH:
                await namespace.begin_all([computation], supersede=True)
            else:
                found = await computer.find(load.key, control.max_age, computation)
                response = self._respond_to_stream(parsed, found)
                if response is not None:
                    return response
            present = streams.get_present(load.key)
            if present is not None and not await computer.can_join(present, computation):
                streams.forget(present)
            if turns == MAX_TURNS:
                streams = self._streams_class()
            turns += 1
            turn = Turn(self, request)
            open_stream = partial(self._open, turn, parsed, load, computation)
            try:
                seat = await turn.wait(streams.open_or_join(computation, open_stream))
            except Exception:
                if turn.has_begun or turn.is_over:
                    raise
                continue
            if seat is None:
                streams = self._streams_class()  # that stream cannot be joined: send the request
            elif seat.stream or not seat.joined or seat.opened.account == identify_account(request):
                return self._respond_to_seat(parsed, seat, request)

    async def _open(
        self,
        turn: Turn,
        parsed: CacheableRequest,
        load: LoadRequest,
        computation: Computation,
        on_close: Callable[[], None],
    ) -> OpenedStream:
        turn.begin()
        request = turn.request
        self._loader.namespace.count_miss(load.key)
        tokens = await self._loader.computer.get_tag_tokens(load.tags)
        computation.tokens = tokens or None
        timeouts = dict(request.extensions.get("timeout") or {})
        extensions = {**request.extensions, "timeout": timeouts}
        shared = self._copy_request(request, request.headers, extensions)
        response = await self._send(shared)
        if response.status_code != OK:
            return self._make_failure(request, response, await _read(response))
        if "read" in timeouts:
            timeouts["read"] = None  # from here on, each reader has its own time-out
        capture = self._make_capture(parsed, load, computation, response)
        chunks = _iter_chunks(response, capture, on_close)
        await anext(chunks)
        return capture.make_opened(chunks)

    def _open_seat(self, seat: StreamSeat, request: Any) -> Any:
        stream, reader = seat.stream, seat.reader
        chunks = self._read_in_time(stream.read(reader), request)

        async def close() -> None:
            await chunks.aclose()
            await stream.quit(reader)  # closing a generator that never ran does not do it

        return self._stream_class(chunks, close)

    async def _read_in_time(
        self, chunks: AsyncGenerator[bytes, None], request: Any
    ) -> AsyncGenerator[bytes, None]:
        """Yield the chunks of a stream; raise the library's error for a time-out of the request."""
        async with aclosing(chunks):
            while True:
                timer = asyncio.timeout(get_read_timeout(request))
                try:
                    async with timer:
                        chunk = await anext(chunks)
                except StopAsyncIteration:
                    return
                except TimeoutError as error:
                    if not timer.expired():
                        raise
                    raise self.make_timeout(request) from error
                yield chunk

    async def _fetch(self, request: Any) -> FetchedResponse:
        response = await self._send(request)
        headers, protocol = read_headers(response), read_protocol(response)
        body = await _read(response)
        return FetchedResponse(response.status_code, headers, body, protocol, is_framed(response))


async def _read(response: Any) -> bytes:
    try:
        return await response.aread()  # type: ignore[no-any-return]
    finally:
        await response.aclose()


async def _iter_chunks(
    response: Any, capture: StreamCapture, on_close: Callable[[], None]
) -> AsyncGenerator[bytes, None]:
    async with AsyncExitStack() as stack:
        stack.callback(on_close)
        stack.push_async_callback(capture.put)
        stack.push_async_callback(response.aclose)
        yield b""  # closing a generator that never ran would not close the response
        async for chunk in response.aiter_bytes():
            yield capture.add(chunk)
        capture.reached_end = True


async def _iter_stored(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


class _ChunkStream:
    """Byte stream of chunks: stored ones, or an iterator and the function that closes it."""

    erases_usage = False

    def __init__(
        self,
        chunks: Iterable[bytes] | AsyncIterator[bytes],
        close: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._chunks = chunks
        self._close = close

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks = self._chunks
        if not isinstance(chunks, AsyncIterator):
            chunks = _iter_stored(chunks)
        if self.erases_usage:
            chunks = erase_chunks_async(chunks)
        deadline = monotonic() + _MAX_HOLD_SECONDS
        async for chunk in chunks:
            yield chunk
            if monotonic() > deadline:  # chunks that are there already suspend no task
                await asyncio.sleep(0)
                deadline = monotonic() + _MAX_HOLD_SECONDS

    async def aclose(self) -> None:
        if self._close is not None:
            await self._close()
