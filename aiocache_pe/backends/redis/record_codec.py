"""Conversion of records to the server's values and back; the times in a value are the server's."""

from __future__ import annotations

import math
from collections.abc import Iterable

from aiocache_pe.backends.redis.cluster import Command
from aiocache_pe.backends.redis.key_names import make_entry_name
from aiocache_pe.backends.redis.server_clock import ServerClock
from aiocache_pe.clock import Clock
from aiocache_pe.exceptions import CorruptRecordError, NewerRecordError
from aiocache_pe.record import Head, Record, pack_head, unpack, unpack_head

_MAX_LIFE = 1 << 52  # milliseconds; servers refuse much longer ones


class RecordCodec:
    """Codec of a store's records.

    Args:
        clock: the clock of this process.
        server_clock: its difference to the server's clock.
    """

    def __init__(self, clock: Clock, server_clock: ServerClock) -> None:
        self._clock = clock
        self._server_clock = server_clock

    def encode(self, record: Record) -> tuple[bytes, bytes]:
        """Return a record as bytes, and its remaining lifetime in the server."""
        return self.encode_head(record) + record.payload, self._compute_life(record.head)

    def encode_head(self, record: Record) -> bytes:
        """Return the head of a record as bytes, with which its value begins."""
        return pack_head(self._server_clock.to_server(record.head), record.payload)

    def make_set(self, record: Record) -> Command:
        """Return the command that writes a record."""
        value, life = self.encode(record)
        name = make_entry_name(record.head.key)
        return ("SET", name, value, "PX", life) if life else ("SET", name, value)

    def decode(self, value: bytes, key: str, stamp: object = None) -> Record:
        """Return the record in a value.

        Raises:
            CorruptRecordError: the value is damaged.
            NewerRecordError: a later release wrote the value.
        """
        record = unpack(value, key=key, stamp=stamp)
        head = self._server_clock.from_server(record.head)
        return record if head is record.head else Record(head, record.payload, record.stamp)

    def decode_valid(self, value: bytes | None, key: str) -> Record | None:
        """Return the record in a value; ``None`` for no value and for a damaged one.

        Raises:
            NewerRecordError: a later release wrote the value.
        """
        if value is None:
            return None
        try:
            return self.decode(value, key)
        except CorruptRecordError:
            return None

    def decode_head(self, line: bytes | None, key: str) -> Head | None:
        """Return the head in a line; ``None`` for no line and one that this release cannot read."""
        if line is None:
            return None
        try:
            return self._server_clock.from_server(unpack_head(line, key=key))
        except (CorruptRecordError, NewerRecordError):
            return None

    def decode_heads(self, lines: Iterable[bytes | None], keys: Iterable[str]) -> list[Head]:
        """Return the heads in those lines that have one."""
        heads = (self.decode_head(*pair) for pair in zip(lines, keys, strict=True))
        return [head for head in heads if head is not None]

    def _compute_life(self, head: Head) -> bytes:
        """Return a record's remaining lifetime in the server, in milliseconds; empty for no limit.

        It is a duration from now, because the server's clock may differ from this one.
        """
        if head.removable_at is None:
            return b""
        milliseconds = math.ceil((head.removable_at - self._clock.time()) * 1000)
        return b"%d" % min(max(milliseconds, 1), _MAX_LIFE)
