"""Settings of a transport, and the requests and values that follow from them.

A response is stored decoded, so that a later client need not accept the encoding in which it
arrived. A stream is stored in the chunks in which it arrived.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from aiocache_pe import context
from aiocache_pe._validation import check_plain_function
from aiocache_pe.cache import sync_manager
from aiocache_pe.cache.default_cache import get_cache
from aiocache_pe.cache.manager import CacheManager
from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.integrations.http.answer_checks import AnswerCheck
from aiocache_pe.integrations.http.requests import (
    CacheableRequest,
    check_fetched,
    check_headers,
    is_cacheable,
    make_partition,
    parse_request,
)
from aiocache_pe.integrations.http.responses import (
    OK,
    FetchedResponse,
    decode_body,
    drop_transfer_headers,
    encode_stream,
    select_headers,
)
from aiocache_pe.keys.short_keys import make_sample_key
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
from aiocache_pe.loading.sampling import SampleNumbers, check_samples
from aiocache_pe.loading.watch import describe_outcome
from aiocache_pe.observation import ObservedCall
from aiocache_pe.recordings.redaction import redact_text
from aiocache_pe.sentinels import DEFAULT, Default
from aiocache_pe.ttl import TTL, Duration

logger = logging.getLogger("aiocache_pe")


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
        usage: ``"zero"`` replaces the token counts in responses of the cache by zeros, so that
            bills and traces count each request to the server once; ``"original"`` keeps them.
        samples: the number of different responses to keep for each request. Repeated requests get
            them in turn; see `aiocache_pe.sample`.

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
        usage: Literal["original", "zero"] = "original",
        samples: int | None = None,
    ) -> None:
        manager = sync_manager.get_async_manager(get_cache() if cache is None else cache)
        self._cache = manager if namespace is None else manager.namespace(namespace)
        self.loader: Loader = self._cache.loader
        options: LoadOptions = {"stale_ttl": stale_ttl, "lock": lock}
        lifetime: Lifetime = self.loader.check_ttl(ttl)
        self._policy = LoadPolicy.build(lifetime, is_storable, parse_options(options))
        self._tags: Sequence[str] = check_tags(tags)
        self._vary = check_headers(vary)
        self._store_truncated = store_truncated
        for name, function in (("cacheable", cacheable), ("partition", partition)):
            if function is not None:
                check_plain_function(name, function)
        self._cacheable = cacheable
        if usage not in ("original", "zero"):
            raise ConfigurationError(f"usage must be 'original' or 'zero'; got {usage!r:.80}")
        self.erases_usage = usage == "zero"
        self._numbers = None if samples is None else SampleNumbers(check_samples(samples))
        self._partition = partition

    def is_cacheable(self, request: Any) -> bool:
        """Return whether the response may be cached, by the request without its body."""
        if self._cacheable is not None:
            return bool(self._cacheable(request))
        return is_cacheable(
            request.method, request.url.path, request.headers.get("content-type", "")
        )

    def explain(self, request: Any) -> str:
        """Return the reason for which a request is not cached."""
        if not self.is_cacheable(request):
            return "requests of this method, path and type are not cached; see cacheable="
        parsed = self.parse_request(request, request.content)
        if parsed is None:
            return "its body is not valid JSON"
        if not parsed.state:
            return "its header bypasses the cache"
        return f"it depends on a state of the server ({parsed.state})"

    def parse_request(self, request: Any, content: bytes) -> CacheableRequest | None:
        """Return the parts of a request that matter; ``None`` if it is not to be cached."""
        url, headers = str(request.url), request.headers
        parsed = parse_request(request.method, url, headers, content, self._vary)
        if parsed is None or self._partition is None:
            return parsed
        return parsed._replace(partition=make_partition(self._partition(request)))

    @contextmanager
    def number(self, request: CacheableRequest | None) -> Generator[CacheableRequest | None]:
        """Yield a request with the key of its sample; a request that fails keeps its number."""
        control = context.current_control() or context.NO_CONTROL
        if request is None:
            yield None
        elif control.sample is not None or self._numbers is None:
            key = control.choose_key(request.key)
            yield request._replace(key=key, sample=control.sample or 0)
        else:
            with self._numbers.use(request.key + request.partition) as number:
                yield request._replace(key=make_sample_key(request.key, number), sample=number)

    def note_status(
        self, request: CacheableRequest | None, numbered: CacheableRequest | None, status: int
    ) -> None:
        """Let the next request have the number of a sample if a response is a failure."""
        if self._numbers is None or request is None or numbered is None or status == OK:
            return
        if (context.current_control() or context.NO_CONTROL).sample is None:
            self._numbers.give_back(request.key + request.partition, numbered.sample)

    def make_load_request(
        self, request: CacheableRequest, factory: Callable[[], Any]
    ) -> LoadRequest:
        """Return the loader's request for the entry of an HTTP request."""
        store_key = self.loader.open_namespace().prefix + request.key + request.partition
        policy = self._policy
        if request.ttl is not DEFAULT:
            policy = policy._replace(ttl=request.ttl)
        return LoadRequest(store_key, factory, policy, self._tags)

    def describe(self, request: CacheableRequest, outcome: Outcome) -> ObservedCall:
        """Return the observed call for the outcome of a request."""
        namespace = self.loader.namespace
        key = namespace.prefix + request.key + request.partition
        return describe_outcome(request.description, namespace, key, outcome)

    def make_value(
        self, request: CacheableRequest, response: FetchedResponse, account: bytes
    ) -> dict[str, Any]:
        """Return the value of a response that is not a stream.

        A response that must not be stored has a value too, for the callers of the same account
        that wait for it.
        """
        check = self._check(request, response)
        if check.refusal:
            headers = drop_transfer_headers(response.headers)
            rest = {"is_storable": False, "account": account, "refusal": check.refusal}
        else:
            headers, rest = select_headers(response.headers), _get_usage(check)
        body = decode_body(response.body)
        head = {"status": response.status, "headers": headers, **response.protocol}
        return {**head, "body": body, **rest}

    def make_stream_item(
        self, request: CacheableRequest, response: FetchedResponse, chunks: Sequence[bytes]
    ) -> tuple[bytes, dict[str, Any]] | str:
        """Return the value of a stream and its usage, or the reason for which it is not stored."""
        check = self._check(request, response)
        return check.refusal or (encode_stream(response, chunks), _get_usage(check))

    def _check(self, request: CacheableRequest, response: FetchedResponse) -> AnswerCheck:
        """Return the check of a response, with the reason for which it must not be stored."""
        check = check_fetched(request, response)
        if not check.refusal and check.truncated and not self._store_truncated:
            refusal = "a limit on its length cut it short; see store_truncated="
            check = check._replace(refusal=refusal)
        if not check.refusal:
            return check
        refusal = redact_text(check.refusal.encode("utf-8", "replace")).decode()
        check = check._replace(refusal=refusal)
        namespace = self.loader.namespace.name
        logger.debug(
            "namespace %r: the response of %s with status %d is not stored: %s",
            namespace,
            request.description,
            response.status,
            check.refusal,
        )
        return check


def is_storable(value: dict[str, Any] | bytes) -> bool:
    """Return whether the value of a response may be stored."""
    return isinstance(value, bytes) or value.get("is_storable", True) is True


def _get_usage(check: AnswerCheck) -> dict[str, Any]:
    return {"model": check.model, "usage": check.usage} if check.usage else {}
