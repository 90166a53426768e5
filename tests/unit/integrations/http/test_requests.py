"""Requests to model servers: their keys, and the requests that are never cached."""

from __future__ import annotations

from aiocache_pe.integrations.http.requests import VARY, parse_request


def test_deeply_nested_json_is_not_a_request() -> None:
    assert parse_request("POST", "https://host/v1/embeddings", {}, b"[" * 100_000, VARY) is None
