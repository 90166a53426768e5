"""What both transports do, the async and the blocking one, of httpx and of httpx2.

An answer is kept as it is read: decoded, so that whoever asks next need not accept the
encoding in which it came; a stream in the chunks in which it came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from aiocache_pe._validation import check_plain_function
from aiocache_pe.cache import sync_manager
from aiocache_pe.cache.default_cache import get_cache
from aiocache_pe.cache.manager import CacheManager
from aiocache_pe.integrations.http.requests import (
    CacheableRequest,
    check_headers,
    is_cacheable,
    parse_request,
)
from aiocache_pe.integrations.http.responses import ResponseCheck, check_response, check_stream
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
from aiocache_pe.sentinels import DEFAULT, Default
from aiocache_pe.ttl import TTL, Duration

HEADER = "x-aiocache-pe"
"""The response header that says where an answer is from: ``hit``, ``miss`` or ``stale``."""
OK = 200
_KEPT = ("content-type", "request-id", "x-request-id", "openai-processing-ms", "openai-version")
_NOT_OURS = ("content-encoding", "content-length", "transfer-encoding", "connection")
Pairs = list[tuple[str, str]]


class FetchedResponse(NamedTuple):
    """An answer that just came, with all its headers."""

    status: int
    headers: Pairs
    body: bytes


class HttpCaching:
    """The settings of a transport, and what becomes of requests and answers.

    Args:
        cache: where answers are kept; by default the process's shared cache.
        ttl: how long they live; by default the cache's.
        namespace: where in the cache; by default where the cache is.
        tags: names for `CacheManager.delete_by_tag`.
        vary: names of further request headers whose values tell requests apart.
        store_truncated: whether to keep answers that a limit on their length cut short.
        cacheable: a function of a request that says whether to look at it at all, instead
            of the rule that it is a POST of JSON to a path of `requests.PATHS`.
        stale_ttl: as for `aiocache_pe.cached`; of answers in one piece.
        lock: as for `aiocache_pe.cached`; of answers in one piece.

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
        manager = sync_manager.asynchronous(get_cache() if cache is None else cache)
        self._cache = manager if namespace is None else manager.namespace(namespace)
        self.loader: Loader = self._cache.loader
        options: LoadOptions = {"stale_ttl": stale_ttl, "lock": lock}
        lifetime: Lifetime = self.loader.check_ttl(ttl)
        self.policy: LoadPolicy = LoadPolicy.build(lifetime, self._is_kept, parse_options(options))
        self._tags: Sequence[str] = check_tags(tags)
        self._vary = check_headers(vary)
        self._store_truncated = store_truncated
        if cacheable is not None:
            check_plain_function("cacheable", cacheable)
        self._cacheable = cacheable

    def may_be_kept(self, request: Any) -> bool:
        """Whether to read a request, to see what it asks for."""
        if self._cacheable is not None:
            return bool(self._cacheable(request))
        return is_cacheable(
            request.method, request.url.path, request.headers.get("content-type", "")
        )

    def parse_request(self, request: Any, content: bytes) -> CacheableRequest | None:
        """What a request asks for, if its answer is to be kept."""
        return parse_request(request.method, str(request.url), request.headers, content, self._vary)

    def make_request(self, what: CacheableRequest, factory: Callable[[], Any]) -> LoadRequest:
        """The answer, in the loader's words."""
        store_key = self.loader.open_namespace().prefix + what.key
        return LoadRequest(store_key, factory, self.policy, self._tags)

    def make_stored(self, fresh: FetchedResponse) -> dict[str, Any]:
        """An answer in one piece, as it is kept if it may be (`_is_kept`)."""
        verdict = check_response(fresh.body) if fresh.status == OK else None
        keep = verdict is not None and self._is_good(verdict)
        value: dict[str, Any] = {
            "status": fresh.status,
            "headers": select_headers(fresh.headers) if keep else drop_coding(fresh.headers),
            "body": as_text(fresh.body),
        }
        if keep and verdict is not None:
            return value | _used(verdict.model, verdict.usage)
        return value | {"kept": False}

    def put_stream(self, headers: Pairs, chunks: Sequence[bytes]) -> dict[str, Any] | None:
        """A stream, as it is kept; ``None`` if it is not."""
        verdict = check_stream(b"".join(chunks))
        if not self._is_good(verdict):
            return None
        value = {
            "status": OK,
            "headers": select_headers(headers),
            "chunks": [as_text(chunk) for chunk in chunks],
        }
        return value | _used(verdict.model, verdict.usage)

    def _is_good(self, verdict: ResponseCheck) -> bool:
        return verdict.whole and (self._store_truncated or not verdict.truncated)

    def _is_kept(self, value: dict[str, Any]) -> bool:
        return value.get("kept", True) is True


class StreamCapture:
    """A stream on its way from the server, taken down as it passes.

    SDKs stop reading at the last event and close the stream, so either may be its end.

    Args:
        caching: the settings.
        wanted: what it is kept under.
        tokens: those of its tags, from before it began.
        headers: the response's.
        keep: whether to keep it at all.
    """

    def __init__(
        self,
        caching: HttpCaching,
        wanted: LoadRequest,
        tokens: Mapping[str, str],
        headers: Pairs,
        *,
        keep: bool,
    ) -> None:
        self._caching = caching
        self._wanted = wanted
        self._tokens = tokens
        self._headers = headers
        self._open = keep
        self._monotonic = caching.loader.namespace.monotonic
        self._began = self._monotonic()
        self._taken: list[bytes] = []

    def take(self, chunk: bytes) -> bytes:
        """Take down a chunk."""
        if self._open:
            self._taken.append(chunk)
        return chunk

    async def end(self) -> None:
        """Keep what was taken down, once, if it is whole."""
        if not self._open:
            return
        self._open = False
        value = self._caching.put_stream(self._headers, self._taken)
        self._taken = []
        if value is not None:
            seconds = self._monotonic() - self._began
            wanted = self._wanted
            keep = self._caching.loader.computer.put
            await keep(wanted.key, value, wanted.policy, self._tokens, seconds)


def choose_response(
    outcome: Outcome, fresh: Sequence[FetchedResponse]
) -> tuple[int, Iterable[Iterable[str]], str, bytes]:
    """Return the arguments of `make_response` for an answer in one piece.

    Args:
        outcome: the outcome of the loader.
        fresh: the responses that this call fetched; empty after a hit.
    """
    if fresh and outcome.source == "miss":
        response = fresh[-1]
        return response.status, drop_coding(response.headers), "miss", response.body
    value = outcome.value
    origin = "stale" if outcome.source == "stale" else "hit"
    return value["status"], value["headers"], origin, as_bytes(value["body"])


def split_chunks(value: Any) -> list[bytes] | None:
    """The chunks of a stream that was kept; ``None`` if this is none."""
    chunks = value.get("chunks") if isinstance(value, dict) else None
    return [as_bytes(chunk) for chunk in chunks] if isinstance(chunks, list) else None


def select_headers(headers: Pairs) -> list[list[str]]:
    """The headers that say something of the answer itself; none of them is secret."""
    return [[name, value] for name, value in headers if name.lower() in _KEPT]


def drop_coding(headers: Pairs) -> list[list[str]]:
    """All headers but those of the way an answer came, which is over."""
    return [[name, value] for name, value in headers if name.lower() not in _NOT_OURS]


def add_header(headers: Iterable[Iterable[str]], where_from: str) -> Pairs:
    """Headers, with the one that says where an answer is from."""
    return [*((name, value) for name, value in headers), (HEADER, where_from)]


def make_response(
    library: Any,
    status: int,
    headers: Iterable[Iterable[str]],
    where_from: str,
    body: bytes | None = None,
    *,
    stream: Any = None,
) -> Any:
    """A response of httpx, or of httpx2."""
    return library.Response(
        status,
        headers=add_header(headers, where_from),
        content=body,
        stream=stream,
        extensions={"http_version": b"HTTP/1.1"},
    )


def as_text(body: bytes) -> str | bytes:
    """Bytes as a text that can be read, if they are one."""
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return body


def as_bytes(body: Any) -> bytes:
    """What was given to `as_text`."""
    return body.encode("utf-8") if isinstance(body, str) else bytes(body)


def _used(model: str | None, usage: dict[str, Any] | None) -> dict[str, Any]:
    return {"model": model, "usage": usage} if usage else {}
