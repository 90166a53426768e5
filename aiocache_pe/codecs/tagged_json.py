"""JSON with tags, for what plain JSON would change.

Readable, and safe to read from a store that others can write: a tag names one of a
fixed set of types, or a class that this process registered (`types`), and nothing is
imported or called by a name in a record. Values are written in one walk; whatever is
plain within them is written as plain JSON. What the tags look like stands in `tags`.

A value that holds itself has no end in JSON. It is refused, as is one nested too
deeply; signed pickle can hold it, and without a secret it cannot be stored.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from aiocache_pe.codecs.base import MAX_DEPTH, MAX_NODES, NotExact
from aiocache_pe.codecs.classes import registry
from aiocache_pe.codecs.classes.shapes import get_stored_name
from aiocache_pe.codecs.plain_json import FEW, are_plain_scalars, parse, to_json
from aiocache_pe.codecs.tags import builtin, datetimes, lazy_imports
from aiocache_pe.codecs.tags.builtin import (
    Decoder,
    Encoder,
    Revive,
    array,
    has_surrogates,
    write_pairs,
    write_str,
)
from aiocache_pe.exceptions import CorruptRecordError

_TOO_DEEP = f"it holds itself, or is nested more than {MAX_DEPTH} deep"


class TaggedJson:
    """The serializer of JSON with tags.

    Example:
        >>> TaggedJson().encode({"size": (640, 480)})
        b'{"size":{"$tuple":[640,480]}}'
        >>> TaggedJson().decode(b'{"size":{"$tuple":[640,480]}}')
        {'size': (640, 480)}
    """

    name = "tagged"

    def encode(self, value: Any) -> bytes | None:
        """The value as JSON with tags, or ``None`` when it holds what no tag can."""
        try:
            return dumps(value)
        except NotExact:
            return None

    def decode(self, payload: bytes) -> Any:
        """The value, one of its own for each call.

        Raises:
            CorruptRecordError: it is not JSON, a tag is not known or holds what it should
                not, or a class is not registered in this process.
        """
        data = parse("", payload)
        try:
            return decode_tagged(data)
        except CorruptRecordError:
            raise
        except Exception as error:  # whatever constructors raise at hostile arguments
            raise CorruptRecordError(f"tagged JSON cannot be restored: {error!r:.200}") from error


def dumps(value: Any) -> bytes:
    """The value as JSON with tags.

    Raises:
        NotExact: it holds something that no tag can; the message says what.
    """
    try:
        try:
            return to_json(_Writer(strict=False).write(value))
        except UnicodeEncodeError:  # lone surrogates are rare, so they are looked for only now
            return to_json(_Writer(strict=True).write(value))
    except UnicodeEncodeError:
        raise NotExact("it holds lone surrogates where only text can stand") from None
    except RecursionError:
        raise NotExact(_TOO_DEEP) from None


def decode_tagged(node: Any) -> Any:
    """What plain JSON data with tags stands for; lists and dicts are changed in place.

    Raises:
        CorruptRecordError: there is a tag that is not known.
    """
    kind = type(node)
    if kind is dict:
        if len(node) == 1:
            [tag] = node
            if tag[:1] == "$":
                decoder = _DECODERS.get(tag)
                if decoder is None:
                    raise CorruptRecordError(f"tag {tag!r:.80} is not known")
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
    """One walk through one value."""

    __slots__ = ("_depth", "_nodes", "_strict")

    def __init__(self, *, strict: bool) -> None:
        self._strict = strict  # whether strings may hold lone surrogates
        self._depth = 0
        self._nodes = 0

    def write(self, value: Any) -> Any:
        kind = type(value)
        if kind is str:
            return write_str(value) if self._strict else value
        if kind is dict:
            return self._dict(value)
        if kind is list:
            return self.items(value)
        if kind is bool or value is None:
            return value
        return (_ENCODERS.get(kind) or _encoder_for(kind))(value, self)

    def items(self, values: Collection[Any]) -> list[Any]:
        self._depth += 1
        self._nodes += 1
        if self._depth > MAX_DEPTH or self._nodes > MAX_NODES:
            raise NotExact(_TOO_DEEP)
        if self._strict:
            written = [self.write(value) for value in values]
        elif len(values) > FEW and are_plain_scalars(values):
            written = list(values)
        else:
            written = [value if type(value) is str else self.write(value) for value in values]
        self._depth -= 1
        return written

    def _dict(self, value: dict[Any, Any]) -> Any:
        for key in value:
            if type(key) is not str or key[:1] == "$" or (self._strict and has_surrogates(key)):
                return {"$dict": write_pairs(value, self)}
        return dict(zip(value, self.items(value.values()), strict=True))


def _encoder_for(kind: type) -> Encoder:
    shape = registry.find_shape(kind)
    if shape is not None:
        name, take = get_stored_name(kind), shape.decompose
        # Not kept: another class of that name may be registered in its place.
        return lambda value, writer: {"$type": [name, writer.write(take(value))]}
    encoder = lazy_imports.encoder_for(kind)
    if encoder is None:
        hint = ", which is not registered" if registry.can_be_registered(kind) else ""
        raise NotExact(f"it holds a {get_stored_name(kind)}{hint}")
    _ENCODERS[kind] = encoder
    return encoder


def _read_type(payload: Any, revive: Revive) -> Any:
    name, state = array(payload, 2)
    return registry.find_shape_by_name(name).build(revive(state))


_ENCODERS: Final[dict[type, Encoder]] = {**builtin.ENCODERS, **datetimes.ENCODERS}
_DECODERS: Final[dict[str, Decoder]] = {
    **builtin.DECODERS,
    **datetimes.DECODERS,
    **lazy_imports.DECODERS,
    "$type": _read_type,
}
