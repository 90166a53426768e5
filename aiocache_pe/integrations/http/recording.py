"""Answers over HTTP as they are recorded for tests: to be read by people, without what changes.

A body of JSON is recorded as JSON, a stream as its events. Of the headers only the content
type is. Whoever is answered from a recording gets the same data; the white space of a body,
and where a stream's chunks began and ended, are not kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from aiocache_pe.context import Call, Cassette
from aiocache_pe.integrations.http.caching import (
    OK,
    FetchedResponse,
    as_bytes,
    as_text,
    drop_coding,
)
from aiocache_pe.integrations.http.requests import CacheableRequest
from aiocache_pe.integrations.http.responses import check_response, check_stream
from aiocache_pe.loading.loader import Loader

_END = "\n\n"
_CHANGING = frozenset(
    ("id", "created", "created_at", "completed_at", "system_fingerprint", "obfuscation")
)
_CHANGING_END = "_id"


class RecordedResponse(NamedTuple):
    """What to answer a request with."""

    status: int
    headers: Iterable[Iterable[str]]
    where_from: str
    chunks: list[bytes]


def make_call(what: CacheableRequest, loader: Loader) -> Call:
    """What a request is recorded as.

    Args:
        what: what it asks for.
        loader: that of its cache.
    """
    path = what.words.partition(" ")[0].split("/")
    title, text = " ".join(path[-2:]), _last_text(what.body)
    key = loader.open_namespace().prefix + what.key
    return Call(key, what.words, title, what.body, text, is_recordable=is_recorded, is_same=_is_same)


def check_may_be_sent(tape: Cassette | None, request: Any) -> None:
    """Check that a request may be sent that is not recorded; while replaying, none may.

    Raises:
        UnrecordedCallError: it may not.
    """
    if tape is not None:
        words = f"{request.method} {request.url.host}{request.url.path}"
        note = "not recorded by this transport: see cacheable= and PATHS"
        tape.find(Call(f"http:{words}", f"{words} ({note})", words, {}))


def record(fresh: FetchedResponse, *, streams: bool) -> dict[str, Any]:
    """An answer, as it is recorded if it is worth it: whole and no failure (`is_recorded`)."""
    verdict = check_stream(fresh.body) if streams else check_response(fresh.body)
    if fresh.status != OK or not verdict.whole:
        return {"failure": fresh}
    kind = {name: value for name, value in fresh.headers if name.lower() == "content-type"}
    answer: dict[str, Any] = {"status": fresh.status, "headers": kind}
    text = as_text(fresh.body)
    if isinstance(text, bytes):
        return answer | {"body": text}
    if streams and text.endswith(_END) and "\r" not in text:
        return answer | {"events": text.removesuffix(_END).split(_END)}
    parsed = None if streams else _parsed(text)
    return answer | ({"body": text} if parsed is None else {"json": parsed})


def is_recorded(answer: dict[str, Any]) -> bool:
    """Whether an answer is one to record; a failure is told, to all who asked, and no more."""
    return "failure" not in answer


def replay(answer: dict[str, Any], *, is_fresh: bool) -> RecordedResponse:
    """What to answer with, whether it was recorded or not.

    Args:
        answer: as `recorded` made it.
        is_fresh: whether it was sent for by whoever is to be answered.
    """
    if not is_recorded(answer):
        status, headers, body = answer["failure"]
        return RecordedResponse(status, drop_coding(headers), "miss", [body])
    where_from = "miss" if is_fresh else "hit"
    return RecordedResponse(
        answer["status"], answer["headers"].items(), where_from, _chunks(answer)
    )


def _chunks(answer: dict[str, Any]) -> list[bytes]:
    """The body of a recorded answer; a stream's, by its events."""
    if "events" in answer:
        return [f"{event}{_END}".encode() for event in answer["events"]]
    if "json" in answer:
        return [json.dumps(answer["json"], ensure_ascii=False, separators=(",", ":")).encode()]
    return [as_bytes(answer["body"])]


def _is_same(before: Any, now: Any) -> bool:
    """Whether two answers say the same, for whoever asks; each has an id of its own."""
    return bool(_lasting(before) == _lasting(now))


def _lasting(data: Any) -> Any:
    """Data without what is different in every answer."""
    if isinstance(data, dict):
        return {
            name: _lasting(value)
            for name, value in data.items()
            if name not in _CHANGING and not name.endswith(_CHANGING_END)
        }
    if isinstance(data, list):
        return [_lasting(item) for item in data]
    if isinstance(data, str) and "data: {" in data:  # an event
        name, _, text = data.partition("data: ")
        parsed = _parsed(text)
        return data if parsed is None else [name, _lasting(parsed)]
    return data


def _parsed(text: str) -> dict[str, Any] | list[Any] | None:
    try:
        parsed = json.loads(text)
    except ValueError:
        return None
    return parsed if isinstance(parsed, dict | list) else None


def _last_text(body: Any) -> str:
    """The last thing that was said in a request."""
    for name in ("messages", "input", "prompt", "contents", "content", "parts", "text", "query"):
        said = body.get(name) if isinstance(body, dict) else None
        if isinstance(said, str):
            return said
        if isinstance(said, list) and said:
            return said[-1] if isinstance(said[-1], str) else _last_text(said[-1])
    return ""
