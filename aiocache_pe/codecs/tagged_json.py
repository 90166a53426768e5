"""Serializer of JSON with tags, for values that plain JSON would change."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from aiocache_pe.codecs.base import MAX_CONTAINERS, MAX_DEPTH, NotExactError
from aiocache_pe.codecs.classes import registry
from aiocache_pe.codecs.plain_json import (
    LOOP_LIMIT,
    has_only_plain_scalars,
    parse_large_json,
    to_json,
)
from aiocache_pe.codecs.tags import builtin, datetimes, lazy_imports, tables
from aiocache_pe.codecs.tags.builtin import (
    Decoder,
    Encoder,
    Reviver,
    Writer,
    check_list,
    has_surrogates,
    write_pairs,
    write_str,
)
from aiocache_pe.exceptions import ChangedClassError, CorruptRecordError
from aiocache_pe.keys.qualified_names import get_stored_name

_TOO_DEEP = f"it contains itself or is nested more than {MAX_DEPTH} levels deep"


class TaggedJson:
    """Serializer of JSON with tags, as described in `aiocache_pe.codecs.tags.builtin`.

    The payload is readable, and it is safe to read from a store that others can write to. A tag
    names one of a fixed set of types, or a class that this process registered. Nothing is imported
    or called by a name in a record. A value is written in one walk, and its plain parts are
    written as plain JSON.

    A value that contains itself or is nested too deeply is refused. Signed pickle can hold it;
    without a secret it cannot be stored.

    Example:
        >>> TaggedJson().encode({"size": (640, 480)})
        b'{"size":{"$tuple":[640,480]}}'
        >>> TaggedJson().decode(b'{"size":{"$tuple":[640,480]}}')
        {'size': (640, 480)}
    """

    name = "tagged"

    def encode(self, value: Any) -> bytes | None:
        """Return a value as JSON with tags; ``None`` if a part of it has no tag."""
        try:
            return encode_tagged(value)
        except NotExactError:
            return None

    def decode(self, payload: bytes) -> Any:
        """Return the value of JSON with tags, a new object at each call.

        Raises:
            CorruptRecordError: the payload is not JSON, a tag is unknown or has wrong contents,
                or a class is not registered in this process.
        """
        data = parse_large_json(payload)
        try:
            return decode_tagged(data)
        except CorruptRecordError:
            raise
        except Exception as error:  # constructors may raise any error for hostile arguments
            raise CorruptRecordError(f"tagged JSON cannot be restored: {error!r:.200}") from error


def encode_tagged(value: Any) -> bytes:
    """Return a value as JSON with tags.

    Raises:
        NotExactError: a part of the value has no tag; the message names it.
    """
    try:
        try:
            return to_json(_Writer(has_surrogates=False).write(value))
        except UnicodeEncodeError:  # lone surrogates are rare, so a second walk looks for them
            return to_json(_Writer(has_surrogates=True).write(value))
    except UnicodeEncodeError:
        raise NotExactError("it holds lone surrogates in a place for text only") from None
    except RecursionError:
        raise NotExactError(_TOO_DEEP) from None


def decode_tagged(node: Any) -> Any:
    """Return the value of plain JSON data with tags; lists and dicts are changed in place.

    Raises:
        CorruptRecordError: a tag is unknown or has wrong contents.
    """
    kind = type(node)
    if kind is dict:
        if len(node) == 1:
            [tag] = node
            if tag[:1] == "$":
                decoder = _DECODERS.get(tag)
                if decoder is None:
                    raise CorruptRecordError(f"unknown tag {tag!r:.80}")
                return decoder(node[tag], decode_tagged)
        for key, child in node.items():
            if type(child) is dict or type(child) is list:
                node[key] = decode_tagged(child)
    elif kind is list:
        for index, child in enumerate(node):
            if type(child) is dict or type(child) is list:
                node[index] = decode_tagged(child)
    return node


class _Writer:
    """Walk through one value.

    Args:
        has_surrogates: whether strings may contain lone surrogates.
    """

    __slots__ = ("_containers", "_depth", "_has_surrogates")

    def __init__(self, *, has_surrogates: bool) -> None:
        self._has_surrogates = has_surrogates
        self._depth = 0
        self._containers = 0

    def write(self, value: Any) -> Any:
        kind = type(value)
        if kind is str:
            return write_str(value) if self._has_surrogates else value
        if kind is dict:
            return self._write_dict(value)
        if kind is list:
            return self.write_items(value)
        if kind is bool or value is None:
            return value
        return (_ENCODERS.get(kind) or _find_encoder(kind))(value, self)

    def write_items(self, values: Collection[Any]) -> list[Any]:
        self._depth += 1
        self._containers += 1
        if self._depth > MAX_DEPTH or self._containers > MAX_CONTAINERS:
            raise NotExactError(_TOO_DEEP)
        if self._has_surrogates:
            written = [self.write(value) for value in values]
        elif len(values) > LOOP_LIMIT and has_only_plain_scalars(values):
            written = list(values)
        else:
            written = [value if type(value) is str else self.write(value) for value in values]
        self._depth -= 1
        return written

    def _write_dict(self, value: dict[Any, Any]) -> Any:
        for key in value:
            if type(key) is not str or key[:1] == "$":
                return {"$dict": write_pairs(value, self)}
            if self._has_surrogates and has_surrogates(key):
                return {"$dict": write_pairs(value, self)}
        return dict(zip(value, self.write_items(value.values()), strict=True))


def _find_encoder(kind: type) -> Encoder:
    shape = registry.find_shape(kind)
    if shape is not None:
        name, decompose, get_schema = get_stored_name(kind), shape.decompose, shape.get_schema

        def write(value: Any, writer: Writer) -> Any:
            state = decompose(value)
            return {"$type": [name, writer.write(state), get_schema(state)]}

        # Not added to `_ENCODERS`: another class of that name may replace this one.
        return write

    encoder = lazy_imports.find_encoder(kind) or tables.find_encoder(kind)
    if encoder is None:
        hint = ", which is not registered" if registry.is_registrable(kind) else ""
        raise NotExactError(f"it holds a {get_stored_name(kind)}{hint}")
    _ENCODERS[kind] = encoder
    return encoder


def _read_type(payload: Any, revive: Reviver) -> Any:
    # Records of the first release have no schema.
    name, state, schema = payload if _is_triple(payload) else (*check_list(payload, 2), None)
    shape = registry.find_shape_by_name(name)
    if schema is not None and schema != shape.get_schema(state):
        raise ChangedClassError(f"{name} has changed since the record was written")
    return shape.build(revive(state))


def _is_triple(payload: Any) -> bool:
    return type(payload) is list and len(payload) == 3  # noqa: PLR2004 - as the name says


_ENCODERS: Final[dict[type, Encoder]] = {**builtin.ENCODERS, **datetimes.ENCODERS}
_DECODERS: Final[dict[str, Decoder]] = {
    **builtin.DECODERS,
    **datetimes.DECODERS,
    **lazy_imports.DECODERS,
    **tables.DECODERS,
    "$type": _read_type,
}
