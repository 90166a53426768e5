"""Answers of model servers, as they come over HTTP: whether they are whole, what they used.

The shapes are those of OpenAI's and Anthropic's public APIs, which nearly all others
speak as well. A stream is a text of server-sent events (WHATWG HTML, section 9.2).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

_CUT = frozenset(
    ("length", "max_tokens", "MAX_TOKENS", "model_context_window_exceeded", "pause_turn")
)
_PARTS = "choices", "candidates"  # of one answer, as OpenAI and as Google call them
_REASONS = "stop_reason", "finish_reason", "finishReason"
_LAST = frozenset(("message_stop", "response.completed"))
_FAILED = frozenset(("error", "response.failed", "response.incomplete"))


class ResponseCheck(NamedTuple):
    """What an answer is worth.

    Attributes:
        whole: it came to its end, and is no error.
        truncated: it was cut short by a limit on its length.
        model: who answered, as it says itself.
        usage: its own count of tokens, as it came.
    """

    whole: bool = False
    truncated: bool = False
    model: str | None = None
    usage: dict[str, Any] | None = None


def check_response(body: bytes) -> ResponseCheck:
    """Judge an answer that came in one piece.

    Example:
        >>> judge(b'{"choices":[{"finish_reason":"length"}],"model":"m"}').truncated
        True
        >>> judge(b'{"error":{"message":"overloaded"}}').whole
        False
    """
    answer = _parsed(body)
    if not isinstance(answer, dict):
        return ResponseCheck(whole=answer is not None)
    status = answer.get("status")
    whole = not answer.get("error") and answer.get("type") != "error"
    if answer.get("object") == "response":
        whole = whole and status in ("completed", "incomplete")
    return ResponseCheck(whole, _is_cut(answer), _model(answer), _usage(answer))


def check_stream(text: bytes) -> ResponseCheck:
    r"""Judge a stream of events that was read to its end.

    Example:
        >>> check_stream(b'data: {"choices":[]}\n\ndata: [DONE]\n\n').whole
        True
        >>> check_stream(b'data: {"choices":[]}\n\n').whole
        False
    """
    ended = failed = truncated = False
    model: str | None = None
    usage: dict[str, Any] = {}
    for name, data in _events(text):
        if data == b"[DONE]":
            ended = True
            continue
        event = _dict(_parsed(data)) or {}
        kind = event.get("type") or name
        # Google's streams have no last event of their own: the last part says why it ends.
        ended = ended or kind in _LAST or _is_ended(event)
        failed = failed or kind in _FAILED or bool(event.get("error"))
        # OpenAI's chat chunks are the answer; Anthropic's and its responses' events hold it.
        for part in (event, event.get("message"), event.get("response"), event.get("delta")):
            if isinstance(part, dict):
                truncated = truncated or _is_cut(part)
                model = model or _model(part)
                used = _usage(part) or {}
                usage |= {key: value for key, value in used.items() if value is not None}
    return ResponseCheck(ended and not failed, truncated, model, usage or None)


def _events(text: bytes) -> Iterator[tuple[str, bytes]]:
    """The name and the data of each event."""
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


def _is_cut(answer: dict[str, Any]) -> bool:
    return not _CUT.isdisjoint(_reasons(answer)) or answer.get("status") == "incomplete"


def _is_ended(event: dict[str, Any]) -> bool:
    return "candidates" in event and bool(_reasons(event))


def _reasons(answer: dict[str, Any]) -> set[str]:
    """Why an answer, or its parts, came to an end."""
    parts: list[Any] = [answer]
    for name in _PARTS:
        some = answer.get(name)
        parts += some if isinstance(some, list) else ()
    found = (part.get(name) for part in parts if isinstance(part, dict) for name in _REASONS)
    return {reason for reason in found if isinstance(reason, str) and reason}


def _model(answer: dict[str, Any]) -> str | None:
    return _text(answer.get("model")) or _text(answer.get("modelVersion"))


def _usage(answer: dict[str, Any]) -> dict[str, Any] | None:
    return _dict(answer.get("usage")) or _dict(answer.get("usageMetadata"))


def _parsed(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _dict(value: Any) -> dict[str, Any] | None:
    return value if isinstance(value, dict) else None
