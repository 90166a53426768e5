"""Tags of JSON for numbers, text and containers.

A tag is an object with one key that begins with ``$``, such as ``{"$tuple":[1,2]}``. A user's dict
with such a key is itself written with a tag, ``$dict``, so no value can be mistaken for a tag.
Types are matched exactly, because a subclass could hold more than its tag.

An encoder receives the value and a `Writer` for its parts. A decoder receives the contents of the
tag and a `Reviver` for its parts. The modules `datetimes` and `lazy_imports` define further tags.
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

from aiocache_pe.codecs.base import NotExactError
from aiocache_pe.codecs.plain_json import MAX_INT, MIN_INT, to_json
from aiocache_pe.exceptions import CorruptRecordError


class Writer(Protocol):
    """Conversion of the parts of a value to plain JSON data with tags."""

    def write(self, value: Any) -> Any:
        """Return the data of a value."""

    def write_items(self, values: Collection[Any]) -> list[Any]:
        """Return the data of each value, one level deeper."""
        ...


Reviver = Callable[[Any], Any]
"""Function from plain JSON data with tags to the value."""

Encoder = Callable[[Any, Writer], Any]
Decoder = Callable[[Any, Reviver], Any]

_MAX_DECIMAL = 2048  # bits or digits; longer ints are hexadecimal, as decimals are slow or refused
_FEW_COLLISIONS, _MAX_COLLISIONS = 8, 256  # items with one hash; all items beyond these few
_MAX_BITS = 1 << 14  # of the parts of a fraction or range; their arithmetic takes quadratic time
_QUIET_NAN = bytes.fromhex("7ff8000000000000")
_SURROGATE = re.compile("([\ud800-\udfff])")
_FACTORIES: Final[dict[str, Callable[[], Any] | None]] = {
    "None": None, "bool": bool, "bytes": bytes, "dict": dict, "float": float,
    "int": int, "list": list, "set": set, "str": str, "tuple": tuple,
}  # fmt: skip
_FACTORY_NAMES: Final = {factory: name for name, factory in _FACTORIES.items()}


def check_list(payload: Any, length: int | None = None) -> list[Any]:
    """Return a payload that must be a list, of a given length if there is one.

    Raises:
        CorruptRecordError: it is not.
    """
    if type(payload) is not list or length not in (None, len(payload)):
        items = "" if length is None else f" of {length} items"
        raise CorruptRecordError(f"a tag must hold a list{items}; got {payload!r:.80}")
    return payload


def check_text(payload: Any) -> str:
    """Return a payload that must be a string.

    Raises:
        CorruptRecordError: it is not.
    """
    if type(payload) is not str:
        raise CorruptRecordError(f"a tag must hold text; got {payload!r:.80}")
    return payload


def to_base64(value: bytes | bytearray | memoryview) -> str:
    """Return bytes as text."""
    return binascii.b2a_base64(value, newline=False).decode("ascii")


def from_base64(payload: Any) -> bytes:
    """Return the bytes that `to_base64` wrote.

    Raises:
        CorruptRecordError: the payload is not text.
        ValueError: the text is not base64.
    """
    return binascii.a2b_base64(check_text(payload), strict_mode=True)


def has_surrogates(value: str) -> bool:
    """Return whether a string contains lone surrogates, which UTF-8 cannot hold."""
    return _SURROGATE.search(value) is not None


def write_str(value: str) -> Any:
    """Return a string; lone surrogates become numbers between parts of text."""
    parts: list[Any] = _SURROGATE.split(value)
    if len(parts) == 1:
        return value
    parts[1::2] = map(ord, parts[1::2])
    return {"$str": parts}


def _read_str(payload: Any, revive: Reviver) -> str:
    return "".join(
        chr(part) if type(part) is int else check_text(part) for part in check_list(payload)
    )


def _write_int(value: int, writer: Writer) -> Any:
    if MIN_INT <= value <= MAX_INT:
        return value
    return {"$int": str(value) if value.bit_length() <= _MAX_DECIMAL else hex(value)}


def _read_int(payload: Any, revive: Reviver) -> int:
    if "x" in check_text(payload):
        return int(payload, 16)
    if len(payload) > _MAX_DECIMAL:
        raise CorruptRecordError(f"a decimal int must have at most {_MAX_DECIMAL} digits")
    return int(payload)


def write_numbers(numbers: Collection[int], writer: Writer) -> list[Any]:
    """Return the parts of a number or range; those of more than 16,384 bits have no tag."""
    if any(number.bit_length() > _MAX_BITS for number in numbers):
        raise NotExactError(f"an int in a number or range has more than {_MAX_BITS} bits")
    return writer.write_items(numbers)


def read_numbers(payload: Any, length: int, revive: Reviver) -> list[int]:
    """Return the ints that `write_numbers` wrote.

    Raises:
        CorruptRecordError: the payload holds others.
    """
    numbers = [revive(number) for number in check_list(payload, length)]
    if any(not isinstance(number, int) or number.bit_length() > _MAX_BITS for number in numbers):
        raise CorruptRecordError(f"a number or range must have ints of at most {_MAX_BITS} bits")
    return numbers


def _write_float(value: float, writer: Writer) -> Any:
    if isfinite(value):
        return value
    if value == value:  # noqa: PLR0124 - only NaN differs from itself
        return {"$float": "inf" if value > 0 else "-inf"}
    bits = struct.pack(">d", value)  # NaN keeps its sign and its bits
    return {"$float": "nan" if bits == _QUIET_NAN else bits.hex()}


def _read_float(payload: Any, revive: Reviver) -> float:
    if payload in ("nan", "inf", "-inf"):
        return float(payload)  # a new object, because one set may contain two NaN
    return float(struct.unpack(">d", bytes.fromhex(check_text(payload)))[0])


def write_pairs(value: dict[Any, Any], writer: Writer) -> list[list[Any]]:
    """Return the items of a dict in their order, for keys that JSON cannot have."""
    if has_colliding_hashes(value):
        raise NotExactError("many keys of a dict have equal hashes")
    parts = writer.write_items([part for item in value.items() for part in item])
    return [parts[at : at + 2] for at in range(0, len(parts), 2)]


def has_colliding_hashes(items: Collection[Any]) -> bool:
    """Return whether so many items have equal hashes that a set or dict of them would be slow.

    Items with equal hashes are compared one by one, so that 20,000 of them take seconds. The
    hashes of numbers, and of tuples of them, can be chosen.

    Raises:
        TypeError: an item has no hash.
    """
    if len(items) <= _MAX_COLLISIONS:
        return False
    hashes = sorted(map(hash, items))  # a set of the hashes would be as slow
    return sum(map(int.__eq__, hashes, hashes[_FEW_COLLISIONS:])) > _MAX_COLLISIONS


def _read_pairs(payload: Any, revive: Reviver) -> dict[Any, Any]:
    pairs = [check_list(pair, 2) for pair in check_list(payload)]
    keys = [revive(key) for key, _ in pairs]
    if has_colliding_hashes(keys):
        raise CorruptRecordError("a dict must not have many keys with equal hashes")
    value = {key: revive(child) for key, (_, child) in zip(keys, pairs, strict=True)}
    if len(value) != len(pairs):
        raise CorruptRecordError("a dict must not have equal keys")
    return value


def _write_sorted(value: Collection[Any], writer: Writer) -> list[Any]:
    if has_colliding_hashes(value):
        raise NotExactError("many items of a set have equal hashes")
    # Sorted by the written form, so that equal sets give equal bytes in every process.
    return sorted(writer.write_items(value), key=to_json)


def _read_set(payload: Any, revive: Reviver) -> set[Any]:
    items = [revive(item) for item in check_list(payload)]
    if has_colliding_hashes(items):
        raise CorruptRecordError("a set must not have many items with equal hashes")
    value = set(items)
    if len(value) != len(payload):
        raise CorruptRecordError("a set must not have equal items")
    return value


def _write_uuid(value: UUID, writer: Writer) -> Any:
    if value.is_safe is SafeUUID.unknown:
        return {"$uuid": str(value)}
    return {"$uuid": [str(value), value.is_safe.value]}


def _read_uuid(payload: Any, revive: Reviver) -> UUID:
    if type(payload) is list:
        number, safety = check_list(payload, 2)
        return UUID(check_text(number), is_safe=SafeUUID(safety))
    return UUID(check_text(payload))


def _check_no_attributes(value: Any) -> Any:
    if getattr(value, "__dict__", None):  # the tag cannot hold them
        raise NotExactError(f"a {type(value).__name__} has attributes of its own")
    return value


def _write_defaultdict(value: defaultdict[Any, Any], writer: Writer) -> Any:
    try:
        name = _FACTORY_NAMES[value.default_factory]
    except (KeyError, TypeError):
        raise NotExactError(f"a defaultdict has the factory {value.default_factory!r}") from None
    return {"$defaultdict": [name, write_pairs(value, writer)]}


def _read_defaultdict(payload: Any, revive: Reviver) -> defaultdict[Any, Any]:
    name, pairs = check_list(payload, 2)
    return defaultdict(_FACTORIES[check_text(name)], _read_pairs(pairs, revive))


def _read_counter(payload: Any, revive: Reviver) -> Counter[Any]:
    counter: Counter[Any] = Counter()
    # Counter.update would add, and requires numbers.
    dict.update(counter, _read_pairs(payload, revive))
    return counter


def _read_deque(payload: Any, revive: Reviver) -> deque[Any]:
    items, maxlen = check_list(payload, 2)
    return deque(map(revive, check_list(items)), maxlen)


def _read_complex(payload: Any, revive: Reviver) -> complex:
    real, imag = map(revive, check_list(payload, 2))
    # Two floats: real + imag * 1j would lose signed zeros and NaN.
    return complex(real, imag)


ENCODERS: Final[dict[type, Encoder]] = {
    int: _write_int,
    float: _write_float,
    tuple: lambda value, writer: {"$tuple": writer.write_items(value)},
    set: lambda value, writer: {"$set": _write_sorted(value, writer)},
    frozenset: lambda value, writer: {"$frozenset": _write_sorted(value, writer)},
    bytes: lambda value, _: {"$bytes": to_base64(value)},
    bytearray: lambda value, _: {"$bytearray": to_base64(value)},
    complex: lambda value, writer: {"$complex": writer.write_items((value.real, value.imag))},
    range: lambda value, writer: {
        "$range": write_numbers((value.start, value.stop, value.step), writer)
    },
    Decimal: lambda value, _: {"$decimal": str(value)},
    UUID: _write_uuid,
    OrderedDict: lambda value, writer: {
        "$ordereddict": write_pairs(_check_no_attributes(value), writer)
    },
    Counter: lambda value, writer: {"$counter": write_pairs(_check_no_attributes(value), writer)},
    defaultdict: _write_defaultdict,
    deque: lambda value, writer: {"$deque": [writer.write_items(value), value.maxlen]},
    msgspec.UnsetType: lambda _value, _: {"$msgspec": "UNSET"},
}

DECODERS: Final[dict[str, Decoder]] = {
    "$str": _read_str,
    "$int": _read_int,
    "$float": _read_float,
    "$dict": _read_pairs,
    "$tuple": lambda payload, revive: tuple(map(revive, check_list(payload))),
    "$set": _read_set,
    "$frozenset": lambda payload, revive: frozenset(_read_set(payload, revive)),
    "$bytes": lambda payload, _: from_base64(payload),
    "$bytearray": lambda payload, _: bytearray(from_base64(payload)),
    "$complex": _read_complex,
    "$range": lambda payload, revive: range(*read_numbers(payload, 3, revive)),
    "$decimal": lambda payload, _: Decimal(check_text(payload)),
    "$uuid": _read_uuid,
    "$ordereddict": lambda payload, revive: OrderedDict(_read_pairs(payload, revive)),
    "$counter": _read_counter,
    "$defaultdict": _read_defaultdict,
    "$deque": _read_deque,
    "$msgspec": lambda _payload, _: msgspec.UNSET,
}
