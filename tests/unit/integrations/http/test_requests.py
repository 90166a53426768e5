"""Requests to model servers: their keys, and the requests that are never cached."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aiocache_pe.integrations.http.requests import VARY, CacheableRequest, parse_request

JSON = {"content-type": "application/json"}


def parse(
    body: Any = None, url: str = "https://host/v1/embeddings", method: str = "POST", **headers: str
) -> CacheableRequest:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    parsed = parse_request(
        method,
        url,
        JSON | {name.replace("_", "-"): headers[name] for name in headers},
        content,
        VARY,
    )
    assert parsed is not None
    return parsed


@pytest.mark.parametrize("depth", [500, 100_000])
def test_deeply_nested_json_is_not_a_request(depth: int) -> None:
    deep = b"[" * depth + b"]" * depth
    assert parse_request("POST", "https://host/v1/embeddings", JSON, deep, VARY) is None


@pytest.mark.parametrize(
    "name", ["max_tokens", "tokenizer", "keyword", "codec", "token_limit", "monkey", "signatures"]
)
def test_a_parameter_whose_name_contains_a_secret_word_is_part_of_the_key(name: str) -> None:
    url = f"https://host/v1/embeddings?{name}="
    assert parse(url=url + "1").key != parse(url=url + "2").key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a=1&a=2", "a=2&a=1"),
        ("a=1&a=2", "a=1"),
        ("a=1", "A=1"),
        ("a=%ff", "a=%fe"),
        ("a=%C3%A9", "a=e%CC%81"),
        ("a=b%26c=d", "a=b&c=d"),
        ("a=%2B", "a=+"),
        ("a=1.0", "a=1"),
        ("a=x;b=y", "a=x&b=y"),
        ("a=", ""),
        ("keys=1", "key=1"),
    ],
)
def test_different_queries_have_different_keys(one: str, other: str) -> None:
    url = "https://host/v1/embeddings?"
    assert parse(url=url + one).key != parse(url=url + other).key


@pytest.mark.parametrize(
    "name", ["key", "code", "sig", "token", "api-key", "API_KEY", "access_token", "X-Amz-Signature"]
)
def test_a_parameter_that_holds_a_secret_is_not_part_of_the_key(name: str) -> None:
    url = f"https://host/v1/embeddings?model=m&{name}="
    assert parse(url=url + "1").key == parse(url=url + "2").key
    assert "very-secret" not in parse(url=url + "very-secret").key


@pytest.mark.parametrize(
    ("one", "other"),
    [("0", "0.0"), ("1", "1.0"), ("1", "1e0"), ("0", "-0.0"), ("0.5", "5e-1"), ("-2", "-2.00")],
)
def test_a_number_in_a_body_has_one_key(one: str, other: str) -> None:
    keys = {
        parse(b'{"temperature": %b, "a": [%b]}' % ((n.encode(),) * 2)).key for n in (one, other)
    }
    assert len(keys) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", '"1"'),
        ("1", "true"),
        ("0", "false"),
        ("0", "null"),
        ("0.1", "0.2"),
        ("9007199254740993", "9007199254740992.0"),
    ],
)
def test_different_values_in_a_body_have_different_keys(one: str, other: str) -> None:
    assert parse(b'{"n": %b}' % one.encode()).key != parse(b'{"n": %b}' % other.encode()).key


def test_requests_without_json_count_by_their_bytes() -> None:
    audio = {"content_type": "audio/mpeg"}
    bodies = [b"", b"sound", b"sounds", b"\xff", b'{"a":1}']
    keys = {parse(body, **audio).key for body in bodies}
    keys |= {parse(b"sound", content_type="audio/wav").key, parse({"a": 1}).key, parse([1]).key}
    keys |= {parse(b"", method="GET").key, parse({}).key}
    assert len(keys) == len(bodies) + 5
    assert parse(b"sound", **audio).key == parse(b"sound", **audio).key


def test_the_boundary_of_a_form_is_not_part_of_its_key() -> None:
    def make_form(boundary: str, text: str) -> str:
        body = f"--{boundary}\r\nname: a\r\n\r\n{text}\r\n--{boundary}--\r\n".encode()
        return parse(body, content_type=f"multipart/form-data; boundary={boundary}").key

    assert make_form("one", "x") == make_form("other", "x")
    assert make_form("one", "x") != make_form("one", "y")


@pytest.mark.parametrize(
    ("body", "state"),
    [
        ({"conversation": "conv_1"}, "conversation"),
        ({"conversation": {"id": "conv_1"}}, "conversation"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"container": "c"}, "container"),
        ({"background": True}, "background"),
        ({"thread_id": "t"}, "thread_id"),
        ({"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]}, "container"),
        ({"agent_id": "ag_1"}, "agent_id"),
        ({"data_sources": [{"type": "azure_search"}]}, "data_sources"),
        ({"tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]}, "vector_store_ids"),
        ({"tools": [{"fileSearch": {"fileSearchStoreNames": ["s"]}}]}, "fileSearch"),
        ({"tools": [{"retrieval": {"vertexRagStore": {}}}]}, "retrieval"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "item_reference"),
        ({"prompt": {"id": "pmpt_1", "variables": {}}}, "prompt"),
        ({"prompt": "agent_id", "tools": "retrieval", "input": ["item_reference", 1]}, ""),
        ({"conversation": None, "previous_response_id": None, "background": False}, ""),
        ({"tools": [{"type": "function", "name": "container"}], "input": "conversation"}, ""),
    ],
)
def test_a_state_on_the_server_is_found_in_the_body(body: dict[str, Any], state: str) -> None:
    assert parse(body, "https://host/v1/responses").state == state


@pytest.mark.parametrize(
    ("path", "state"),
    [
        ("/v1/threads/t/runs", "threads"),
        ("/v1/assistants/a", "assistants"),
        ("/v1/conversations/c/items", "conversations"),
        ("/v1/agents/completions", "agents"),
        ("/v1/responses", ""),
    ],
)
def test_a_state_on_the_server_is_found_in_the_path(path: str, state: str) -> None:
    assert parse({}, f"https://host{path}").state == state
