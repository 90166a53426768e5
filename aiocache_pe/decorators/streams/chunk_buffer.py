"""Streams as they are stored: the chunks, and the return value of the generator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiocache_pe.codecs.object_size import measure
from aiocache_pe.exceptions import CacheError
from aiocache_pe.loading.copying import copy_or_share, copy_value
from aiocache_pe.loading.options import LoadPolicy
from aiocache_pe.runtime.interrupts import raise_interrupt

_MAX_CHUNKS = 1_000_000
_MAX_BYTES = 64 * 1024 * 1024
"""Chunks of a stream that is recorded, and their memory; a stream of more is not stored."""


class ChunkBuffer:
    """Records the chunks of a stream while they pass through.

    A mutable chunk is copied, because its reader may change it: the stream is stored as the
    source produced it. Of a stream that will not be stored, only the chunks that its readers still
    need are kept.

    Attributes:
        error: the reason that forbids storing the stream.
    """

    __slots__ = ("_chunks", "_forgotten", "_size", "_sizes", "error")

    def __init__(self) -> None:
        self._chunks: list[Any] = []
        self._sizes: list[int] = []
        self._size = 0
        self._forgotten = 0
        self.error: Exception | None = None

    def __len__(self) -> int:
        return self._forgotten + len(self._chunks)

    def add(self, chunk: Any, first_needed: int | None = None) -> None:
        """Record the next chunk.

        Args:
            chunk: the chunk.
            first_needed: the number of the first chunk that a reader still takes from the buffer;
                ``None`` without such a reader.
        """
        recorded = chunk
        try:
            recorded = copy_value(chunk)
        except Exception as error:  # noqa: BLE001 - copying may raise anything
            raise_interrupt(error)
            self.error = self.error or error
        size = measure(recorded)
        self._chunks.append(recorded)
        self._sizes.append(size)
        self._size += size
        if self.error is None and (len(self) > _MAX_CHUNKS or self._size > _MAX_BYTES):
            self.error = OverflowError(
                f"a stream of more than {_MAX_CHUNKS} chunks or {_MAX_BYTES} bytes is not stored"
            )
        self.forget(len(self) if first_needed is None else first_needed)

    def copy_chunk(self, position: int) -> Any:
        """Return a copy of a chunk, or the chunk itself if it cannot be copied.

        Raises:
            CacheError: the chunk was forgotten.
        """
        if position < self._forgotten:
            has_many = len(self) - position > _MAX_CHUNKS
            limit = f"{_MAX_CHUNKS} chunks" if has_many else f"{_MAX_BYTES} bytes"
            raise CacheError(f"more than {limit} behind another reader of this stream")
        return copy_or_share(self._chunks[position - self._forgotten])

    def forget(self, before: int) -> None:
        """Drop the chunks of a stream that will not be stored.

        Args:
            before: the number of the first chunk that a reader still needs. Chunks that are
                further behind than a limit are dropped all the same.
        """
        if self.error is None:
            return
        count = max(before, len(self) - _MAX_CHUNKS) - self._forgotten
        size = self._size - sum(self._sizes[: max(count, 0)])
        while size > _MAX_BYTES and count < len(self._chunks) - 1:
            size -= self._sizes[count]
            count += 1
        if count > 0:
            del self._chunks[:count], self._sizes[:count]
            self._forgotten += count
            self._size = size

    def make_value(self, returned: Any = None) -> dict[str, Any]:
        """Return the value to store for a stream that came to its end.

        Raises:
            Exception: the stream cannot be stored; the error gives the reason.
        """
        if self.error is not None:
            raise self.error
        value: dict[str, Any] = {"chunks": self._chunks}
        return value if returned is None else value | {"returned": returned}


def read_chunks(value: Any) -> list[Any] | None:
    """Return the chunks of a stored stream; ``None`` for any other value."""
    chunks = value.get("chunks") if type(value) is dict else None
    return chunks if type(chunks) is list else None


def make_stream_policy(policy: LoadPolicy) -> LoadPolicy:
    """Return a policy whose functions get the chunks instead of the stored value."""

    def pass_chunks(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda value: function(value["chunks"])

    return policy._replace(
        ttl=pass_chunks(policy.ttl) if callable(policy.ttl) else policy.ttl,
        cache_if=None if policy.cache_if is None else pass_chunks(policy.cache_if),
    )


def refuse_sent(sent: object) -> None:
    """Raise if a value was sent into a cached stream, which could not answer.

    Raises:
        TypeError: a value was sent.
    """
    if sent is not None:
        raise TypeError("nothing can be sent into a cached stream; use bypass() to talk to it")
