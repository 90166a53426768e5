"""Requests to model servers: which are worth caching, and what tells them apart.

Whoever asks does not count: no header that could hold a secret enters a key, and of a
request nothing is stored but the digest of what was asked, the server and the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import msgspec

from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.keys.call_key import make_label, make_short_key
from aiocache_pe.keys.canonical import canonicalize

PATHS = (
    "/chat/completions",
    "/completions",
    "/embeddings",
    "/responses",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/moderations",
    "/rerank",
    ":generateContent",
    ":streamGenerateContent",
    ":embedContent",
    ":batchEmbedContents",
)
"""How the paths end whose answers depend on nothing but the request."""
VARY = ("accept", "anthropic-version", "anthropic-beta", "openai-beta")
"""Headers that change an answer."""
_SECRET = ("authorization", "api-key", "apikey", "cookie", "token", "secret", "signature")
_SECRET_QUERY = frozenset(("key", "sig", "code"))


class CacheableRequest(NamedTuple):
    """A request that may be answered from the cache.

    Attributes:
        key: what its answer is kept under.
        streams: whether it asks for a stream.
        words: the server, the path and the model, for people.
        body: what was asked.
    """

    key: str
    streams: bool
    words: str
    body: dict[str, Any]


def check_headers(vary: Iterable[str]) -> tuple[str, ...]:
    """All headers that count, after checking the ones a user adds.

    Raises:
        ConfigurationError: one may hold a secret.
        TypeError: these are no header names.
    """
    if isinstance(vary, str):
        raise TypeError(f"vary is an iterable of header names, not the str {vary!r:.80}")
    names = [str(name).lower() for name in vary]
    for name in names:
        if any(word in name for word in _SECRET):
            raise ConfigurationError(
                f"vary={name!r}: a header that may hold a secret is no part of a key; to keep "
                "the answers for two accounts apart, give each a namespace"
            )
    return tuple(sorted({*VARY, *names}))


def is_cacheable(method: str, path: str, content_type: str) -> bool:
    """Whether a request asks for what a cache can hold.

    Example:
        >>> is_cacheable("POST", "/v1/embeddings", "application/json")
        True
        >>> is_cacheable("POST", "/v1/threads/thread_1/messages", "application/json")
        False
    """
    return method == "POST" and path.endswith(PATHS) and "json" in content_type


def parse_request(
    method: str, url: str, headers: Mapping[str, str], content: bytes, vary: tuple[str, ...]
) -> CacheableRequest | None:
    """What a request asks for; ``None`` if its answer is not to be kept.

    Args:
        method: as ``"POST"``.
        url: whole; a user in it does not count, nor do parameters that hold a key.
        headers: of these only those in ``vary`` count.
        content: the body.
        vary: names of headers, in small letters.
    """
    try:
        body = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(body, dict) or body.get("background"):
        return None
    parts = urlsplit(url)
    host = parts.hostname or ""
    where = host if parts.port is None else f"{host}:{parts.port}"
    query = [
        (name, value)
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
        if not _is_secret(name.lower())
    ]
    counts = {name: headers.get(name) for name in vary}
    identity = canonicalize((method, parts.scheme, where, parts.path, query, counts, body))
    model = body.get("model")
    words = f"{where}{parts.path} {make_label(model) if isinstance(model, str) else ''}".rstrip()
    streams = body.get("stream") is True or parts.path.endswith(":streamGenerateContent")
    key = f"http:{words.replace(' ', ':')[:160]}:{make_short_key(identity)}"
    return CacheableRequest(key, streams, words, body)


def _is_secret(name: str) -> bool:
    return name in _SECRET_QUERY or any(word in name for word in _SECRET)
