"""What a function says of its parameters and its result, on every Python.

An annotation may name what is imported for type checkers only, or defined further down.
As text, and from Python 3.14 on in any case (PEP 649), that hurts nobody until somebody
asks for its value, so here only what is wanted is evaluated.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from inspect import Signature
from types import SimpleNamespace
from typing import Any, get_type_hints

if sys.version_info >= (3, 14):
    from annotationlib import Format, get_annotations


def signature_of(function: Callable[..., Any]) -> Signature:
    """The signature of a function, whatever its annotations name.

    Args:
        function: the function, or whatever else is called.

    Raises:
        ValueError: it does not tell.
        TypeError: it cannot be called.
    """
    if sys.version_info >= (3, 14):
        return inspect.signature(function, annotation_format=Format.FORWARDREF)
    return inspect.signature(function)


def annotations_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations as they are written; what names nothing yet is a forward reference."""
    if sys.version_info >= (3, 14):
        return get_annotations(function, format=Format.FORWARDREF)
    return getattr(function, "__annotations__", {})


def return_annotation(function: Callable[..., Any]) -> Any:
    """What a function says it returns; ``None`` if it does not, or in mere words.

    Args:
        function: of which the other annotations may name what is not there.

    Example:
        >>> def answer(session: "Session", text: str) -> list[int]: ...
        >>> return_annotation(answer)
        list[int]
    """
    try:
        said = SimpleNamespace(
            __annotations__={"return": annotations_of(function)["return"]},
            __type_params__=getattr(function, "__type_params__", ()),
        )
        names = getattr(inspect.unwrap(function), "__globals__", {})
        return get_type_hints(said, globalns=names, include_extras=True)["return"]
    except Exception:  # noqa: BLE001 - reading an annotation runs it
        return None
