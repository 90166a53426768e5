"""Serializer of pickle, and the comparison of a value with its restored copy."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from io import BytesIO
from typing import Any, Final

from msgspec import json

from aiocache_pe.codecs.plain_json import to_json
from aiocache_pe.exceptions import ChangedClassError, CorruptRecordError, SerializationError
from aiocache_pe.keys.class_schemas import digest_schema
from aiocache_pe.keys.qualified_names import get_stored_name

_PROTOCOL: Final = 5
_COMPARED_PROTOCOL: Final = 4
_SCALARS: Final[frozenset[type]] = frozenset({str, int, bool, bytes, bytearray, type(None)})
_TRAILER_END: Final = b"\0"  # a pickle ends with a full stop
_LENGTH_BYTES: Final = 4
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

    The pickle of a class with declared fields is followed by the digests of the schemas, as JSON
    with its length. Readers of pickle ignore this trailer.
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
        classes: list[type] = []
        try:
            payload = pickle.dumps(value, _PROTOCOL)
            copy = _load(payload, classes.append)
            is_same = pickle.dumps(copy, _PROTOCOL) == payload
            changed = None if is_same else find_difference(value, copy)
        except Exception as error:  # classes may raise any error when they are pickled
            reason = f"{type(error).__name__}: {error}"
            raise SerializationError(
                f"pickle cannot hold this {name} either ({reason}); return data instead, such as "
                "the text of a response or the fields of an object"
            ) from error

        if type(copy) is not type(value):
            other = type(copy).__qualname__
            raise SerializationError(f"pickle would restore this {name} as a {other}")
        if changed is not None:
            other = changed.__qualname__
            raise SerializationError(f"pickle would restore this {name} with another {other} in it")
        return payload + _write_trailer(classes)

    def decode(self, payload: bytes) -> Any:
        """Return the value of a pickle; its signature must have been verified.

        Raises:
            CorruptRecordError: a class is missing or cannot restore its instance.
            ChangedClassError: a class has changed since the payload was written.
        """
        try:
            schemas = _read_trailer(payload)
            return _load(payload, lambda cls: _check_schema(cls, schemas))
        except ChangedClassError:
            raise
        except Exception as error:  # classes may raise any error when they are restored
            reason = f"{type(error).__name__}: {error}"
            raise CorruptRecordError(f"pickle cannot be restored: {reason}") from error


def _load(payload: bytes, on_class: Callable[[type], object]) -> Any:
    """Return the value of a pickle; the function is called with each class that it names."""
    import pickle  # noqa: PLC0415 - few values need it

    class Loader(pickle.Unpickler):
        def find_class(self, module: str, name: str, /) -> Any:
            found = super().find_class(module, name)
            if isinstance(found, type):
                on_class(found)
            return found

    return Loader(BytesIO(payload)).load()


def _check_schema(cls: type, schemas: Mapping[str, str]) -> None:
    name = get_stored_name(cls)
    if name in schemas and schemas[name] != digest_schema(cls):
        raise ChangedClassError(f"{name} has changed since the record was written")


def _write_trailer(classes: Collection[type]) -> bytes:
    schemas = {get_stored_name(cls): digest_schema(cls) for cls in classes}
    schemas = {name: schema for name, schema in schemas.items() if schema}
    if not schemas:
        return b""
    content = to_json(schemas)
    return content + len(content).to_bytes(_LENGTH_BYTES, "big") + _TRAILER_END


def _read_trailer(payload: bytes) -> dict[str, str]:
    if not payload.endswith(_TRAILER_END):
        return {}
    end = len(payload) - len(_TRAILER_END) - _LENGTH_BYTES
    length = int.from_bytes(payload[end : end + _LENGTH_BYTES], "big")
    schemas: dict[str, str] = json.decode(payload[end - length : end], type=dict[str, str])
    return schemas


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
