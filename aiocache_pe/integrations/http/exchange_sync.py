"""The way of a request through a blocking transport; `http_async` is its twin.

The request is sent in the thread that makes it; the loop that serves threads does the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import Any

from aiocache_pe import context
from aiocache_pe.context import Mode, Tape
from aiocache_pe.integrations.http import recording
from aiocache_pe.integrations.http.caching import (
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
from aiocache_pe.integrations.http.requests import Asked
from aiocache_pe.integrations.http.shared_streams import Opened, Place, PlainSharing
from aiocache_pe.loading import blocking
from aiocache_pe.loading.blocking import load_wanted
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
        self._response = partial(response_of, library)
        self._stream_class = stream_class
        self._sharing = PlainSharing()

    def answer(self, request: Any) -> Any:
        """The response to a request."""
        caching = self._caching
        if context.mode() is Mode.BYPASS:
            return self._send(request)
        may = caching.may_be_kept(request)
        what = caching.asked(request, request.read()) if may else None
        tape = context.tape()
        if what is None:
            recording.check_may_be_sent(tape, request)
            return self._send(request)
        if tape is not None:
            return self._recorded(tape, request, what)
        return (self._streamed if what.streams else self._in_one_piece)(request, what)

    def _in_one_piece(self, request: Any, what: Asked) -> Any:
        fresh: list[Fresh] = []

        def fetch() -> dict[str, Any]:
            fresh.append(self._fetched(request))
            return self._caching.whole(fresh[-1])

        with StaleWatch() as stale:
            wanted = self._caching.wanted(what, fetch)
            value = load_wanted(self._caching.loader.get_or_load, wanted)
        if fresh and not stale:
            return self._response(
                fresh[-1].status, without_coding(fresh[-1].headers), "miss", fresh[-1].body
            )
        body = as_bytes(value["body"])
        return self._response(value["status"], value["headers"], "stale" if stale else "hit", body)

    def _recorded(self, tape: Tape, request: Any, what: Asked) -> Any:
        fresh: list[Fresh] = []
        call = recording.call_of(what, self._caching.loader)

        def fetch() -> dict[str, Any]:
            fresh.append(self._fetched(request))
            return recording.recorded(fresh[-1], streams=what.streams)

        answer = blocking.load(lambda compute: tape.answer(call, compute), fetch)
        given = recording.given(answer, is_fresh=bool(fresh))
        if not what.streams:
            return self._response(*given[:3], b"".join(given.chunks))
        stream = self._stream_class(iter(given.chunks), None)
        return self._response(*given[:3], stream=stream)

    def _fetched(self, request: Any) -> Fresh:
        response = self._send(request)
        response.request = request
        try:
            body = response.read()
        finally:
            response.close()
        return Fresh(response.status_code, response.headers.multi_items(), body)

    def _streamed(self, request: Any, what: Asked) -> Any:
        loader = self._caching.loader
        wanted = self._caching.wanted(what, lambda: None)
        space, steered = loader.space, context.mode()

        def open_it(settled: Callable[[], None]) -> Opened:
            space.missed(wanted.key)
            tokens = blocking.ask(loader.computing.tokens, wanted.tags, otherwise=dict[str, str]())
            response = self._send(request)
            response.request = request
            headers = response.headers.multi_items()
            if response.status_code != OK:
                try:
                    body = response.read()
                finally:
                    response.close()
                return Opened(response.status_code, headers, body=body)
            keep = steered is not Mode.READ_ONLY
            passing = Passing(self._caching, wanted, tokens, headers, keep=keep)

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
                            blocking.ask_or_leave(passing.end)
                        finally:
                            settled()

            begun = chunks()
            next(begun)
            return Opened(response.status_code, headers, begun)

        sharing = self._sharing if steered is None else PlainSharing()
        while True:
            if steered is not Mode.REFRESH:
                value: Any = blocking.ask(space.load, wanted.key, otherwise=MISSING)
                kept = chunks_of(value)
                if kept is not None:
                    stream = self._stream_class(iter(kept), None)
                    return self._response(value["status"], value["headers"], "hit", stream=stream)
            place = sharing.place(wanted.key, open_it)
            if place is not None:
                return self._begun(place, wanted.key)
            sharing = PlainSharing()  # that one cannot be joined; the next is one's own

    def _begun(self, place: Place, key: str) -> Any:
        """The response to a request whose answer has begun, for oneself or for another."""
        opened, live, reader = place.opened, place.live, place.reader
        headers = without_coding(opened.headers)
        if live is None or reader is None:
            return self._response(opened.status, headers, "miss", opened.body)
        if place.joined:
            self._caching.loader.space.hit_once(key)
        chunks = live.read(reader)

        def close() -> None:
            chunks.close()
            live.quit(reader)  # who never began to read has a place all the same

        stream = self._stream_class(chunks, close)
        return self._response(
            opened.status, headers, "hit" if place.joined else "miss", stream=stream
        )
