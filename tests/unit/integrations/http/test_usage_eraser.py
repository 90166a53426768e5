"""Token usage of cached answers: replaced by zeros, and nothing else changes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aiocache_pe.integrations.http.usage_eraser import erase_chunks, erase_usage

ANSWERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "chat": (
        {"usage": {"total_tokens": 7, "prompt_tokens_details": {"cached_tokens": 2}}},
        {"usage": {"total_tokens": 0, "prompt_tokens_details": {"cached_tokens": 0}}},
    ),
    "message": (
        {"usage": {"input_tokens": 3, "service_tier": "standard", "server_tool_use": None}},
        {"usage": {"input_tokens": 0, "service_tier": "standard", "server_tool_use": None}},
    ),
    "Gemini": (
        {"usageMetadata": {"promptTokensDetails": [{"modality": "TEXT", "tokenCount": 5}]}},
        {"usageMetadata": {"promptTokensDetails": [{"modality": "TEXT", "tokenCount": 0}]}},
    ),
    "price": ({"usage": {"cost": 0.25, "is_byok": True}}, {"usage": {"cost": 0, "is_byok": True}}),
    "event of a response": (
        {"type": "response.completed", "response": {"usage": {"total_tokens": 9}}},
        {"type": "response.completed", "response": {"usage": {"total_tokens": 0}}},
    ),
    "event of a message": (
        {"type": "message_start", "message": {"usage": {"input_tokens": 9}}},
        {"type": "message_start", "message": {"usage": {"input_tokens": 0}}},
    ),
    "event of Groq": (
        {"choices": [{"delta": {}}], "x_groq": {"id": "r", "usage": {"total_tokens": 3}}},
        {"choices": [{"delta": {}}], "x_groq": {"id": "r", "usage": {"total_tokens": 0}}},
    ),
    "event of Moonshot": (
        {"choices": [{"index": 0, "delta": {"content": "usage"}, "usage": {"total_tokens": 3}}]},
        {"choices": [{"index": 0, "delta": {"content": "usage"}, "usage": {"total_tokens": 0}}]},
    ),
    "without usage": ({"usage": None, "message": "usage"}, {"usage": None, "message": "usage"}),
    "input of a tool": (
        {"content": [{"type": "tool_use", "input": {"usage": 5}}]},
        {"content": [{"type": "tool_use", "input": {"usage": 5}}]},
    ),
    "text": (
        {"choices": [{"message": {"content": '{"usage": {"total_tokens": 3}}'}}]},
        {"choices": [{"message": {"content": '{"usage": {"total_tokens": 3}}'}}]},
    ),
}


@pytest.mark.parametrize(("before", "after"), ANSWERS.values(), ids=list(ANSWERS))
def test_the_numbers_of_the_usage_are_zeros(before: dict[str, Any], after: dict[str, Any]) -> None:
    rest = {"id": "1", "score": 1.0, "big": 2**70, "text": "ä\\u0000"}
    for indent in (None, 2):
        text = json.dumps({**rest, **before, "last": [0.10]}, indent=indent).encode()
        erased = erase_usage(text)
        assert json.loads(erased) == {**rest, **after, "last": [0.1]}
        assert (erased is text) is (before == after)
        assert b'"score": 1.0' in text
        assert b"1180591620717411303424" in erased


@pytest.mark.parametrize(
    "text", [b"", b"usage", b'"usage"', b'{"usage": {', b"[1, 2]", b'["usage"]', b"\xff usage"]
)
def test_any_other_text_stays_as_it_is(text: bytes) -> None:
    assert erase_usage(text) == text


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_a_stream_is_cut_anywhere(end: bytes, size: int) -> None:
    lines = [
        b": ping",
        b"event: message_start",
        b'data: {"type":"message_start","message":{"usage":{"input_tokens":%d}}}',
        b"",
        b'data:{"choices":[],"usage":{"total_tokens":%d}}',
        b"",
        b"data: [DONE]",
        b"",
        b"",
    ]
    body = end.join(lines).replace(b"%d", b"12")
    chunks = [body[at : at + size] for at in range(0, len(body), size)]
    assert b"".join(erase_chunks(chunks)) == end.join(lines).replace(b"%d", b"0")


def test_chunks_of_whole_lines_stay_apart() -> None:
    chunks = [b'data: {"usage":{"n":%d}}\n\n' % number for number in range(1, 4)]
    assert list(erase_chunks(chunks)) == [b'data: {"usage":{"n":0}}\n\n'] * 3


def test_a_stream_without_a_last_line_end_is_complete() -> None:
    chunks = [b'data: {"usage":', b'{"n":5}}']
    assert b"".join(erase_chunks(chunks)) == b'data: {"usage":{"n":0}}'


def test_a_stream_that_is_one_list_is_erased_at_its_end() -> None:
    chunks = [b'[{"usageMetadata":{"n":1}}\n', b",\r\n", b'{"text":"usage"}', b"]"]
    assert json.loads(b"".join(erase_chunks(chunks))) == [
        {"usageMetadata": {"n": 0}},
        {"text": "usage"},
    ]
