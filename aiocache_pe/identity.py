"""The identity of a value: text that is the same for equal values and for no others.

A key made from arguments must be the same in every process and on every version of
Python, and must differ whenever the arguments do. So a value is written down with its
type and its length, ``i1;`` for ``1`` and ``s1:1`` for ``"1"``; dicts and sets are sorted by
what their members are written as. What has no identity that outlives the process, such
as an object that is equal only to itself, is refused: its address would make a key that
never hits, or that hits for another object.
"""

from __future__ import annotations

import dataclasses
import enum
import sys
from collections.abc import Callable
from typing import Any

from aiocache_pe.exceptions import UnstableIdentityError

Writer = Callable[[Any, list[str], str], None]


def canonical(value: Any, *, path: str = "value") -> str:
    """The identity of a value.

    Args:
        value: plain data, dates, paths, numbers of any kind, enums, dataclasses, named
            tuples, pydantic models, msgspec structs, numpy arrays, importable functions
            and classes; and any object with a method ``__cache_key__()``, whose result
            stands for it.
        path: what to call the value in an error.

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
        _write(value, out, path)
    except RecursionError:
        raise UnstableIdentityError(
            f"{path} contains itself, or is nested too deeply to be part of a key", path=path
        ) from None
    return "".join(out)


def _write(value: Any, out: list[str], path: str) -> None:
    kind = type(value)
    if kind is str:
        out.append(f"s{len(value)}:{value}")
        return
    writer = _WRITERS.get(kind)
    if writer is not None:
        writer(value, out, path)
    else:
        _write_object(value, out, path)


def _write_sequence(sign: str) -> Writer:
    def write(value: Any, out: list[str], path: str) -> None:
        out.append(f"{sign}{len(value)}[")
        for index, item in enumerate(value):
            _write(item, out, f"{path}[{index}]")
        out.append("]")

    return write


def _write_set(sign: str) -> Writer:
    def write(value: Any, out: list[str], path: str) -> None:
        members = sorted(canonical(item, path=f"{path}{{}}") for item in value)
        out.append(f"{sign}{len(members)}{{{''.join(members)}}}")

    return write


def _write_dict(value: Any, out: list[str], path: str) -> None:
    out.append(f"d{len(value)}{{")
    if all(type(key) is str for key in value):
        for key in sorted(value):
            out.append(f"s{len(key)}:{key}")
            _write(value[key], out, f"{path}[{key!r}]")
    else:
        pairs = [(canonical(key, path=f"{path} key"), key) for key in value]
        for text, key in sorted(pairs, key=lambda pair: pair[0]):
            out.append(text)
            _write(value[key], out, f"{path}[{key!r:.40}]")
    out.append("}")


def _write_text(sign: str, text: Callable[[Any], str]) -> Writer:
    def write(value: Any, out: list[str], path: str) -> None:
        shown = text(value)
        out.append(f"{sign}{len(shown)}:{shown}")

    return write


_WRITERS: dict[type, Writer] = {
    type(None): lambda value, out, path: out.append("N;"),
    bool: lambda value, out, path: out.append("T;" if value else "F;"),
    int: lambda value, out, path: out.append(f"i{value:x};"),
    float: lambda value, out, path: out.append(f"f{value.hex()};"),
    complex: lambda value, out, path: out.append(f"c{value.real.hex()},{value.imag.hex()};"),
    bytes: _write_text("y", lambda value: str(value, "latin-1")),
    bytearray: _write_text("Y", lambda value: value.decode("latin-1")),
    list: _write_sequence("l"),
    tuple: _write_sequence("t"),
    dict: _write_dict,
    set: _write_set("e"),
    frozenset: _write_set("E"),
    type(...): lambda value, out, path: out.append("...;"),
}
"""How exact types are written. Hexadecimal, since an int of thousands of digits has no
decimal text by default, and a float's decimal text need not be exact."""


def _write_object(value: Any, out: list[str], path: str) -> None:
    own = getattr(type(value), "__cache_key__", None)
    if own is not None:
        _write_parts(value, (own(value),), out, path)
    elif isinstance(value, enum.Enum):
        _write_parts(value, (value.name or value.value,), out, path)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.compare}
        _write_parts(value, (fields,), out, path)
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        _write_parts(value, tuple(value), out, path)
    else:
        parts = _known_parts(value)
        if parts is None:
            raise _refused(value, path)
        _write_parts(value, parts, out, path)


def _write_parts(value: Any, parts: tuple[Any, ...], out: list[str], path: str) -> None:
    kind = type(value)
    name = f"{kind.__module__}.{kind.__qualname__}"
    out.append(f"o{len(name)}:{name}{len(parts)}[")
    for part in parts:
        _write(part, out, path)
    out.append("]")


def _known_parts(value: Any) -> tuple[Any, ...] | None:
    """What makes up values of the standard library and of well-known ones.

    Types are told by their module, so that none of these need be imported.
    """
    kind = type(value)
    module = kind.__module__.partition(".")[0]
    if module in ("datetime", "decimal", "uuid", "fractions", "ipaddress", "zoneinfo"):
        folded = getattr(value, "fold", 0)
        zone = getattr(value, "tzinfo", None)
        return str(value), folded, None if zone is None else str(zone)
    if module == "pathlib":
        return (str(value),)
    if kind is range:
        return value.start, value.stop, value.step
    if module == "numpy" and hasattr(value, "dtype") and not value.dtype.hasobject:
        return str(value.dtype.descr), value.shape, value.tobytes()
    pydantic = sys.modules.get("pydantic")
    if pydantic is not None and isinstance(value, pydantic.BaseModel):
        return dict(value.__dict__), value.__pydantic_extra__
    msgspec = sys.modules.get("msgspec")
    if msgspec is not None and isinstance(value, msgspec.Struct):
        return tuple(getattr(value, name) for name in value.__struct_fields__)
    return _importable(value)


def _importable(value: Any) -> tuple[Any, ...] | None:
    """The name of a function, class or module, if it is found under it again."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str) or "<" in name:
        return None
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return (f"{module}.{name}",) if found is value else None


def _refused(value: Any, path: str) -> UnstableIdentityError:
    kind = type(value)
    return UnstableIdentityError(
        f"{path} is a {kind.__module__}.{kind.__qualname__}, which has no identity that outlives "
        "the process, so it cannot be part of a cache key; pass plain data instead, or give "
        "the class a method __cache_key__() that returns what identifies it",
        path=path,
    )
