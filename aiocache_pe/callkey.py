"""From a call to its key: the same call, however it is spelled, the same key.

The signature is read once, when a function is decorated. For a call with plain
arguments the finished key is remembered, so that the next such call looks it up.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Any

from aiocache_pe.identity import canonical

_MEMO_SIZE = 4096
_SHOWN = 40
_SCALARS = frozenset((str, int, float, bool, type(None), bytes))


def make_cache_key(*args: Any, **kwargs: Any) -> str:
    """A deterministic key of any arguments: the same in every process, on every Python.

    Args:
        args: values that have an identity; see `aiocache_pe.identity.canonical`.
        kwargs: the same, by name; their order does not matter.

    Returns:
        A short key: the beginning of the first text, readable, and 32 hex digits.

    Raises:
        UnstableIdentityError: an argument has no identity that outlives the process.

    Example:
        >>> make_cache_key("What is love?", model="gpt", n=1)
        'What is love?:3b2b2b7d'
    """
    return _finished(canonical((args, kwargs), path="arguments"), args)


class CallKey:
    """Makes the keys of one function's calls.

    Args:
        function: whose signature tells which spellings mean the same.
        prefix: what the keys begin with; by default the function's module and name.
        store_prefix: put in front of it, to make store keys at once.
    """

    __slots__ = ("_defaults", "_memo", "_names", "_positional", "_signature", "_skip", "_start")

    def __init__(
        self, function: Callable[..., Any], *, prefix: str | None, store_prefix: str
    ) -> None:
        name = f"{function.__module__}.{function.__qualname__}"
        begin = name if prefix is None else f"{prefix}:{function.__qualname__}"
        self._start = f"{store_prefix}{begin}:"
        self._signature = inspect.signature(function)
        parameters = self._signature.parameters
        self._names = tuple(parameters)
        self._defaults = {
            name: each.default
            for name, each in parameters.items()
            if each.default is not inspect.Parameter.empty
        }
        self._positional = _positional(self._signature)
        first = next(iter(parameters), None)
        self._skip = first if first in ("self", "cls") and _in_class(function) else None
        self._memo: dict[Any, str] = {}

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """The store key of a call.

        Raises:
            TypeError: the function cannot be called like that.
            UnstableIdentityError: an argument has no identity that outlives the process.
        """
        try:
            # Types stand beside the values: 1, 1.0 and True are equal, and not the same.
            if kwargs:
                memo = (args, (*map(type, args),), *kwargs.items(), *map(type, kwargs.values()))
            else:
                memo = (args, (*map(type, args),))
            key = self._memo.get(memo)
            if key is not None:
                return key
        except TypeError:  # not hashable
            return self._make(args, kwargs)
        key = self._make(args, kwargs)
        if all(map(_is_memorable, args)) and all(map(_is_memorable, kwargs.values())):
            if len(self._memo) >= _MEMO_SIZE:
                self._memo.clear()
            self._memo[memo] = key
        return key

    def _make(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        named = self._bound(args, kwargs)
        texts: list[str] = []
        for name, value in named.items():
            if name != self._skip:
                texts.append(f"{name}=")
                texts.append(canonical(value, path=name))
        shown = [value for name, value in named.items() if name != self._skip]
        return self._start + _finished("".join(texts), shown)

    def _bound(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Every parameter with its value, in the order of the signature.

        What `inspect.Signature.bind` does, for the calls that most functions get; it
        takes over for all others, and for the errors.
        """
        if len(args) <= self._positional:
            given = dict(zip(self._names, args, strict=False))
            if not kwargs.keys() & given.keys():
                given |= kwargs
                named = {
                    name: given[name] if name in given else self._defaults[name]
                    for name in self._names
                    if name in given or name in self._defaults
                }
                if len(named) == len(self._names) and len(given.keys() - named.keys()) == 0:
                    return named
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments


def _is_memorable(value: Any) -> bool:
    """Whether equality and type tell a value; 0.0 and -0.0 are equal and not the same."""
    kind = type(value)
    return kind in _SCALARS and not (kind is float and value == 0.0)


def _positional(signature: inspect.Signature) -> int:
    """How many arguments may be bound by zipping; -1 where only `inspect` can bind at all."""
    kinds = [each.kind for each in signature.parameters.values()]
    plain = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    if not all(kind in plain for kind in kinds):
        return -1
    return kinds.count(inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _in_class(function: Callable[..., Any]) -> bool:
    return "." in function.__qualname__.rpartition("<locals>.")[2]


def _finished(identity: str, values: Iterable[Any]) -> str:
    digest = blake2b(identity.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    for value in values:
        if type(value) is str and value:
            shown = " ".join(value[: 4 * _SHOWN].split())[:_SHOWN]
            return f"{shown}:{digest}"
    return digest
