"""The way of a request through a blocking transport; `http_async` is its twin.

The request is sent in the thread that makes it; the loop that serves threads does the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
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
from aiocache_pe.integrations.http.shared_streams import OpenedStream, PlainSharing, StreamSeat
from aiocache_pe.loading import blocking
from aiocache_pe.loading.blocking import load_request
from aiocache_pe.sentinels import MISSING


class BlockingExchange:
    """Answers requests from the cache, or sends them on.

    Args:
        caching: the settings.
        send: sends a request to the server.
        library: httpx or httpx2.
        stream_class: makes that library's byte stream of an iterator and what closes it.
    """

    def __init__(
        self,
        caching: HttpCaching,
        send: Callable[[Any], Any],
        library: Any,
        stream_class: Any,
    ) -> None:
        self._caching = caching
        self._send = send
        self._response = partial(make_response, library)
        self._stream_class = stream_class
        self._sharing = PlainSharing()

    def answer(self, request: Any) -> Any:
        """The response to a request."""
        caching = self._caching
        if context.mode() is Mode.BYPASS:
            return self._send(request)
        may = caching.may_be_kept(request)
        what = caching.parse_request(request, request.read()) if may else None
        tape = context.current_cassette()
        if what is None:
            recording.check_may_be_sent(tape, request)
            return self._send(request)
        if tape is not None:
            return self._recorded(tape, request, what)
        return (self._streamed if what.streams else self._in_one_piece)(request, what)

    def _in_one_piece(self, request: Any, what: CacheableRequest) -> Any:
        fresh: list[FetchedResponse] = []

        def fetch() -> dict[str, Any]:
            fresh.append(self._fetched(request))
            return self._caching.make_stored(fresh[-1])

        load = self._caching.make_request(what, fetch)
        outcome = load_request(self._caching.loader.get_or_compute, load)
        return self._response(*choose_response(outcome, fresh))

    def _recorded(self, tape: Cassette, request: Any, what: CacheableRequest) -> Any:
        fresh: list[FetchedResponse] = []
        call = recording.make_call(what, self._caching.loader)

        def fetch() -> dict[str, Any]:
            fresh.append(self._fetched(request))
            return recording.record(fresh[-1], streams=what.streams)

        answer = blocking.load(lambda compute: tape.answer(call, compute), fetch)
        given = recording.replay(answer, is_fresh=bool(fresh))
        if not what.streams:
            return self._response(*given[:3], b"".join(given.chunks))
        stream = self._stream_class(iter(given.chunks), None)
        return self._response(*given[:3], stream=stream)

    def _fetched(self, request: Any) -> FetchedResponse:
        response = self._send(request)
        response.request = request
        try:
            body = response.read()
        finally:
            response.close()
        return FetchedResponse(response.status_code, response.headers.multi_items(), body)

    def _streamed(self, request: Any, what: CacheableRequest) -> Any:
        loader = self._caching.loader
        wanted = self._caching.make_request(what, lambda: None)
        space, steered = loader.namespace, context.mode()

        def open_it(settled: Callable[[], None]) -> OpenedStream:
            space.count_miss(wanted.key)
            tokens = blocking.wait_for(
                loader.computer.get_tag_tokens, wanted.tags, otherwise=dict[str, str]()
            )
            response = self._send(request)
            response.request = request
            headers = response.headers.multi_items()
            if response.status_code != OK:
                try:
                    body = response.read()
                finally:
                    response.close()
                return OpenedStream(response.status_code, headers, body=body)
            keep = steered is not Mode.READ_ONLY
            passing = StreamCapture(self._caching, wanted, tokens, headers, keep=keep)

            def chunks() -> Generator[bytes, None, None]:
                try:
                    yield b""  # from here on, closing it closes the response
                    for chunk in response.iter_bytes():
                        yield passing.take(chunk)
                finally:
                    try:
                        response.close()
                    finally:
                        try:
                            blocking.wait_or_leave(passing.end)
                        finally:
                            settled()

            begun = chunks()
            next(begun)
            return OpenedStream(response.status_code, headers, begun)

        sharing = self._sharing if steered is None else PlainSharing()
        while True:
            if steered is not Mode.REFRESH:
                value: Any = blocking.wait_for(space.get, wanted.key, otherwise=MISSING)
                kept = split_chunks(value)
                if kept is not None:
                    stream = self._stream_class(iter(kept), None)
                    return self._response(value["status"], value["headers"], "hit", stream=stream)
            place = sharing.place(wanted.key, open_it)
            if place is not None:
                return self._begun(place, wanted.key)
            sharing = PlainSharing()  # that one cannot be joined; the next is one's own

    def _begun(self, place: StreamSeat, key: str) -> Any:
        """The response to a request whose answer has begun, for oneself or for another."""
        opened, live, reader = place.opened, place.live, place.reader
        headers = drop_coding(opened.headers)
        if live is None or reader is None:
            return self._response(opened.status, headers, "miss", opened.body)
        if place.joined:
            self._caching.loader.namespace.count_hit(key)
        chunks = live.read(reader)

        def close() -> None:
            chunks.close()
            live.quit(reader)  # who never began to read has a place all the same

        stream = self._stream_class(chunks, close)
        return self._response(
            opened.status, headers, "hit" if place.joined else "miss", stream=stream
        )
