"""Parts of responses that are stored."""

from __future__ import annotations

from typing import Any

import pytest

from aiocache_pe.integrations.http.responses import (
    FetchedResponse,
    decode_stream,
    encode_stream,
)

EVENT_STREAM = [("content-type", "text/event-stream"), ("set-cookie", "very-secret")]
PROTOCOL = {"http_version": "HTTP/2", "reason_phrase": "Fine"}


def encode(chunks: list[bytes]) -> bytes:
    response = FetchedResponse(200, EVENT_STREAM, b"".join(chunks), PROTOCOL)
    return encode_stream(response, chunks)


@pytest.mark.parametrize(
    "chunks", [[], [b""], [b"a", b"", b"\xe2\x98", b"\x95b"], [b"\n\n", b"\xff\x00\n", b"{}"]]
)
def test_a_stored_stream_has_its_chunks(chunks: list[bytes]) -> None:
    stored = decode_stream(encode(chunks))
    assert stored is not None
    assert list(stored.chunks) == list(stored.chunks) == chunks
    assert stored[:3] == (200, [["content-type", "text/event-stream"]], PROTOCOL)
    assert b"very-secret" not in encode(chunks)


@pytest.mark.parametrize(
    ("value", "chunks"),
    [
        ({"body": "a\u2615b", "sizes": [1, 0, 2, 2]}, [b"a", b"", b"\xe2\x98", b"\x95b"]),
        ({"body": b"\xff\x00", "sizes": [1, 1]}, [b"\xff", b"\x00"]),
        ({"chunks": ["a", "", b"\xff"]}, [b"a", b"", b"\xff"]),
    ],
)
def test_a_stream_that_an_earlier_version_stored_has_its_chunks(
    value: dict[str, Any], chunks: list[bytes]
) -> None:
    head = {"status": 200, "headers": [["content-type", "text/event-stream"]], **PROTOCOL}
    stored = decode_stream(head | value)
    assert stored is not None
    assert stored[:3] == (200, head["headers"], PROTOCOL)
    assert list(stored.chunks) == chunks


WHOLE = encode([b"ab", b"c"])


@pytest.mark.parametrize(
    "value",
    [
        *(None, "text", 7, b"", b"{}", b"{}\nabc", {"body": "whole"}),
        *(WHOLE[:-1], WHOLE + b"d", WHOLE[1:], WHOLE.replace(b"[2,1]", b"[4,-1]")),
        *(WHOLE.replace(b"[2,1]", b"[2,true]"), b"[" * 100_000 + b"\nabc", b"\xff\n"),
    ],
)
def test_any_other_value_is_no_stream(value: Any) -> None:
    assert decode_stream(value) is None
