"""Serializer of pickle, and the comparison of a value with its restored copy."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Final

from aiocache_pe.exceptions import CorruptRecordError, SerializationError

_PROTOCOL: Final = 5
_COMPARED_PROTOCOL: Final = 4
_SCALARS: Final[frozenset[type]] = frozenset({str, int, bool, bytes, bytearray, type(None)})
_NUMBERS: Final[frozenset[type]] = frozenset({float, complex})
_SEQUENCES: Final[frozenset[type]] = frozenset({list, tuple})
_SETS: Final[frozenset[type]] = frozenset({set, frozenset})


class PickleCodec:
    """Serializer of all values that pickle restores.

    Reading a pickle runs the code that it names. So the pipeline passes only payloads with a
    verified signature to `decode`.

    Most classes are restored exactly, and a few are not: the texts of numpy lose zeros at their
    end, and some paths of Windows are read differently from how they are written. So `encode`
    restores a copy and compares it with the value, part by part.
    """

    name = "pickle"

    def encode(self, value: Any) -> bytes:
        """Return a value as pickle, after it was restored once.

        A value that its class cannot restore is refused here, and does not become an entry that
        fails at every read.

        Raises:
            SerializationError: the value cannot be pickled, or is not restored exactly.
        """
        import pickle  # noqa: PLC0415 - few values need it

        name = type(value).__qualname__
        try:
            payload = pickle.dumps(value, _PROTOCOL)
            copy = pickle.loads(payload)
            is_same = pickle.dumps(copy, _PROTOCOL) == payload
            changed = None if is_same else find_difference(value, copy)
        except Exception as error:  # classes may raise any error when they are pickled
            reason = f"{type(error).__name__}: {error}"
            raise SerializationError(f"pickle cannot hold this {name} either: {reason}") from error

        if type(copy) is not type(value):
            other = type(copy).__qualname__
            raise SerializationError(f"pickle would restore this {name} as a {other}")
        if changed is not None:
            other = changed.__qualname__
            raise SerializationError(f"pickle would restore this {name} with another {other} in it")
        return payload

    def decode(self, payload: bytes) -> Any:
        """Return the value of a pickle; its signature must have been verified.

        Raises:
            CorruptRecordError: a class is missing or cannot restore its instance.
        """
        import pickle  # noqa: PLC0415 - few values need it

        try:
            return pickle.loads(payload)
        except Exception as error:  # classes may raise any error when they are restored
            reason = f"{type(error).__name__}: {error}"
            raise CorruptRecordError(f"pickle cannot be restored: {reason}") from error


def find_difference(original: Any, copy: Any) -> type | None:
    """Return the type of a part that the copy does not have exactly.

    Args:
        original: a value that pickle can write.
        copy: the value that pickle restored from it.

    Returns:
        ``None`` if there is no difference. The order of a set does not count, and neither does
        state that a class leaves out of its pickle.

    Example:
        >>> find_difference([1, {"a": (2,)}], [1, {"a": (2,)}]) is None
        True
        >>> find_difference([1, {"a": (2,)}], [1, {"a": (2.0,)}])
        <class 'int'>
    """
    seen: dict[tuple[int, int], Any] = {}
    pending = [(original, copy)]
    while pending:
        one, other = pending.pop()
        if one is other or (id(one), id(other)) in seen:
            continue
        kind = type(one)
        if kind is not type(other):
            return kind
        seen[id(one), id(other)] = one, other  # keeps them alive, so their ids stay unique
        if kind in _SCALARS:
            is_same = one == other
        elif kind in _NUMBERS:
            is_same = repr(one) == repr(other)
        elif kind in _SETS:
            is_same = _is_same_set(one, other)
        else:
            parts, other_parts = _get_parts(one, kind), _get_parts(other, kind)
            is_same = len(parts) == len(other_parts)
            pending += zip(parts, other_parts, strict=False)
        if not is_same:
            return kind
    return None


def _is_same_set(one: Collection[Any], other: Collection[Any]) -> bool:
    """Return whether the members are equal, or have the same types if each equals only itself."""
    if one == other:
        return True
    names = [sorted(type(item).__qualname__ for item in items) for items in (one, other)]
    identity: Any = object.__eq__
    return names[0] == names[1] and all(type(item).__eq__ is identity for item in one)


def _get_parts(value: Any, kind: type) -> list[Any]:
    if kind in _SEQUENCES:
        return list(value)
    if kind is dict:
        return [part for item in value.items() for part in item]
    reduced = value.__reduce_ex__(_COMPARED_PROTOCOL)
    if isinstance(reduced, str):
        return [reduced]
    # The items of a subclass of list or dict are iterators.
    return [list(part) if isinstance(part, Iterator) else part for part in reduced]
