"""Responses of model servers: the parts that are stored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import msgspec

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


def read_stored_protocol(value: Mapping[str, Any]) -> dict[str, str]:
    """Return the protocol that a stored value contains."""
    return {name: value[name] for name in _PROTOCOL_FIELDS if name in value}


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


class StoredStream(NamedTuple):
    """A stream from the store.

    Attributes:
        headers: the headers that were selected to be stored.
        protocol: see `read_protocol`.
        chunks: the chunks, which are made one by one when they are read.
    """

    status: int
    headers: list[list[str]]
    protocol: dict[str, str]
    chunks: Iterable[bytes]


class _StreamHead(msgspec.Struct, omit_defaults=True):
    status: int
    headers: list[list[str]]
    protocol: dict[str, str]
    sizes: list[Annotated[int, msgspec.Meta(ge=0)]]


class _Chunks:
    """Parts of a body, by their sizes."""

    def __init__(self, body: bytes, start: int, sizes: Sequence[int]) -> None:
        self._body, self._start, self._sizes = body, start, sizes

    def __iter__(self) -> Iterator[bytes]:
        body, start = self._body, self._start
        for size in self._sizes:
            end = start + size
            yield body[start:end]
            start = end


_encode_head = msgspec.json.Encoder().encode
_decode_head = msgspec.json.Decoder(_StreamHead).decode


def encode_stream(response: FetchedResponse, chunks: Sequence[bytes]) -> bytes:
    r"""Return the value of a stream: a line of JSON with the sizes of the chunks, then the body.

    Bytes are stored unchanged, so that a hit of a long stream decodes nothing but the line.

    Example:
        >>> response = FetchedResponse(200, [("content-type", "text/plain")], b"ab", {})
        >>> encode_stream(response, [b"a", b"b"])[-20:]
        b'{},"sizes":[1,1]}\nab'
    """
    headers, sizes = select_headers(response.headers), list(map(len, chunks))
    head = _StreamHead(response.status, headers, response.protocol, sizes)
    return b"%b\n%b" % (_encode_head(head), response.body)


def decode_stream(value: Any) -> StoredStream | None:
    """Return a stored stream; ``None`` if the value is not a whole one."""
    if isinstance(value, dict):
        return _decode_earlier_stream(value)
    if not isinstance(value, bytes):
        return None
    end = value.find(b"\n")
    try:
        status, headers, protocol, sizes = msgspec.structs.astuple(_decode_head(value[:end]))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if end + 1 + sum(sizes) != len(value):
        return None
    return StoredStream(status, headers, protocol, _Chunks(value, end + 1, sizes))


def _decode_earlier_stream(value: dict[str, Any]) -> StoredStream | None:
    """Return a stream that an earlier version stored as a dict."""
    if "chunks" in value:
        chunks: Iterable[bytes] = map(encode_body, value["chunks"])
    elif "sizes" in value:
        chunks = _Chunks(encode_body(value["body"]), 0, value["sizes"])
    else:
        return None
    return StoredStream(value["status"], value["headers"], read_stored_protocol(value), chunks)
