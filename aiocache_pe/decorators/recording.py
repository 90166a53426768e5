"""A stream as it is stored: its chunks, and what it returned at its end."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from aiocache_pe.codecs.immutable import is_immutable
from aiocache_pe.terms import Terms

_MOST = 1_000_000
"""Chunks of a stream that is recorded; one that has more is not stored."""


class Recording:
    """Takes down the chunks of a stream while they pass.

    Of a chunk that can be changed a copy is kept: whoever gets it may change it, and
    what is stored is the stream as it came.
    """

    __slots__ = ("_chunks", "error")

    def __init__(self) -> None:
        self._chunks: list[Any] = []
        self.error: Exception | None = None
        """Why the stream cannot be stored."""

    def add(self, chunk: Any) -> None:
        """Take down the next chunk."""
        if self.error is not None:
            return
        try:
            self._chunks.append(chunk if is_immutable(chunk) else deepcopy(chunk))
        except Exception as error:  # noqa: BLE001 - copying may raise anything
            self.error = error
        if len(self._chunks) > _MOST:
            self.error = OverflowError(f"a stream of more than {_MOST} chunks is not stored")
        if self.error is not None:
            self._chunks.clear()

    def value(self, returned: Any = None) -> dict[str, Any]:
        """What to store, for a stream that came to its end."""
        value: dict[str, Any] = {"chunks": self._chunks}
        return value if returned is None else value | {"returned": returned}


def chunks_of(value: Any) -> list[Any] | None:
    """The chunks of a stored stream; ``None`` if it is something else."""
    chunks = value.get("chunks") if type(value) is dict else None
    return chunks if type(chunks) is list else None


def stream_terms(terms: Terms) -> Terms:
    """Terms whose functions are given the chunks, not the value they are stored in."""

    def of_chunks(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda value: function(value["chunks"])

    return terms._replace(
        ttl=of_chunks(terms.ttl) if callable(terms.ttl) else terms.ttl,
        cache_if=None if terms.cache_if is None else of_chunks(terms.cache_if),
    )


def refuse_sent(sent: object) -> None:
    """Check that nothing was sent into a cached stream: a recording could not answer.

    Raises:
        TypeError: something was.
    """
    if sent is not None:
        raise TypeError("nothing can be sent into a cached stream; use bypass() to talk to it")
