"""From a call to its key: the same call, however it is spelled, the same key.

The signature is read once, when a function is decorated. For a call with plain
arguments the finished key is remembered under what `marshal` writes of them, which takes
a fifth of the time, keeps ``1``, ``1.0`` and ``True`` apart, and holds whole chats.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from hashlib import blake2b
from marshal import dumps
from typing import Any

from aiocache_pe.identity import canonical

_NO_REFERENCES = 2  # marshal's version: later ones write equal values in several ways
_LONGEST = 16_384  # bytes of arguments worth remembering
_HEAVIEST = 8 * 1024 * 1024  # bytes of memory for one function's keys
_SHOWN = 40
_SCALARS = frozenset((str, int, float, bool, type(None)))


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
        'What is love?:c755cd2cf7977fe19d59c984b4817bff'
    """
    return _finished(canonical((args, kwargs), path="arguments"), args)


class CallKey:
    """Makes the keys of one function's calls.

    Args:
        function: whose signature tells which spellings mean the same.
        prefix: what the keys begin with; by default the function's module and name.
        store_prefix: put in front of it, to make store keys at once.
    """

    __slots__ = (
        "_defaults",
        "_memo",
        "_names",
        "_positional",
        "_signature",
        "_skip",
        "_start",
        "_weight",
    )

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
        self._memo: dict[bytes, str] = {}
        self._weight = 0

    def key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """The store key of a call.

        Raises:
            TypeError: the function cannot be called like that.
            UnstableIdentityError: an argument has no identity that outlives the process.
        """
        try:
            written = dumps((args, kwargs), _NO_REFERENCES)
        except ValueError:  # something that only `identity` can write
            return self._make(args, kwargs)
        return self._memo.get(written) or self._memorized(written, args, kwargs)

    def _memorized(self, written: bytes, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        key = self._make(args, kwargs)
        if len(written) <= _LONGEST and _is_plain([args, kwargs]):
            if self._weight > _HEAVIEST:
                self._memo.clear()
                self._weight = 0
            self._weight += len(written) + len(key) + 200
            self._memo[written] = key
        return key

    def _make(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        named = self._bound(args, kwargs)
        if self._skip is not None and not hasattr(type(named[self._skip]), "__cache_key__"):
            del named[self._skip]
        texts: list[str] = []
        for name, value in named.items():
            texts.append(f"{name}=")
            texts.append(canonical(value, path=name))
        return self._start + _finished("".join(texts), named.values())

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


def _is_plain(value: Any) -> bool:
    """Whether marshal writes this value, and no other, in this way.

    It writes whatever has a buffer, an array say, as if it were bytes. No bytes are
    remembered, so nothing of that kind can be found.
    """
    kind = type(value)
    if kind in (list, tuple):
        return all(map(_is_plain, value))
    if kind is dict:
        return all(map(_is_plain, value)) and all(map(_is_plain, value.values()))
    return kind in _SCALARS


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
