"""Streams as they are stored: the chunks, and the return value of the generator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiocache_pe.exceptions import CacheError
from aiocache_pe.loading.copying import copy_or_share, copy_value
from aiocache_pe.loading.options import LoadPolicy

_MAX_CHUNKS = 1_000_000
"""Chunks of a stream that is recorded; a stream of more is not stored."""


class ChunkBuffer:
    """Records the chunks of a stream while they pass through.

    A mutable chunk is copied, because its reader may change it: the stream is stored as the
    source produced it.

    Attributes:
        error: the reason that forbids storing the stream.
    """

    __slots__ = ("_chunks", "_forgotten", "error")

    def __init__(self) -> None:
        self._chunks: list[Any] = []
        self._forgotten = 0
        self.error: Exception | None = None

    def __len__(self) -> int:
        return self._forgotten + len(self._chunks)

    def add(self, chunk: Any) -> None:
        """Record the next chunk."""
        recorded = chunk
        try:
            recorded = copy_value(chunk)
        except Exception as error:  # noqa: BLE001 - copying may raise anything
            self.error = self.error or error
        self._chunks.append(recorded)
        if len(self) > _MAX_CHUNKS and self.error is None:
            self.error = OverflowError(f"a stream of more than {_MAX_CHUNKS} chunks is not stored")

    def copy_chunk(self, position: int) -> Any:
        """Return a copy of a chunk, or the chunk itself if it cannot be copied.

        Raises:
            CacheError: the chunk was forgotten.
        """
        if position < self._forgotten:
            raise CacheError(f"more than {_MAX_CHUNKS} chunks behind another reader of this stream")
        return copy_or_share(self._chunks[position - self._forgotten])

    def forget(self, before: int) -> None:
        """Drop the chunks of a stream that will not be stored.

        Args:
            before: the number of the first chunk that a reader still needs. Chunks that are
                further behind than the limit are dropped all the same.
        """
        before = max(before, len(self) - _MAX_CHUNKS)
        if self.error is not None and before > self._forgotten:
            del self._chunks[: before - self._forgotten]
            self._forgotten = before

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
