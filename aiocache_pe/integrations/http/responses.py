"""Responses of model servers: checks for completeness, and the parts that are stored.

The formats are those of the public APIs of OpenAI, Anthropic and Google. Most other servers use
one of them. A stream is a text of server-sent events (WHATWG HTML, section 9.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

OK = 200
_STORED_HEADERS = (
    "content-type",
    "request-id",
    "x-request-id",
    "openai-processing-ms",
    "openai-version",
)
_TRANSFER_HEADERS = ("content-encoding", "content-length", "transfer-encoding", "connection")
_CHOICE_LISTS = "choices", "candidates"  # of OpenAI, of Google
_REASON_FIELDS = "stop_reason", "finish_reason", "finishReason"
_LIMIT_REASONS = frozenset(
    ("length", "max_tokens", "MAX_TOKENS", "model_context_window_exceeded", "pause_turn")
)
_END_EVENTS = frozenset(("message_stop", "response.completed"))
_FAILURE_EVENTS = frozenset(("error", "response.failed", "response.incomplete"))

Headers = list[tuple[str, str]]


class FetchedResponse(NamedTuple):
    """A response from the server, with all its headers."""

    status: int
    headers: Headers
    body: bytes


class ResponseCheck(NamedTuple):
    """Result of a check of a response, with its model and its token counts.

    Attributes:
        complete: the response reached its end, and is not an error.
        truncated: a limit on its length cut it short.
    """

    complete: bool = False
    truncated: bool = False
    model: str | None = None
    usage: dict[str, Any] | None = None


def check_response(body: bytes) -> ResponseCheck:
    """Check a response that is not a stream.

    Example:
        >>> check_response(b'{"choices":[{"finish_reason":"length"}],"model":"m"}').truncated
        True
        >>> check_response(b'{"error":{"message":"overloaded"}}').complete
        False
    """
    response = _parse_json(body)
    if not isinstance(response, dict):
        return ResponseCheck(complete=response is not None)
    status = response.get("status")
    complete = not response.get("error") and response.get("type") != "error"
    if response.get("object") == "response":
        complete = complete and status in ("completed", "incomplete")
    return ResponseCheck(
        complete, _is_truncated(response), _get_model(response), _get_usage(response)
    )


def check_stream(text: bytes) -> ResponseCheck:
    r"""Check a stream of events that was read to its end.

    Example:
        >>> check_stream(b'data: {"choices":[]}\n\ndata: [DONE]\n\n').complete
        True
        >>> check_stream(b'data: {"choices":[]}\n\n').complete
        False
    """
    ended = failed = truncated = False
    model: str | None = None
    usage: dict[str, Any] = {}
    for name, data in _iter_events(text):
        if data == b"[DONE]":
            ended = True
            continue
        event = _as_dict(_parse_json(data)) or {}
        kind = event.get("type") or name
        # Google's streams have no end event: the last event has the reason for the end.
        ended = ended or kind in _END_EVENTS or _has_finish_reason(event)
        failed = failed or kind in _FAILURE_EVENTS or bool(event.get("error"))
        # An event of OpenAI's chat is part of the response itself. Events of OpenAI's responses
        # and of Anthropic's messages contain a part of the response in one of these fields.
        for part in (event, event.get("message"), event.get("response"), event.get("delta")):
            if isinstance(part, dict):
                truncated = truncated or _is_truncated(part)
                model = model or _get_model(part)
                counts = _get_usage(part) or {}
                usage |= {name: count for name, count in counts.items() if count is not None}
    return ResponseCheck(ended and not failed, truncated, model, usage or None)


def select_headers(headers: Headers) -> list[list[str]]:
    """Return the headers to store: they describe the response itself, and none is secret."""
    return [[name, value] for name, value in headers if name.lower() in _STORED_HEADERS]


def drop_transfer_headers(headers: Headers) -> list[list[str]]:
    """Return all headers except those that describe the transfer of the original body."""
    return [[name, value] for name, value in headers if name.lower() not in _TRANSFER_HEADERS]


def decode_body(body: bytes) -> str | bytes:
    """Return a body as text, so that stored values are readable; as bytes if it is not UTF-8."""
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return body


def encode_body(body: Any) -> bytes:
    """Return the bytes of a body that `decode_body` returned."""
    return body.encode("utf-8") if isinstance(body, str) else bytes(body)


def decode_chunks(value: Any) -> list[bytes] | None:
    """Return the chunks of a stored stream; ``None`` if the value is not a stored stream."""
    chunks = value.get("chunks") if isinstance(value, dict) else None
    return [encode_body(chunk) for chunk in chunks] if isinstance(chunks, list) else None


def add_header(headers: Iterable[Iterable[str]], name: str, value: str) -> Headers:
    """Return the headers of a response with one more."""
    return [*((each, text) for each, text in headers), (name, value)]


def _iter_events(text: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the data of each event."""
    name, data = "", list[bytes]()
    for line in [*text.splitlines(), b""]:
        field, _, value = line.partition(b":")
        if not line and data:
            yield name, b"\n".join(data)
            name, data = "", []
        elif field == b"event":
            name = value.strip().decode("utf-8", "replace")
        elif field == b"data":
            data.append(value.removeprefix(b" "))


def _is_truncated(response: dict[str, Any]) -> bool:
    reasons = _get_finish_reasons(response)
    return not _LIMIT_REASONS.isdisjoint(reasons) or response.get("status") == "incomplete"


def _has_finish_reason(event: dict[str, Any]) -> bool:
    return "candidates" in event and bool(_get_finish_reasons(event))


def _get_finish_reasons(response: dict[str, Any]) -> set[str]:
    """Return the reasons for which a response, or its choices, ended."""
    parts: list[Any] = [response]
    for name in _CHOICE_LISTS:
        choices = response.get(name)
        parts += choices if isinstance(choices, list) else ()
    reasons = (
        part.get(name) for part in parts if isinstance(part, dict) for name in _REASON_FIELDS
    )
    return {reason for reason in reasons if isinstance(reason, str) and reason}


def _get_model(response: dict[str, Any]) -> str | None:
    return _as_text(response.get("model")) or _as_text(response.get("modelVersion"))


def _get_usage(response: dict[str, Any]) -> dict[str, Any] | None:
    return _as_dict(response.get("usage")) or _as_dict(response.get("usageMetadata"))


def _parse_json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _as_text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _as_dict(value: Any) -> dict[str, Any] | None:
    return value if isinstance(value, dict) else None
