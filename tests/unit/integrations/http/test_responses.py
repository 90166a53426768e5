"""Answers of model servers are judged by what their own formats say of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aiocache_pe.engine.token_savings import PriceTable, SavingsEstimator
from aiocache_pe.integrations.http.requests import VARY, parse_request
from aiocache_pe.integrations.http.responses import ResponseCheck, check_response, check_stream

USAGE = {"promptTokenCount": 7, "candidatesTokenCount": 3}


def gemini(reason: str | None, **more: Any) -> dict[str, Any]:
    candidate = {"content": {"parts": [{"text": "Hi"}], "role": "model"}, "index": 0}
    return {
        "candidates": [candidate | ({} if reason is None else {"finishReason": reason})],
        "usageMetadata": USAGE,
        "modelVersion": "small",
    } | more


def events(*parts: dict[str, Any]) -> bytes:
    return b"".join(b"data: " + json.dumps(part).encode() + b"\r\n\r\n" for part in parts)


def test_googles_answer_is_whole_or_cut_by_its_limit() -> None:
    whole = check_response(json.dumps(gemini("STOP")).encode())
    assert whole == ResponseCheck(whole=True, truncated=False, model="small", usage=USAGE)
    assert check_response(json.dumps(gemini("MAX_TOKENS")).encode()).truncated


def test_googles_stream_is_whole_when_its_last_part_says_why_it_ends() -> None:
    assert check_stream(events(gemini(None), gemini("STOP"))) == ResponseCheck(
        whole=True, truncated=False, model="small", usage=USAGE
    )
    assert not check_stream(events(gemini(None), gemini(None))).whole
    assert check_stream(events(gemini(None), gemini("MAX_TOKENS"))).truncated
    failure = {"error": {"code": 503, "status": "UNAVAILABLE"}}
    assert not check_stream(events(gemini(None), failure)).whole


def test_what_googles_answer_used_is_counted() -> None:
    verdict = check_response(json.dumps(gemini("STOP")).encode())
    prices = PriceTable({"small": {"input": 1.0, "output": 2.0}})
    worth = SavingsEstimator(prices).estimate({"model": verdict.model, "usage": verdict.usage})
    assert worth is not None
    assert (worth.input_tokens, worth.output_tokens) == (7, 3)
    assert worth.money == pytest.approx(13e-6)


def test_chunks_of_others_are_not_at_their_end_for_saying_why_a_choice_ends() -> None:
    chunk = {"choices": [{"delta": {}, "finish_reason": "stop"}]}
    assert not check_stream(events(chunk)).whole
    assert check_stream(events(chunk) + b"data: [DONE]\n\n").whole


def test_what_is_nested_without_end_is_no_answer_and_no_question() -> None:
    deep = b"[" * 100_000
    assert not check_response(deep).whole
    assert not check_stream(b"data: " + deep + b"\n\n").whole
    assert parse_request("POST", "https://host/v1/embeddings", {}, deep, VARY) is None
