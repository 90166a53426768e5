"""Bytes as they are, without base64."""

from __future__ import annotations

from typing import Any


class RawBytes:
    """The serializer of ``bytes`` themselves; bytes within a value are tagged JSON's matter.

    Example:
        >>> RawBytes().encode(b"GIF89a")
        b'GIF89a'
    """

    name = "bytes"

    def encode(self, value: Any) -> bytes | None:
        """The bytes, or ``None`` when the value is of another type."""
        return value if type(value) is bytes else None

    def decode(self, payload: bytes) -> Any:
        """The bytes; also where a store hands out another buffer type."""
        return bytes(payload)
