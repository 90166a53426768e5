"""Parts of responses that are stored."""

from __future__ import annotations

from typing import Any

import pytest

from aiocache_pe.integrations.http.responses import decode_chunks


@pytest.mark.parametrize(
    ("value", "chunks"),
    [
        ({"body": "a\u2615b", "sizes": [1, 0, 2, 2]}, [b"a", b"", b"\xe2\x98", b"\x95b"]),
        ({"body": b"\xff\x00", "sizes": [1, 1]}, [b"\xff", b"\x00"]),
        ({"chunks": ["a", "", b"\xff"]}, [b"a", b"", b"\xff"]),  # an earlier version stored it
        ({"body": "whole"}, None),
        (None, None),
        ("text", None),
    ],
)
def test_a_stored_stream_has_its_chunks_of_either_form(
    value: Any, chunks: list[bytes] | None
) -> None:
    assert decode_chunks(value) == chunks
