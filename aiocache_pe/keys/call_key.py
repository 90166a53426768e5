"""From a call to its key: the same call, however it is spelled, the same key.

The signature is read once, when a function is decorated. For a call with plain
arguments that is made again the finished key is remembered under what `marshal` writes of
them, which takes a tenth of the time, keeps ``1``, ``1.0`` and ``True`` apart, and holds
whole chats. Of a call that is made once, only that it was made is remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from hashlib import blake2b
from marshal import dumps
from typing import Any

from aiocache_pe.exceptions import UnstableIdentityError
from aiocache_pe.keys.canonical import canonical, canonical_call
from aiocache_pe.keys.signatures import Binder

_NO_REFERENCES = 2  # marshal's version: later ones write equal values in several ways
_LONGEST = 16_384  # bytes of arguments worth remembering
_HEAVIEST = 8 * 1024 * 1024  # bytes of memory for one function's keys
_MOST_SEEN = 8192  # calls of which it is known that they were made
_SHOWN = 40
_SCALARS = frozenset((str, int, float, bool, type(None)))
_CONTAINERS = frozenset((list, tuple, dict))
_WAY_OUT = "name the parameter in ignore="


def make_cache_key(*args: Any, **kwargs: Any) -> str:
    """A deterministic key of any arguments: the same in every process, on every Python.

    Args:
        args: values that have an identity; see `aiocache_pe.keys.canonical.canonical`.
        kwargs: the same, by name; their order does not matter.

    Returns:
        A short key: the beginning of the first text, readable, and 32 hex digits.

    Raises:
        UnstableIdentityError: an argument has no identity that outlives the process.

    Example:
        >>> make_cache_key("What is love?", model="gpt", n=1)
        'What is love?:c755cd2cf7977fe19d59c984b4817bff'
    """
    return append_digest(canonical((args, kwargs), path="arguments"), args)


class CallKey:
    """Makes the keys of one function's calls.

    Args:
        function: whose signature tells which spellings mean the same.
        start: what the keys begin with.
        ignore: names of parameters that leave the key (`Binder`).

    Example:
        >>> def search(query, limit=10): ...
        >>> key = CallKey(search, start="search:").key
        >>> key(("cats",), {}) == key((), {"limit": 10, "query": "cats"})
        True
    """

    __slots__ = ("_binder", "_bound", "_drops", "_known", "_memo", "_seen", "_start", "_weight")

    def __init__(
        self, function: Callable[..., Any], *, start: str, ignore: Collection[str] = ()
    ) -> None:
        self._start = start
        self._binder = Binder(function, ignore)
        self._drops = self._binder.has_ignored
        self._bound = self._binder.bind if self._drops else self._binder.bind_all
        self._known = {
            name: (value, _written(name, value))
            for name, value in self._binder.defaults.items()
            if type(value) in _SCALARS or _is_mark(value)
        }
        self._memo: dict[bytes, str] = {}
        self._seen: set[int] = set()
        self._weight = 0

    def key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """The key of a call.

        Raises:
            TypeError: the function cannot be called like that.
            UnstableIdentityError: an argument has no identity that outlives the process.
        """
        counting = self._binder.bind_without(args, kwargs) if self._drops else (args, kwargs)
        try:
            written = dumps(counting, _NO_REFERENCES)
        except ValueError:  # something that only `identity` can write
            return self._make(args, kwargs)
        return self._memo.get(written) or self._made(written, counting, args, kwargs)

    def _made(
        self, written: bytes, counting: tuple[Any, Any], args: tuple[Any, ...], kwargs: Any
    ) -> str:
        key = self._make(args, kwargs)
        if len(written) <= _LONGEST:
            mark = hash(written)
            if mark not in self._seen:
                if len(self._seen) >= _MOST_SEEN:
                    self._seen.clear()
                self._seen.add(mark)
            elif _is_plain(counting):
                self._memorize(written, key)
        return key

    def _memorize(self, written: bytes, key: str) -> None:
        if self._weight > _HEAVIEST:
            self._memo.clear()
            self._weight = 0
        self._weight += len(written) + len(key) + 200
        self._memo[written] = key

    def _make(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        named = self._bound(args, kwargs)
        identity = canonical_call(named, way_out=_WAY_OUT, known=self._known)
        return self._start + append_digest(identity, named.values())


class BoundKey:
    """Makes the keys of a bound method's calls: those that it has in its class.

    Args:
        method: of an instance that counts, as its class has a method ``__cache_key__``.
        start: what the keys begin with.
        ignore: names of parameters that leave the key.
    """

    __slots__ = ("_instance", "_keys")

    def __init__(self, method: Any, *, start: str, ignore: Collection[str] = ()) -> None:
        self._instance = method.__self__
        self._keys = CallKey(method.__func__, start=start, ignore=ignore)

    def key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """The key of a call."""
        return self._keys.key((self._instance, *args), kwargs)


def append_digest(identity: str, values: Iterable[Any]) -> str:
    """A short key of what is long.

    Args:
        identity: all that counts, as text.
        values: of which the first text is shown.

    Returns:
        The beginning of that text, and a digest of the identity: 32 hex digits of
        BLAKE2b (RFC 7693).
    """
    digest = blake2b(identity.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    for value in values:
        if type(value) is str and value:
            return f"{printable(value)}:{digest}"
    return digest


def printable(text: str) -> str:
    """As much of a text as a key shows, on one line."""
    if len(text) <= _SHOWN and text.isprintable() and " " not in text:
        return text
    return " ".join(text[: 4 * _SHOWN].split())[:_SHOWN]


def _written(name: str, default: Any) -> str:
    """What is written of a parameter that has its default."""
    try:
        return canonical_call({name: default}, way_out=_WAY_OUT, known={})
    except UnstableIdentityError:
        return f"{name}=default;"


def _is_mark(default: Any) -> bool:
    """Whether a default has nothing to it but that it is the default, as ``object()`` has."""
    kind: Any = type(default)
    if kind.__new__ is not object.__new__ or hasattr(kind, "__cache_key__"):
        return False
    state = object.__getstate__(default)
    # The OpenAI SDK writes its name as `__module__` on all that it exports.
    return state is None or (type(state) is dict and state.keys() <= {"__module__"})


def _is_plain(value: Any) -> bool:
    """Whether marshal writes this container, and nothing else, in this way.

    It writes whatever has a buffer, an array say, as if it were bytes. No bytes are
    remembered, so nothing of that kind can be found.
    """
    if type(value) is dict:
        if not _SCALARS.issuperset(map(type, value)):
            return False
        value = value.values()
    kinds = set(map(type, value)) - _SCALARS
    if not kinds:
        return True
    if not kinds <= _CONTAINERS:
        return False
    return all(_is_plain(item) for item in value if type(item) in _CONTAINERS)
