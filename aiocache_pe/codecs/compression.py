"""Compression of payloads, with a limit on the decompressed size."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, Final

from aiocache_pe.exceptions import ConfigurationError, CorruptRecordError, MissingDependencyError

THRESHOLD: Final = 1024
"""Size in bytes from which a payload is compressed. Smaller ones gain little and stay readable."""

_GZIP_FORMAT = 31  # zlib's code for a gzip header; it contains no time, so the output is stable
_GZIP_LEVEL = 6
_ZSTD_LEVEL = 3
_ZSTD_MAX_WINDOW_LOG = 23  # binary logarithm of bytes; `_ZSTD_LEVEL` needs 21
_TRUSTED_BYTES = 2 * 1024 * 1024  # a longer output is first measured, then kept
_OUTPUT_CHUNK = 1024 * 1024  # bytes
_INPUT_CHUNK = 256 * 1024  # bytes
_ZSTD_MODULE = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"


class Compression:
    """Compression and decompression of payloads.

    A few kilobytes can claim to be terabytes, so the output is read up to a limit, whatever the
    payload says about its size. An output above 2 MiB is decompressed twice: first to check that
    it ends within the limit. So a decompression bomb takes no more memory than that.

    Args:
        name: ``"gzip"`` or ``"zstd"``, the suffix of the codec in records, as in ``json+zstd``.
        max_bytes: greatest decompressed size of a payload, in bytes.

    Raises:
        ConfigurationError: the name is none of these.
        MissingDependencyError: the package for zstd is missing, before Python 3.14.

    Example:
        >>> gzip = Compression("gzip", max_bytes=1_000_000)
        >>> small = gzip.compress(b'["again"]' * 1000)
        >>> len(small) < 200, gzip.decompress("default:k", small) == b'["again"]' * 1000
        (True, True)
    """

    __slots__ = ("_compress", "_iter_chunks", "max_bytes", "name")

    def __init__(self, name: str, *, max_bytes: int) -> None:
        self.name = name
        self.max_bytes = max_bytes
        self._compress: Callable[[bytes], bytes]
        self._iter_chunks: Callable[[bytes], Iterator[bytes]]
        if name == "gzip":
            self._compress, self._iter_chunks = _compress_gzip, _iter_gzip_chunks
        elif name == "zstd":
            zstd = _import_zstd()
            self._compress = lambda payload: zstd.compress(payload, _ZSTD_LEVEL)
            self._iter_chunks = lambda payload: _iter_zstd_chunks(zstd, payload)
        else:
            raise ConfigurationError(f'compression must be "zstd", "gzip" or None; got {name!r}')

    def compress(self, payload: bytes) -> bytes | None:
        """Return the compressed payload.

        Returns:
            ``None`` if the payload is below `THRESHOLD`, if it would not become smaller, or if it
            exceeds ``max_bytes``.
        """
        if not THRESHOLD <= len(payload) <= self.max_bytes:
            return None
        small = self._compress(payload)
        return small if len(small) < len(payload) else None

    def decompress(self, key: str, payload: bytes) -> bytes:
        """Return the decompressed payload.

        Raises:
            CorruptRecordError: the payload is of another format, is cut short, or exceeds
                ``max_bytes`` when it is decompressed.
        """
        chunks: list[bytes] = []
        size = 0
        try:
            for chunk in self._iter_chunks(payload):
                size += len(chunk)
                if size > self.max_bytes:
                    break
                if size <= _TRUSTED_BYTES:
                    chunks.append(chunk)
            if _TRUSTED_BYTES < size <= self.max_bytes:
                chunks = list(self._iter_chunks(payload))
        except Exception as error:  # each library has its own: zlib.error, ZstdError
            raise CorruptRecordError(f"{self.name} data is damaged: {error}", key=key) from error

        if size > self.max_bytes:
            raise CorruptRecordError(f"{self.name} data exceeds {self.max_bytes} bytes", key=key)
        return b"".join(chunks)


def _compress_gzip(payload: bytes) -> bytes:
    compressor = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_FORMAT)
    return compressor.compress(payload) + compressor.flush()


def _iter_gzip_chunks(payload: bytes) -> Iterator[bytes]:
    stream, position = zlib.decompressobj(_GZIP_FORMAT), 0
    while not stream.eof:
        # The input is passed in chunks, because zlib copies the unread rest at each call.
        data = stream.unconsumed_tail
        if not data:
            data = payload[position : position + _INPUT_CHUNK]
            position += len(data)
        chunk = stream.decompress(data, _OUTPUT_CHUNK)
        if not data and not chunk:
            break
        yield chunk
    _check_end(stream, payload[position:])


def _iter_zstd_chunks(zstd: Any, payload: bytes) -> Iterator[bytes]:
    options = {zstd.DecompressionParameter.window_log_max: _ZSTD_MAX_WINDOW_LOG}
    stream, data = zstd.ZstdDecompressor(options=options), payload
    while not stream.eof:
        chunk = stream.decompress(data, max_length=_OUTPUT_CHUNK)
        data = b""  # the stream keeps the part that it does not use
        if not chunk:
            break
        yield chunk
    _check_end(stream)


def _check_end(stream: Any, rest: bytes = b"") -> None:
    if not stream.eof or stream.unused_data or rest:
        raise EOFError("it is cut short or followed by other data")


def _import_zstd() -> Any:
    try:
        return import_module(_ZSTD_MODULE)
    except ImportError as error:
        raise MissingDependencyError('compression "zstd"', extra="zstd") from error
