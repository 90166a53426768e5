"""Compression of payloads, with a limit on the decompressed size."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final, Protocol

from aiocache_pe.exceptions import (
    ConfigurationError,
    CorruptRecordError,
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


class _Decompressor(Protocol):
    """Incremental decompression of one payload."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def read(self, limit: int) -> bytes:
        """Return the next bytes; none at the end, or where the payload is cut short."""
        ...


class Compression:
    """Stage that compresses payloads.

    A few kilobytes can claim to be terabytes, so the output is read up to a limit, whatever the
    payload says about its size. An output above 2 MiB is decompressed twice: first to check that
    it ends within the limit. So a decompression bomb takes no more memory than that.

    Args:
        name: ``"gzip"`` or ``"zstd"``.
        max_bytes: greatest decompressed size of a payload, in bytes.

    Raises:
        ConfigurationError: the name is none of these.
        MissingDependencyError: the package for zstd is missing, before Python 3.14.

    Example:
        >>> gzip = Compression("gzip", max_bytes=1_000_000)
        >>> small = gzip.apply("default:k", "json", b'["again"]' * 1000)
        >>> len(small) < 200, gzip.undo("default:k", "json", small) == b'["again"]' * 1000
        (True, True)
    """

    __slots__ = ("_compress", "_make_decompressor", "max_bytes", "name")

    def __init__(self, name: str, *, max_bytes: int) -> None:
        self.name = name
        self.max_bytes = max_bytes
        self._compress: Callable[[bytes], bytes]
        self._make_decompressor: Callable[[bytes], _Decompressor]
        if name == "gzip":
            self._compress = _compress_gzip
            self._make_decompressor = _GzipDecompressor
        elif name == "zstd":
            zstd = _import_zstd()
            self._compress = lambda payload: zstd.compress(payload, _ZSTD_LEVEL)
            options = {zstd.DecompressionParameter.window_log_max: _ZSTD_MAX_WINDOW_LOG}
            self._make_decompressor = lambda payload: _ZstdDecompressor(
                zstd.ZstdDecompressor(options=options), payload
            )
        else:
            raise ConfigurationError(f'compression must be "zstd", "gzip" or None; got {name!r}')

    def apply(self, key: str, codec: str, payload: bytes) -> bytes | None:
        """Return the compressed payload.

        Returns:
            ``None`` if the payload is below `THRESHOLD`, if it would not become smaller, or if it
            exceeds ``max_bytes``.
        """
        del key, codec  # all payloads are compressed alike
        if not THRESHOLD <= len(payload) <= self.max_bytes:
            return None
        small = self._compress(payload)
        return small if len(small) < len(payload) else None

    def undo(self, key: str, codec: str, payload: bytes) -> bytes:
        """Return the decompressed payload.

        Raises:
            CorruptRecordError: the payload is of another format, is cut short, or exceeds
                ``max_bytes`` when it is decompressed.
        """
        del codec
        limit = self.max_bytes + 1
        decompressor = self._make_decompressor(payload)
        try:
            chunks, size = _read_chunks(decompressor, min(_TRUSTED_BYTES, limit))
            is_too_long = size == limit
            if size == _TRUSTED_BYTES and not is_too_long:
                is_too_long = not _ends_within(decompressor, limit - _TRUSTED_BYTES)
                if not is_too_long:
                    decompressor = self._make_decompressor(payload)
                    chunks, size = _read_chunks(decompressor, limit)
        except Exception as error:  # each library has its own: zlib.error, ZstdError
            raise CorruptRecordError(f"{self.name} data is damaged: {error}", key=key) from error

        if is_too_long:
            raise CorruptRecordError(f"{self.name} data exceeds {self.max_bytes} bytes", key=key)
        if not decompressor.eof or decompressor.unused_data:
            raise CorruptRecordError(
                f"{self.name} data is cut short or followed by other data", key=key
            )
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _read_chunks(decompressor: _Decompressor, limit: int) -> tuple[list[bytes], int]:
    """Read at most ``limit`` bytes; return them in chunks, and their number."""
    chunks, size = [decompressor.read(min(_OUTPUT_CHUNK, limit))], 0
    while chunks[-1]:
        size += len(chunks[-1])
        if decompressor.eof or size == limit:
            return chunks, size
        chunks.append(decompressor.read(min(_OUTPUT_CHUNK, limit - size)))
    return chunks, size


def _ends_within(decompressor: _Decompressor, size: int) -> bool:
    """Return whether fewer than ``size`` bytes are left, without keeping them."""
    while size > 0:
        chunk = decompressor.read(min(_OUTPUT_CHUNK, size))
        if not chunk:
            return True
        size -= len(chunk)
    return False


def _compress_gzip(payload: bytes) -> bytes:
    compressor = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_FORMAT)
    return compressor.compress(payload) + compressor.flush()


class _GzipDecompressor:
    __slots__ = ("_payload", "_position", "_zlib")

    def __init__(self, payload: bytes) -> None:
        self._zlib = zlib.decompressobj(_GZIP_FORMAT)
        self._payload = payload
        self._position = 0

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data or self._payload[self._position :]

    def read(self, limit: int) -> bytes:
        # The input is passed in chunks, because zlib copies the unread rest at each call.
        stream, output = self._zlib, b""
        while not output and not stream.eof:
            chunk = stream.unconsumed_tail
            if not chunk:
                chunk = self._payload[self._position : self._position + _INPUT_CHUNK]
                self._position += len(chunk)
            output = stream.decompress(chunk, limit)
            if not chunk and not output:
                break
        return output


class _ZstdDecompressor:
    __slots__ = ("_input", "_zstd")

    def __init__(self, stream: Any, payload: bytes) -> None:
        self._zstd = stream
        self._input = payload

    @property
    def eof(self) -> bool:
        return self._zstd.eof  # type: ignore[no-any-return]

    @property
    def unused_data(self) -> bytes:
        return self._zstd.unused_data  # type: ignore[no-any-return]

    def read(self, limit: int) -> bytes:
        if self._zstd.eof:
            return b""
        data, self._input = self._input, b""  # the stream keeps the part that it does not use
        return self._zstd.decompress(data, max_length=limit)  # type: ignore[no-any-return]


def _import_zstd() -> Any:
    try:
        return import_module(_ZSTD_MODULE)
    except ImportError as error:
        raise MissingDependencyError('compression "zstd"', extra="zstd") from error
