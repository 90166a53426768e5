"""Parts of type annotations, to find the classes of future values."""

from __future__ import annotations

import sys
import typing
from collections.abc import Iterable
from enum import Enum
from typing import Any, Literal, NewType, TypeVar, get_args, get_origin


def get_annotation_parts(annotation: Any) -> Iterable[Any]:
    """Return the parts of an annotation, one level down.

    Args:
        annotation: any annotation. One that cannot be resolved, such as a string, has no parts.

    Returns:
        Annotations and classes; for a generic alias or a generic model also its origin.

    Example:
        >>> list(get_annotation_parts(dict[str, list[int]]))
        [<class 'dict'>, <class 'str'>, list[int]]
    """
    if isinstance(annotation, list | tuple):  # the parameters of a Callable
        return annotation
    if isinstance(annotation, NewType):
        return (annotation.__supertype__,)
    if isinstance(annotation, TypeVar):
        return (annotation.__bound__, *annotation.__constraints__)
    if type(annotation).__name__ == "TypeAliasType":  # ``type X = ...`` of Python 3.12
        return (annotation.__value__,)
    generic = getattr(annotation, "__pydantic_generic_metadata__", None)
    if generic and generic["origin"] and isinstance(annotation, type):
        return (generic["origin"], *generic["args"])
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return [type(arg) for arg in args if isinstance(arg, Enum)]
    if origin is typing.Annotated:
        return args[:1]
    return () if origin is None else (origin, *args)


def get_field_annotations(cls: type) -> Iterable[Any]:
    """Return the annotations of the fields of a class, without those of class variables.

    Raises:
        NameError: a name is not defined yet, as in a class that mentions itself and is still
            being created.
    """
    if issubclass(cls, Enum):
        return ()
    model_fields = getattr(cls, "__pydantic_fields__", None)
    if model_fields is None:
        hints = typing.get_type_hints(cls, include_extras=True)
        return [hint for hint in hints.values() if get_origin(hint) is not typing.ClassVar]
    if is_model(cls) and not complete_fields(cls):
        raise NameError(f"{cls.__qualname__} mentions a class that is not defined yet")
    # A model has resolved all names itself, and the parameters of generics.
    return [field.annotation for field in model_fields.values()]


def is_model(cls: type) -> bool:
    """Return whether a class is a pydantic model, without importing pydantic."""
    # From its main module, because an attribute of the package may start a lazy import.
    base = getattr(sys.modules.get("pydantic.main"), "BaseModel", None)
    return base is not None and issubclass(cls, base)


def complete_fields(cls: Any) -> bool:
    """Return whether the types of all fields of a model are known, after an attempt to find them.

    The SDKs of models build a class when it is first used, but know its fields at once.
    """
    if cls.__pydantic_complete__ or getattr(cls, "__pydantic_fields_complete__", False):
        return True
    # Only in the module of the class: by default, names are taken from the calling function, too.
    cls.model_rebuild(raise_errors=False, _types_namespace={})
    return bool(cls.__pydantic_complete__)
