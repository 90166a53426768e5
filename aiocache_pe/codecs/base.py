"""What the serializers of this room agree on: how deep, how much, and how to refuse."""

from __future__ import annotations

from typing import Any, Protocol

MAX_DEPTH = 100
"""Containers within containers. A value that holds itself ends here too. It leaves room
for the levels that tags add, and for a reader that is already deep in its own calls."""

MAX_NODES = 4_000_000
"""Containers in one value. Lists that share their parts can be small in memory and
astronomical when written out; this is where that ends."""


class NotExact(Exception):  # noqa: N818 - it is an answer within this room, not an error
    """The value cannot be given back exactly this way; the message says what is in the way.

    It never leaves the codecs: the pipeline tries the next serializer, and quotes the
    reason when none is left.
    """


class Serializer(Protocol):
    """One way to turn values into bytes and back, exactly.

    ``name`` is written into every record it makes, so it must never change its meaning.
    """

    name: str

    def encode(self, value: Any) -> bytes | None:
        """The value's bytes, or ``None`` when this serializer cannot give it back exactly."""
        ...

    def decode(self, payload: bytes) -> Any:
        """The value; raises `CorruptRecordError` on bytes it did not make."""
        ...


class Stage(Protocol):
    """A transformation of the payload: a compression, a signature.

    ``name`` is appended to the record's codec, ``json+zstd``, and undone in reverse.
    """

    name: str

    def apply(self, key: str, codec: str, payload: bytes) -> bytes | None:
        """The new payload, or ``None`` to leave this record as it is."""
        ...

    def undo(self, key: str, codec: str, payload: bytes) -> bytes:
        """The payload before `apply`; raises `CorruptRecordError` when it is not its own."""
        ...
