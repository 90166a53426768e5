"""Pipeline between a value and the payload of a record.

The pipeline uses the first serializer that holds the value exactly, the most readable first:

=========  ==============================================================
codec      values
=========  ==============================================================
json       values that plain JSON restores exactly
bytes      ``bytes``, unchanged
numpy      an array, as its raw bytes
tagged     types of the standard library and registered classes, as JSON
pickle     all others, signed
=========  ==============================================================

Compression and signature follow, and the codec names them in this order. Reading undoes them from
the end: ``pickle+zstd+hmac`` is verified, decompressed and then unpickled.

Pickle is signed. The other serializers can do nothing but build a value, so a forged payload
achieves no more than an ordinary write to the store. A signature would cost time at every hit, and
no other tool could read the payload. The exception is JSON that takes a lot more memory than space
in the store (`aiocache_pe.codecs.decoded_size`): a reader trusts it only with a signature.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from aiocache_pe.codecs.base import NotExactError, Serializer
from aiocache_pe.codecs.compression import Compression
from aiocache_pe.codecs.decoded_size import DecodedSizeMeter, compute_limit, is_within
from aiocache_pe.codecs.numpy_arrays import NumpyArrays
from aiocache_pe.codecs.pickle_codec import PickleCodec
from aiocache_pe.codecs.plain_json import PIECE_BYTES, PlainJson, RawBytes, parse_json
from aiocache_pe.codecs.signing import Signature
from aiocache_pe.codecs.tagged_json import TaggedJson, encode_tagged
from aiocache_pe.exceptions import (
    ConfigurationError,
    CorruptRecordError,
    LargePayloadError,
    MissingDependencyError,
    SecretRequiredError,
)

MAX_BYTES: Final = 64 * 1024 * 1024
"""Default of the greatest decompressed size of a payload. A larger payload is stored without
compression, and a forged record of a few kilobytes makes a reader decompress no more than this."""

_PLAIN, _TAGGED, _PICKLE = PlainJson(), TaggedJson(), PickleCodec()
_JSON: Final[frozenset[Serializer]] = frozenset((_PLAIN, _TAGGED))
_UNSIGNED: Final[tuple[Serializer, ...]] = (_PLAIN, RawBytes(), NumpyArrays(), _TAGGED)
_SERIALIZERS: Final[dict[str, Serializer]] = {s.name: s for s in (*_UNSIGNED, _PICKLE)}
_COMPRESSIONS: Final = frozenset(("zstd", "gzip"))
_LOOP_LIMITS: Final[dict[Serializer, int]] = {_PLAIN: PIECE_BYTES, _TAGGED: PIECE_BYTES // 4}


class Pipeline:
    """Encoder and decoder of values, exact in both directions.

    It reads the payloads of every other pipeline, whatever compression each of them uses. Any
    thread may use it.

    Args:
        compression: ``"zstd"``, ``"gzip"`` or ``None``. Payloads from 1 KiB on are compressed if
            that makes them smaller.
        secret: secret that signs and verifies pickle; without one, values that only pickle could
            hold are refused.
        max_bytes: greatest decompressed size of a payload, in bytes. Larger payloads are not
            compressed.

    Raises:
        ConfigurationError: an argument has a wrong value.
        MissingDependencyError: the package for ``"zstd"`` is missing, before Python 3.14.

    Example:
        >>> pipeline = Pipeline()
        >>> pipeline.encode("default:k", {"answer": 42})
        ('json', b'{"answer":42}')
        >>> pipeline.decode("default:k", "json", b'{"answer":42}')
        {'answer': 42}
    """

    __slots__ = ("_compression", "_decoders", "_max_bytes", "_signature")

    def __init__(
        self,
        *,
        compression: str | None = None,
        secret: bytes | str | None = None,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        if type(max_bytes) is not int or max_bytes < 1:
            raise ConfigurationError(f"max_bytes must be an int of at least 1; got {max_bytes!r}")
        self._max_bytes = max_bytes
        self._compression = (
            None if compression is None else Compression(compression, max_bytes=max_bytes)
        )
        self._signature = Signature(secret)
        self._decoders: dict[str, Callable[[str, bytes], Any]] = {_PLAIN.name: parse_json}

    def __repr__(self) -> str:
        name = self._compression.name if self._compression else None
        secret = "<known>" if self.has_secret else None
        return f"Pipeline(compression={name!r}, secret={secret}, max_bytes={self._max_bytes})"

    @property
    def has_secret(self) -> bool:
        """Return whether pickle can be signed and verified."""
        return self._signature.has_secret

    def use_secret(self, secret: bytes | str | None) -> None:
        """Set the secret that signs and verifies from now on; see `Signature.use_secret`."""
        self._signature.use_secret(secret)

    def encode(self, key: str, value: Any) -> tuple[str, bytes]:
        """Return the codec and the payload of a value.

        Args:
            key: store key, which a signature covers.
            value: any value. Only pickle can hold a value that contains itself or is nested more
                than 100 levels deep.

        Raises:
            SecretRequiredError: only pickle can hold the value, and no secret is known.
            SerializationError: not even pickle can hold the value.
        """
        for serializer in _UNSIGNED:
            payload = serializer.encode(value)
            if payload is None:
                continue
            codec, packed = self._compress(serializer.name, payload)
            if serializer not in _JSON or _is_readable(payload, packed):
                return codec, packed
            if self._signature.has_secret:
                return self._sign(key, codec, packed)
            if _is_readable(payload, payload):
                return serializer.name, bytes(memoryview(payload))
            raise SecretRequiredError(_explain_size(value, payload))

        payload = _PICKLE.encode(value)
        if not self._signature.has_secret:
            raise SecretRequiredError(_explain_pickle(value))
        return self._sign(key, *self._compress(_PICKLE.name, payload))

    def decode(self, key: str, codec: str, payload: bytes) -> Any:
        """Return the value of a record's payload, a new object at each call.

        A large payload holds up the thread, so this is not for the thread of an event loop.

        Raises:
            CorruptRecordError: the payload does not match the codec, exceeds ``max_bytes`` or the
                bounds of `aiocache_pe.codecs.decoded_size`, or was signed by another secret or
                for another key; or a package or a registered class is missing in this process.
            SecretRequiredError: the payload is signed and no secret is known.
        """
        return self._make_decoder(codec)(key, payload, None)

    def decode_small(self, key: str, codec: str, payload: bytes) -> Any:
        """Return the value of a payload like `decode`, unless that takes long.

        Raises:
            LargePayloadError: the payload is large.
            CorruptRecordError, SecretRequiredError: see `decode`.
        """
        decoder = self._decoders.get(codec)
        if decoder is None:
            decoder = self._decoders[codec] = self._make_decoder(codec)
        return decoder(key, payload)

    def _compress(self, codec: str, payload: bytes) -> tuple[str, bytes]:
        if self._compression is not None:
            small = self._compression.compress(payload)
            if small is not None:
                return f"{codec}+{self._compression.name}", small
        # Encoders leave up to half of the buffer free, which would stay allocated with the bytes.
        return codec, bytes(memoryview(payload))

    def _sign(self, key: str, codec: str, payload: bytes) -> tuple[str, bytes]:
        return f"{codec}+{self._signature.name}", self._signature.sign(key, codec, payload)

    def _make_decoder(self, codec: str) -> Callable[..., Any]:
        signed_codec = codec.removesuffix(f"+{self._signature.name}")
        is_signed = signed_codec != codec
        serializer, suffixes = _parse_codec(signed_codec, is_signed=is_signed)
        try:
            compressions = [Compression(each, max_bytes=self._max_bytes) for each in suffixes]
        except MissingDependencyError as error:
            # For a reader, a record that it cannot read is a miss and not a failure.
            raise CorruptRecordError(f"codec {codec!r}: {error}") from error
        decode = serializer.decode
        is_bounded = serializer in _JSON and not is_signed
        # Pickle runs code of the application, which may belong to the thread of its caller.
        is_slow = bool(compressions) and serializer is not _PICKLE
        loop_limit = _LOOP_LIMITS.get(serializer, PIECE_BYTES if is_slow else None)

        def decode_payload(key: str, payload: bytes, limit: int | None = loop_limit) -> Any:
            try:
                if limit is not None and len(payload) > limit:
                    raise LargePayloadError(f"payload has {len(payload)} bytes", key=key)
                if is_signed:
                    payload = self._signature.verify(key, signed_codec, payload)
                for compression in compressions:  # at most one
                    is_measured = is_bounded and limit is None
                    payload = _decompress(compression, key, payload, limit, is_measured=is_measured)
                if is_bounded and limit is None and not compressions:
                    _check_size(payload)
                return decode(payload)
            except CorruptRecordError as error:
                if error.key:
                    raise
                raise type(error)(error.reason, key=key) from error

        return decode_payload


def _parse_codec(codec: str, *, is_signed: bool) -> tuple[Serializer, list[str]]:
    """Return the serializer and the compressions of a codec; pickle is signed, and JSON may be."""
    name, *suffixes = codec.split("+")
    serializer = _SERIALIZERS.get(name)
    if serializer is None or (serializer not in _JSON and is_signed is not (serializer is _PICKLE)):
        raise CorruptRecordError(f"unknown codec {codec!r:.80}")
    if len(suffixes) > 1 or not _COMPRESSIONS.issuperset(suffixes):
        raise CorruptRecordError(f"unknown codec {codec!r:.80}")
    return serializer, suffixes


def _is_readable(payload: bytes, packed: bytes) -> bool:
    """Return whether readers decode JSON that is stored in this form without a signature."""
    limit = compute_limit(len(packed), is_compressed=len(packed) < len(payload))
    return is_within(payload, limit)


def _check_size(payload: bytes) -> None:
    if not _is_readable(payload, payload):
        raise CorruptRecordError("JSON takes too much memory for its size")


def _decompress(
    compression: Compression, key: str, payload: bytes, limit: int | None, *, is_measured: bool
) -> bytes:
    """Return the decompressed payload; with ``is_measured``, its objects are bounded as well."""
    if not is_measured:
        return compression.decompress(key, payload, limit=limit)
    size = compute_limit(len(payload), is_compressed=True)
    try:
        accept = DecodedSizeMeter(size, exact=False).add
        return compression.decompress(key, payload, accept=accept)
    except CorruptRecordError:  # perhaps its brackets are part of text
        accept = DecodedSizeMeter(size, exact=True).add
        return compression.decompress(key, payload, accept=accept)


def _explain_size(value: Any, payload: bytes) -> str:
    return (
        f"this {type(value).__qualname__} takes many times the {len(payload)} bytes of its JSON in "
        "memory, which readers accept with a signature only; pass secret= to the manager or set "
        "AIOCACHE_PE_SECRET, or store the value in parts or as a numpy array"
    )


def _explain_pickle(value: Any) -> str:
    reason = "it cannot be written exactly"
    try:
        encode_tagged(value)
    except NotExactError as error:
        reason = str(error)
    return (
        f"only pickle can hold this {type(value).__qualname__}, since {reason}; pickle requires "
        "a secret: pass secret= to the manager or set AIOCACHE_PE_SECRET; or, if its class is a "
        "dataclass, pydantic model, attrs class, struct, enum or named tuple, register the class "
        "(aiocache_pe.register) or name it in the return annotation"
    )
