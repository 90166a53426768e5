"""JSON for values that people are to read: plain, or with tags; never pickle, never raw bytes."""

from __future__ import annotations

from typing import Any, Final

from aiocache_pe.codecs.base import NotExact
from aiocache_pe.codecs.plain_json import PlainJson
from aiocache_pe.codecs.tagged_json import TaggedJson, dumps
from aiocache_pe.exceptions import CorruptRecordError, SerializationError

_PLAIN, _TAGGED = PlainJson(), TaggedJson()
PLAIN: Final = _PLAIN.name


def readable(value: Any) -> tuple[str, bytes]:
    """The codec and the JSON of a value.

    Raises:
        SerializationError: JSON cannot hold it exactly.

    Example:
        >>> readable({"size": (640, 480)})
        ('tagged', b'{"size":{"$tuple":[640,480]}}')
    """
    payload = _PLAIN.encode(value)
    if payload is not None:
        return _PLAIN.name, payload
    try:
        return _TAGGED.name, dumps(value)
    except NotExact as error:
        raise SerializationError(
            f"JSON cannot hold this {type(value).__qualname__}: {error}; if its class is a "
            "dataclass, pydantic model, struct, enum or named tuple, register the class "
            "(aiocache_pe.register)"
        ) from None


def read(codec: str, payload: bytes) -> Any:
    """The value, one of its own for each call.

    Raises:
        CorruptRecordError: it is not what the codec says, or there is no such codec.
    """
    if codec not in (_PLAIN.name, _TAGGED.name):
        raise CorruptRecordError(f"codec {codec!r:.80} is not known")
    return (_PLAIN if codec == _PLAIN.name else _TAGGED).decode(payload)
