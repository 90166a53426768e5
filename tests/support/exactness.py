"""Exact comparison of values: equal and of the same type, at every depth."""

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
    """Encode a value and return the value that another pipeline decodes."""
    codec, payload = Pipeline(secret=secret, compression=compression).encode(KEY, value)
    return Pipeline(secret=secret).decode(KEY, codec, payload)


def choose_codec(value: Any, *, secret: bytes | None = None) -> str:
    """Return the codec that the pipeline chooses for a value."""
    return Pipeline(secret=secret).encode(KEY, value)[0]


def fingerprint(value: Any) -> Any:
    """Return an object that is equal for two values only if they are exactly the same.

    Unlike ``==`` it distinguishes 1, 1.0 and True, 0.0 and -0.0, two NaN with other bits, and a
    tuple and a named tuple.
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
    return _fingerprint_instance(value, kind)


def _fingerprint_instance(value: Any, kind: type) -> Any:
    if isinstance(value, np.ndarray):
        # Between the fields of a record there may be bytes without a meaning.
        content = value.tobytes() if value.dtype.names is None else repr(value.tolist())
        return kind, repr(value.dtype), value.dtype.char, value.shape, value.flags.fnc, content
    if isinstance(value, np.generic):
        return kind, repr(value.dtype), value.tobytes()
    if isinstance(value, Enum):
        return kind, value.name, value.value
    if isinstance(value, tuple):
        return kind, [fingerprint(item) for item in value], fingerprint(_get_attributes(value))
    if isinstance(value, BaseModel):
        return kind, {k: fingerprint(v) for k, v in value.__getstate__().items()}
    if isinstance(value, msgspec.Struct):
        fields = {name: fingerprint(getattr(value, name)) for name in value.__struct_fields__}
        return kind, fields, fingerprint(_get_attributes(value))
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
        fields = {name: fingerprint(getattr(value, name)) for name in names}
        rest = {k: v for k, v in _get_attributes(value).items() if k not in names}
        return kind, fields, fingerprint(rest)
    # Only its text distinguishes Decimal 1.0 from 1.00, and only this attribute a UUID's safety.
    return kind, str(value), repr(getattr(value, "is_safe", None)), repr(value)


def _get_attributes(value: Any) -> dict[str, Any]:
    return dict(getattr(value, "__dict__", {}))


def assert_same(first: Any, second: Any) -> None:
    """Fail unless two values are exactly the same."""
    assert fingerprint(first) == fingerprint(second)


def assert_round_trip(value: Any, *, secret: bytes | None = None) -> None:
    """Fail unless a value is restored exactly and encoding leaves it unchanged."""
    before = fingerprint(value)
    restored = round_trip(value, secret=secret)
    assert fingerprint(restored) == before
    assert fingerprint(value) == before, "encoding changed the value"
