"""Canonical text of a value: the same text for equal values, and for no others.

A key made from arguments must be the same in every process and on every version of Python,
and must differ whenever the arguments do. A value is therefore written with its type and its
length: ``1`` is ``i1;`` and ``"1"`` is ``s1:1``. Dicts and sets are sorted by the texts of
their members.

A value without an identity that outlives the process, such as an object that is equal only
to itself, is refused. A key with its address would never hit, or would hit for another object.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from aiocache_pe.exceptions import UnstableIdentityError
from aiocache_pe.keys.value_parts import get_child_values, get_type_name, get_value_parts

Writer = Callable[[Any, list[str]], None]


def canonicalize(value: Any, *, path: str = "value") -> str:
    """Return the canonical text of a value; an error names it ``path``.

    A value may be plain data, a date, a path, a number of any kind, an enum, a dataclass, a named
    tuple, a pydantic model, an attrs class, a msgspec struct, a numpy array, an importable function
    or class; and any object with a method ``__cache_key__()`` or a registered function
    (`register_identity`), the result of which stands for the object.

    Raises:
        UnstableIdentityError: the value, or a part of it, has no stable identity.

    Example:
        >>> canonicalize({"b": 1, "a": [True, None]})
        'd2{s1:al2[T;N;]s1:bi1;}'
    """
    out: list[str] = []
    try:
        _write(value, out)
    except (_NoIdentityError, RecursionError) as error:
        raise _make_error(error, path, value, "pass plain data instead") from None
    return "".join(out)


def canonicalize_call(named: Mapping[str, Any], known: Mapping[str, tuple[Any, str]]) -> str:
    """Return the canonical text of a call: each parameter's name and its argument's text.

    The text of an argument that cannot change may be ``known``, together with the argument.

    Raises:
        UnstableIdentityError: an argument, or a part of it, has no stable identity.

    Example:
        >>> canonicalize_call({"query": "cats", "limit": 10}, {})
        'query=s4:catslimit=ia;'
    """
    out: list[str] = []
    for name, value in named.items():
        if name in known and known[name][0] is value:
            out.append(known[name][1])
        elif type(value) is str:
            out.append(f"{name}=s{len(value)}:{value}")
        else:
            out.append(f"{name}=")
            try:
                _write(value, out)
            except (_NoIdentityError, RecursionError) as error:
                advice = f'leave it out with ignore=["{name}"], select what counts with key='
                raise _make_error(error, name, value, advice) from None
    return "".join(out)


class _NoIdentityError(Exception):
    """A value, the only argument, has no identity; its path is searched only for the error."""


def _encode(value: Any) -> str:
    out: list[str] = []
    _write(value, out)
    return "".join(out)


def _write(value: Any, out: list[str]) -> None:
    cls = type(value)
    if cls is str:
        out.append(f"s{len(value)}:{value}")
    elif cls is dict:
        _write_dict(value, out)
    else:
        _WRITERS.get(cls, _write_object)(value, out)


def _make_sequence_writer(tag: str) -> Writer:
    def write(value: Any, out: list[str]) -> None:
        out.append(f"{tag}{len(value)}[")
        for item in value:
            if type(item) is dict:
                _write_dict(item, out)
            else:
                _write(item, out)
        out.append("]")

    return write


def _make_set_writer(tag: str) -> Writer:
    def write(value: Any, out: list[str]) -> None:
        members = sorted(_encode(item) for item in value)
        out.append(f"{tag}{len(members)}{{{''.join(members)}}}")

    return write


def _make_text_writer(tag: str, to_text: Callable[[Any], str]) -> Writer:
    def write(value: Any, out: list[str]) -> None:
        text = to_text(value)
        out.append(f"{tag}{len(text)}:{text}")

    return write


def _write_dict(value: dict[Any, Any], out: list[str]) -> None:
    for key in value:
        if type(key) is not str:
            pairs = sorted((_encode(key), _encode(item)) for key, item in value.items())
            out.append(f"d{len(value)}{{")
            out.extend(text for pair in pairs for text in pair)
            out.append("}")
            return

    keys = tuple(value)
    for key, start in _KEY_ORDERS.get(keys) or _sort_keys(keys):
        item = value[key]
        if type(item) is str:  # the most frequent case in a chat
            out.append(f"{start}s{len(item)}:{item}")
        else:
            out.append(start)
            _write(item, out)
    out.append("}" if keys else "d0{}")


_KeyOrder = tuple[tuple[str, str], ...]
_KEY_ORDERS: dict[tuple[str, ...], _KeyOrder] = {}
"""Sorted keys of dicts, each with the text in front of its value, by the unsorted keys.

The messages of all chats have the same few keys.
"""
_MAX_ORDERS, _MAX_KEYS, _MAX_KEY_LENGTH = 256, 32, 32


def _sort_keys(keys: tuple[str, ...]) -> _KeyOrder:
    starts = [f"s{len(key)}:{key}" for key in sorted(keys)]
    starts[:1] = [f"d{len(keys)}{{{first}" for first in starts[:1]]
    order = tuple(zip(sorted(keys), starts, strict=True))
    if len(keys) <= _MAX_KEYS and max(map(len, keys), default=0) <= _MAX_KEY_LENGTH:
        if len(_KEY_ORDERS) >= _MAX_ORDERS:
            _KEY_ORDERS.clear()
        _KEY_ORDERS[keys] = order
    return order


_WRITERS: dict[type, Writer] = {
    type(None): lambda value, out: out.append("N;"),
    bool: lambda value, out: out.append("T;" if value else "F;"),
    int: lambda value, out: out.append(f"i{value:x};"),
    float: lambda value, out: out.append(f"f{value.hex()};"),
    complex: lambda value, out: out.append(f"c{value.real.hex()},{value.imag.hex()};"),
    bytes: _make_text_writer("y", lambda value: str(value, "latin-1")),
    bytearray: _make_text_writer("Y", lambda value: value.decode("latin-1")),
    list: _make_sequence_writer("l"),
    tuple: _make_sequence_writer("t"),
    set: _make_set_writer("e"),
    frozenset: _make_set_writer("E"),
    type(...): lambda value, out: out.append("...;"),
}
"""Writers of exact types.

Numbers are hexadecimal: by default Python refuses to write an int of thousands of digits in
decimal, and a float's decimal text would be longer.
"""


def _write_object(value: Any, out: list[str]) -> None:
    parts = get_value_parts(value)
    if parts is None:
        raise _NoIdentityError(value)
    name = get_type_name(value)
    out.append(f"o{len(name)}:{name}{len(parts)}[")
    for part in parts:
        _write(part, out)
    out.append("]")


def _make_error(
    error: _NoIdentityError | RecursionError, path: str, root: Any, advice: str
) -> UnstableIdentityError:
    if isinstance(error, RecursionError):
        return UnstableIdentityError(
            f"{path} contains itself, or is nested too deeply to be part of a key", path=path
        )
    [value] = error.args
    cls = type(value)
    path = _find_path(value, root, path, frozenset()) or path
    if hasattr(value, "__qualname__") and hasattr(value, "__module__"):
        kind, remedy = (
            f"{cls.__name__} {value.__module__}.{value.__qualname__}",
            ("or define it at the top level of a module"),
        )
    else:
        kind = f"{cls.__module__}.{cls.__qualname__}"
        remedy = (
            "give the class a method __cache_key__() that returns its identity, or register one "
            f"with register_identity({cls.__name__}, function)"
        )
    return UnstableIdentityError(
        f"{path} is a {kind}, which has no identity that outlives the process, so it cannot be "
        f"part of a cache key; {advice}, {remedy}",
        path=path,
    )


def _find_path(target: Any, value: Any, path: str, ancestors: frozenset[int]) -> str | None:
    """Return the path to a value inside another one."""
    if value is target:
        return path
    if id(value) in ancestors:
        return None
    for child_path, child in get_child_values(value, path):
        found = _find_path(target, child, child_path, ancestors | {id(value)})
        if found is not None:
            return found
    return None
