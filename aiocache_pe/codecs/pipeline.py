"""From a value to the bytes of a record, and back.

The first serializer that holds the value exactly is taken, the most readable first:

=========  ==============================================================
codec      what it holds
=========  ==============================================================
json       what plain JSON gives back exactly
bytes      ``bytes``, as they are
numpy      an array, as its raw bytes
tagged     the standard library's types and registered classes, as JSON
pickle     the rest, signed
=========  ==============================================================

Stages follow, and the codec names them in the order they were applied, so that reading
undoes them from the end: ``pickle+zstd+hmac`` is verified, then decompressed, then
read. Only pickle is signed. The other serializers can do nothing but make a value, so
whoever can write to the store gains nothing by forging one that he could not have
written openly; signing them would cost every hit, and no other tool could read them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from aiocache_pe.codecs.base import NotExact, Serializer, Stage
from aiocache_pe.codecs.compression import Compression
from aiocache_pe.codecs.numpy_arrays import NumpyArrays
from aiocache_pe.codecs.pickle_codec import PickleCodec
from aiocache_pe.codecs.plain_json import PlainJson, RawBytes, parse
from aiocache_pe.codecs.signing import Signature
from aiocache_pe.codecs.tagged_json import TaggedJson, dumps
from aiocache_pe.exceptions import (
    ConfigurationError,
    CorruptRecordError,
    MissingDependencyError,
    SecretRequiredError,
)

MAX_BYTES = 64 * 1024 * 1024
"""What one payload may be decompressed to, unless told otherwise; larger ones are stored as
they are. A forged record of a few kilobytes makes a reader decompress no more than that."""

PayloadDecoder = Callable[[str, bytes], Any]
"""Given the store key and a payload, returns the value."""

_PLAIN = PlainJson()
_OPEN: Final[tuple[Serializer, ...]] = (RawBytes(), NumpyArrays(), TaggedJson())
_PICKLE = PickleCodec()
_SERIALIZERS: Final[dict[str, Serializer]] = {s.name: s for s in (_PLAIN, *_OPEN, _PICKLE)}
_COMPRESSIONS: Final = ("zstd", "gzip")


class Pipeline:
    """Encodes values for records and decodes them, exactly or not at all.

    It reads what any other pipeline wrote, whatever compression either was given. It
    may be used in any thread.

    Args:
        compression: ``"zstd"``, ``"gzip"``, or ``None``. Payloads from 1 KiB on are
            compressed if that makes them smaller.
        secret: by which pickle is signed and verified; without one, values that only
            pickle could hold are refused.
        max_bytes: what one payload may be decompressed to; larger ones are not
            compressed in the first place.

    Raises:
        ConfigurationError: an argument is none of the accepted ones.
        MissingDependencyError: ``"zstd"`` before Python 3.14 without its package.

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
            raise ConfigurationError(f"max_bytes {max_bytes!r}; accepted is an int from 1 on")
        self._max_bytes = max_bytes
        self._compression = (
            None if compression is None else Compression(compression, max_bytes=max_bytes)
        )
        self._signature = Signature(secret)
        self._decoders: dict[str, PayloadDecoder] = {_PLAIN.name: parse}

    def __repr__(self) -> str:
        name = self._compression.name if self._compression else None
        secret = "<known>" if self.has_secret else None
        return f"Pipeline(compression={name!r}, secret={secret}, max_bytes={self._max_bytes})"

    @property
    def has_secret(self) -> bool:
        """Whether pickle can be signed and verified."""
        return self._signature.is_ready

    def use_secret(self, secret: bytes | str | None) -> None:
        """Sign and verify with this secret from now on.

        Args:
            secret: bytes or a text; ``None`` forgets the one there was.

        Raises:
            ConfigurationError: it is empty or of another type.
        """
        self._signature.use(secret)

    def encode(self, key: str, value: Any) -> tuple[str, bytes]:
        """Turn a value into a payload.

        Args:
            key: the store key, to which a signature is bound.
            value: anything. A value that holds itself, or is nested more than 100 deep,
                can be held by pickle only.

        Returns:
            The codec and the payload.

        Raises:
            SecretRequiredError: only pickle can hold it, and no secret is known.
            SerializationError: not even pickle can hold it.
        """
        payload = _PLAIN.encode(value)
        if payload is not None:
            return self._compressed(key, _PLAIN.name, payload)
        for serializer in _OPEN:
            payload = serializer.encode(value)
            if payload is not None:
                return self._compressed(key, serializer.name, payload)
        payload = _PICKLE.encode(value)
        if not self._signature.is_ready:
            raise SecretRequiredError(_why_pickle(value))
        codec, payload = self._compressed(key, _PICKLE.name, payload)
        return f"{codec}+{self._signature.name}", self._signature.apply(key, codec, payload)

    def decode(self, key: str, codec: str, payload: bytes) -> Any:
        """Turn a payload into the value it was made of.

        Args:
            key: the store key it was read under.
            codec: what its record says of it.
            payload: the bytes.

        Returns:
            The value, one of its own for each call.

        Raises:
            CorruptRecordError: it is not what the codec says, is signed by another
                secret or for another key, or becomes too large; or it needs a package
                or a registered class that this process has not.
            SecretRequiredError: it is signed and no secret is known.
        """
        decoder = self._decoders.get(codec)
        if decoder is None:
            decoder = self._decoders[codec] = self._make_decoder(codec)
        return decoder(key, payload)

    def _compressed(self, key: str, codec: str, payload: bytes) -> tuple[str, bytes]:
        if self._compression is not None:
            small = self._compression.apply(key, codec, payload)
            if small is not None:
                return f"{codec}+{self._compression.name}", small
        # Whoever encodes leaves room behind the bytes, up to half of them, that would be
        # kept as long as they are.
        return codec, bytes(memoryview(payload))

    def _make_decoder(self, codec: str) -> PayloadDecoder:
        name, *suffixes = codec.split("+")
        serializer = _SERIALIZERS.get(name)
        # The stages in the order they are undone, each with the codec it was applied to.
        stages: list[tuple[Stage, str]] = []
        if suffixes and suffixes[-1] == self._signature.name:
            stages.append((self._signature, codec.removesuffix("+" + suffixes.pop())))
        # Pickle is signed, and nothing else is: whatever differs was not written here.
        if serializer is None or bool(stages) is not (serializer is _PICKLE):
            raise CorruptRecordError(f"codec {codec!r:.80} is not known")
        if suffixes:
            stages.append((self._decompression(codec, suffixes), name))
        decode = serializer.decode

        def decode_payload(key: str, payload: bytes) -> Any:
            try:
                for stage, inner in stages:
                    payload = stage.undo(key, inner, payload)
                return decode(payload)
            except CorruptRecordError as error:
                if error.key:
                    raise
                raise CorruptRecordError(error.reason, key=key) from error

        return decode_payload

    def _decompression(self, codec: str, suffixes: list[str]) -> Compression:
        if len(suffixes) > 1 or suffixes[0] not in _COMPRESSIONS:
            raise CorruptRecordError(f"codec {codec!r:.80} is not known")
        try:
            return Compression(suffixes[0], max_bytes=self._max_bytes)
        except MissingDependencyError as error:
            # For whoever reads, a record that cannot be read is a miss and no failure.
            raise CorruptRecordError(f"codec {codec!r}: {error}") from error


def _why_pickle(value: Any) -> str:
    reason = "it cannot be written exactly"
    try:
        dumps(value)
    except NotExact as error:
        reason = str(error)
    return (
        f"only pickle can hold this {type(value).__qualname__}, since {reason}; pickle is used "
        "with a secret only: pass secret= to the manager or set AIOCACHE_PE_SECRET; or, if its "
        "class is a dataclass, pydantic model, struct, enum or named tuple, register the class "
        "(aiocache_pe.register)"
    )
