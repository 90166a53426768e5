"""HTTP caching shared by the async and the blocking transports of httpx and httpx2.

A response is stored decoded, so that a later client need not accept the encoding in which it
arrived. A stream is stored in the chunks in which it arrived.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar, cast

from aiocache_pe import context
from aiocache_pe._validation import check_plain_function
from aiocache_pe.cache import sync_manager
from aiocache_pe.cache.default_cache import get_cache
from aiocache_pe.cache.manager import CacheManager
from aiocache_pe.context import Mode
from aiocache_pe.decorators.streams.chunk_buffer import ChunkBuffer
from aiocache_pe.engine.engine import Computation
from aiocache_pe.integrations.http import recording
from aiocache_pe.integrations.http.answer_checks import AnswerCheck
from aiocache_pe.integrations.http.requests import (
    CacheableRequest,
    check_fetched,
    check_headers,
    get_read_timeout,
    identify_account,
    is_cacheable,
    parse_request,
)
from aiocache_pe.integrations.http.responses import (
    OK,
    FetchedResponse,
    Headers,
    decode_body,
    decode_chunks,
    drop_transfer_headers,
    encode_body,
    is_framed,
    read_headers,
    read_protocol,
    select_headers,
    write_headers,
    write_protocol,
)
from aiocache_pe.integrations.http.shared_streams import OpenedStream, StreamSeat
from aiocache_pe.keys.store_keys import check_tags
from aiocache_pe.loading.copying import Outcome
from aiocache_pe.loading.loader import Loader
from aiocache_pe.loading.options import (
    Lifetime,
    LoadOptions,
    LoadPolicy,
    LoadRequest,
    parse_options,
)
from aiocache_pe.runtime.threads import call_in_thread
from aiocache_pe.sentinels import DEFAULT, Default
from aiocache_pe.ttl import TTL, Duration

Transport = TypeVar("Transport")
Request = TypeVar("Request")
Response = TypeVar("Response")

logger = logging.getLogger("aiocache_pe")

HEADER = "x-aiocache-pe"
"""The response header with the origin of a response: ``hit``, ``miss`` or ``stale``."""

_LARGE_BYTES = 256 * 1024
"""Size of a stream from which it is checked in a thread."""


class HttpCaching:
    """Settings of a transport, and the requests and values that follow from them.

    Args:
        cache: the cache, async or blocking; by default the process's shared cache.
        ttl: the lifetime of responses; by default the cache's.
        namespace: the namespace of the entries; by default the cache's.
        tags: names for `CacheManager.delete_by_tag`.
        vary: names of further request headers that are part of the key.
        store_truncated: store responses that were truncated by a limit on their length.
        cacheable: a function of a request that returns whether to cache its response. It
            replaces the rule that the request is a POST of JSON to a path of `requests.PATHS`. The
            request may have any method and any body.
        stale_ttl: as for `aiocache_pe.cached`; for responses that are not streams.
        lock: as for `aiocache_pe.cached`; for responses that are not streams.

    Raises:
        ConfigurationError: a setting cannot work, or a header in ``vary`` may be secret.
    """

    def __init__(
        self,
        cache: CacheManager | sync_manager.CacheManager | None = None,
        *,
        ttl: TTL | Default = DEFAULT,
        namespace: str | None = None,
        tags: Iterable[str] = (),
        vary: Iterable[str] = (),
        store_truncated: bool = False,
        cacheable: Callable[[Any], object] | None = None,
        stale_ttl: Duration | None = None,
        lock: bool | Duration = True,
    ) -> None:
        manager = sync_manager.get_async_manager(get_cache() if cache is None else cache)
        self._cache = manager if namespace is None else manager.namespace(namespace)
        self.loader: Loader = self._cache.loader
        options: LoadOptions = {"stale_ttl": stale_ttl, "lock": lock}
        lifetime: Lifetime = self.loader.check_ttl(ttl)
        self._policy = LoadPolicy.build(lifetime, _is_storable, parse_options(options))
        self._tags: Sequence[str] = check_tags(tags)
        self._vary = check_headers(vary)
        self._store_truncated = store_truncated
        if cacheable is not None:
            check_plain_function("cacheable", cacheable)
        self._cacheable = cacheable

    def is_cacheable(self, request: Any) -> bool:
        """Return whether the response may be cached, by the request without its body."""
        if self._cacheable is not None:
            return bool(self._cacheable(request))
        return is_cacheable(
            request.method, request.url.path, request.headers.get("content-type", "")
        )

    def parse_request(self, request: Any, content: bytes) -> CacheableRequest | None:
        """Return the parts of a request that matter; ``None`` if it is not to be cached."""
        return parse_request(request.method, str(request.url), request.headers, content, self._vary)

    def make_load_request(
        self, request: CacheableRequest, factory: Callable[[], Any]
    ) -> LoadRequest:
        """Return the loader's request for the entry of an HTTP request."""
        store_key = self.loader.open_namespace().prefix + request.key
        return LoadRequest(store_key, factory, self._policy, self._tags)

    def make_value(
        self, request: CacheableRequest, response: FetchedResponse, account: bytes
    ) -> dict[str, Any]:
        """Return the value of a response that is not a stream.

        A response that must not be stored has a value too, for the callers of the same account
        that wait for it.
        """
        check = self._find_storable(request, response)
        if check is None:
            headers, rest = (
                drop_transfer_headers(response.headers),
                {"is_storable": False, "account": account},
            )
        else:
            headers, rest = select_headers(response.headers), _get_usage(check)
        body = decode_body(response.body)
        head = {"status": response.status, "headers": headers, **response.protocol}
        return {**head, "body": body, **rest}

    def make_stream_value(
        self, request: CacheableRequest, response: FetchedResponse, chunks: Sequence[bytes]
    ) -> dict[str, Any] | None:
        """Return the value of a stream; ``None`` if it must not be stored."""
        check = self._find_storable(request, response)
        if check is None:
            return None
        value = {
            "status": response.status,
            "headers": select_headers(response.headers),
            **response.protocol,
            "body": decode_body(response.body),
            "sizes": list(map(len, chunks)),  # decoded faster than a list of texts
        }
        return value | _get_usage(check)

    def _find_storable(
        self, request: CacheableRequest, response: FetchedResponse
    ) -> AnswerCheck | None:
        """Return the check of a response that may be stored; ``None`` for any other."""
        check = check_fetched(request, response)
        refusal = check.refusal
        if not refusal and check.truncated and not self._store_truncated:
            refusal = "a limit on its length cut it short; see store_truncated="
        if not refusal:
            return check
        namespace = self.loader.namespace.name
        logger.debug(
            "namespace %r: the response of %s with status %d is not stored: %s",
            namespace,
            request.description,
            response.status,
            refusal,
        )
        return None


@dataclass
class StreamCapture:
    """Copy of a stream that is made while its chunks pass, and stored at the end.

    SDKs stop reading at the last event and close the stream. Therefore the capture ends when
    the stream is closed, not only when its last chunk has passed.

    Args:
        request: the request that was sent.
        load: the loader's request of its entry.
        computation: its computation, which began before the request was sent.
        is_framed: whether the response says where its body ends.
        is_open: whether to store the stream.
        reached_end: whether the last chunk has passed.
    """

    caching: HttpCaching
    request: CacheableRequest
    load: LoadRequest
    computation: Computation
    headers: Headers
    protocol: dict[str, str]
    is_framed: bool
    is_open: bool
    reached_end: bool = False

    def __post_init__(self) -> None:
        self._monotonic = self.caching.loader.namespace.monotonic
        self._start = self._monotonic()
        self._buffer = ChunkBuffer()

    def add(self, chunk: bytes) -> bytes:
        """Copy a chunk, and return it."""
        if self.is_open:
            self._buffer.add(chunk)
        return chunk

    async def put(self) -> None:
        """Store the stream if it is complete; at the first call only."""
        if not self.is_open:
            return
        self.is_open = False
        buffer, self._buffer = self._buffer, ChunkBuffer()
        if buffer.error is not None:
            self.caching.loader.namespace.count_failure("encode", buffer.error)
            return
        chunks: list[bytes] = buffer.make_value()["chunks"]
        reached_end = self.reached_end and self.is_framed
        response = FetchedResponse(OK, self.headers, b"".join(chunks), self.protocol, reached_end)
        make = partial(self.caching.make_stream_value, self.request, response, chunks)
        is_large = len(response.body) > _LARGE_BYTES
        value = await call_in_thread(make) if is_large else make()
        if value is not None:
            seconds = self._monotonic() - self._start
            tokens, policy = self.computation.tokens or {}, self.load.policy
            put = self.caching.loader.computer.put
            await put(value, policy, tokens, seconds, self.computation)


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
        self.fetched: FetchedResponse | None = None

    async def load(self, load: LoadRequest) -> Outcome:
        """Return the outcome of a load; the time-out of the request bounds the wait for others.

        Raises:
            Exception: the time-out has expired, or the factory raised it.
        """
        compute, is_waiting = load.factory, True
        timer = asyncio.timeout(get_read_timeout(self.request))

        def begin() -> Any:
            self.has_begun = True
            if is_waiting and not timer.expired():
                timer.reschedule(None)  # from here on, the connection has the time-outs
            return compute()

        try:
            async with timer:
                get_or_compute = self._transport.loader.get_or_compute
                return await get_or_compute(load._replace(factory=begin))
        except TimeoutError as error:
            if not timer.expired():
                raise
            self.is_over = True
            raise self._transport.make_timeout(self.request) from error
        finally:
            is_waiting = False

    def may_have(self, value: Any) -> bool:
        """Return whether the caller may have a value: its own, a stored one or its account's."""
        if self.has_begun or _is_storable(value):
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
    _send: Callable[[Any], Any]
    _answer_whole: Callable[[CacheableRequest, Any], Any]
    _answer_stream: Callable[[CacheableRequest, Any], Any]
    _answer_recorded: Callable[[context.Cassette, CacheableRequest, Any], Any]
    _open_seat: Callable[[StreamSeat], Any]
    _make_inner: Callable[[], Any]
    _make_stream_class: Callable[[], Callable[..., Any]]

    def __init__(
        self, cache: Any = None, *, transport: Transport | None = None, **settings: Any
    ) -> None:
        self._caching = HttpCaching(cache, **settings)
        self._loader = self._caching.loader
        self._inner = self._make_inner() if transport is None else cast("Any", transport)
        self._stream_class = self._make_stream_class()
        self._streams = self._streams_class()

    def _choose_handler(self, request: Any, content: bytes | None) -> Callable[[Any], Any]:
        """Return the function that answers a request, by its body if the body was read."""
        parsed = None if content is None else self._caching.parse_request(request, content)
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
            computation,
            read_headers(response),
            read_protocol(response),
            is_framed(response),
            is_open=context.current_mode() is not Mode.READ_ONLY,
        )

    @property
    def loader(self) -> Loader:
        """Return the loader of the cache."""
        return self._loader

    def make_timeout(self, request: Any) -> Exception:
        """Return the error for a request whose time-out expires while it waits for another."""
        error: Exception = self._library.ReadTimeout(
            "the time-out expired before the answer to the same request of another caller arrived",
            request=request,
        )
        return error

    def _respond_to_outcome(self, outcome: Outcome, response: FetchedResponse | None) -> Any:
        """Return the response for an outcome; ``response`` is the caller's own, if it has one."""
        if response is not None and outcome.source == "miss":
            headers = drop_transfer_headers(response.headers)
            return self._respond(response.status, headers, response.protocol, "miss", response.body)
        value = outcome.value
        origin = "stale" if outcome.source == "stale" else "hit"
        body = encode_body(value["body"])
        return self._respond(value["status"], value["headers"], value, origin, body)

    def _respond_to_stream_value(self, value: Any) -> Any | None:
        """Return the response for a stored stream; ``None`` if the value is not one."""
        chunks = decode_chunks(value)
        if chunks is None:
            return None
        stream = self._stream_class(chunks)
        return self._respond(value["status"], value["headers"], value, "hit", stream=stream)

    def _respond_to_recording(
        self, answer: dict[str, Any], request: CacheableRequest, *, is_fetched: bool
    ) -> Any:
        """Return the response for a recorded answer."""
        status, headers, origin, chunks = recording.replay(answer, is_fetched=is_fetched)
        if request.streams:
            return self._respond(status, headers, {}, origin, stream=self._stream_class(chunks))
        return self._respond(status, headers, {}, origin, b"".join(chunks))

    def _respond_to_seat(self, seat: StreamSeat, key: str) -> Any:
        """Return the response for a stream in flight, or for a failure in its place."""
        status, protocol = seat.opened.status, seat.opened.protocol
        is_shared = seat.joined and seat.stream is not None
        select = select_headers if is_shared else drop_transfer_headers
        headers = select(seat.opened.headers)
        if seat.stream is None:
            return self._respond(status, headers, protocol, "miss", seat.opened.body)
        if seat.joined:
            self._loader.namespace.count_hit(key)
        origin = "hit" if seat.joined else "miss"
        return self._respond(status, headers, protocol, origin, stream=self._open_seat(seat))

    def _respond(
        self,
        status: int,
        headers: Iterable[Iterable[str]],
        protocol: Mapping[str, Any],
        origin: str,
        body: bytes | None = None,
        *,
        stream: Any = None,
    ) -> Any:
        more = [(HEADER, origin)]
        if body is not None:
            more.append(("content-length", str(len(body))))
            stream = self._stream_class([body])  # the client measures the time to read a stream
        return self._library.Response(
            status,
            headers=write_headers([*headers, *more]),
            stream=stream,
            extensions=write_protocol(protocol),
        )


def _is_storable(value: dict[str, Any]) -> bool:
    return value.get("is_storable", True) is True


def _get_usage(check: AnswerCheck) -> dict[str, Any]:
    return {"model": check.model, "usage": check.usage} if check.usage else {}
