"""The identity of a value: text that is the same for equal values and for no others.

A key made from arguments must be the same in every process and on every version of
Python, and must differ whenever the arguments do. So a value is written down with its
type and its length, ``i1;`` for ``1`` and ``s1:1`` for ``"1"``; dicts and sets are sorted by
what their members are written as. What has no identity that outlives the process, such
as an object that is equal only to itself, is refused: its address would make a key that
never hits, or that hits for another object.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from aiocache_pe.exceptions import UnstableIdentityError
from aiocache_pe.keys.value_parts import child_values, type_name, value_parts

Writer = Callable[[Any, list[str]], None]


def canonical(value: Any, *, path: str = "value", way_out: str = "pass plain data instead") -> str:
    """The identity of a value.

    Args:
        value: plain data, dates, paths, numbers of any kind, enums, dataclasses, named
            tuples, pydantic models, msgspec structs, numpy arrays, importable functions
            and classes; and any object with a method ``__cache_key__()``, whose result
            stands for it.
        path: what to call the value in an error.
        way_out: what that error advises.

    Returns:
        The text; equal texts mean equal values of the same types.

    Raises:
        UnstableIdentityError: the value, or something in it, has no such identity.

    Example:
        >>> canonical({"b": 1, "a": [True, None]})
        'd2{s1:al2[T;N;]s1:bi1;}'
    """
    out: list[str] = []
    try:
        _write(value, out)
    except (_RefusedError, RecursionError) as error:
        raise _explained(error, path, value, way_out) from None
    return "".join(out)


def canonical_call(
    named: Mapping[str, Any], *, way_out: str, known: Mapping[str, tuple[Any, str]]
) -> str:
    """The identity of a call: each argument's after its parameter's name.

    Args:
        named: the arguments by the names of the parameters.
        way_out: what an error advises.
        known: what was written before, by name: an argument that cannot change, and its text.

    Returns:
        The text; equal texts mean equal arguments of the same types.

    Raises:
        UnstableIdentityError: an argument, or something in it, has no such identity.

    Example:
        >>> canonical_call({"query": "cats", "limit": 10}, way_out="leave it out", known={})
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
            except (_RefusedError, RecursionError) as error:
                raise _explained(error, name, value, way_out) from None
    return "".join(out)


class _RefusedError(Exception):
    """A value without an identity; where it stands is looked up only now."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


def _write(value: Any, out: list[str]) -> None:
    kind = type(value)
    if kind is str:
        out.append(f"s{len(value)}:{value}")
    elif kind is dict:
        _write_dict(value, out)
    else:
        _WRITERS.get(kind, _write_object)(value, out)


def _write_sequence(sign: str) -> Writer:
    def write(value: Any, out: list[str]) -> None:
        out.append(f"{sign}{len(value)}[")
        for item in value:
            if type(item) is dict:
                _write_dict(item, out)
            else:
                _write(item, out)
        out.append("]")

    return write


def _write_set(sign: str) -> Writer:
    def write(value: Any, out: list[str]) -> None:
        members = sorted(_alone(item) for item in value)
        out.append(f"{sign}{len(members)}{{{''.join(members)}}}")

    return write


def _write_dict(value: dict[Any, Any], out: list[str]) -> None:
    for key in value:
        if type(key) is not str:
            pairs = sorted((_alone(key), _alone(item)) for key, item in value.items())
            out.append(f"d{len(value)}{{")
            out.extend(text for pair in pairs for text in pair)
            out.append("}")
            return
    keys = tuple(value)
    for key, begun in _ORDERS.get(keys) or _in_order(keys):
        item = value[key]
        if type(item) is str:  # what most of a chat consists of
            out.append(f"{begun}s{len(item)}:{item}")
        else:
            out.append(begun)
            _write(item, out)
    out.append("}" if keys else "d0{}")


_Order = tuple[tuple[str, str], ...]
_ORDERS: dict[tuple[str, ...], _Order] = {}
"""The keys of dicts, sorted, each with what is written up to its value: all chats' messages
have the same few."""
_MOST_ORDERS, _MOST_KEYS, _LONGEST_KEY = 256, 32, 32


def _in_order(keys: tuple[str, ...]) -> _Order:
    begun = [f"s{len(key)}:{key}" for key in sorted(keys)]
    begun[:1] = [f"d{len(keys)}{{{first}" for first in begun[:1]]
    order = tuple(zip(sorted(keys), begun, strict=True))
    if len(keys) <= _MOST_KEYS and max(map(len, keys), default=0) <= _LONGEST_KEY:
        if len(_ORDERS) >= _MOST_ORDERS:
            _ORDERS.clear()
        _ORDERS[keys] = order
    return order


def _alone(value: Any) -> str:
    out: list[str] = []
    _write(value, out)
    return "".join(out)


def _write_text(sign: str, text: Callable[[Any], str]) -> Writer:
    def write(value: Any, out: list[str]) -> None:
        shown = text(value)
        out.append(f"{sign}{len(shown)}:{shown}")

    return write


_WRITERS: dict[type, Writer] = {
    type(None): lambda value, out: out.append("N;"),
    bool: lambda value, out: out.append("T;" if value else "F;"),
    int: lambda value, out: out.append(f"i{value:x};"),
    float: lambda value, out: out.append(f"f{value.hex()};"),
    complex: lambda value, out: out.append(f"c{value.real.hex()},{value.imag.hex()};"),
    bytes: _write_text("y", lambda value: str(value, "latin-1")),
    bytearray: _write_text("Y", lambda value: value.decode("latin-1")),
    list: _write_sequence("l"),
    tuple: _write_sequence("t"),
    set: _write_set("e"),
    frozenset: _write_set("E"),
    type(...): lambda value, out: out.append("...;"),
}
"""How exact types are written. Numbers in hexadecimal: an int of thousands of digits has
no decimal text by default, and a float's would be longer."""


def _write_object(value: Any, out: list[str]) -> None:
    parts = value_parts(value)
    if parts is None:
        raise _RefusedError(value)
    name = type_name(value)
    out.append(f"o{len(name)}:{name}{len(parts)}[")
    for part in parts:
        _write(part, out)
    out.append("]")


def _explained(
    error: _RefusedError | RecursionError, path: str, root: Any, way_out: str
) -> UnstableIdentityError:
    if isinstance(error, RecursionError):
        return UnstableIdentityError(
            f"{path} contains itself, or is nested too deeply to be part of a key", path=path
        )
    kind = type(error.value)
    where = _where(error.value, root, path, frozenset()) or path
    return UnstableIdentityError(
        f"{where} is a {kind.__module__}.{kind.__qualname__}, which has no identity that "
        f"outlives the process, so it cannot be part of a cache key; {way_out}, or "
        "give the class a method __cache_key__() that returns what identifies it",
        path=where,
    )


def _where(wanted: Any, value: Any, path: str, above: frozenset[int]) -> str | None:
    """The path to a value inside another."""
    if value is wanted:
        return path
    if id(value) in above:
        return None
    for deeper, item in child_values(value, path):
        found = _where(wanted, item, deeper, above | {id(value)})
        if found is not None:
            return found
    return None
