"""The identity of a value: text that is the same for equal values and for no others.

A key made from arguments must be the same in every process and on every version of
Python, and must differ whenever the arguments do. So a value is written down with its
type and its length, ``i1;`` for ``1`` and ``s1:1`` for ``"1"``; dicts and sets are sorted by
what their members are written as. What has no identity that outlives the process, such
as an object that is equal only to itself, is refused: its address would make a key that
never hits, or that hits for another object.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiocache_pe.anatomy import inner_of, kind_name, parts_of
from aiocache_pe.exceptions import UnstableIdentityError

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
    except _RefusedError as refused:
        raise _explained(refused.value, path, value, way_out) from None
    except RecursionError:
        raise UnstableIdentityError(
            f"{path} contains itself, or is nested too deeply to be part of a key", path=path
        ) from None
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
            _write(item, out)
        out.append("]")

    return write


def _write_set(sign: str) -> Writer:
    def write(value: Any, out: list[str]) -> None:
        members = sorted(_alone(item) for item in value)
        out.append(f"{sign}{len(members)}{{{''.join(members)}}}")

    return write


def _write_dict(value: dict[Any, Any], out: list[str]) -> None:
    out.append(f"d{len(value)}{{")
    for key in value:
        if type(key) is not str:
            pairs = sorted((_alone(key), _alone(item)) for key, item in value.items())
            out.extend(text for pair in pairs for text in pair)
            break
    else:
        for key in sorted(value):
            item = value[key]
            if type(item) is str:  # what most of a chat consists of
                out.append(f"s{len(key)}:{key}s{len(item)}:{item}")
            else:
                out.append(f"s{len(key)}:{key}")
                _write(item, out)
    out.append("}")


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
    parts = parts_of(value)
    if parts is None:
        raise _RefusedError(value)
    name = kind_name(value)
    out.append(f"o{len(name)}:{name}{len(parts)}[")
    for part in parts:
        _write(part, out)
    out.append("]")


def _explained(refused: Any, path: str, root: Any, way_out: str) -> UnstableIdentityError:
    kind = type(refused)
    where = _where(refused, root, path, frozenset()) or path
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
    for deeper, item in inner_of(value, path):
        found = _where(wanted, item, deeper, above | {id(value)})
        if found is not None:
            return found
    return None
