"""Token usage of cached answers, replaced by zeros: a hit costs nothing at the provider.

Only the numbers of the usage change. All other values keep the bytes of the answer, the white
space between the fields at the top excepted.
"""

from __future__ import annotations

import operator
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import msgspec

_USAGE_FIELDS = ("usage", "usageMetadata", "usage_metadata")
_ENVELOPE_FIELDS = ("response", "message", "x_groq", "choices")
"""Fields that hold the answer so far, or token counts, as those of Groq's and Moonshot's APIs."""
_MARK = b"usage"
_DATA = b"data:"
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_parts = msgspec.json.Decoder(list[msgspec.Raw]).decode


def erase_usage(text: bytes) -> bytes:
    """Return the JSON of an answer, of an event or of a list of parts, without usage.

    Any other text is returned as it is.

    Example:
        >>> erase_usage(b'{"id":1,"usage":{"total_tokens":7,"details":{"cached":2}}}')
        b'{"id":1,"usage":{"total_tokens":0,"details":{"cached":0}}}'
    """
    if _MARK not in text:
        return text
    try:
        if text.lstrip()[:1] == b"[":
            parts = list(map(bytes, _decode_parts(text)))
            erased = list(map(erase_usage, parts))
            is_same = all(map(operator.is_, parts, erased))
            return text if is_same else msgspec.json.encode(list(map(msgspec.Raw, erased)))
        return _erase(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return text


def _erase(text: bytes) -> bytes:
    """Return the JSON of an object without usage; raise `msgspec.DecodeError` for other JSON."""
    fields = _decode_fields(text)
    changed: dict[str, Any] = {}
    for name in _USAGE_FIELDS:
        if name in fields:
            usage = msgspec.json.decode(fields[name])
            if usage is not None:
                changed[name] = _make_zero(usage)
    for name in _ENVELOPE_FIELDS:
        inner = bytes(fields.get(name, b""))
        if inner[:1] in (b"{", b"[") and _MARK in inner:
            erased = erase_usage(inner)
            if erased is not inner:
                changed[name] = msgspec.Raw(erased)
    return msgspec.json.encode({**fields, **changed}) if changed else text


def _make_zero(value: Any) -> Any:
    """Return a value with zeros in the place of all its numbers."""
    if isinstance(value, dict):
        return {name: _make_zero(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_make_zero(each) for each in value]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return 0 if is_number else value


class UsageEraser:
    """Eraser of the usage in a stream, whose events may be cut anywhere between its chunks.

    A line is passed on when it is complete. A stream that is one JSON document is passed on at its
    end.
    """

    __slots__ = ("_is_document", "_rest")

    def __init__(self) -> None:
        self._rest = b""
        self._is_document: bool | None = None

    def feed(self, chunk: bytes) -> bytes:
        """Return the bytes that can be passed on after the next chunk."""
        text = self._rest + chunk
        if self._is_document is None and text.strip():
            self._is_document = text.lstrip()[:1] in b"[{"
        if self._is_document or self._is_document is None:
            self._rest = text
            return b""
        end = max(text.rfind(b"\n"), text.rfind(b"\r")) + 1
        self._rest = text[end:]
        return b"".join(map(_erase_line, text[:end].splitlines(keepends=True)))

    def finish(self) -> bytes:
        """Return the rest at the end of the stream."""
        rest, self._rest = self._rest, b""
        return erase_usage(rest) if self._is_document else _erase_line(rest)


def _erase_line(line: bytes) -> bytes:
    if not line.startswith(_DATA) or _MARK not in line:
        return line
    text = line[len(_DATA) :].rstrip(b"\r\n")
    data = text.removeprefix(b" ")
    erased = erase_usage(data)
    if erased is data:
        return line
    return b"".join((_DATA, text[: len(text) - len(data)], erased, line[len(_DATA) + len(text) :]))


def erase_chunks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the chunks of a stream without usage."""
    eraser = UsageEraser()
    for chunk in chunks:
        if erased := eraser.feed(chunk):
            yield erased
    if rest := eraser.finish():
        yield rest


async def erase_chunks_async(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the chunks of a stream without usage."""
    eraser = UsageEraser()
    async for chunk in chunks:
        if erased := eraser.feed(chunk):
            yield erased
    if rest := eraser.finish():
        yield rest
