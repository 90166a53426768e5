"""HTTP responses in recordings: readable for reviewers, without parts that change every time.

A JSON body is recorded as JSON, and a stream as its events. Of the headers, only the content
type is recorded. A replayed response has the same data; the white space of a body and the
boundaries of a stream's chunks are lost.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from aiocache_pe.context import Call, Cassette
from aiocache_pe.integrations.http.requests import CacheableRequest, check_fetched
from aiocache_pe.integrations.http.responses import (
    FetchedResponse,
    decode_body,
    drop_transfer_headers,
    encode_body,
)
from aiocache_pe.loading.loader import Loader
from aiocache_pe.recordings.redaction import redact_path

_EVENT_END = "\n\n"
_CHANGING_FIELDS = frozenset(
    ("id", "created", "created_at", "completed_at", "system_fingerprint", "obfuscation")
)
_CHANGING_SUFFIX = "_id"
_TEXT_FIELDS = ("messages", "input", "prompt", "contents", "content", "parts", "text", "query")


def make_call(request: CacheableRequest, loader: Loader) -> Call:
    """Return the call to record for a request."""
    path = request.description.partition(" ")[0].split("/")
    title, text = " ".join(path[-2:]), _find_last_text(request.body)
    key = loader.open_namespace().prefix + request.key
    arguments = _get_arguments(request.body)
    if request.sample:
        arguments = {"sample": request.sample, **arguments}
    return Call(
        key,
        request.description,
        title,
        arguments,
        text,
        is_recordable=is_recordable,
        is_same=_is_same,
    )


def check_may_be_sent(cassette: Cassette | None, request: Any) -> None:
    """Raise `UnrecordedCallError` during a replay, for a request that is never recorded."""
    if cassette is not None:
        name = f"{request.method} {request.url.host}{redact_path(request.url.path)}"
        note = "not recorded by this transport: see cacheable= and PATHS"
        cassette.find(Call(f"http:{name}", f"{name} ({note})", name, {}))


def make_answer(request: CacheableRequest, response: FetchedResponse) -> dict[str, Any]:
    """Return the answer to record for a response; see `is_recordable`."""
    if check_fetched(request, response).refusal:
        return {"failure": response}
    headers = {name: value for name, value in response.headers if name.lower() == "content-type"}
    answer: dict[str, Any] = {"status": response.status, "headers": headers}
    text = decode_body(response.body)
    if isinstance(text, bytes):
        return answer | {"body": text}
    is_stream = "event-stream" in response.content_type or text.startswith(("data:", "event:"))
    if is_stream and text.endswith(_EVENT_END) and "\r" not in text:
        return answer | {"events": text.removesuffix(_EVENT_END).split(_EVENT_END)}
    parsed = None if is_stream else _parse_json(text)
    return answer | ({"body": text} if parsed is None else {"json": parsed})


def is_recordable(answer: dict[str, Any]) -> bool:
    """Return whether an answer is to be recorded: a failure only reaches its callers."""
    return "failure" not in answer


def replay(
    answer: dict[str, Any], *, is_fetched: bool
) -> tuple[int, Iterable[Iterable[str]], str, list[bytes]]:
    """Return the status, headers, origin and chunks of the response for an answer."""
    if not is_recordable(answer):
        failure = answer["failure"]
        return failure.status, drop_transfer_headers(failure.headers), "miss", [failure.body]
    origin = "miss" if is_fetched else "hit"
    return answer["status"], answer["headers"].items(), origin, _make_chunks(answer)


def _make_chunks(answer: dict[str, Any]) -> list[bytes]:
    """Return the body of a recorded answer; for a stream one chunk for each event."""
    if "events" in answer:
        return [f"{event}{_EVENT_END}".encode() for event in answer["events"]]
    if "json" in answer:
        return [json.dumps(answer["json"], ensure_ascii=False, separators=(",", ":")).encode()]
    return [encode_body(answer["body"])]


def _is_same(before: Any, after: Any) -> bool:
    """Return whether two answers are equal except for ids and times."""
    return bool(_drop_changing(before) == _drop_changing(after))


def _drop_changing(data: Any) -> Any:
    """Return data without the fields that differ in every response."""
    if isinstance(data, dict):
        return {
            name: _drop_changing(value)
            for name, value in data.items()
            if name not in _CHANGING_FIELDS and not name.endswith(_CHANGING_SUFFIX)
        }
    if isinstance(data, list):
        return [_drop_changing(item) for item in data]
    if isinstance(data, str) and "data: {" in data:  # an event
        name, _, text = data.partition("data: ")
        parsed = _parse_json(text)
        return data if parsed is None else [name, _drop_changing(parsed)]
    return data


def _parse_json(text: str) -> dict[str, Any] | list[Any] | None:
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict | list) else None


def _get_arguments(body: Any) -> dict[str, Any]:
    if body is None:
        return {}
    return body if isinstance(body, dict) else {"body": body}


def _find_last_text(body: Any) -> str:
    """Return the last text in a request: the question of a chat, for instance."""
    for name in _TEXT_FIELDS:
        part = body.get(name) if isinstance(body, dict) else None
        if isinstance(part, str):
            return part
        if isinstance(part, list) and part:
            return part[-1] if isinstance(part[-1], str) else _find_last_text(part[-1])
    return ""
