"""Requests to model servers: which of them are cached, and their keys.

The account that sends a request is not part of its key: no header that could hold a secret
enters a key. Of a request, only a digest of its contents, the server and the model are stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import msgspec

from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.integrations.http.answer_checks import (
    APIS,
    OTHER,
    AnswerCheck,
    Api,
    check_answer,
    find_api,
)
from aiocache_pe.integrations.http.responses import OK, FetchedResponse
from aiocache_pe.keys.call_key import make_label, make_short_key
from aiocache_pe.keys.canonical import canonicalize

PATHS = tuple(path for api in APIS.values() for path in api.paths)
"""Ends of the paths on which a response depends on the request alone."""
VARY = ("accept", "anthropic-version", "anthropic-beta", "openai-beta")
"""Headers that change a response."""
_SECRET_WORDS = ("authorization", "api-key", "apikey", "cookie", "token", "secret", "signature")
_SECRET_PARAMETERS = frozenset(("key", "sig", "code"))


class CacheableRequest(NamedTuple):
    """A request that the cache may answer.

    Attributes:
        key: the key of its entry, without the namespace.
        description: the server, the path and the model, for readers.
    """

    key: str
    streams: bool
    description: str
    body: dict[str, Any]
    api: Api


def check_headers(vary: Iterable[str]) -> tuple[str, ...]:
    """Return the names of all headers that are part of a key; ``vary`` adds some."""
    if isinstance(vary, str):
        raise TypeError(f"vary must be an iterable of header names; got the str {vary!r:.80}")
    names = [str(name).lower() for name in vary]
    for name in names:
        if any(word in name for word in _SECRET_WORDS):
            raise ConfigurationError(
                f"vary must not contain {name!r}, because this header may hold a secret; to keep "
                "the responses of two accounts apart, give each account a namespace"
            )
    return tuple(sorted({*VARY, *names}))


def is_cacheable(method: str, path: str, content_type: str) -> bool:
    """Return whether the response of a request may be cached.

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
    """Return the parts of a request that matter; ``None`` if it is not to be cached.

    The user in the URL, and parameters that may hold a secret, are ignored. Of the headers, those
    in ``vary`` are part of the key; their names are in lower case.
    """
    try:
        body = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(body, dict) or body.get("background"):
        return None

    parts = urlsplit(url)
    host = parts.hostname or ""
    server = host if parts.port is None else f"{host}:{parts.port}"
    query = [
        (name, value)
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
        if not _is_secret(name.lower())
    ]
    varying = {name: headers.get(name) for name in vary}
    identity = canonicalize((method, parts.scheme, server, parts.path, query, varying, body))

    model = body.get("model")
    label = make_label(model) if isinstance(model, str) else ""
    description = f"{server}{parts.path} {label}".rstrip()
    streams = body.get("stream") is True or parts.path.endswith(":streamGenerateContent")
    key = f"http:{description.replace(' ', ':')[:160]}:{make_short_key(identity)}"
    return CacheableRequest(key, streams, description, body, find_api(parts.path) or OTHER)


def check_fetched(request: CacheableRequest, response: FetchedResponse) -> AnswerCheck:
    """Check that a response is a whole, successful answer of the API of its request."""
    if response.status != OK:
        return AnswerCheck(refusal="the status is not 200")
    return check_answer(
        request.api,
        request.body,
        response.content_type,
        response.body,
        reached_end=response.reached_end,
    )


def _is_secret(parameter: str) -> bool:
    return parameter in _SECRET_PARAMETERS or any(word in parameter for word in _SECRET_WORDS)
