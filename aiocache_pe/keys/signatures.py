"""Signatures of functions: their annotations, and the binding of arguments to parameters.

An annotation may name an object that is imported for type checkers only, or that is defined
further down. Written as text, and from Python 3.14 on in any form (PEP 649), it raises only
when its value is requested. These functions therefore evaluate only the annotation they need.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Collection
from functools import partial
from inspect import Parameter, Signature
from types import SimpleNamespace
from typing import Any, get_type_hints

from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.keys.function_layers import list_layers
from aiocache_pe.runtime.interrupts import raise_interrupt

if sys.version_info >= (3, 14):
    import annotationlib

Args = tuple[Any, ...]
"""Positional arguments of a call."""

Kwargs = dict[str, Any]
"""Keyword arguments of a call, or arguments by the names of parameters."""

_PLACEHOLDER = getattr(functools, "Placeholder", object())  # since Python 3.14
_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_PLAIN = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


def get_signature(function: Callable[..., Any]) -> Signature:
    """Return the signature of a function, also if its annotations cannot be evaluated."""
    if sys.version_info >= (3, 14):
        return inspect.signature(function, annotation_format=annotationlib.Format.FORWARDREF)
    return inspect.signature(function)


def get_annotations(function: Any) -> dict[str, Any]:
    """Return the annotations of a function or class; undefined names are forward references."""
    if sys.version_info >= (3, 14):
        return annotationlib.get_annotations(function, format=annotationlib.Format.FORWARDREF)
    return getattr(function, "__annotations__", {})


def get_return_annotation(function: Callable[..., Any]) -> Any:
    """Return the evaluated return annotation; ``None`` if there is none, or none that works.

    Example:
        >>> def answer(session: "Session", text: str) -> list[int]: ...
        >>> get_return_annotation(answer)
        list[int]
    """
    return get_annotation(function, "return")


def get_annotation(function: Callable[..., Any], name: str) -> Any:
    """Return the evaluated annotation of a parameter, or of ``return``; ``None`` without one."""
    try:
        owner = SimpleNamespace(
            __annotations__={name: get_annotations(function)[name]},
            __type_params__=getattr(function, "__type_params__", ()),
        )
        names = list_layers(function)[-1].__globals__
        return get_type_hints(owner, globalns=names, include_extras=True)[name]
    except Exception as error:  # noqa: BLE001 - evaluating an annotation runs any code
        raise_interrupt(error)
        return None


def unbind(function: Any) -> tuple[Callable[..., Any], Args, Kwargs]:
    """Return the function of a bound method or of a partial object, and the bound arguments.

    Example:
        >>> unbind(partial(partial(pow, 2), mod=5))
        (<built-in function pow>, (2,), {'mod': 5})
    """
    args: Args = ()
    kwargs: Kwargs = {}
    while True:
        if isinstance(function, partial):
            args, kwargs = (*function.args, *args), {**function.keywords, **kwargs}
            function = function.func
        elif hasattr(function, "__func__") and hasattr(function, "__self__"):
            args = (function.__self__, *args)
            function = function.__func__
        else:
            return function, args, kwargs


def complete_call(bound: Args, args: Args) -> Args:
    """Return bound arguments and those of a call, which first fill the placeholders."""
    if not any(each is _PLACEHOLDER for each in bound):
        return (*bound, *args)
    rest = iter(args)
    filled = [next(rest, each) if each is _PLACEHOLDER else each for each in bound]
    return (*filled, *rest)


class Binder:
    """Binding of one function's calls; the signature is read once.

    Args:
        ignore: names of parameters to leave out, also of keyword arguments that only
            ``**kwargs`` accepts.

    Raises:
        ConfigurationError: an ignored name is no parameter, or there is no signature.

    Example:
        >>> def search(session, query, limit=10): ...
        >>> Binder(search, ignore=["session"]).bind((None, "cats"), {})
        {'query': 'cats', 'limit': 10}
    """

    __slots__ = (
        *("_all_defaults", "_all_names", "_ignored_positions", "_max_positional", "_required"),
        *("_signature", "_title", "_variadic", "defaults", "ignored", "names", "receiver"),
    )

    def __init__(self, function: Callable[..., Any], ignore: Collection[str] = ()) -> None:
        self._title = getattr(function, "__qualname__", repr(function))
        try:
            self._signature = get_signature(function)
        except ValueError as error:
            raise ConfigurationError(
                f"the signature of {self._title} cannot be read; wrap it in a function that "
                "names its parameters"
            ) from error

        parameters = self._signature.parameters
        kinds = [each.kind for each in parameters.values()]
        self._all_names = tuple(parameters)
        self._all_defaults = {name: each.default for name, each in parameters.items()}
        self._required = frozenset(
            name for name, default in self._all_defaults.items() if default is Parameter.empty
        )
        # How many arguments `bind_all` may zip; -1 for kinds that only `inspect` can bind.
        is_plain = all(kind in _PLAIN for kind in kinds)
        self._max_positional = kinds.count(Parameter.POSITIONAL_OR_KEYWORD) if is_plain else -1
        # It can only be the last parameter.
        has_variadic = kinds[-1:] == [Parameter.VAR_KEYWORD]
        self._variadic = self._all_names[-1] if has_variadic else None

        self.ignored = self._check_ignored(ignore)
        self.names = frozenset(self._all_names) - self.ignored
        first = self._all_names[0] if kinds[:1] and kinds[0] in _POSITIONAL else None
        is_method = first in self.names and is_in_class(function)
        self.receiver = first if is_method else None
        self._ignored_positions = frozenset(
            at
            for at, (name, kind) in enumerate(zip(parameters, kinds, strict=True))
            if name in self.ignored and kind in _POSITIONAL
        )
        self.defaults = {
            name: self._all_defaults[name] for name in parameters if name not in self._required
        }

    def bind(self, args: Args, kwargs: Kwargs) -> dict[str, Any]:
        """Return the value of each parameter that is not ignored, in the signature's order."""
        named = self.bind_all(args, kwargs)
        if self.ignored:
            if self._variadic in named:
                extra = named[self._variadic]
                named[self._variadic] = {k: v for k, v in extra.items() if k not in self.ignored}
            for name in self.ignored:
                named.pop(name, None)
        return named

    def drop_ignored(self, args: Args, kwargs: Kwargs) -> tuple[Args, Kwargs]:
        """Return a call's arguments without the ignored ones, not bound to parameters.

        Two calls of the function with the same result differ in ignored arguments only.
        """
        if self._ignored_positions:
            args = tuple(a for at, a in enumerate(args) if at not in self._ignored_positions)
        return args, {name: value for name, value in kwargs.items() if name not in self.ignored}

    def bind_all(self, args: Args, kwargs: Kwargs) -> dict[str, Any]:
        """Return the value of every parameter, the ignored ones included.

        The result is that of `inspect.Signature.bind` with defaults applied. Calls with plain
        parameters take a faster way; `inspect` binds all others and raises the errors.

        Raises:
            TypeError: the arguments do not match the function's signature.
        """
        if len(args) <= self._max_positional:
            passed = dict(zip(self._all_names, args))  # noqa: B905 - there are fewer arguments
            passed.update(kwargs)
            named = self._all_defaults | passed
            # No parameter is passed twice, missing, or unknown.
            if (
                len(passed) == len(args) + len(kwargs)
                and self._required.issubset(passed)
                and len(named) == len(self._all_names)
            ):
                return named
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self._title}(): {error}") from None
        bound.apply_defaults()
        return bound.arguments

    def _check_ignored(self, ignore: Collection[str]) -> frozenset[str]:
        unknown = sorted(set(ignore) - set(self._all_names))
        if unknown and self._variadic is None:
            raise ConfigurationError(
                f"ignore must name parameters of {self._title}; got {unknown[0]!r}; "
                f"accepted: {', '.join(map(repr, self._all_names)) or 'none'}"
            )
        return frozenset(ignore)


def is_in_class(function: Callable[..., Any]) -> bool:
    """Return whether a function is defined in a class, also in one inside a function."""
    qualname: str = getattr(function, "__qualname__", "")
    return "." in qualname.rpartition("<locals>.")[2]
