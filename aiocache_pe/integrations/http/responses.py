"""Responses of model servers: the parts that are stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

OK = 200
_STORED_HEADERS = (
    "content-type",
    "request-id",
    "x-request-id",
    "openai-processing-ms",
    "openai-version",
)
_ENCODING = "latin-1"
_PROTOCOL_FIELDS = ("http_version", "reason_phrase")  # the names of httpx
_TRANSFER_HEADERS = ("content-encoding", "content-length", "transfer-encoding", "connection")
Headers = list[tuple[str, str]]


class FetchedResponse(NamedTuple):
    """A response from the server, with all its headers.

    Attributes:
        protocol: see `read_protocol`.
        reached_end: whether the body is known to be whole.
    """

    status: int
    headers: Headers
    body: bytes
    protocol: dict[str, str]
    reached_end: bool = True

    @property
    def content_type(self) -> str:
        """Return the type of the body."""
        return find_header(self.headers, "content-type")


def read_headers(response: Any) -> Headers:
    """Return all headers. Each byte is a character, so that headers of any encoding are kept."""
    return [
        (name.decode(_ENCODING), value.decode(_ENCODING)) for name, value in response.headers.raw
    ]


def write_headers(headers: Iterable[Iterable[str]]) -> list[tuple[bytes, bytes]]:
    """Return the headers of which `read_headers` returned some."""
    return [(name.encode(_ENCODING), value.encode(_ENCODING)) for name, value in headers]


def read_protocol(response: Any) -> dict[str, str]:
    """Return the version of HTTP and the reason phrase of a response, as far as it has them."""
    extensions = response.extensions
    return {
        name: extensions[name].decode(_ENCODING)
        for name in _PROTOCOL_FIELDS
        if isinstance(extensions.get(name), bytes)
    }


def write_protocol(value: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the extensions of a response, of a mapping that contains a protocol."""
    fields = {"http_version": "HTTP/1.1", **value}
    return {name: fields[name].encode(_ENCODING) for name in _PROTOCOL_FIELDS if name in fields}


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
    if not isinstance(value, dict):
        return None
    if "chunks" in value:  # the form of earlier versions
        return [encode_body(chunk) for chunk in value["chunks"]]
    if "sizes" not in value:
        return None
    body, ends = encode_body(value["body"]), [0, *accumulate(value["sizes"])]
    return [body[start:end] for start, end in pairwise(ends)]
