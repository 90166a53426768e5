"""Checks of responses of model servers: complete, truncated or failed, and their token usage."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aiocache_pe.integrations.http.requests import VARY, parse_request
from aiocache_pe.integrations.http.responses import ResponseCheck, check_response, check_stream
from aiocache_pe.usage.prices import PriceTable
from aiocache_pe.usage.savings import SavingsEstimator

USAGE = {"promptTokenCount": 7, "candidatesTokenCount": 3}


def make_gemini_response(reason: str | None, **more: Any) -> dict[str, Any]:
    candidate = {"content": {"parts": [{"text": "Hi"}], "role": "model"}, "index": 0}
    return {
        "candidates": [candidate | ({} if reason is None else {"finishReason": reason})],
        "usageMetadata": USAGE,
        "modelVersion": "small",
    } | more


def make_events(*parts: dict[str, Any]) -> bytes:
    return b"".join(b"data: " + json.dumps(part).encode() + b"\r\n\r\n" for part in parts)


def test_a_response_of_google_is_complete_or_truncated_by_its_limit() -> None:
    check = check_response(json.dumps(make_gemini_response("STOP")).encode())
    assert check == ResponseCheck(complete=True, truncated=False, model="small", usage=USAGE)
    assert check_response(json.dumps(make_gemini_response("MAX_TOKENS")).encode()).truncated


def test_a_stream_of_google_is_complete_when_its_last_part_has_a_finish_reason() -> None:
    assert check_stream(
        make_events(make_gemini_response(None), make_gemini_response("STOP"))
    ) == ResponseCheck(complete=True, truncated=False, model="small", usage=USAGE)
    assert not check_stream(
        make_events(make_gemini_response(None), make_gemini_response(None))
    ).complete
    assert check_stream(
        make_events(make_gemini_response(None), make_gemini_response("MAX_TOKENS"))
    ).truncated
    failure = {"error": {"code": 503, "status": "UNAVAILABLE"}}
    assert not check_stream(make_events(make_gemini_response(None), failure)).complete


def test_the_token_usage_of_a_response_of_google_is_counted() -> None:
    check = check_response(json.dumps(make_gemini_response("STOP")).encode())
    prices = PriceTable({"small": {"input": 1.0, "output": 2.0}})
    savings = SavingsEstimator(prices).estimate({"model": check.model, "usage": check.usage})
    assert savings is not None
    assert (savings.input_tokens, savings.output_tokens) == (7, 3)
    assert savings.money == pytest.approx(13e-6)


def test_a_finish_reason_of_a_choice_does_not_end_a_stream_of_openai() -> None:
    chunk = {"choices": [{"delta": {}, "finish_reason": "stop"}]}
    assert not check_stream(make_events(chunk)).complete
    assert check_stream(make_events(chunk) + b"data: [DONE]\n\n").complete


def test_deeply_nested_json_is_neither_a_response_nor_a_request() -> None:
    deep = b"[" * 100_000
    assert not check_response(deep).complete
    assert not check_stream(b"data: " + deep + b"\n\n").complete
    assert parse_request("POST", "https://host/v1/embeddings", {}, deep, VARY) is None
