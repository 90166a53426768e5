"""Which parameter gets which argument: `inspect.Signature.bind`, and quicker for most calls.

What a function says of its parameters and its result, on every Python.

An annotation may name what is imported for type checkers only, or defined further down.
As text, and from Python 3.14 on in any case (PEP 649), that hurts nobody until somebody
asks for its value, so here only what is wanted is evaluated.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Collection
from inspect import Parameter, Signature
from types import SimpleNamespace
from typing import Any, get_type_hints

from aiocache_pe.exceptions import ConfigurationError

if sys.version_info >= (3, 14):
    from annotationlib import Format, get_annotations


def get_signature(function: Callable[..., Any]) -> Signature:
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


def get_annotations(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations as they are written; what names nothing yet is a forward reference."""
    if sys.version_info >= (3, 14):
        return get_annotations(function, format=Format.FORWARDREF)
    return getattr(function, "__annotations__", {})


def get_return_annotation(function: Callable[..., Any]) -> Any:
    """What a function says it returns; ``None`` if it does not, or in mere words.

    Args:
        function: of which the other annotations may name what is not there.

    Example:
        >>> def answer(session: "Session", text: str) -> list[int]: ...
        >>> get_return_annotation(answer)
        list[int]
    """
    try:
        said = SimpleNamespace(
            __annotations__={"return": get_annotations(function)["return"]},
            __type_params__=getattr(function, "__type_params__", ()),
        )
        names = getattr(inspect.unwrap(function), "__globals__", {})
        return get_type_hints(said, globalns=names, include_extras=True)["return"]
    except Exception:  # noqa: BLE001 - reading an annotation runs it
        return None


_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_PLAIN = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


class Binder:
    """Binds the calls of one function, whose signature is read once.

    Args:
        function: whose calls.
        ignore: names of parameters that are left out, also of those that only ``**kwargs``
            takes. The ``self`` or ``cls`` of a method is left out as well, unless its
            class has a method ``__cache_key__``.

    Raises:
        ConfigurationError: there is no parameter of an ignored name, or no signature.

    Example:
        >>> def search(session, query, limit=10): ...
        >>> Binder(search, ignore=["session"]).bound((None, "cats"), {})
        {'query': 'cats', 'limit': 10}
    """

    __slots__ = (
        "_all",
        "_dropped",
        "_names",
        "_positional",
        "_required",
        "_self",
        "_signature",
        "_title",
        "_variadic",
        "defaults",
        "ignored",
        "names",
    )

    def __init__(self, function: Callable[..., Any], ignore: Collection[str] = ()) -> None:
        self._title = getattr(function, "__qualname__", repr(function))
        try:
            self._signature = get_signature(function)
        except ValueError as error:
            raise ConfigurationError(f"{self._title} does not tell its parameters") from error
        parameters = self._signature.parameters
        self._names = tuple(parameters)
        self._all = {name: each.default for name, each in parameters.items()}
        self._required = frozenset(
            name for name, default in self._all.items() if default is Parameter.empty
        )
        kinds = [each.kind for each in parameters.values()]
        # How many arguments may be bound by zipping; -1 where only `inspect` can bind at all.
        plain = all(kind in _PLAIN for kind in kinds)
        self._positional = kinds.count(Parameter.POSITIONAL_OR_KEYWORD) if plain else -1
        rest = [name for name, each in parameters.items() if each.kind is Parameter.VAR_KEYWORD]
        self._variadic = rest[0] if rest else None
        self.ignored = self._checked(ignore)
        first = next(iter(parameters), None)
        is_method = first in ("self", "cls") and _in_class(function) and first not in self.ignored
        self._self = first if is_method else None
        self._dropped = frozenset(
            index
            for index, name in enumerate(self._names)
            if name in self.ignored and kinds[index] in _POSITIONAL
        )
        self.names = frozenset(self._names) - self.ignored
        """The parameters that count."""
        self.defaults = {n: each for n, each in self._all.items() if n not in self._required}
        """What parameters are that no argument is given for."""

    @property
    def has_ignored(self) -> bool:
        """Whether some arguments are left out."""
        return self._self is not None or bool(self.ignored)

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Every parameter that counts with its value, in the order of the signature.

        Raises:
            TypeError: the function cannot be called like that.
        """
        named = self.bind_all(args, kwargs)
        if self._self is not None and not hasattr(type(named[self._self]), "__cache_key__"):
            del named[self._self]
        if self.ignored:
            if self._variadic in named:
                rest = named[self._variadic]
                named[self._variadic] = {k: v for k, v in rest.items() if k not in self.ignored}
            for name in self.ignored:
                named.pop(name, None)
        return named

    def bind_without(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """A call's arguments without those that are left out, not bound yet.

        Two calls of the same function for which it is the same differ in nothing else.
        """
        if self._self is not None and args and not hasattr(type(args[0]), "__cache_key__"):
            args = args[1:]
            if not self.ignored:
                return args, kwargs
            # From here on the places count from 1, and never collide with those of calls
            # by an instance that stays: that one is no plain value.
            args = tuple(a for at, a in enumerate(args, 1) if at not in self._dropped)
        elif self._dropped:
            args = tuple(a for at, a in enumerate(args) if at not in self._dropped)
        if self.ignored:
            kwargs = {name: value for name, value in kwargs.items() if name not in self.ignored}
        return args, kwargs

    def bind_all(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Every parameter with its value, the ignored ones too.

        What `inspect.Signature.bind` does, for the calls that most functions get; it
        takes over for all others, and for the errors.
        """
        if len(args) <= self._positional:
            given = dict(zip(self._names, args))  # noqa: B905 - there are fewer arguments
            given.update(kwargs)
            named = self._all | given
            # Nothing is given twice, or missing, or unknown.
            if (
                len(given) == len(args) + len(kwargs)
                and self._required.issubset(given)
                and len(named) == len(self._names)
            ):
                return named
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self._title}(): {error}") from None
        bound.apply_defaults()
        return bound.arguments

    def _checked(self, ignore: Collection[str]) -> frozenset[str]:
        unknown = sorted(set(ignore) - set(self._names))
        if unknown and self._variadic is None:
            raise ConfigurationError(
                f"{self._title} has no parameter {unknown[0]!r} to ignore; accepted: "
                + (", ".join(map(repr, self._names)) or "none, as it takes no arguments")
            )
        return frozenset(ignore)


def _in_class(function: Callable[..., Any]) -> bool:
    qualname: str = getattr(function, "__qualname__", "")
    return "." in qualname.rpartition("<locals>.")[2]
