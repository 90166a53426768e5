"""Parts of a value: the data that, together with its class, identifies the value.

Equal parts of the same class mean equal values. Types of libraries are recognized by their
module or by their attributes. A library that is not in use is therefore not imported.
"""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime as dt
import enum
import functools
import inspect
import re
import sys
import types
import typing
from collections.abc import Callable
from types import MemberDescriptorType
from typing import Any

from aiocache_pe._validation import check_plain_function
from aiocache_pe.keys.library_values import get_image_parts, get_table_parts
from aiocache_pe.keys.qualified_names import get_qualified_name

Parts = tuple[Any, ...]

_STANDARD = frozenset(("datetime", "decimal", "uuid", "fractions", "ipaddress", "zoneinfo"))
_PLAIN = frozenset((str, bytes, int, float, bool, type(None)))
_ANNOTATION = "typing.annotation"
_LONG_DOUBLE_BYTES, _LONG_DOUBLE_BITS = 10, 63  # of the 12 or 16 bytes that it takes on x86
_DECLARATIONS = ("__dataclass_fields__", "__attrs_attrs__", "_fields")
"""Attributes of classes that declare their fields; that of named tuples comes last."""


def get_value_parts(value: Any) -> Parts | None:
    """Return the parts of a value; ``None`` if it has no stable identity.

    Example:
        >>> get_value_parts(range(3)), get_value_parts(object())
        ((0, 3, 1), None)
    """
    cls: Any = type(value)
    make_key = find_key_function(cls)
    if make_key is not None:
        return (make_key(value),)
    if isinstance(value, enum.Enum):
        return _get_enum_parts(value, cls)
    for marker in _DECLARATIONS:
        if hasattr(cls, marker) and (marker != "_fields" or isinstance(value, tuple)):
            return _get_field_parts(value, cls, marker)
    if cls.__module__.partition(".")[0] in _STANDARD:
        return _get_text_parts(value)
    for get in _GETTERS:
        parts = get(value, cls)
        if parts is not None:
            return parts
    return None


def _get_enum_parts(value: Any, cls: Any) -> Parts:
    """Return the name of a member, and its value if it is plain, because it may be edited.

    The values of the standard library differ between versions of Python.
    """
    is_own = cls.__module__.partition(".")[0] not in sys.stdlib_module_names
    if value.name and is_own and type(value.value) in _PLAIN:
        return value.name, value.value
    return (value.name or value.value,)


def register_identity(cls: type, function: Callable[[Any], object]) -> None:
    """Give the instances of a class an identity, so that they can be arguments of cached calls.

    Use it for a class of another library. A class of your own may have a method
    ``__cache_key__`` instead. A registered function precedes that method. It holds for derived
    classes, too, unless they have their own.

    Args:
        cls: the class.
        function: a function that returns the identity of an instance: any value that a cached
            function accepts as an argument. It is called for each call with such an instance.

    Raises:
        TypeError: ``cls`` is not a class, or ``function`` is not callable or is async.

    Example:
        >>> class Client:
        ...     url = "https://example.org"
        >>> register_identity(Client, lambda client: client.url)
        >>> get_value_parts(Client())
        ('https://example.org',)
    """
    if not isinstance(cls, type):
        raise TypeError(f"cls must be a class; got {cls!r:.80}")
    check_plain_function("function", function)
    _key_functions[cls] = function


_key_functions: dict[type, Callable[[Any], object]] = {}


def find_key_function(cls: Any) -> Callable[[Any], object] | None:
    """Return the function that gives instances of a class their identity, if there is one."""
    if _key_functions:
        for base in cls.__mro__:
            if base in _key_functions:
                return _key_functions[base]
    found: Callable[[Any], object] | None = getattr(cls, "__cache_key__", None)
    return found


def get_field_names(cls: Any, *, all_fields: bool = False) -> tuple[str, ...]:
    """Return the fields of a dataclass, attrs class, struct, model or named tuple.

    Fields that do not count in a comparison are left out, unless all are requested.
    """
    if hasattr(cls, "__dataclass_fields__"):
        return tuple(each.name for each in dataclasses.fields(cls) if all_fields or each.compare)
    if hasattr(cls, "__attrs_attrs__"):
        return tuple(each.name for each in cls.__attrs_attrs__ if all_fields or each.eq)
    names = (getattr(cls, name, ()) for name in ("model_fields", "__struct_fields__", "_fields"))
    return tuple(name for each in names for name in each)


def is_stateless(value: Any) -> bool:
    """Return whether an instance of a Python class has no attributes of its own.

    Example:
        >>> is_stateless(type("Tools", (), {})()), is_stateless(object()), is_stateless([])
        (True, False, False)
    """
    cls: Any = type(value)
    if cls is object or has_hidden_state(cls):
        return False
    # The state of slots is a tuple of two.
    return not object.__getstate__(value)


def has_hidden_state(cls: Any) -> bool:
    """Return whether instances have a state outside of attributes, as those of C types may."""
    pointer = tuple.__itemsize__
    slots = sum(
        isinstance(member, MemberDescriptorType)
        for base in cls.__mro__
        for member in vars(base).values()
    )
    size = object.__basicsize__ + pointer * slots
    # Since Python 3.11, the dict may be in front of the object; since 3.12, the references, too.
    size += pointer * ((cls.__dictoffset__ > 0) + (cls.__weakrefoffset__ > 0))
    return bool(cls.__itemsize__) or bool(cls.__basicsize__ != size)


def get_type_name(value: Any) -> str:
    """Return the name of a value's class; for an annotation a name independent of Python."""
    return _ANNOTATION if _is_annotation(value) else get_qualified_name(type(value))


def get_child_values(value: Any, path: str) -> list[tuple[str, Any]]:
    """Return the values inside a value, each with its path, for error messages."""
    if isinstance(value, dict):
        children = [(f"{path}[{key!r:.40}]", item) for key, item in value.items()]
        return children + [(f"a key of {path}", key) for key in value]
    if isinstance(value, list | tuple | collections.deque):
        return [(f"{path}[{index}]", item) for index, item in enumerate(value)]
    if isinstance(value, set | frozenset):
        return [(f"a member of {path}", item) for item in value]
    if isinstance(value, type):
        return []
    cls: Any = type(value)
    if cls.__module__ == "numpy" and _is_object_array(value):
        return [(f"{path}.flat[{index}]", item) for index, item in enumerate(value.flat)]
    names = get_field_names(cls, all_fields=True)
    return [(f"{path}.{name}", getattr(value, name, None)) for name in names]


def _get_field_parts(value: Any, cls: Any, marker: str) -> Parts | None:
    """Return the parts of an object that counts by its fields.

    A derived class that does not declare its fields may have more attributes. They count as well.
    """
    names = get_field_names(cls)
    is_tuple = isinstance(value, tuple)
    parts: Parts = tuple(value) if is_tuple else ({name: getattr(value, name) for name in names},)
    if marker in vars(cls):
        return parts
    declaring = next(base for base in cls.__mro__ if marker in vars(base))
    if any(map(_has_slots, cls.__mro__[: cls.__mro__.index(declaring)])):
        return None
    declared = get_field_names(cls, all_fields=True)
    others = {
        name: item
        for name, item in getattr(value, "__dict__", {}).items()
        if name not in declared
        and not isinstance(inspect.getattr_static(cls, name, None), functools.cached_property)
    }
    return (*parts, others) if others else parts


def _get_text_parts(value: Any) -> Parts | None:
    """Return the parts of a value of the standard library that its text identifies."""
    fold = getattr(value, "fold", 0)
    zone = getattr(value, "tzinfo", None)
    if _is_nameless(value) or _is_nameless(zone):
        return None
    parts = str(value), fold, None if zone is None else str(zone)
    if isinstance(value, dt.timezone):  # its name may be any text
        offset = value.utcoffset(None)
        return parts if parts[0] == str(dt.timezone(offset)) else (*parts, str(offset))
    return parts


def _is_nameless(zone: Any) -> bool:
    """Return whether the text of a time zone is only its address.

    That holds for a zone read from a file, and for a class of the user.
    """
    cls: Any = type(zone)
    is_default = cls.__str__ is object.__str__ and cls.__repr__ is object.__repr__
    return is_default or getattr(zone, "key", "") is None


def _get_library_parts(value: Any, cls: Any) -> Parts | None:
    module = cls.__module__.partition(".")[0]
    is_url = module in ("pydantic", "pydantic_core") and cls.__name__.endswith(("Url", "Dsn"))
    if module == "pathlib" or is_url:
        return (str(value),)
    if module == "numpy" and hasattr(value, "dtype"):
        if _is_object_array(value):
            return "|O", value.shape, value.ravel().tolist()
        # The bytes would hold addresses of objects, or the ignored values under a mask.
        if value.dtype.hasobject or hasattr(value, "mask"):
            return None
        return _render_dtype(value.dtype), value.shape, _get_array_content(value)
    pydantic = sys.modules.get("pydantic")
    if pydantic is not None and isinstance(value, pydantic.BaseModel):
        # `__dict__` also holds cached values that were computed from the fields.
        fields = {name: item for name, item in value.__dict__.items() if name in cls.model_fields}
        return fields, value.__pydantic_extra__
    msgspec = sys.modules.get("msgspec")
    if msgspec is not None and isinstance(value, msgspec.Struct):
        return tuple(getattr(value, name) for name in value.__struct_fields__)
    return () if msgspec is not None and value is msgspec.UNSET else None


def _is_object_array(value: Any) -> bool:
    """Return whether a value is a plain array of objects, as pandas uses for text."""
    return type(value).__name__ == "ndarray" and value.dtype.char == "O"


def _get_array_content(value: Any) -> Any:
    """Return the content of an array or scalar without its padding, which may be anything."""
    dtype = value.dtype
    data: bytes = value.tobytes()
    if not _has_padding(dtype):
        return data
    if dtype.names is not None:  # each field of a record is an array, too
        return {name: value[name] for name in dtype.names}
    size = dtype.itemsize // (2 if dtype.kind == "c" else 1)
    return b"".join(data[at : at + _LONG_DOUBLE_BYTES] for at in range(0, len(data), size))


def _has_padding(dtype: Any) -> bool:
    if dtype.subdtype is not None:
        return _has_padding(dtype.subdtype[0])
    if dtype.names is None:
        numpy: Any = sys.modules["numpy"]
        return dtype.char in "gG" and bool(numpy.finfo(dtype).nmant == _LONG_DOUBLE_BITS)
    fields = [dtype.fields[name][0] for name in dtype.names]
    return sum(each.itemsize for each in fields) != dtype.itemsize or any(map(_has_padding, fields))


def _render_dtype(dtype: Any) -> str:
    try:
        return str(dtype.descr)
    except ValueError:  # the fields overlap, or are out of order
        return str(dtype)


def _is_annotation(value: Any) -> bool:
    if isinstance(value, types.GenericAlias | types.UnionType):
        return True
    return type(value).__module__ == "typing" and typing.get_origin(value) is not None


def _get_annotation_parts(value: Any, cls: Any) -> Parts | None:
    if not _is_annotation(value):
        return None
    origin: Any = typing.get_origin(value)
    arguments = list(typing.get_args(value))
    if origin is typing.Union or origin is types.UnionType:  # ``int | str`` is ``str | int``
        return "Union", frozenset(arguments)
    if getattr(origin, "__module__", "") == "typing":  # Literal and Annotated may be no classes
        origin = getattr(origin, "_name", None) or origin.__qualname__
    return origin, isinstance(value, types.GenericAlias), arguments


def _get_base_parts(value: Any, cls: Any) -> Parts | None:
    """Return the parts of a type of the standard library or of a class derived from it.

    Attributes are parts, too. A derived class with slots is refused: its state in the slots
    cannot be found reliably.
    """
    base = next((base for base in cls.__mro__ if base in _BASES), None)
    if base is None or any(map(_has_slots, cls.__mro__[: cls.__mro__.index(base)])):
        return None
    attributes = {} if cls is types.SimpleNamespace else getattr(value, "__dict__", {})
    parts = _BASES[base](value)
    return (*parts, dict(attributes)) if attributes and parts is not None else parts


def _has_slots(cls: type) -> bool:
    return any(isinstance(member, MemberDescriptorType) for member in vars(cls).values())


def _get_import_name(value: Any, cls: Any) -> Parts | None:
    """Return the name of a function or class, if importing the name yields the same object."""
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
        return (get_qualified_name(value),)
    return None


def _get_datetime_parts(value: dt.datetime) -> Parts | None:
    parts = _get_text_parts(value)
    return None if parts is None else (dt.datetime.isoformat(value), *parts)


# The base's own methods are called, because a derived class may override them.
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
    dt.datetime: _get_datetime_parts,
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

_GETTERS = (
    *(_get_library_parts, get_table_parts, get_image_parts),
    *(_get_annotation_parts, _get_base_parts, _get_import_name),
)
"""Functions that return the parts of a value, or ``None``; tried in turn."""
