"""The classes whose instances may be stored: dataclasses, models, structs, enums, named tuples.

A record says only a class's name. It is looked up here and nowhere else, so a record
can never make a program import or call something. That is why a class must be known
before its instances are read: from the return annotation of a cached function, or by
`register`.
"""

from __future__ import annotations

import dataclasses
from enum import Enum
from typing import Any, TypeVar, is_typeddict

import msgspec

from aiocache_pe.codecs.classes.annotations import annotated_fields, annotation_parts
from aiocache_pe.codecs.classes.pydantic_models import ModelShape, is_model
from aiocache_pe.codecs.classes.shapes import (
    AttributeShape,
    EnumShape,
    NamedTupleShape,
    Shape,
    StructShape,
    get_stored_name,
)
from aiocache_pe.exceptions import CorruptRecordError

C = TypeVar("C", bound=type)

# What is known belongs to the process, as the classes do: a name means one class in it.
_shapes: dict[str, Shape] = {}
_unresolved: set[type] = set()


def register(cls: C) -> C:
    """Let instances of a class be stored as readable JSON, without pickle.

    The classes its fields mention are registered with it. Registering a class again is
    harmless. Another class of the same module and qualified name takes the place of
    the first, as when a notebook's cell is run again or a module is reloaded; instances
    of the first are then no longer stored this way.

    Args:
        cls: a dataclass, a pydantic model, a msgspec struct, an enum or a named tuple.

    Returns:
        The class itself, so this can be used as a decorator.

    Raises:
        TypeError: it is none of these, or derives from a C type such as ``Exception``
            and could not be made again exactly.

    Example:
        >>> from dataclasses import dataclass
        >>> @register
        ... @dataclass
        ... class Answer:
        ...     text: str
    """
    if not isinstance(cls, type) or is_typeddict(cls):
        raise TypeError(f"{cls!r:.100} is not a class that has instances of its own")
    if not _add(cls):
        raise TypeError(
            f"{get_stored_name(cls)} cannot be registered; accepted are dataclasses, pydantic "
            "models, msgspec structs, enums and named tuples that derive from no other C type"
        )
    _add_fields(cls)
    return cls


def register_annotation(annotation: Any) -> None:
    """Register every class that an annotation mentions and that can be registered.

    Args:
        annotation: for instance a function's return annotation, resolved
            (`typing.get_type_hints`). Containers, unions, ``Annotated``, type variables
            and aliases are looked through, and so are the fields of what is found and
            of every ``TypedDict``. What cannot be registered is passed over.

    Example:
        >>> from enum import Enum
        >>> Colour = Enum("Colour", "RED GREEN")
        >>> register_annotation(dict[str, list[Colour] | None])
        >>> find_shape(Colour).take(Colour.RED)
        'RED'
    """
    seen: dict[int, Any] = {}
    left = [annotation]
    while left:
        part = left.pop()
        # By identity, as metadata in an annotation need not be hashable; and kept, so
        # that no other part is given the identity of one that is gone.
        if id(part) in seen:
            continue
        seen[id(part)] = part
        try:
            if isinstance(part, type) and (is_typeddict(part) or _add(part)):
                left += _fields(part)
            left += annotation_parts(part)
        except Exception:  # noqa: BLE001, S112 - other libraries' classes raise what they like
            continue


def find_shape(cls: type) -> Shape | None:
    """The shape of a registered class; ``None`` for any other."""
    name = get_stored_name(cls)
    shape = _shapes.get(name)
    if shape is None and _resolve():
        shape = _shapes.get(name)
    return shape if shape is not None and shape.cls is cls else None


def find_shape_by_name(name: object) -> Shape:
    """The shape of the class that a record names.

    Raises:
        CorruptRecordError: no class of that name is registered in this process.
    """
    if type(name) is str:
        shape = _shapes.get(name)
        if shape is None and _resolve():
            shape = _shapes.get(name)
        if shape is not None:
            return shape
    raise CorruptRecordError(
        f"it holds a {name!r:.200}, and no such class is registered in this process; "
        "register it before reading (aiocache_pe.register)"
    )


def can_be_registered(cls: type) -> bool:
    """Whether `register` would take the class."""
    return _shape_of(cls) is not None


def _add(cls: type) -> bool:
    name = get_stored_name(cls)
    known = _shapes.get(name)
    if known is not None and known.cls is cls:
        return True
    shape = _shape_of(cls)
    if shape is not None:
        _shapes[name] = shape
    return shape is not None


def _shape_of(cls: type) -> Shape | None:
    try:
        if issubclass(cls, Enum):
            return EnumShape(cls) if cls.__members__ else None
        if issubclass(cls, msgspec.Struct):
            return StructShape(cls)
        if issubclass(cls, tuple):
            return NamedTupleShape(cls) if hasattr(cls, "_fields") else None
        if is_model(cls):
            return ModelShape(cls)
        return AttributeShape(cls) if dataclasses.is_dataclass(cls) else None
    except TypeError:  # of a layout that cannot be rebuilt
        return None


def _add_fields(cls: type) -> None:
    for annotation in _fields(cls):
        register_annotation(annotation)


def _fields(cls: type) -> list[Any]:
    try:
        found = list(annotated_fields(cls))
    except NameError:  # it mentions a class that is not made yet, perhaps itself
        _unresolved.add(cls)
        return []
    _unresolved.discard(cls)
    return found


def _resolve() -> bool:
    """Look again at fields whose annotations could not be read; whether there were any."""
    waiting = tuple(_unresolved)
    for cls in waiting:
        _add_fields(cls)
    return bool(waiting)
