"""HTTP caching shared by the async and the blocking transports of httpx and httpx2.

A response is stored decoded, so that a later client need not accept the encoding in which it
arrived. A stream is stored in the chunks in which it arrived.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, NoReturn, TypeVar, cast

import msgspec

from aiocache_pe import context
from aiocache_pe._validation import check_names, check_plain_function
from aiocache_pe.cache import sync_manager
from aiocache_pe.cache.default_cache import get_cache
from aiocache_pe.cache.manager import CacheManager
from aiocache_pe.context import Mode
from aiocache_pe.decorators.streams.chunk_buffer import ChunkBuffer
from aiocache_pe.engine.computation import Computation
from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.integrations.http import recording
from aiocache_pe.integrations.http.answer_checks import AnswerCheck
from aiocache_pe.integrations.http.pairs import check_inner, refuse_use_as_client
from aiocache_pe.integrations.http.request_control import HEADER, RequestControl
from aiocache_pe.integrations.http.requests import (
    CacheableRequest,
    check_fetched,
    check_headers,
    get_read_timeout,
    identify_account,
    is_cacheable,
    make_partition,
    parse_request,
)
from aiocache_pe.integrations.http.responses import (
    OK,
    FetchedResponse,
    Headers,
    decode_body,
    decode_stream,
    drop_transfer_headers,
    encode_body,
    encode_stream,
    is_framed,
    read_headers,
    read_protocol,
    select_headers,
    write_headers,
    write_protocol,
)
from aiocache_pe.integrations.http.shared_streams import OpenedStream, StreamSeat
from aiocache_pe.keys.store_keys import check_tags
from aiocache_pe.loading.compute import SharedComputation
from aiocache_pe.loading.copying import Outcome
from aiocache_pe.loading.loader import Loader
from aiocache_pe.loading.options import (
    Lifetime,
    LoadOptions,
    LoadPolicy,
    LoadRequest,
    parse_options,
)
from aiocache_pe.recordings.redaction import redact_text
from aiocache_pe.runtime.threads import call_in_thread
from aiocache_pe.sentinels import DEFAULT, Default
from aiocache_pe.ttl import TTL, Duration

Transport = TypeVar("Transport")
Request = TypeVar("Request")
Response = TypeVar("Response")
T = TypeVar("T")

logger = logging.getLogger("aiocache_pe")

_BAD_REQUEST = 400
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
        partition: a function of a request that returns the name of its partition, such as its
            ``authorization`` header. Requests of different partitions share no answers. A digest
            of the name is part of the key; the name itself is not stored. By default all accounts
            share answers.
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
        partition: Callable[[Any], object] | None = None,
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
        for name, function in (("cacheable", cacheable), ("partition", partition)):
            if function is not None:
                check_plain_function(name, function)
        self._cacheable = cacheable
        self._partition = partition

    def is_cacheable(self, request: Any) -> bool:
        """Return whether the response may be cached, by the request without its body."""
        if self._cacheable is not None:
            return bool(self._cacheable(request))
        return is_cacheable(
            request.method, request.url.path, request.headers.get("content-type", "")
        )

    def parse_request(self, request: Any, content: bytes) -> CacheableRequest | None:
        """Return the parts of a request that matter; ``None`` if it is not to be cached."""
        url, headers = str(request.url), request.headers
        parsed = parse_request(request.method, url, headers, content, self._vary)
        if parsed is None or self._partition is None:
            return parsed
        return parsed._replace(partition=make_partition(self._partition(request)))

    def make_load_request(
        self, request: CacheableRequest, factory: Callable[[], Any]
    ) -> LoadRequest:
        """Return the loader's request for the entry of an HTTP request."""
        store_key = self.loader.open_namespace().prefix + request.key + request.partition
        policy = self._policy
        if request.ttl is not DEFAULT:
            policy = policy._replace(ttl=request.ttl)
        return LoadRequest(store_key, factory, policy, self._tags)

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

    def make_stream_item(
        self, request: CacheableRequest, response: FetchedResponse, chunks: Sequence[bytes]
    ) -> tuple[bytes, dict[str, Any]] | None:
        """Return the value of a stream and its usage; ``None`` if it must not be stored."""
        check = self._find_storable(request, response)
        return None if check is None else (encode_stream(response, chunks), _get_usage(check))

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
            redact_text(refusal.encode("utf-8", "replace")).decode(),
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
        shared: its computation, which began before the request was sent.
        is_framed: whether the response says where its body ends.
        is_open: whether to store the stream.
        reached_end: whether the last chunk has passed.
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

    def add(self, chunk: bytes) -> bytes:
        """Copy a chunk, and return it."""
        if self.is_open:
            self._buffer.add(chunk)
        return chunk

    def make_opened(self, chunks: Any) -> OpenedStream:
        """Return the response with its started generator of chunks, for all its readers."""
        return OpenedStream(OK, self.headers, chunks, protocol=self.protocol, shared=self.shared)

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
        make = partial(self.caching.make_stream_item, self.request, response, chunks)
        is_large = len(response.body) > _LARGE_BYTES
        made = await call_in_thread(make) if is_large else make()
        if made is not None:
            value, usage = made
            seconds = self._monotonic() - self._start
            tokens, policy = self.shared.computation.tokens or {}, self.load.policy
            put = self.caching.loader.computer.put
            await put(value, policy, tokens, seconds, self.shared, usage=usage)


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

    def _respond_to_error(self, error: ConfigurationError) -> Any:
        """Return the response to a request that is not sent, which SDKs raise and do not retry."""
        details = {"type": "invalid_request_error", "message": str(error)}
        body = msgspec.json.encode({"type": "error", "error": details})
        headers = [("content-type", "application/json")]
        return self._respond(_BAD_REQUEST, headers, {}, "refused", body)

    def _choose_handler(
        self, control: RequestControl, request: Any, content: bytes | None
    ) -> Callable[[Any], Any]:
        """Return the function that answers a request, by its body if the body was read."""
        parsed = None if content is None else self._caching.parse_request(request, content)
        if parsed is not None and control.ttl is not DEFAULT:
            parsed = parsed._replace(ttl=control.ttl)
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
        stored = decode_stream(value)
        if stored is None:
            return None
        status, headers, protocol, chunks = stored
        return self._respond(status, headers, protocol, "hit", stream=self._stream_class(chunks))

    def _respond_to_recording(
        self, answer: dict[str, Any], request: CacheableRequest, *, is_fetched: bool
    ) -> Any:
        """Return the response for a recorded answer."""
        status, headers, origin, chunks = recording.replay(answer, is_fetched=is_fetched)
        if request.streams:
            return self._respond(status, headers, {}, origin, stream=self._stream_class(chunks))
        return self._respond(status, headers, {}, origin, b"".join(chunks))

    def _respond_to_seat(self, seat: StreamSeat, request: Any) -> Any:
        """Return the response for a stream in flight, or for a failure in its place."""
        status, protocol = seat.opened.status, seat.opened.protocol
        is_shared = seat.joined and seat.stream is not None
        select = select_headers if is_shared else drop_transfer_headers
        headers = select(seat.opened.headers)
        if seat.stream is None:
            return self._respond(status, headers, protocol, "miss", seat.opened.body)
        if seat.joined and seat.opened.shared is not None:
            seat.opened.shared.count_joined()
        origin = "hit" if seat.joined else "miss"
        return self._respond(
            status, headers, protocol, origin, stream=self._open_seat(seat, request)
        )

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


def _is_storable(value: dict[str, Any] | bytes) -> bool:
    return isinstance(value, bytes) or value.get("is_storable", True) is True


def _get_usage(check: AnswerCheck) -> dict[str, Any]:
    return {"model": check.model, "usage": check.usage} if check.usage else {}
