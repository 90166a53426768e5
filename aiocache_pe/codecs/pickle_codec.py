"""Pickle, for what nothing else can hold.

Reading a pickle runs whatever it says, so this serializer is never used alone: the
pipeline hands it only bytes whose signature was verified.

Whether a copy is like its original all the way down, as far as pickle can tell.

Most classes come back from pickle as they were, and a few do not: numpy's texts lose
zeros at their end, and a path of Windows may be read otherwise than it is written. So
what pickle makes of both is compared, part by part.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Final

from aiocache_pe.exceptions import CorruptRecordError, SerializationError

_COMPARED_PROTOCOL: Final = 4
_SCALARS: Final[frozenset[type]] = frozenset({str, int, bool, bytes, bytearray, type(None)})
_NUMBERS: Final[frozenset[type]] = frozenset({float, complex})
_SEQUENCES: Final[frozenset[type]] = frozenset({list, tuple})
_SETS: Final[frozenset[type]] = frozenset({set, frozenset})


def difference(original: Any, copy: Any) -> type | None:
    """The type of a part that is not the same in the copy.

    Args:
        original: anything that can be pickled.
        copy: what pickle made of it.

    Returns:
        ``None`` when they are alike. What a class does not pickle, on purpose, is no
        difference, and neither is the order of a set.

    Example:
        >>> difference([1, {"a": (2,)}], [1, {"a": (2,)}]) is None
        True
        >>> difference([1, {"a": (2,)}], [1, {"a": (2.0,)}])
        <class 'int'>
    """
    seen: dict[tuple[int, int], Any] = {}
    left = [(original, copy)]
    while left:
        one, other = left.pop()
        if one is other or (id(one), id(other)) in seen:
            continue
        kind = type(one)
        if kind is not type(other):
            return kind
        seen[id(one), id(other)] = one, other  # kept, so that no other part is given its identity
        if kind in _SCALARS:
            alike = one == other
        elif kind in _NUMBERS:
            alike = repr(one) == repr(other)
        elif kind in _SETS:
            alike = _are_sets_alike(one, other)
        else:
            alike = _pair(_parts(one, kind), _parts(other, kind), left)
        if not alike:
            return kind
    return None


def _are_sets_alike(one: Collection[Any], other: Collection[Any]) -> bool:
    """By their members' own equality, or by their types where that is identity."""
    if one == other:
        return True
    names = [sorted(type(item).__qualname__ for item in items) for items in (one, other)]
    return names[0] == names[1] and all(map(_is_equal_only_to_itself, one))


def _is_equal_only_to_itself(item: Any) -> bool:
    kind: Any = type(item)
    return kind.__eq__ is object.__eq__


def _parts(value: Any, kind: type) -> list[Any]:
    if kind in _SEQUENCES:
        return list(value)
    if kind is dict:
        return [part for item in value.items() for part in item]
    reduced = value.__reduce_ex__(_COMPARED_PROTOCOL)
    if isinstance(reduced, str):
        return [reduced]
    # The items of a list's or a dict's subclass come as iterators.
    return [list(part) if _is_iterator(part) else part for part in reduced]


def _is_iterator(part: Any) -> bool:
    return isinstance(part, Iterable) and hasattr(part, "__next__")


def _pair(one: list[Any], other: list[Any], left: list[tuple[Any, Any]]) -> bool:
    if len(one) != len(other):
        return False
    left += zip(one, other, strict=True)
    return True


_PROTOCOL = 5


class PickleCodec:
    """The serializer of everything that pickle gives back."""

    name = "pickle"

    def encode(self, value: Any) -> bytes:
        """The value as pickle.

        Args:
            value: anything.

        Returns:
            Bytes that were read back once, here, so that what a class cannot restore is
            refused now instead of being a damaged entry at every read.

        Raises:
            SerializationError: it cannot be pickled, or not be restored as it was.
        """
        import pickle  # noqa: PLC0415 - few values need it, so few programs pay for it

        kind = type(value)
        try:
            payload = pickle.dumps(value, _PROTOCOL)
            copy = pickle.loads(payload)
            changed = None if pickle.dumps(copy, _PROTOCOL) == payload else difference(value, copy)
        except Exception as error:  # classes raise what they like when they are pickled
            raise SerializationError(
                f"pickle cannot hold this {kind.__qualname__} either: "
                f"{type(error).__name__}: {error}"
            ) from error
        if type(copy) is not kind:
            raise SerializationError(
                f"pickle would turn this {kind.__qualname__} into a {type(copy).__qualname__}"
            )
        if changed is not None:
            raise SerializationError(
                f"pickle would give this {kind.__qualname__} back with another "
                f"{changed.__qualname__} in it"
            )
        return payload

    def decode(self, payload: bytes) -> Any:
        """The value; only for bytes whose signature was verified.

        Raises:
            CorruptRecordError: a class it needs is gone or cannot restore itself.
        """
        import pickle  # noqa: PLC0415 - as above

        try:
            return pickle.loads(payload)
        except Exception as error:  # as above
            raise CorruptRecordError(
                f"pickle cannot be restored: {type(error).__name__}: {error}"
            ) from error
