"""Streams under way that many read at once: each from the first chunk on, at its own pace.

The source is asked for its next chunk when the reader who is furthest asks for it, so a
reader who is slow holds up nobody, and one who has enough pulls nothing out of the source.
What has passed is kept until the end anyway, to be stored; from there the others are
served, and those who come late.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from aiocache_pe.decorators.streams.chunk_buffer import ChunkBuffer

T = TypeVar("T")


class StreamReader:
    """Somebody's place in a stream: the number of the next chunk."""

    __slots__ = ("place",)

    def __init__(self) -> None:
        self.place = 0


class SharedStream(Generic[T]):
    """The chunks of a stream so far, and its readers.

    Attributes:
        first: the reader who is there from the beginning.
        transcript: the chunks.
        has_ended: whether there will be no more.
        error: what to raise at the end.
        returned: what the source returned at the end.
    """

    def __init__(self) -> None:
        self.transcript = ChunkBuffer()
        self.has_ended = False
        self.error: BaseException | None = None
        self.returned: Any = None
        self.first = StreamReader()
        self._readers = {self.first}
        self._newest: tuple[int, T] | None = None

    def join(self) -> StreamReader | None:
        """A new reader, at the first chunk; ``None`` if it has ended or cannot be kept."""
        if self.has_ended or self.transcript.error is not None:
            return None
        reader = StreamReader()
        self._readers.add(reader)
        return reader

    def leave(self, reader: StreamReader) -> bool:
        """Take leave of a reader; whether it was the last, and the source is to be closed."""
        self._readers.discard(reader)
        if self._readers or self.has_ended:
            return False
        self.has_ended = True
        return True

    def put(self, chunk: T) -> None:
        """Take the next chunk from the source."""
        self.transcript.add(chunk)
        self._newest = len(self.transcript) - 1, chunk

    def has(self, reader: StreamReader) -> bool:
        """Whether the reader's next chunk is there."""
        return reader.place < len(self.transcript)

    def take(self, reader: StreamReader) -> T:
        """The reader's next chunk: for the first reader the source's own, for others a copy."""
        at = reader.place
        reader.place += 1
        newest = self._newest
        if newest is not None and newest[0] == at:
            self._newest = None
            chunk = newest[1]
        else:
            chunk = self.transcript.chunk(at)
        if self.transcript.error is not None:
            self.transcript.forget(min(other.place for other in self._readers))
        return chunk

    def end(self, error: BaseException | None = None, returned: Any = None) -> None:
        """There is no more."""
        self.has_ended, self.error, self.returned = True, error, returned
