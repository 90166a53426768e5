"""Tags: how a value that JSON does not know is written in JSON.

A tag is an object with one key that begins with ``$``: ``{"$tuple":[1,2]}``. A dict of
the user's own that has such a key is itself written under a tag, ``$dict``, so nothing
a user stores can be mistaken for one. Every type is matched exactly; a subclass could
carry more than its tag, and is left to others.

An encoder is given the value and a `Writer` for the parts of it, a decoder what stood
under the tag and the function that revives the parts. Here are the containers and the
numbers; `tags_time` and `tags_late` hold the rest.
"""

from __future__ import annotations

import binascii
import re
import struct
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Collection
from decimal import Decimal
from math import isfinite
from typing import Any, Final, Protocol
from uuid import UUID, SafeUUID

import msgspec

from aiocache_pe.codecs.base import NotExact
from aiocache_pe.codecs.plain_json import to_json
from aiocache_pe.exceptions import CorruptRecordError


class Writer(Protocol):
    """Writes the parts of a value."""

    def write(self, value: Any) -> Any:
        """The value as plain JSON data, tags in it."""

    def items(self, values: Collection[Any]) -> list[Any]:
        """Each of the values as plain JSON data, one level further down."""
        ...


Revive = Callable[[Any], Any]
"""Turns plain JSON data, tags in it, into the value it stands for."""

Encoder = Callable[[Any, Writer], Any]
Decoder = Callable[[Any, Revive], Any]

_LEAST, _MOST = -(2**63), 2**64 - 1
_SHORT_INT = 2048  # bits up to which decimal is used: longer, it is slow and Python refuses it
_QUIET_NAN = bytes.fromhex("7ff8000000000000")
_SURROGATE = re.compile("([\ud800-\udfff])")
_FACTORIES: Final[dict[str, Callable[[], Any] | None]] = {
    "None": None, "bool": bool, "bytes": bytes, "dict": dict, "float": float,
    "int": int, "list": list, "set": set, "str": str, "tuple": tuple,
}  # fmt: skip
_FACTORY_NAMES: Final = {factory: name for name, factory in _FACTORIES.items()}


def array(payload: Any, length: int | None = None) -> list[Any]:
    """The payload, if it is a list, of that length.

    Raises:
        CorruptRecordError: it is not.
    """
    if type(payload) is not list or length not in (None, len(payload)):
        raise CorruptRecordError("a tag holds something else than it should")
    return payload


def text(payload: Any) -> str:
    """The payload, if it is a string.

    Raises:
        CorruptRecordError: it is not.
    """
    if type(payload) is not str:
        raise CorruptRecordError("a tag holds something else than it should")
    return payload


def to_base64(value: bytes | bytearray | memoryview) -> str:
    """Bytes as text."""
    return binascii.b2a_base64(value, newline=False).decode("ascii")


def from_base64(payload: Any) -> bytes:
    """What was given to `to_base64`; raises `ValueError` on anything else."""
    return binascii.a2b_base64(text(payload), strict_mode=True)


def has_surrogates(value: str) -> bool:
    """Whether it holds what UTF-8 cannot."""
    return _SURROGATE.search(value) is not None


def write_str(value: str) -> Any:
    """A string, also one with lone surrogates: those stand as numbers between the text."""
    parts: list[Any] = _SURROGATE.split(value)
    if len(parts) == 1:
        return value
    parts[1::2] = map(ord, parts[1::2])
    return {"$str": parts}


def _read_str(payload: Any, revive: Revive) -> str:
    del revive
    return "".join(chr(part) if type(part) is int else text(part) for part in array(payload))


def write_int(value: int, writer: Writer) -> Any:
    """An int; as text beyond 64 bits, where readers of JSON differ."""
    del writer
    if _LEAST <= value <= _MOST:
        return value
    return {"$int": str(value) if value.bit_length() <= _SHORT_INT else hex(value)}


def _read_int(payload: Any, revive: Revive) -> int:
    del revive
    if "x" in text(payload):
        return int(payload, 16)
    if len(payload) > _SHORT_INT:
        raise CorruptRecordError("an int is written too long")
    return int(payload)


def write_float(value: float, writer: Writer) -> Any:
    """A float; NaN keeps its sign and its bits."""
    del writer
    if isfinite(value):
        return value
    if value == value:  # noqa: PLR0124 - that is: no NaN
        return {"$float": "inf" if value > 0 else "-inf"}
    bits = struct.pack(">d", value)
    return {"$float": "nan" if bits == _QUIET_NAN else bits.hex()}


def _read_float(payload: Any, revive: Revive) -> float:
    del revive
    if payload in ("nan", "inf", "-inf"):
        return float(payload)  # a NaN of its own, as two of them may be in one set
    value: float = struct.unpack(">d", bytes.fromhex(text(payload)))[0]
    return value


def write_pairs(value: dict[Any, Any], writer: Writer) -> list[list[Any]]:
    """The items of a dict whose keys JSON cannot have, in their order."""
    flat = [part for item in value.items() for part in item]
    parts = iter(writer.items(flat))
    return [[key, child] for key, child in zip(parts, parts, strict=True)]


def read_pairs(payload: Any, revive: Revive) -> dict[Any, Any]:
    """The dict that `write_pairs` was given."""
    found = {revive(key): revive(child) for key, child in map(_pair, array(payload))}
    if len(found) != len(payload):
        raise CorruptRecordError("a dict has the same key twice")
    return found


def _pair(payload: Any) -> list[Any]:
    return array(payload, 2)


def _sorted(value: Collection[Any], writer: Writer) -> list[Any]:
    # By what is written, so that equal sets give equal bytes in every process.
    return sorted(writer.items(value), key=to_json)


def _read_set(payload: Any, revive: Revive) -> set[Any]:
    found = set(map(revive, array(payload)))
    if len(found) != len(payload):
        raise CorruptRecordError("a set has the same item twice")
    return found


def _write_uuid(value: UUID, writer: Writer) -> Any:
    del writer
    if value.is_safe is SafeUUID.unknown:
        return {"$uuid": str(value)}
    return {"$uuid": [str(value), value.is_safe.value]}


def _read_uuid(payload: Any, revive: Revive) -> UUID:
    del revive
    if type(payload) is list:
        number, safety = array(payload, 2)
        return UUID(text(number), is_safe=SafeUUID(safety))
    return UUID(text(payload))


def _bare(value: Any) -> Any:
    """The value, if nobody hung attributes on it, which its tag could not hold."""
    if getattr(value, "__dict__", None):
        raise NotExact(f"a {type(value).__name__} has attributes of its own")
    return value


def _write_defaultdict(value: defaultdict[Any, Any], writer: Writer) -> Any:
    try:
        name = _FACTORY_NAMES[value.default_factory]
    except (KeyError, TypeError):
        raise NotExact(f"a defaultdict has the factory {value.default_factory!r}") from None
    return {"$defaultdict": [name, write_pairs(value, writer)]}


def _read_defaultdict(payload: Any, revive: Revive) -> defaultdict[Any, Any]:
    name, pairs = array(payload, 2)
    return defaultdict(_FACTORIES[text(name)], read_pairs(pairs, revive))


def _read_counter(payload: Any, revive: Revive) -> Counter[Any]:
    counter: Counter[Any] = Counter()
    # Not Counter.update, which would add, and count what is no number.
    dict.update(counter, read_pairs(payload, revive))
    return counter


def _read_deque(payload: Any, revive: Revive) -> deque[Any]:
    items, maxlen = array(payload, 2)
    return deque(map(revive, array(items)), maxlen)


def _read_complex(payload: Any, revive: Revive) -> complex:
    real, imag = map(revive, array(payload, 2))
    # Two floats, not real + imag * 1j: that would lose signed zeros and NaN.
    return complex(real, imag)


ENCODERS: Final[dict[type, Encoder]] = {
    int: write_int,
    float: write_float,
    tuple: lambda value, writer: {"$tuple": writer.items(value)},
    set: lambda value, writer: {"$set": _sorted(value, writer)},
    frozenset: lambda value, writer: {"$frozenset": _sorted(value, writer)},
    bytes: lambda value, _: {"$bytes": to_base64(value)},
    bytearray: lambda value, _: {"$bytearray": to_base64(value)},
    complex: lambda value, writer: {"$complex": writer.items((value.real, value.imag))},
    range: lambda value, writer: {"$range": writer.items((value.start, value.stop, value.step))},
    Decimal: lambda value, _: {"$decimal": str(value)},
    UUID: _write_uuid,
    OrderedDict: lambda value, writer: {"$ordereddict": write_pairs(_bare(value), writer)},
    Counter: lambda value, writer: {"$counter": write_pairs(_bare(value), writer)},
    defaultdict: _write_defaultdict,
    deque: lambda value, writer: {"$deque": [writer.items(value), value.maxlen]},
    msgspec.UnsetType: lambda _value, _: {"$msgspec": "UNSET"},
}

DECODERS: Final[dict[str, Decoder]] = {
    "$str": _read_str,
    "$int": _read_int,
    "$float": _read_float,
    "$dict": read_pairs,
    "$tuple": lambda payload, revive: tuple(map(revive, array(payload))),
    "$set": _read_set,
    "$frozenset": lambda payload, revive: frozenset(_read_set(payload, revive)),
    "$bytes": lambda payload, _: from_base64(payload),
    "$bytearray": lambda payload, _: bytearray(from_base64(payload)),
    "$complex": _read_complex,
    "$range": lambda payload, revive: range(*map(revive, array(payload, 3))),
    "$decimal": lambda payload, _: Decimal(text(payload)),
    "$uuid": _read_uuid,
    "$ordereddict": lambda payload, revive: OrderedDict(read_pairs(payload, revive)),
    "$counter": _read_counter,
    "$defaultdict": _read_defaultdict,
    "$deque": _read_deque,
    "$msgspec": lambda _payload, _: msgspec.UNSET,
}
