"""Blocking transport: the input and output of a request.

The thread that makes a request sends it. The event loop that serves threads does the rest. The
decisions are in `aiocache_pe.integrations.http.caching`. Async clients use
`aiocache_pe.integrations.http.async_transport`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
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
from aiocache_pe.integrations.http.requests import MAX_TURNS, CacheableRequest, identify_account
from aiocache_pe.integrations.http.responses import (
    OK,
    FetchedResponse,
    is_framed,
    read_headers,
    read_protocol,
)
from aiocache_pe.integrations.http.shared_streams import (
    OpenedStream,
    StreamSeat,
    SyncSharedStreams,
)
from aiocache_pe.integrations.http.usage_eraser import erase_chunks
from aiocache_pe.loading import blocking
from aiocache_pe.loading.copying import Outcome
from aiocache_pe.loading.options import LoadRequest
from aiocache_pe.sentinels import MISSING, Missing


class SyncTransport(CachingTransport[Transport, Request, Response]):
    """Transport of a blocking client that caches the responses of model servers.

    `aiocache_pe.integrations.http.async_transport.AsyncTransport` describes the behaviour.
    """

    _streams_class = SyncSharedStreams
    _send_method = "handle_request"

    def handle_request(self, request: Request) -> Response:
        """Return the response to a request, from the cache or from the server."""
        control = context.current_control()
        if control is None or control.calls is None:
            return self._answer(request)  # type: ignore[no-any-return]
        with self._watch(control, request) as watch:
            response = self._answer(request)
            self._note_response(watch, request, response)
            return response  # type: ignore[no-any-return]

    def handle_async_request(self, request: object) -> NoReturn:
        """Raise `ConfigurationError`: this is no transport of an async client."""
        refuse_client(self, self._library.__name__, "AsyncClient", request)

    async def __aenter__(self) -> NoReturn:
        self.handle_async_request(None)

    def close(self) -> None:
        """Close the connections; the cache stays open."""
        self._inner.close()

    def _answer(self, request: Any) -> Any:
        check_request(self, self._library, request)
        if HEADER not in request.headers:
            return self._answer_controlled(NO_CONTROL, request)
        try:
            control = parse_control(request.headers[HEADER])
        except ConfigurationError as error:
            return self._respond_to_error(request, error)
        with control.enter():
            return self._answer_controlled(control, self._drop_control(request))

    def _answer_controlled(self, control: RequestControl, request: Any) -> Any:
        if context.current_mode() is Mode.BYPASS:
            return self._send(request)
        content = request.read() if self._caching.is_cacheable(request) else None
        parsed = self._parse(control, request, content)
        with self._caching.number(parsed) as numbered:
            response = self._choose_handler(request, numbered)(request)
        self._caching.note_status(parsed, numbered, response.status_code)
        return response

    def _send(self, request: Any) -> Any:
        response = self._inner.handle_request(request)
        response.request = request
        return response

    def _make_inner(self) -> Any:
        return self._library.HTTPTransport()

    def _make_stream_class(self) -> Callable[..., Any]:
        return type("ChunkStream", (_ChunkStream, self._library.SyncByteStream), {})

    def _answer_whole(self, parsed: CacheableRequest, request: Any) -> Any:
        for _ in range(MAX_TURNS):
            response = self._take_turn(Turn(self, request), parsed, request)
            if response is not None:
                return response
        return self._send(request)

    def _take_turn(self, turn: Turn, parsed: CacheableRequest, request: Any) -> Any:
        """Return the response; ``None`` after a failure that concerns another caller only."""

        def fetch() -> dict[str, Any]:
            turn.fetched = self._fetch(request)
            return self._caching.make_value(parsed, turn.fetched, identify_account(request))

        load = self._caching.make_load_request(parsed, fetch)
        try:
            outcome = blocking.load_request(turn.load, load)
        except Exception:
            if turn.has_begun or turn.is_over:
                raise
            return None
        may_have = turn.may_have(outcome.value)
        return self._respond_to_outcome(parsed, outcome, turn.fetched) if may_have else None

    def _answer_recorded(self, cassette: Cassette, parsed: CacheableRequest, request: Any) -> Any:
        fetched: list[FetchedResponse] = []
        call = recording.make_call(parsed, self._loader)

        def fetch() -> dict[str, Any]:
            fetched.append(self._fetch(request))
            return recording.make_answer(parsed, fetched[-1])

        answer = blocking.load(lambda compute: cassette.answer(call, compute), fetch)
        return self._respond_to_recording(answer, parsed, is_fetched=bool(fetched))

    def _answer_stream(self, parsed: CacheableRequest, request: Any) -> Any:
        load = self._caching.make_load_request(parsed, lambda: None)
        control = context.current_control() or context.NO_CONTROL
        mode = control.mode
        streams = self._streams if mode is None else self._streams_class()
        turns = 0
        namespace = self._loader.namespace
        while True:
            computation = namespace.make_computation(load.key, load.tags)
            if mode is Mode.REFRESH:
                begin = partial(namespace.begin_all, supersede=True)
                blocking.wait_for(begin, [computation], otherwise=None)
            else:
                find = self._loader.computer.find
                found: Outcome | Missing = blocking.wait_for(
                    find, load.key, control.max_age, computation, otherwise=MISSING
                )
                response = self._respond_to_stream(parsed, found)
                if response is not None:
                    return response
            present = streams.get_present(load.key)
            if present is not None and not blocking.wait_for(
                self._loader.computer.can_join, present, computation, otherwise=False
            ):
                streams.forget(present)
            if turns == MAX_TURNS:
                streams = self._streams_class()
            turns += 1
            turn = Turn(self, request)
            open_stream = partial(self._open, turn, parsed, load, computation)
            try:
                seat = streams.open_or_join(computation, open_stream)
            except Exception:
                if turn.has_begun:
                    raise
                continue
            if seat is None:
                streams = self._streams_class()  # that stream cannot be joined: send the request
            elif seat.stream or not seat.joined or seat.opened.account == identify_account(request):
                return self._respond_to_seat(parsed, seat, request)

    def _open(
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
        get_tokens = self._loader.computer.get_tag_tokens
        tokens = blocking.wait_for(get_tokens, load.tags, otherwise=dict[str, str]())
        computation.tokens = tokens or None
        response = self._send(request)
        if response.status_code != OK:
            return self._make_failure(request, response, _read(response))
        capture = self._make_capture(parsed, load, computation, response)
        chunks = _iter_chunks(response, capture, on_close)
        next(chunks)
        return capture.make_opened(chunks)

    def _open_seat(self, seat: StreamSeat, request: Any) -> Any:
        stream, reader = seat.stream, seat.reader
        chunks = stream.read(reader)

        def close() -> None:
            chunks.close()
            stream.quit(reader)  # closing a generator that never ran does not do it

        return self._stream_class(chunks, close)

    def _fetch(self, request: Any) -> FetchedResponse:
        response = self._send(request)
        headers, protocol = read_headers(response), read_protocol(response)
        body = _read(response)
        return FetchedResponse(response.status_code, headers, body, protocol, is_framed(response))


def _read(response: Any) -> bytes:
    try:
        return response.read()  # type: ignore[no-any-return]
    finally:
        response.close()


def _iter_chunks(
    response: Any, capture: StreamCapture, on_close: Callable[[], None]
) -> Generator[bytes, None, None]:
    with ExitStack() as stack:
        stack.callback(on_close)
        stack.callback(blocking.wait_for, capture.put, otherwise=None)
        stack.callback(response.close)
        yield b""  # closing a generator that never ran would not close the response
        for chunk in response.iter_bytes():
            yield capture.add(chunk)
        capture.reached_end = True


class _ChunkStream:
    """Byte stream of chunks: stored ones, or an iterator and the function that closes it."""

    erases_usage = False

    def __init__(self, chunks: Iterable[bytes], close: Callable[[], None] | None = None) -> None:
        self._chunks = chunks
        self._close = close

    def __iter__(self) -> Iterator[bytes]:
        yield from erase_chunks(self._chunks) if self.erases_usage else self._chunks

    def close(self) -> None:
        if self._close is not None:
            self._close()
