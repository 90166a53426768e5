"""Compression, for payloads large enough to gain by it.

What is decompressed is bounded: a few kilobytes can claim to be terabytes, so the
result is read up to a limit and no further, whatever the data says of itself.
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
_ZSTD = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /, max_length: int) -> bytes: ...


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

    __slots__ = ("_compress", "_decompressor", "max_bytes", "name")

    def __init__(self, name: str, *, max_bytes: int) -> None:
        self.name = name
        self.max_bytes = max_bytes
        self._compress: Callable[[bytes], bytes]
        self._decompressor: Callable[[], _Decompressor]
        if name == "gzip":
            self._compress = _gzip
            self._decompressor = _gunzip
        elif name == "zstd":
            zstd = _zstd_module()
            self._compress = lambda payload: zstd.compress(payload, _ZSTD_LEVEL)
            self._decompressor = zstd.ZstdDecompressor
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
        stream = self._decompressor()
        try:
            content = stream.decompress(payload, max_length=self.max_bytes + 1)
        except Exception as error:  # zlib.error, ZstdError: each library has its own
            raise CorruptRecordError(f"{self.name} data is damaged: {error}", key=key) from error
        if len(content) > self.max_bytes:
            raise CorruptRecordError(f"{self.name} data exceeds {self.max_bytes} bytes", key=key)
        if not stream.eof or stream.unused_data:
            raise CorruptRecordError(f"{self.name} data is cut short or has a tail", key=key)
        return content


def _gzip(payload: bytes) -> bytes:
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    return packer.compress(payload) + packer.flush()


def _gunzip() -> _Decompressor:
    return zlib.decompressobj(_GZIP)


def _zstd_module() -> Any:
    # On first use, since most programs do without.
    try:
        return import_module(_ZSTD)
    except ImportError as error:
        raise MissingDependencyError('compression "zstd"', extra="zstd") from error
