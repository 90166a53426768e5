"""Sameness as a cache means it: equal, of the same type, all the way down."""

from __future__ import annotations

import dataclasses
import struct
from collections import Counter, OrderedDict, defaultdict, deque
from datetime import datetime, time
from enum import Enum
from typing import Any

import msgspec
import numpy as np
from pydantic import BaseModel

from aiocache_pe.codecs.pipeline import Pipeline

KEY = "default:k"
SECRET = b"a secret of thirty-two bytes ..."


def round_trip(value: Any, *, secret: bytes | None = None, compression: str | None = None) -> Any:
    """What a reader gets; by another pipeline, as in another process."""
    codec, payload = Pipeline(secret=secret, compression=compression).encode(KEY, value)
    return Pipeline(secret=secret).decode(KEY, codec, payload)


def codec_of(value: Any, *, secret: bytes | None = None) -> str:
    """How a value is held."""
    return Pipeline(secret=secret).encode(KEY, value)[0]


def fingerprint(value: Any) -> Any:
    """A value that is equal for two values only if they are the same all the way down.

    Unlike ``==`` it tells 1 from 1.0 from True, 0.0 from -0.0, one NaN from another, and
    a tuple from a named tuple.
    """
    kind = type(value)
    if value is None or kind in (str, int, bool, bytes, bytearray, range):
        return kind, value
    if kind is float:
        return kind, struct.pack(">d", value)
    if kind is complex:
        return kind, fingerprint(value.real), fingerprint(value.imag)
    if kind in (list, tuple):
        return kind, [fingerprint(item) for item in value]
    if kind is deque:
        return kind, value.maxlen, [fingerprint(item) for item in value]
    if kind in (set, frozenset):
        return kind, sorted((fingerprint(item) for item in value), key=repr)
    if kind in (dict, OrderedDict, Counter, defaultdict):
        pairs = [(fingerprint(k), fingerprint(v)) for k, v in value.items()]
        return kind, getattr(value, "default_factory", None), pairs
    if kind in (datetime, time):
        zone = value.tzinfo
        return kind, value.replace(tzinfo=None).isoformat(), value.fold, type(zone), repr(zone)
    return _of_class(value, kind)


def _of_class(value: Any, kind: type) -> Any:
    if isinstance(value, np.ndarray):
        # Between the fields of a record there may be bytes that mean nothing.
        content = value.tobytes() if value.dtype.names is None else repr(value.tolist())
        return kind, repr(value.dtype), value.dtype.char, value.shape, value.flags.fnc, content
    if isinstance(value, np.generic):
        return kind, repr(value.dtype), value.tobytes()
    if isinstance(value, Enum):
        return kind, value.name, value.value
    if isinstance(value, tuple):
        return kind, [fingerprint(item) for item in value], fingerprint(_attributes(value))
    if isinstance(value, BaseModel):
        return kind, {k: fingerprint(v) for k, v in value.__getstate__().items()}
    if isinstance(value, msgspec.Struct):
        fields = {name: fingerprint(getattr(value, name)) for name in value.__struct_fields__}
        return kind, fields, fingerprint(_attributes(value))
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
        fields = {name: fingerprint(getattr(value, name)) for name in names}
        more = {k: v for k, v in _attributes(value).items() if k not in names}
        return kind, fields, fingerprint(more)
    # Decimal tells 1.0 from 1.00 only by its text, and a UUID its safety by nothing else.
    return kind, str(value), repr(getattr(value, "is_safe", None)), repr(value)


def _attributes(value: Any) -> dict[str, Any]:
    return dict(getattr(value, "__dict__", {}))


def assert_same(first: Any, second: Any) -> None:
    """Fail unless they are the same all the way down."""
    assert fingerprint(first) == fingerprint(second)


def assert_round_trip(value: Any, *, secret: bytes | None = None) -> None:
    """Fail unless a value comes back the same, and as an object of its own."""
    before = fingerprint(value)
    back = round_trip(value, secret=secret)
    assert fingerprint(back) == before
    assert fingerprint(value) == before, "encoding changed the value"
