"""Compression, for payloads large enough to gain by it.

What is decompressed is bounded: a few kilobytes can claim to be terabytes, so the
result is read up to a limit and no further, whatever the data says of itself. What is
over 2 MiB is read twice, first to see that it ends in time: a bomb takes no more memory
than that.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol

from aiocache_pe.exceptions import (
    ConfigurationError,
    CorruptRecordError,
    MissingDependencyError,
)

THRESHOLD = 1024
"""Below this many bytes a payload is left as it is: little to gain, and no longer readable."""

_GZIP = 31  # zlib's way to ask for a gzip header; it writes no time, so equal stays equal
_LEVEL = 6
_ZSTD_LEVEL = 3
_ZSTD_WINDOW = 23  # log2 of what may have to be kept to look back in; our level takes 21
_HELD = 2 * 1024 * 1024  # bytes that are believed; of more it is first seen how much it is
_PIECE = 1024 * 1024  # bytes that come out at a time then
_FED = 256 * 1024  # and that go in
_ZSTD = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"


class _Unpacking(Protocol):
    """What a payload is made of, taken out of it piece by piece."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def take(self, most: int) -> bytes:
        """The next bytes; none at its end, and where it is cut short."""
        ...


class Compression:
    """The stage of one compression.

    Args:
        name: ``"gzip"`` or ``"zstd"``.
        max_bytes: what may come out of one payload at most.

    Raises:
        ConfigurationError: no such compression.
        MissingDependencyError: zstd before Python 3.14 without its package.

    Example:
        >>> gzip = Compression("gzip", max_bytes=1_000_000)
        >>> small = gzip.apply("default:k", "json", b'["again"]' * 1000)
        >>> len(small) < 200, gzip.undo("default:k", "json", small) == b'["again"]' * 1000
        (True, True)
    """

    __slots__ = ("_compress", "_unpack", "max_bytes", "name")

    def __init__(self, name: str, *, max_bytes: int) -> None:
        self.name = name
        self.max_bytes = max_bytes
        self._compress: Callable[[bytes], bytes]
        self._unpack: Callable[[bytes], _Unpacking]
        if name == "gzip":
            self._compress = _gzip
            self._unpack = _Gunzip
        elif name == "zstd":
            zstd = _zstd_module()
            self._compress = lambda payload: zstd.compress(payload, _ZSTD_LEVEL)
            options = {zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW}
            self._unpack = lambda payload: _Unzstd(zstd.ZstdDecompressor(options=options), payload)
        else:
            raise ConfigurationError(f'compression {name!r}; accepted are "zstd", "gzip" and None')

    def apply(self, key: str, codec: str, payload: bytes) -> bytes | None:
        """The payload made smaller.

        Returns:
            ``None`` to leave it as it is: it is small, it would not shrink, or it is
            larger than what may be decompressed again.
        """
        del key, codec  # a compression treats all payloads alike
        if not THRESHOLD <= len(payload) <= self.max_bytes:
            return None
        small = self._compress(payload)
        return small if len(small) < len(payload) else None

    def undo(self, key: str, codec: str, payload: bytes) -> bytes:
        """The payload as it was.

        Raises:
            CorruptRecordError: not of this compression, cut short, or over ``max_bytes``.
        """
        del codec
        most = self.max_bytes + 1
        stream = self._unpack(payload)
        try:
            pieces, size = _read(stream, min(_HELD, most))
            is_longer = size == most
            if size == _HELD and not is_longer:
                # Seen to its end before it is kept, in case there is none.
                is_longer = not _ends_within(stream, most - _HELD)
                if not is_longer:
                    stream = self._unpack(payload)
                    pieces, size = _read(stream, most)
        except Exception as error:  # zlib.error, ZstdError: each library has its own
            raise CorruptRecordError(f"{self.name} data is damaged: {error}", key=key) from error
        if is_longer:
            raise CorruptRecordError(f"{self.name} data exceeds {self.max_bytes} bytes", key=key)
        if not stream.eof or stream.unused_data:
            raise CorruptRecordError(f"{self.name} data is cut short or has a tail", key=key)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _read(stream: _Unpacking, most: int) -> tuple[list[bytes], int]:
    """As much as there is, and no more than ``most`` bytes; the pieces, and how many bytes."""
    pieces, size = [stream.take(min(_PIECE, most))], 0
    while pieces[-1]:
        size += len(pieces[-1])
        if stream.eof or size == most:
            return pieces, size
        pieces.append(stream.take(min(_PIECE, most - size)))
    return pieces, size


def _ends_within(stream: _Unpacking, size: int) -> bool:
    """Whether less than ``size`` bytes are to come; none of them is kept."""
    while size > 0:
        piece = stream.take(min(_PIECE, size))
        if not piece:
            return True
        size -= len(piece)
    return False


def _gzip(payload: bytes) -> bytes:
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    return packer.compress(payload) + packer.flush()


class _Gunzip:
    __slots__ = ("_at", "_payload", "_stream")

    def __init__(self, payload: bytes) -> None:
        self._stream = zlib.decompressobj(_GZIP)
        self._payload = payload
        self._at = 0

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data or self._payload[self._at :]

    def take(self, most: int) -> bytes:
        """Fed bit by bit, as what is left over is copied each time."""
        stream, taken = self._stream, b""
        while not taken and not stream.eof:
            fed = stream.unconsumed_tail
            if not fed:
                fed = self._payload[self._at : self._at + _FED]
                self._at += len(fed)
            taken = stream.decompress(fed, most)
            if not fed and not taken:
                break
        return taken


class _Unzstd:
    __slots__ = ("_left", "_stream")

    def __init__(self, stream: Any, payload: bytes) -> None:
        self._stream = stream
        self._left = payload

    @property
    def eof(self) -> bool:
        return self._stream.eof  # type: ignore[no-any-return]

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data  # type: ignore[no-any-return]

    def take(self, most: int) -> bytes:
        if self._stream.eof:
            return b""
        left, self._left = self._left, b""  # what it does not use at once, it keeps
        return self._stream.decompress(left, max_length=most)  # type: ignore[no-any-return]


def _zstd_module() -> Any:
    # On first use, since most programs do without.
    try:
        return import_module(_ZSTD)
    except ImportError as error:
        raise MissingDependencyError('compression "zstd"', extra="zstd") from error
