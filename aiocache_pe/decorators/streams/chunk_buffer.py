"""A stream as it is stored: its chunks, and what it returned at its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiocache_pe.exceptions import CacheError
from aiocache_pe.loading.copying import copy_or_share, copy_value
from aiocache_pe.loading.options import LoadPolicy

_MOST = 1_000_000
"""Chunks of a stream that is recorded; one that has more is not stored."""


class ChunkBuffer:
    """Takes down the chunks of a stream while they pass.

    Of a chunk that can be changed a copy is kept: whoever gets it may change it, and
    what is stored is the stream as it came.

    Attributes:
        error: why the stream cannot be stored.
    """

    __slots__ = ("_chunks", "_forgotten", "error")

    def __init__(self) -> None:
        self._chunks: list[Any] = []
        self._forgotten = 0
        self.error: Exception | None = None

    def __len__(self) -> int:
        return self._forgotten + len(self._chunks)

    def add(self, chunk: Any) -> None:
        """Take down the next chunk."""
        kept = chunk
        try:
            kept = copy_value(chunk)
        except Exception as error:  # noqa: BLE001 - copying may raise anything
            self.error = self.error or error
        self._chunks.append(kept)
        if len(self) > _MOST and self.error is None:
            self.error = OverflowError(f"a stream of more than {_MOST} chunks is not stored")

    def chunk(self, at: int) -> Any:
        """A copy of a chunk, by its number; the chunk itself if it cannot be copied.

        Raises:
            CacheError: it is forgotten.
        """
        if at < self._forgotten:
            raise CacheError(f"more than {_MOST} chunks behind another reader of this stream")
        return copy_or_share(self._chunks[at - self._forgotten])

    def forget(self, before: int) -> None:
        """Of a stream that will not be stored, drop the chunks that all its readers have.

        And those that are further behind than may be; who lags so much finds them gone.
        """
        before = max(before, len(self) - _MOST)
        if self.error is not None and before > self._forgotten:
            del self._chunks[: before - self._forgotten]
            self._forgotten = before

    def value(self, returned: Any = None) -> dict[str, Any]:
        """What to store, for a stream that came to its end."""
        value: dict[str, Any] = {"chunks": self._chunks}
        return value if returned is None else value | {"returned": returned}

    def make_value(self, returned: Any = None) -> dict[str, Any]:
        """As `value`, for those who have no use for a stream that cannot be stored.

        Raises:
            Exception: it cannot be; the error says why.
        """
        if self.error is not None:
            raise self.error
        return self.value(returned)


def read_chunks(value: Any) -> list[Any] | None:
    """The chunks of a stored stream; ``None`` if it is something else."""
    chunks = value.get("chunks") if type(value) is dict else None
    return chunks if type(chunks) is list else None


def make_stream_policy(policy: LoadPolicy) -> LoadPolicy:
    """LoadPolicy whose functions are given the chunks, not the value they are stored in."""

    def of_chunks(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda value: function(value["chunks"])

    return policy._replace(
        ttl=of_chunks(policy.ttl) if callable(policy.ttl) else policy.ttl,
        cache_if=None if policy.cache_if is None else of_chunks(policy.cache_if),
    )


def refuse_sent(sent: object) -> None:
    """Check that nothing was sent into a cached stream: a transcript could not answer.

    Raises:
        TypeError: something was.
    """
    if sent is not None:
        raise TypeError("nothing can be sent into a cached stream; use bypass() to talk to it")
