"""Walking through type annotations, to find the classes that values will be of."""

from __future__ import annotations

import typing
from collections.abc import Iterable
from enum import Enum
from typing import Any, Literal, NewType, TypeVar, get_args, get_origin


def annotation_parts(annotation: Any) -> Iterable[Any]:
    """What an annotation is made of, one step down.

    Args:
        annotation: anything that may stand in an annotation; what cannot be resolved,
            such as a string, has no parts.

    Returns:
        Annotations and classes; for a generic alias also its origin.

    Example:
        >>> list(parts_of(dict[str, list[int]]))
        [<class 'dict'>, <class 'str'>, list[int]]
    """
    if isinstance(annotation, list | tuple):  # the parameters of a Callable
        return annotation
    if isinstance(annotation, NewType):
        return (annotation.__supertype__,)
    if isinstance(annotation, TypeVar):
        return (annotation.__bound__, *annotation.__constraints__)
    if type(annotation).__name__ == "TypeAliasType":  # ``type X = ...``, of Python 3.12
        return (annotation.__value__,)
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return [type(arg) for arg in args if isinstance(arg, Enum)]
    if origin is typing.Annotated:
        return args[:1]
    return () if origin is None else (origin, *args)


def annotated_fields(cls: type) -> Iterable[Any]:
    """The annotations of a class's fields.

    Args:
        cls: a class with fields.

    Returns:
        One annotation for each field; class variables are none.

    Raises:
        NameError: a name in them is not defined yet, as in a class that mentions itself
            and is still being made.
    """
    if issubclass(cls, Enum):
        return ()
    model_fields = getattr(cls, "__pydantic_fields__", None)
    if model_fields is None:
        hints = typing.get_type_hints(cls, include_extras=True)
        return [hint for hint in hints.values() if get_origin(hint) is not typing.ClassVar]
    if not getattr(cls, "__pydantic_complete__", True):
        raise NameError(f"{cls.__qualname__} mentions a class that is not defined yet")
    # A model's own account: it has resolved all names, and the parameters of generics.
    return [field.annotation for field in model_fields.values()]
