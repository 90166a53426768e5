"""Schemas of classes: a text of the fields of a class and of their annotations.

A stored instance fits its class only as long as the schema of the class is the same. The text is
the same in every process, on every version of Python, and for every way to write an annotation:
``Optional[int]`` is ``int | None``.

A class within an annotation counts by its name, because its instances are stored with its own
schema. A ``TypedDict`` counts by its fields, because its instances are plain dicts.
"""

from __future__ import annotations

import sys
import types
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from hashlib import blake2b
from types import SimpleNamespace
from typing import Any, ForwardRef, Literal, NewType, TypeVar, get_args, get_origin, is_typeddict

from aiocache_pe.exceptions import UnstableIdentityError
from aiocache_pe.keys.canonical import canonicalize
from aiocache_pe.keys.qualified_names import get_stored_name
from aiocache_pe.keys.signatures import get_annotations
from aiocache_pe.keys.value_parts import get_field_names

_DIGEST_SIZE = 4  # bytes; a change goes unnoticed with a probability of 2e-10
_UNIONS = (typing.Union, types.UnionType)
_WRAPPERS = {"Annotated", "Required", "NotRequired", "ReadOnly", "Final", "ClassVar", "InitVar"}
_Follow = Callable[[type], bool]


def digest_schema(cls: type) -> str:
    """Return eight hex digits of the schema of a class; empty for a class without fields.

    Example:
        >>> from typing import NamedTuple
        >>> class Point(NamedTuple):
        ...     x: int
        >>> digest_schema(Point), digest_schema(str)
        ('d62b765e', '')
    """
    text = render_schema(cls)
    return digest_text(text) if text else ""


def digest_text(text: str) -> str:
    """Return eight hex digits of a text."""
    data = text.encode("utf-8", "surrogatepass")
    return blake2b(data, digest_size=_DIGEST_SIZE).hexdigest()


def render_schema(cls: type) -> str:
    """Return the schema of a class as a text; empty for a class without fields."""
    return _Renderer(lambda _: False).render_fields(cls)


def render_result(annotation: Any, package: str) -> str:
    """Return the schemas of the classes in a return annotation.

    Args:
        annotation: the evaluated annotation.
        package: the package of the function. Of other packages, only the fields of a ``TypedDict``
            count: a new release of an SDK does not outdate all results.

    Returns:
        A text, which is empty if there are no such classes.
    """
    renderer = _Renderer(lambda cls: get_stored_name(cls).partition(".")[0] == package)
    renderer.render(annotation)
    return "\n".join(sorted(renderer.schemas.values()))


def render_member(cls: type[Enum], state: str | int) -> str:
    """Return the value of an enum's member as a text, or all members for a number of flags."""
    members = cls.__members__
    if isinstance(state, str):
        return _render_value(members[state].value) if state in members else ""
    return ",".join(f"{name}={_render_value(member.value)}" for name, member in members.items())


class _Renderer:
    """Renderer of annotations.

    Args:
        follow: function that returns whether a class counts by its fields, too.

    Attributes:
        schemas: the schemas of the classes that count by their fields.
    """

    def __init__(self, follow: _Follow) -> None:
        self._follow = follow
        self.schemas: dict[Any, str] = {}

    def render_fields(self, cls: type) -> str:
        """Return the names and annotations of the fields of a class, or the members of an enum."""
        if issubclass(cls, Enum):
            return render_member(cls, 0)
        hints = _get_hints(cls)
        optional: frozenset[str] = getattr(cls, "__optional_keys__", frozenset())
        names = hints if is_typeddict(cls) else get_field_names(cls, all_fields=True)
        return ",".join(
            f"{name}{'?' * (name in optional)}:{self.render(hints[name])}"
            if name in hints
            else name
            for name in sorted(names)
        )

    def render(self, annotation: Any) -> str:
        """Return the text of an annotation."""
        if annotation is None or annotation is type(None):
            return "None"
        if isinstance(annotation, str | ForwardRef):  # a name that is not defined
            text = annotation if isinstance(annotation, str) else annotation.__forward_arg__
            return repr("".join(text.split()))
        if isinstance(annotation, list | tuple):  # the parameters of a Callable
            return f"[{','.join(map(self.render, annotation))}]"
        if isinstance(annotation, type) and get_origin(annotation) is None:
            return self._render_class(annotation)
        if get_origin(annotation) is not None:
            return self._render_generic(get_origin(annotation), get_args(annotation))
        return self._render_name(annotation)

    def _render_class(self, cls: type) -> str:
        name = get_stored_name(cls)
        if is_typeddict(cls):
            return self._render_once(cls, name, lambda: self.render_fields(cls))
        if self._follow(cls):
            self._render_once(cls, name, lambda: self.render_fields(cls))
        return name

    def _render_generic(self, origin: Any, args: tuple[Any, ...]) -> str:
        if origin is Literal:
            return f"Literal[{','.join(sorted(map(_render_value, args)))}]"
        name = getattr(origin, "_name", None) or getattr(origin, "__name__", "")
        if name in _WRAPPERS and getattr(origin, "__module__", "").startswith("typing"):
            return self.render(args[0])
        if origin in _UNIONS:
            # An SDK that adds a name to ``str | Literal[...]`` does not change the type.
            args = tuple(each for each in args if not _is_contained(each, args))
            texts = sorted(set(map(self.render, args)))
            return texts[0] if len(texts) == 1 else f"Union[{','.join(texts)}]"
        return f"{self.render(origin)}[{','.join(map(self.render, args))}]"

    def _render_name(self, annotation: Any) -> str:
        """Return the text of a type with a name that is no class."""
        if isinstance(annotation, NewType):
            return self.render(annotation.__supertype__)
        if isinstance(annotation, TypeVar):
            bounds = (annotation.__bound__, *annotation.__constraints__)
            return f"{annotation.__name__}{self.render([each for each in bounds if each])}"
        name = str(getattr(annotation, "_name", None) or type(annotation).__name__)
        if name == "TypeAliasType":  # ``type X = ...`` of Python 3.12
            alias: str = annotation.__name__
            return self._render_once(annotation, alias, lambda: self.render(annotation.__value__))
        return name

    def _render_once(self, owner: Any, name: str, render: Callable[[], str]) -> str:
        if owner not in self.schemas:
            self.schemas[owner] = name  # it may mention itself
            self.schemas[owner] = f"{name}({render()})"
        return self.schemas[owner]


def _is_contained(literal: Any, args: tuple[Any, ...]) -> bool:
    return get_origin(literal) is Literal and {type(each) for each in get_args(literal)} <= set(
        args
    )


def _render_value(value: Any) -> str:
    try:
        return canonicalize(value)
    except UnstableIdentityError:
        return get_stored_name(type(value))


def _get_hints(cls: Any) -> Mapping[str, Any]:
    """Return the annotations of a class by field, evaluated as far as their names are defined."""
    fields = getattr(cls, "__pydantic_fields__", None)
    if fields is not None:
        return {name: field.annotation for name, field in fields.items()}
    try:
        return typing.get_type_hints(cls, include_extras=True)
    except Exception:  # noqa: BLE001 - evaluating an annotation runs any code
        hints: dict[str, Any] = {}
        for base in reversed(cls.__mro__):
            for name, hint in get_annotations(base).items():
                hints[name] = _evaluate(hint, base)
        return hints


def _evaluate(hint: Any, owner: type) -> Any:
    holder = SimpleNamespace(__annotations__={"field": hint})
    names = vars(sys.modules.get(owner.__module__, SimpleNamespace()))
    try:
        return typing.get_type_hints(holder, names, dict(vars(owner)), include_extras=True)["field"]
    except Exception:  # noqa: BLE001 - evaluating an annotation runs any code
        return hint
