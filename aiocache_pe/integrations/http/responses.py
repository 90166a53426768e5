"""Responses of model servers: the parts that are stored."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

OK = 200
_STORED_HEADERS = (
    "content-type",
    "request-id",
    "x-request-id",
    "openai-processing-ms",
    "openai-version",
)
_TRANSFER_HEADERS = ("content-encoding", "content-length", "transfer-encoding", "connection")
Headers = list[tuple[str, str]]


class FetchedResponse(NamedTuple):
    """A response from the server, with all its headers.

    Attributes:
        reached_end: whether the body is known to be whole.
    """

    status: int
    headers: Headers
    body: bytes
    reached_end: bool = True

    @property
    def content_type(self) -> str:
        """Return the type of the body."""
        return find_header(self.headers, "content-type")


def is_framed(response: Any) -> bool:
    """Return whether a response says where its body ends, so that a cut body is an error."""
    names = {"content-length", "transfer-encoding"}
    version = response.extensions.get("http_version", b"HTTP/1.1")
    return not names.isdisjoint(response.headers) or not version.startswith(b"HTTP/1")


def find_header(headers: Headers, name: str) -> str:
    """Return the value of a header; empty without one."""
    return next((value for each, value in headers if each.lower() == name), "")


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
