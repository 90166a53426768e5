"""What a value is made of, besides its class: the parts that make it that value.

Equal parts of the same class mean equal values. Types are told by their module or by
attributes of theirs, so that no library is imported to find out that it is not in use.
"""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime as dt
import enum
import functools
import re
import sys
import types
import typing
from collections.abc import Callable
from types import MemberDescriptorType
from typing import Any

from aiocache_pe.keys.qualified_names import qualified_name

Parts = tuple[Any, ...]


def value_parts(value: Any) -> Parts | None:
    """What makes up a value; ``None`` when that cannot be told.

    Args:
        value: of no type that has an identity of its own (`aiocache_pe.keys.canonical`).

    Returns:
        Values whose identities together are that of the value.

    Example:
        >>> parts_of(range(3)), parts_of(object())
        ((0, 3, 1), None)
    """
    kind: Any = type(value)
    own = getattr(kind, "__cache_key__", None)
    if own is not None:
        return (own(value),)
    if isinstance(value, enum.Enum):
        return (value.name or value.value,)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return ({f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.compare},)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return tuple(value)
    if kind.__module__.partition(".")[0] in _STANDARD:
        return _text(value)
    for look in (_of_libraries, _of_annotation, _of_bases, _importable):
        parts = look(value, kind)
        if parts is not None:
            return parts
    return None


def type_name(value: Any) -> str:
    """The name of a value's class; of annotations one that no version of Python changes."""
    return _ANNOTATION if _is_annotation(value) else qualified_name(type(value))


def child_values(value: Any, path: str) -> list[tuple[str, Any]]:
    """What stands within a value, each with the path to it; for errors."""
    if isinstance(value, dict):
        inner = [(f"{path}[{key!r:.40}]", item) for key, item in value.items()]
        return inner + [(f"a key of {path}", key) for key in value]
    if isinstance(value, list | tuple | collections.deque):
        return [(f"{path}[{index}]", item) for index, item in enumerate(value)]
    if isinstance(value, set | frozenset):
        return [(f"a member of {path}", item) for item in value]
    if isinstance(value, type):
        return []
    kind: Any = type(value)
    if kind.__module__ == "numpy" and _is_of_objects(value):
        return [(f"{path}.flat[{index}]", item) for index, item in enumerate(value.flat)]
    names = list(getattr(kind, "model_fields", ())) + list(getattr(kind, "__struct_fields__", ()))
    names += [field.name for field in dataclasses.fields(kind)] if _has_fields(kind) else []
    return [(f"{path}.{name}", getattr(value, name, None)) for name in names]


_has_fields = dataclasses.is_dataclass
_STANDARD = frozenset(("datetime", "decimal", "uuid", "fractions", "ipaddress", "zoneinfo"))
_ANNOTATION = "typing.annotation"


def _text(value: Any) -> Parts | None:
    """Of values of the standard library that their text tells whole."""
    folded = getattr(value, "fold", 0)
    zone = getattr(value, "tzinfo", None)
    if _is_nameless(value) or _is_nameless(zone):
        return None
    told = str(value), folded, None if zone is None else str(zone)
    if isinstance(value, dt.timezone):  # whose name anybody may have chosen
        offset = value.utcoffset(None)
        return told if told[0] == str(dt.timezone(offset)) else (*told, str(offset))
    return told


def _is_nameless(zone: Any) -> bool:
    """Whether a time zone's text is but its address: one read from a file, or a user's own."""
    kind: Any = type(zone)
    is_default = kind.__str__ is object.__str__ and kind.__repr__ is object.__repr__
    return is_default or getattr(zone, "key", "") is None


def _of_libraries(value: Any, kind: Any) -> Parts | None:
    """Of values of well-known libraries."""
    module = kind.__module__.partition(".")[0]
    if module == "pathlib":
        return (str(value),)
    if module == "numpy" and hasattr(value, "dtype"):
        if _is_of_objects(value):
            return "|O", value.shape, value.ravel().tolist()
        if value.dtype.hasobject or hasattr(value, "mask"):  # addresses; values that do not count
            return None
        return _dtype_text(value.dtype), value.shape, value.tobytes()
    pydantic = sys.modules.get("pydantic")
    if pydantic is not None and isinstance(value, pydantic.BaseModel):
        # Not all of ``__dict__``: it also holds what was computed of the fields, once it was.
        fields = {name: item for name, item in value.__dict__.items() if name in kind.model_fields}
        return fields, value.__pydantic_extra__
    if module in ("pydantic", "pydantic_core") and kind.__name__.endswith(("Url", "Dsn")):
        return (str(value),)
    msgspec = sys.modules.get("msgspec")
    if msgspec is not None:
        if isinstance(value, msgspec.Struct):
            return tuple(getattr(value, name) for name in value.__struct_fields__)
        if value is msgspec.UNSET:
            return ()
    return None


def _is_of_objects(value: Any) -> bool:
    """Whether it is a plain array of whatever, as pandas has for text."""
    return type(value).__name__ == "ndarray" and value.dtype.char == "O"


def _dtype_text(dtype: Any) -> str:
    try:
        return str(dtype.descr)
    except ValueError:  # of fields that overlap, or are out of order
        return str(dtype)


def _is_annotation(value: Any) -> bool:
    if isinstance(value, types.GenericAlias | types.UnionType):
        return True
    return type(value).__module__ == "typing" and typing.get_origin(value) is not None


def _of_annotation(value: Any, kind: Any) -> Parts | None:
    """Of ``list[int]`` and the like, which tell what shape of answer is wanted."""
    del kind
    if not _is_annotation(value):
        return None
    origin: Any = typing.get_origin(value)
    arguments = list(typing.get_args(value))
    if origin is typing.Union or origin is types.UnionType:  # ``int | str`` is ``str | int``
        return "Union", frozenset(arguments)
    if getattr(origin, "__module__", "") == "typing":  # Literal, Annotated: no class, or not always
        origin = getattr(origin, "_name", None) or origin.__qualname__
    return origin, isinstance(value, types.GenericAlias), arguments


def _of_bases(value: Any, kind: Any) -> Parts | None:
    """Of the standard library's types and those derived from them, with their attributes.

    What is derived may hide its state in slots, which nobody can be sure to know.
    """
    for base in kind.__mro__:
        take = _BASES.get(base)
        if take is None:
            continue
        if base is not kind and any(map(_has_slots, kind.__mro__[: kind.__mro__.index(base)])):
            return None
        attributes = {} if kind is types.SimpleNamespace else getattr(value, "__dict__", {})
        parts = take(value)
        return (*parts, dict(attributes)) if attributes and parts is not None else parts
    return None


def _has_slots(cls: type) -> bool:
    return any(isinstance(member, MemberDescriptorType) for member in vars(cls).values())


def _importable(value: Any, kind: Any) -> Parts | None:
    """The name of a function, class or module, if it is found under it again."""
    del kind
    generic = getattr(value, "__pydantic_generic_metadata__", None)
    if isinstance(value, type) and generic and generic["origin"]:
        return generic["origin"], generic["args"]
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str) or "<" in name:
        return None
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is value or getattr(types, name, None) is value:  # such as ``NoneType``
        return (qualified_name(value),)
    return None


def _moment(value: dt.datetime) -> Parts | None:
    text = _text(value)
    return None if text is None else (dt.datetime.isoformat(value), *text)


# By the base's own methods: what derives from it may answer otherwise.
_BASES: dict[type, Callable[[Any], Parts | None]] = {
    str: lambda value: (str.__str__(value),),
    int: lambda value: (int.__int__(value),),
    float: lambda value: (float.__float__(value),),
    bytes: lambda value: (bytes(memoryview(value)),),
    list: lambda value: (list(list.__iter__(value)),),
    tuple: lambda value: (tuple(tuple.__iter__(value)),),
    dict: lambda value: (dict(dict.items(value)),),
    set: lambda value: (set(set.__iter__(value)),),
    frozenset: lambda value: (set(frozenset.__iter__(value)),),
    dt.datetime: _moment,
    dt.date: lambda value: (dt.date.isoformat(value), str(value)),
    array.array: lambda value: (value.typecode, sys.byteorder, value.tobytes()),
    collections.OrderedDict: lambda value: (tuple(collections.OrderedDict.items(value)),),
    collections.defaultdict: lambda value: (value.default_factory, dict(dict.items(value))),
    collections.deque: lambda value: (list(collections.deque.__iter__(value)), value.maxlen),
    collections.ChainMap: lambda value: (list(value.maps),),
    types.MappingProxyType: lambda value: (dict(value),),
    types.SimpleNamespace: lambda value: (dict(vars(value)),),
    range: lambda value: (value.start, value.stop, value.step),
    slice: lambda value: (value.start, value.stop, value.step),
    re.Pattern: lambda value: (value.pattern, value.flags),
    functools.partial: lambda value: (value.func, value.args, value.keywords),
}
