"""Registry of the classes with instances that can be stored as readable JSON.

A record contains only the name of a class. The name is looked up in this registry and nowhere
else, so a record can never make a program import or call anything. Therefore a class must be
registered before its instances are read: through the return annotation of a cached function, or by
`register`.
"""

from __future__ import annotations

import dataclasses
import sys
from contextlib import suppress
from enum import Enum
from typing import Any, TypeVar, is_typeddict

import msgspec

from aiocache_pe.codecs.classes.annotations import (
    get_annotation_parts,
    get_field_annotations,
    is_model,
)
from aiocache_pe.codecs.classes.pydantic_models import ModelShape
from aiocache_pe.codecs.classes.shapes import (
    AttributeShape,
    EnumShape,
    NamedTupleShape,
    Shape,
    StructShape,
)
from aiocache_pe.exceptions import CorruptRecordError
from aiocache_pe.keys.qualified_names import get_stored_name

C = TypeVar("C", bound=type)

# One registry for the process, in which a name means one class.
_shapes: dict[str, Shape] = {}
_unresolved: set[type] = set()


def register(cls: C) -> C:
    """Let instances of a class be stored as readable JSON, without pickle.

    The classes in the annotations of its fields are registered, too. Registering a class twice is
    harmless. Another class of the same module and qualified name replaces the first one, as when a
    cell of a notebook is run again or a module is reloaded. Instances of the first class are then
    no longer stored this way.

    Args:
        cls: a dataclass, a pydantic model, an attrs class, a msgspec struct, an enum or a named
            tuple.

    Returns:
        The class itself, so `register` can be used as a decorator.

    Raises:
        TypeError: ``cls`` is none of these, or derives from a C type such as ``Exception`` and
            could not be restored exactly.

    Example:
        >>> from dataclasses import dataclass
        >>> @register
        ... @dataclass
        ... class Answer:
        ...     text: str
    """
    if not isinstance(cls, type) or not _add_class(cls):
        raise TypeError(
            "cls must be a dataclass, pydantic model, attrs class, msgspec struct, enum or named "
            f"tuple that derives from no other C type; got {cls!r:.100}"
        )
    _add_field_classes(cls)
    return cls


def register_annotation(annotation: Any) -> None:
    """Register every class in an annotation that can be registered.

    Args:
        annotation: a resolved annotation (`typing.get_type_hints`), such as the return annotation
            of a function. Its parts are searched, and so are the fields of the classes and of
            every ``TypedDict``. Other classes are ignored.

    Example:
        >>> from enum import Enum
        >>> Colour = Enum("Colour", "RED GREEN")
        >>> register_annotation(dict[str, list[Colour] | None])
        >>> find_shape(Colour).decompose(Colour.RED)
        'RED'
    """
    seen: dict[int, Any] = {}
    pending = [annotation]
    while pending:
        part = pending.pop()
        # By identity, because metadata in an annotation may not be hashable. The dict keeps the
        # parts alive, so their ids stay unique.
        if id(part) in seen:
            continue
        seen[id(part)] = part
        try:
            if isinstance(part, type) and (is_typeddict(part) or _add_class(part)):
                pending += _get_fields(part)
            pending += get_annotation_parts(part)
        except Exception:  # noqa: BLE001, S112 - classes of other libraries may raise any error
            continue


def find_shape(cls: type) -> Shape | None:
    """Return the shape of a registered class; ``None`` for any other."""
    name = get_stored_name(cls)
    shape = _find_by_name(name)
    if shape is not None and shape.cls is not cls and _is_generic(cls):
        # pydantic forgets a generic class that is not in use, and makes another one.
        _add_class(cls)
        shape = _shapes[name]
    return shape if shape is not None and shape.cls is cls else None


def find_shape_by_name(name: object) -> Shape:
    """Return the shape of the class that a record names.

    Raises:
        CorruptRecordError: no class of that name is registered in this process.
    """
    shape = _find_by_name(name) if type(name) is str else None
    if shape is None:
        raise CorruptRecordError(
            f"class {name!r:.200} is not registered in this process; "
            "register it before reading (aiocache_pe.register)"
        )
    return shape


def is_registrable(cls: type) -> bool:
    """Return whether `register` accepts a class."""
    return _make_shape(cls) is not None


def _find_by_name(name: str) -> Shape | None:
    if name not in _shapes:
        for cls in tuple(_unresolved):
            _add_field_classes(cls)
    if name not in _shapes and name.endswith("]"):
        _add_generic(name)
    return _shapes.get(name)


def _add_generic(name: str) -> None:
    """Register a generic model that an SDK made of a registered one, by its stored name."""
    origin_name, _, rest = name.partition("[")
    origin = _shapes.get(origin_name)
    args = [_find_argument(each) for each in rest.removesuffix("]").split(", ")]
    if origin is None or not hasattr(origin.cls, "__pydantic_generic_metadata__") or None in args:
        return
    with suppress(Exception):  # the arguments do not fit, or the class of a library raises
        register(origin.cls[tuple(args)])


def _find_argument(name: str) -> Any:
    """Return a registered class or a type variable of an imported module, for its stored name."""
    if not name.startswith("~"):
        shape = _shapes.get(name)
        return None if shape is None or _is_generic(shape.cls) else shape.cls
    module, _, attribute = name[1:].rpartition(".")
    found = getattr(sys.modules.get(module), attribute, None)
    return found if isinstance(found, TypeVar) else None


def _is_generic(cls: Any) -> bool:
    generic = getattr(cls, "__pydantic_generic_metadata__", None)
    return bool(generic and generic["origin"])


def _add_class(cls: type) -> bool:
    name = get_stored_name(cls)
    shape = _shapes.get(name)
    if shape is None or shape.cls is not cls:
        shape = _make_shape(cls)
        if shape is None:
            return False
        _shapes[name] = shape
    return True


def _make_shape(cls: type) -> Shape | None:
    try:
        if issubclass(cls, Enum):
            return EnumShape(cls) if cls.__members__ else None
        if issubclass(cls, msgspec.Struct):
            return StructShape(cls, cls.__struct_fields__)
        if issubclass(cls, tuple):
            names = getattr(cls, "_fields", None)
            return None if names is None else NamedTupleShape(cls, names)
        if is_model(cls):
            return ModelShape(cls)
        is_declared = dataclasses.is_dataclass(cls) or hasattr(cls, "__attrs_attrs__")
        return AttributeShape(cls) if is_declared else None
    except TypeError:  # the class has a layout that cannot be rebuilt
        return None


def _add_field_classes(cls: type) -> None:
    for annotation in (*get_annotation_parts(cls), *_get_fields(cls)):
        register_annotation(annotation)


def _get_fields(cls: type) -> list[Any]:
    try:
        annotations = list(get_field_annotations(cls))
    except NameError:  # a class in the annotations does not exist yet, perhaps ``cls`` itself
        _unresolved.add(cls)
        return []
    _unresolved.discard(cls)
    return annotations
