"""Compression of payloads, with a limit on the decompressed size."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, Final

from aiocache_pe.exceptions import (
    ConfigurationError,
    CorruptRecordError,
    LargePayloadError,
    MissingDependencyError,
)

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

    __slots__ = ("_compress", "_iter_chunks", "_unpack", "max_bytes", "name")

    def __init__(self, name: str, *, max_bytes: int) -> None:
        self.name = name
        self.max_bytes = max_bytes
        self._compress: Callable[[bytes], bytes]
        self._iter_chunks: Callable[[bytes], Iterator[bytes]]
        self._unpack: Callable[[bytes, int], bytes]  # the whole output, of known size
        if name == "gzip":
            self._compress, self._iter_chunks = _compress_gzip, _iter_gzip_chunks
            self._unpack = lambda payload, size: zlib.decompress(payload, _GZIP_FORMAT, size)
        elif name == "zstd":
            zstd = _import_zstd()
            self._compress = lambda payload: zstd.compress(payload, _ZSTD_LEVEL)
            self._iter_chunks = lambda payload: _iter_zstd_chunks(zstd, payload)
            self._unpack = lambda payload, _: zstd.decompress(payload, options=_zstd_options(zstd))
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

    def decompress(
        self,
        key: str,
        payload: bytes,
        *,
        limit: int | None = None,
        accept: Callable[[bytes], bool] | None = None,
    ) -> bytes:
        """Return the decompressed payload.

        Args:
            key: the store key, for errors.
            payload: the compressed payload.
            limit: greatest size in bytes to decompress here; ``None`` for no limit.
            accept: called with each part of the output; the first part that it does not accept
                ends the decompression.

        Raises:
            CorruptRecordError: the payload is of another format, is cut short, exceeds
                ``max_bytes`` when it is decompressed, or is not accepted.
            LargePayloadError: the output exceeds ``limit``.
        """
        chunks: list[bytes] = []
        size, bound = 0, self.max_bytes if limit is None else min(limit, self.max_bytes)
        try:
            for chunk in self._iter_chunks(payload):
                size += len(chunk)
                if size > bound or not (accept is None or accept(chunk)):
                    break
                if size <= _TRUSTED_BYTES:
                    chunks.append(chunk)
            else:
                return b"".join(chunks) if size <= _TRUSTED_BYTES else self._unpack(payload, size)
        except Exception as error:  # each library has its own: zlib.error, ZstdError
            raise CorruptRecordError(f"{self.name} data is damaged: {error}", key=key) from error
        if limit is not None and size > limit:
            raise LargePayloadError(f"{self.name} data exceeds {limit} bytes", key=key)
        exceeded = f"{bound} bytes" if size > bound else "the bound of its objects"
        raise CorruptRecordError(f"{self.name} data exceeds {exceeded}", key=key)


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
    stream, data = zstd.ZstdDecompressor(options=_zstd_options(zstd)), payload
    while not stream.eof:
        chunk = stream.decompress(data, max_length=_OUTPUT_CHUNK)
        data = b""  # the stream keeps the part that it does not use
        if not chunk:
            break
        yield chunk
    _check_end(stream)


def _zstd_options(zstd: Any) -> dict[Any, int]:
    return {zstd.DecompressionParameter.window_log_max: _ZSTD_MAX_WINDOW_LOG}


def _check_end(stream: Any, rest: bytes = b"") -> None:
    if not stream.eof or stream.unused_data or rest:
        raise EOFError("it is cut short or followed by other data")


def _import_zstd() -> Any:
    try:
        return import_module(_ZSTD_MODULE)
    except ImportError as error:
        raise MissingDependencyError('compression "zstd"', extra="zstd") from error
