"""Streams in flight with several readers: each reads from the first chunk, at its own pace.

The reader that is furthest ahead pulls the next chunk from the source. A slow reader holds up no
other reader, and a reader that stops pulls nothing. The chunks are kept until the end, because
they are stored then. Other readers, and readers that join late, are served from there.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from aiocache_pe.decorators.streams.chunk_buffer import ChunkBuffer

T = TypeVar("T")


class StreamReader:
    """The position of one reader: the number of its next chunk."""

    __slots__ = ("position",)

    def __init__(self) -> None:
        self.position = 0


class SharedStream(Generic[T]):
    """The chunks of a stream so far, and its readers.

    Attributes:
        first: the reader that started the stream.
        buffer: the chunks.
        has_ended: whether no more chunks follow.
        error: the exception to raise at the end.
        returned: the return value of the source.
    """

    def __init__(self) -> None:
        self.buffer = ChunkBuffer()
        self.has_ended = False
        self.error: BaseException | None = None
        self.returned: Any = None
        self.first = StreamReader()
        self._readers = {self.first}
        self._newest: tuple[int, T] | None = None

    def join(self) -> StreamReader | None:
        """Return a new reader at the first chunk; ``None`` if the stream cannot be joined."""
        if self.has_ended or self.buffer.error is not None:
            return None
        reader = StreamReader()
        self._readers.add(reader)
        return reader

    def leave(self, reader: StreamReader) -> bool:
        """Remove a reader; return whether it was the last, so that the source is to be closed."""
        self._readers.discard(reader)
        if self._readers or self.has_ended:
            return False
        self.has_ended = True
        return True

    def put(self, chunk: T) -> None:
        """Add the next chunk of the source."""
        self.buffer.add(chunk, self._get_first_needed())
        self._newest = len(self.buffer) - 1, chunk

    def _get_first_needed(self) -> int:
        return min((reader.position for reader in self._readers), default=len(self.buffer))

    def has_next(self, reader: StreamReader) -> bool:
        """Return whether the next chunk of a reader is in the buffer."""
        return reader.position < len(self.buffer)

    def take(self, reader: StreamReader) -> T:
        """Return the next chunk of a reader.

        The first reader of a chunk gets the object of the source, all others get copies.
        """
        position = reader.position
        reader.position += 1
        newest = self._newest
        if newest is not None and newest[0] == position:
            self._newest = None
            chunk = newest[1]
        else:
            chunk = self.buffer.copy_chunk(position)
        if self.buffer.error is not None:
            self.buffer.forget(self._get_first_needed())
        return chunk

    def end(self, error: BaseException | None = None, returned: Any = None) -> None:
        """Mark the end of the stream."""
        self.has_ended, self.error, self.returned = True, error, returned
