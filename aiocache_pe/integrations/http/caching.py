"""HTTP caching shared by the async and the blocking transports of httpx and httpx2."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, NoReturn, TypeVar, cast

import msgspec

from aiocache_pe import context
from aiocache_pe._validation import check_names
from aiocache_pe.context import Mode
from aiocache_pe.decorators.streams.chunk_buffer import ChunkBuffer
from aiocache_pe.engine.computation import Computation
from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.integrations.http import recording
from aiocache_pe.integrations.http.pairs import check_inner, refuse_use_as_client
from aiocache_pe.integrations.http.request_control import HEADER, RequestControl
from aiocache_pe.integrations.http.requests import (
    CacheableRequest,
    get_read_timeout,
    identify_account,
)
from aiocache_pe.integrations.http.responses import (
    OK,
    FetchedResponse,
    Headers,
    decode_stream,
    drop_transfer_headers,
    encode_body,
    is_framed,
    read_headers,
    read_protocol,
    select_headers,
    write_headers,
    write_protocol,
)
from aiocache_pe.integrations.http.settings import HttpCaching, is_storable
from aiocache_pe.integrations.http.shared_streams import OpenedStream, StreamSeat
from aiocache_pe.integrations.http.usage_eraser import erase_usage
from aiocache_pe.loading.compute import SharedComputation
from aiocache_pe.loading.copying import Outcome
from aiocache_pe.loading.loader import Loader
from aiocache_pe.loading.options import (
    LoadRequest,
)
from aiocache_pe.loading.watch import Watch, make_recorded
from aiocache_pe.observation import ObservedCall
from aiocache_pe.runtime.threads import call_in_thread
from aiocache_pe.sentinels import DEFAULT, MISSING, Missing

Transport = TypeVar("Transport")
Request = TypeVar("Request")
Response = TypeVar("Response")
T = TypeVar("T")

logger = logging.getLogger("aiocache_pe")

EXTENSION = "aiocache_pe"
"""The extension of a response with its `ObservedCall`."""

_BAD_REQUEST = 400
_LARGE_BYTES = 256 * 1024
"""Size of a stream from which it is checked in a thread."""


@dataclass
class StreamCapture:
    """Copy of a stream that is made while its chunks pass, and stored at the end.

    SDKs stop reading at the last event and close the stream. Therefore the capture ends when
    the stream is closed, not only when its last chunk has passed.

    Args:
        request: the request that was sent.
        load: the loader's request of its entry.
        shared: its computation, which began before the request was sent.
        is_framed: whether the response says where its body ends.
        is_open: whether to store the stream.
        reached_end: whether the last chunk has passed.

    Attributes:
        call: the observed call, which gets the reason if the stream is not stored.
    """

    caching: HttpCaching
    request: CacheableRequest
    load: LoadRequest
    shared: SharedComputation
    headers: Headers
    protocol: dict[str, str]
    is_framed: bool
    is_open: bool
    reached_end: bool = False

    def __post_init__(self) -> None:
        self._monotonic = self.caching.loader.namespace.monotonic
        self._start = self._monotonic()
        self._buffer = ChunkBuffer()
        self.call = self.caching.describe(self.request, Outcome(None, "miss"))

    def add(self, chunk: bytes) -> bytes:
        """Copy a chunk, and return it."""
        if self.is_open:
            self._buffer.add(chunk)
        return chunk

    def make_opened(self, chunks: Any) -> OpenedStream:
        """Return the response with its started generator of chunks, for all its readers."""
        return OpenedStream(
            *(OK, self.headers, chunks), protocol=self.protocol, call=self.call, shared=self.shared
        )

    async def put(self) -> None:
        """Store the stream if it is complete; at the first call only."""
        if not self.is_open:
            return
        self.is_open = False
        buffer, self._buffer = self._buffer, ChunkBuffer()
        if buffer.error is not None:
            self.caching.loader.namespace.count_failure("encode", buffer.error)
            self._refuse(str(buffer.error))
            return
        chunks: list[bytes] = buffer.make_value()["chunks"]
        reached_end = self.reached_end and self.is_framed
        response = FetchedResponse(OK, self.headers, b"".join(chunks), self.protocol, reached_end)
        make = partial(self.caching.make_stream_item, self.request, response, chunks)
        is_large = len(response.body) > _LARGE_BYTES
        made = await call_in_thread(make) if is_large else make()
        if isinstance(made, str):
            self._refuse(made)
            return
        value, usage = made
        seconds = self._monotonic() - self._start
        tokens, policy = self.shared.computation.tokens or {}, self.load.policy
        put = self.caching.loader.computer.put
        await put(value, policy, tokens, seconds, self.shared, usage=usage)
        self._refuse(self.shared.computation.reason)

    def _refuse(self, reason: str) -> None:
        """Note the reason for which the stream is not stored, if there is one."""
        if reason:
            self.call.outcome, self.call.reason = "unstorable", reason


class Turn:
    """One attempt of a caller to get a response, from the cache, another caller or the server.

    Attributes:
        request: the request.
        has_begun: whether the caller sends its own request.
        fetched: its response.
        is_over: whether the time-out of the request has expired.
    """

    def __init__(self, transport: CachingTransport[Any, Any, Any], request: Any) -> None:
        self._transport = transport
        self.request = request
        self.has_begun = self.is_over = False
        self._timer: asyncio.Timeout | None = None
        self.fetched: FetchedResponse | None = None

    async def load(self, load: LoadRequest) -> Outcome:
        """Return the outcome of a load; the errors are those of `wait`."""
        compute = load.factory

        def begin() -> Any:
            self.begin()
            return compute()

        return await self.wait(self._transport.loader.get_or_compute(load._replace(factory=begin)))

    def begin(self) -> None:
        """Note that the caller sends its own request: its connection has the time-outs now."""
        self.has_begun = True
        if self._timer is not None and not self._timer.expired():
            self._timer.reschedule(None)

    async def wait(self, work: Awaitable[T]) -> T:
        """Return the result of work; the time-out of the request bounds the wait for others.

        Raises:
            Exception: the time-out has expired, or the work raised it.
        """
        timer = asyncio.timeout(get_read_timeout(self.request))
        try:
            async with timer:
                self._timer = timer
                return await work
        except TimeoutError as error:
            if not timer.expired():
                raise
            self.is_over = True
            raise self._transport.make_timeout(self.request) from error
        finally:
            self._timer = None

    def may_have(self, value: Any) -> bool:
        """Return whether the caller may have a value: its own, a stored one or its account's."""
        if self.has_begun or is_storable(value):
            return True
        return bool(value["account"] == identify_account(self.request))


class CachingTransport(Generic[Transport, Request, Response]):
    """Base of the async and the blocking transports: decisions and responses, without I/O.

    A subclass for a library sets ``_library`` to its module.

    Args:
        cache: the cache, async or blocking; by default the process's shared cache.
        transport: the transport that sends requests; by default one of the library.
        settings: the other settings of `HttpCaching`.
    """

    _library: Any
    _streams_class: Callable[[], Any]
    _send_method: str  # the name of an inner transport's method that sends a request
    _send: Callable[[Any], Any]
    _answer_whole: Callable[[CacheableRequest, Any], Any]
    _answer_stream: Callable[[CacheableRequest, Any], Any]
    _answer_recorded: Callable[[context.Cassette, CacheableRequest, Any], Any]
    _open_seat: Callable[[StreamSeat, Any], Any]
    _make_inner: Callable[[], Any]
    _make_stream_class: Callable[[], Callable[..., Any]]

    def __init__(
        self, cache: Any = None, *, transport: Transport | None = None, **settings: Any
    ) -> None:
        accepted: Any = HttpCaching.__init__.__kwdefaults__
        check_names(type(self).__name__, settings, accepted)
        self._caching = HttpCaching(cache, **settings)
        self._loader = self._caching.loader
        if transport is not None:
            check_inner(self, self._library, transport, self._send_method)
        self._inner = self._make_inner() if transport is None else cast("Any", transport)
        self._stream_class = self._make_stream_class()
        self._streams = self._streams_class()

    def _watch(self, control: context.Control, request: Any) -> Watch:
        """Return the watch of a request, which bypasses the cache unless its call is noted."""
        watch = Watch(control, f"{request.url.host}{request.url.path}")
        watch.note_bypass("bypass()")
        return watch

    def _note_response(self, watch: Watch, request: Any, response: Any) -> None:
        """Note the call of a response, or the reason for which the request is not cached."""
        call = response.extensions.get(EXTENSION)
        if call is not None:
            watch.note_call(call)
        elif watch.control.mode is not Mode.BYPASS:
            watch.note_bypass(self._caching.explain(request))

    def _drop_control(self, request: Any) -> Any:
        """Return a request without the header that controls it."""
        # The client needs the original: it makes the request after a redirect from it.
        headers = [each for each in request.headers.raw if each[0].lower() != HEADER.encode()]
        return self._copy_request(request, headers, request.extensions)

    def _copy_request(self, request: Any, headers: Any, extensions: dict[str, Any]) -> Any:
        return self._library.Request(
            request.method,
            request.url,
            headers=headers,
            stream=request.stream,
            extensions=extensions,
        )

    def _respond_to_error(self, request: Any, error: ConfigurationError) -> Any:
        """Return the response to a request that is not sent, which SDKs raise and do not retry."""
        details = {"type": "invalid_request_error", "message": str(error)}
        body = msgspec.json.encode({"type": "error", "error": details})
        headers = [("content-type", "application/json")]
        function = f"{request.url.host}{request.url.path}"
        call = ObservedCall(function=function, outcome="bypassed", reason=str(error))
        return self._respond(_BAD_REQUEST, headers, {}, call, body, origin="refused")

    def _parse(
        self, control: RequestControl, request: Any, content: bytes | None
    ) -> CacheableRequest | None:
        """Return the parts of a request that may be cached, with the lifetime that it asks for."""
        parsed = None if content is None else self._caching.parse_request(request, content)
        if parsed is not None and control.ttl is not DEFAULT:
            parsed = parsed._replace(ttl=control.ttl)
        return parsed

    def _choose_handler(
        self, request: Any, parsed: CacheableRequest | None
    ) -> Callable[[Any], Any]:
        """Return the function that answers a request, by its parts if it may be cached."""
        cassette = context.current_cassette()
        if parsed is None:
            recording.check_may_be_sent(cassette, request)
            return self._send
        if cassette is not None:
            return partial(self._answer_recorded, cassette, parsed)
        if parsed.state:
            logger.debug(
                "namespace %r: the response of %s is not stored: it depends on a state of the "
                "server (%s)",
                self._loader.namespace.name,
                parsed.description,
                parsed.state,
            )
            return self._send
        return partial(self._answer_stream if parsed.streams else self._answer_whole, parsed)

    def _make_failure(self, request: Any, response: Any, body: bytes) -> OpenedStream:
        headers, protocol = read_headers(response), read_protocol(response)
        account = identify_account(request)
        return OpenedStream(response.status_code, headers, None, body, protocol, account)

    def _make_capture(
        self, parsed: CacheableRequest, load: LoadRequest, computation: Computation, response: Any
    ) -> StreamCapture:
        return StreamCapture(
            self._caching,
            parsed,
            load,
            SharedComputation(self._loader.namespace, computation),
            read_headers(response),
            read_protocol(response),
            is_framed(response),
            is_open=context.current_mode() is not Mode.READ_ONLY,
        )

    @property
    def timeout(self) -> NoReturn:
        """Raise the error for a transport that an SDK received instead of a client."""
        refuse_use_as_client(self)

    @property
    def loader(self) -> Loader:
        """Return the loader of the cache."""
        return self._loader

    def make_timeout(self, request: Any) -> Exception:
        """Return the error for a request whose time-out expires while it waits for another."""
        error: Exception = self._library.ReadTimeout(
            "the read time-out expired before the answer to the same request of another caller "
            "arrived",
            request=request,
        )
        return error

    def _respond_to_outcome(
        self, request: CacheableRequest, outcome: Outcome, response: FetchedResponse | None
    ) -> Any:
        """Return the response for an outcome; ``response`` is the caller's own, if it has one."""
        value = outcome.value
        if outcome.reason:
            outcome.reason = value.get("refusal", outcome.reason)
        call = self._caching.describe(request, outcome)
        if response is not None and outcome.source == "miss":
            headers = drop_transfer_headers(response.headers)
            return self._respond(response.status, headers, response.protocol, call, response.body)
        body = encode_body(value["body"])
        return self._respond(value["status"], value["headers"], value, call, body)

    def _respond_to_stream(self, request: CacheableRequest, found: Outcome | Missing) -> Any | None:
        """Return the response for a stored stream; ``None`` without one."""
        stored = None if found is MISSING else decode_stream(found.value)
        if found is MISSING or stored is None:
            return None
        status, headers, protocol, chunks = stored
        call, stream = self._caching.describe(request, found), self._stream_class(chunks)
        return self._respond(status, headers, protocol, call, stream=stream)

    def _respond_to_recording(
        self, answer: dict[str, Any], request: CacheableRequest, *, is_fetched: bool
    ) -> Any:
        """Return the response for a recorded answer."""
        status, headers, origin, chunks = recording.replay(answer, is_fetched=is_fetched)
        call = self._caching.describe(
            request, make_recorded(answer if origin == "hit" else MISSING)
        )
        if request.streams:
            return self._respond(status, headers, {}, call, stream=self._stream_class(chunks))
        return self._respond(status, headers, {}, call, b"".join(chunks))

    def _respond_to_seat(self, parsed: CacheableRequest, seat: StreamSeat, request: Any) -> Any:
        """Return the response for a stream in flight, or for a failure in its place."""
        status, protocol = seat.opened.status, seat.opened.protocol
        is_shared = seat.joined and seat.stream is not None
        select = select_headers if is_shared else drop_transfer_headers
        headers = select(seat.opened.headers)
        if seat.stream is None:
            failed = Outcome(None, "miss", reason="the status is not 200")
            failure = self._caching.describe(parsed, failed)
            return self._respond(status, headers, protocol, failure, seat.opened.body)
        call = seat.opened.call
        if seat.joined and seat.opened.shared is not None:
            seat.opened.shared.count_joined()
        if seat.joined or call is None:
            call = self._caching.describe(parsed, Outcome(None, "joined"))
        stream = self._open_seat(seat, request)
        return self._respond(status, headers, protocol, call, stream=stream)

    def _respond(
        self,
        status: int,
        headers: Iterable[Iterable[str]],
        protocol: Mapping[str, Any],
        call: ObservedCall,
        body: bytes | None = None,
        *,
        stream: Any = None,
        origin: str = "",
    ) -> Any:
        if self._caching.erases_usage and call.outcome in ("hit", "stale", "joined"):
            if body is not None:
                body = erase_usage(body)
            else:
                stream.erases_usage = True
        outcome = "miss" if call.outcome == "unstorable" else call.outcome
        more = [(HEADER, origin or outcome)]
        if body is not None:
            more.append(("content-length", str(len(body))))
            stream = self._stream_class([body])  # the client measures the time to read a stream
        return self._library.Response(
            status,
            headers=write_headers([*headers, *more]),
            stream=stream,
            extensions={**write_protocol(protocol), EXTENSION: call},
        )
