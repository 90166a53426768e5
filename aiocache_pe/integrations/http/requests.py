"""Requests to model servers: which of them are cached, and their keys.

The account that sends a request is not part of its key: no header that could hold a secret
enters a key. Of a request, only a digest of its contents, the server and the model are stored.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from secrets import token_bytes
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import msgspec

from aiocache_pe.exceptions import ConfigurationError, UnstableIdentityError
from aiocache_pe.integrations.http.answer_checks import (
    APIS,
    OTHER,
    AnswerCheck,
    Api,
    check_answer,
    find_api,
)
from aiocache_pe.integrations.http.responses import OK, FetchedResponse
from aiocache_pe.keys.canonical import canonicalize
from aiocache_pe.keys.short_keys import make_label, make_short_key
from aiocache_pe.recordings.redaction import redact_path
from aiocache_pe.sentinels import DEFAULT, Default

PATHS = tuple(path for api in APIS.values() for path in api.paths)
"""Ends of the paths on which a response depends on the request alone."""
VARY = ("accept", "anthropic-version", "anthropic-beta", "openai-beta")
"""Headers that change a response."""
_SECRET_WORDS = ("authorization", "api-key", "apikey", "cookie", "token", "secret", "signature")
_SECRET_PARAMETERS = frozenset(
    (
        "access_token",
        "api-key",
        "api_key",
        "apikey",
        "auth_token",
        "authorization",
        "code",  # of Azure Functions
        "key",
        "sig",
        "signature",
        "subscription-key",
        "token",
        "x-amz-credential",
        "x-amz-security-token",
        "x-amz-signature",
        "x-api-key",
        "x-goog-api-key",
        "x-goog-credential",
        "x-goog-signature",
    )
)
"""Names of query parameters that hold a secret, in lower case."""
_ACCOUNT_HEADERS = (
    "authorization",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "proxy-authorization",
    "cookie",
    "openai-organization",
    "openai-project",
)
"""Headers by which a server tells accounts apart."""
MAX_TURNS = 8
"""Failures of other callers for which a request waits before it is sent without sharing."""
_ACCOUNT_KEY = token_bytes(32)
_STATE_FIELDS = (
    "agent_id",
    "assistant_id",
    "background",
    "container",
    "conversation",
    "conversation_id",
    "data_sources",
    "previous_response_id",
    "thread_id",
)
"""Fields of a request's body that name a state on the server."""
_STATE_TOOL_FIELDS = ("container", "vector_store_ids", "fileSearch", "file_search", "retrieval")
"""Fields of a tool that name such a state."""
_STATE_SEGMENTS = frozenset(("agents", "assistant", "assistants", "conversations", "threads"))
"""Segments of paths whose responses depend on a state on the server."""
_MAX_EXACT_INTEGER = 2**53
_BOUNDARY = re.compile(r"boundary=\"?([^\";]+)\"?", re.IGNORECASE)


class CacheableRequest(NamedTuple):
    """A request that the cache may answer.

    Attributes:
        key: the key of its entry, without the namespace.
        description: the server, the path and the model, for readers; without secrets.
        body: the parsed JSON, or a description of a body that is not JSON.
        state: the name of a state on the server on which the response depends; empty without one.
            Such a response may be recorded, but not stored.
        sample: the number of its sample.
        partition: the end of the key of an entry, by which partitions differ. A recording, which
            is replayed without credentials, does not depend on it.
        ttl: the lifetime in seconds that the request asks for.
    """

    key: str
    streams: bool
    description: str
    body: Any
    api: Api
    state: str = ""
    sample: int = 0
    partition: str = ""
    ttl: float | None | Default = DEFAULT


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

    The user in the URL, and parameters that hold a secret, are ignored. Of the headers, those in
    ``vary`` are part of the key; their names are in lower case. A body that is not JSON counts by
    its bytes.
    """
    try:
        body, identity = _parse_body(headers.get("content-type", ""), content)
        parts = urlsplit(url)
        host = parts.hostname or ""
        server = host if parts.port is None else f"{host}:{parts.port}"
        query = [
            (name, value)
            for name, value in _parse_query(parts.query)
            if name.lower() not in _SECRET_PARAMETERS
        ]
        varying = {name: headers.get(name) for name in vary}
        text = canonicalize((method, parts.scheme, server, parts.path, query, varying, identity))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, UnstableIdentityError):
        return None

    fields = body if isinstance(body, dict) else {}
    model = fields.get("model")
    label = make_label(model) if isinstance(model, str) else ""
    description = f"{server}{redact_path(parts.path)} {label}".rstrip()
    streams = (
        fields.get("stream") is True
        or parts.path.endswith(":streamGenerateContent")
        or "event-stream" in headers.get("accept", "")
    )
    key = f"http:{description.replace(' ', ':')[:160]}:{make_short_key(text)}"
    api = find_api(parts.path) or OTHER
    return CacheableRequest(key, streams, description, body, api, _find_state(parts.path, fields))


def make_partition(name: object) -> str:
    """Return the end of a key for a partition; it has a digest of the partition's name.

    Raises:
        UnstableIdentityError: the name is not plain data.
    """
    return f":{make_short_key(canonicalize(name, path='the result of partition='))}"


def identify_account(request: Any) -> bytes:
    """Return a digest of a request's credentials, which has no meaning outside this process."""
    digest = blake2b(key=_ACCOUNT_KEY, digest_size=16)
    for name in _ACCOUNT_HEADERS:
        digest.update(repr((name, request.headers.get(name))).encode())
    for name, value in parse_qsl(urlsplit(str(request.url)).query):
        if name.lower() in _SECRET_PARAMETERS:
            digest.update(repr((name, value)).encode())
    return digest.digest()


def get_read_timeout(request: Any) -> float | None:
    """Return the seconds for which a request waits for data; ``None`` without a limit."""
    timeouts = request.extensions.get("timeout")
    return timeouts.get("read") if isinstance(timeouts, dict) else None


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


def _parse_query(query: str) -> list[tuple[str, str]]:
    """Return the parameters; bytes that are not UTF-8 stay apart from each other."""
    return parse_qsl(query, keep_blank_values=True, errors="surrogateescape")


def _parse_body(content_type: str, content: bytes) -> tuple[Any, Any]:
    """Return the body of a request for readers, and the part of it that is in the key."""
    if not content:
        return None, None
    if "json" in content_type:
        body = _decode_body(content)
        return body, body
    boundary = _BOUNDARY.search(content_type) if content_type.startswith("multipart/") else None
    parts = content.split(boundary[1].encode()) if boundary else [content]
    digest = blake2b(digest_size=16)
    for part in parts:  # each client makes another boundary
        digest.update(b"%d:" % len(part))
        digest.update(part)
    kind = content_type.partition(";")[0] if boundary else content_type
    described = {"content-type": kind, "digest": digest.hexdigest()}
    return described, ("content", kind, digest.hexdigest())


def _parse_number(text: str) -> int | float:
    """Return a number: an integer if it is one, because JSON has one type of numbers."""
    number = float(text)
    is_integer = number.is_integer() and abs(number) < _MAX_EXACT_INTEGER
    return int(number) if is_integer else number


_decode_body = msgspec.json.Decoder(float_hook=_parse_number).decode


def _find_state(path: str, body: dict[str, Any]) -> str:
    """Return the name of the state on the server that a request uses; empty without one."""
    for name in _STATE_FIELDS:
        if body.get(name):
            return name
    for tool in _list_objects(body.get("tools")):
        for name in _STATE_TOOL_FIELDS:
            if tool.get(name):
                return name
    if any(item.get("type") == "item_reference" for item in _list_objects(body.get("input"))):
        return "item_reference"
    prompt = body.get("prompt")
    if isinstance(prompt, dict) and prompt.get("id"):
        return "prompt"
    return next((part for part in path.split("/") if part in _STATE_SEGMENTS), "")


def _list_objects(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
