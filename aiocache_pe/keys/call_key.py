"""Keys of calls: equal calls have the same key, whatever way their arguments are passed.

The signature is read once, when a function is decorated. When a call with plain arguments
is made a second time, its key is memoized under the bytes that `marshal` writes of the
arguments. Looking a key up takes a tenth of the time of computing it, keeps ``1``, ``1.0``
and ``True`` apart, and works for whole chats. Of a call that is made once, only a hash is
kept.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from marshal import dumps
from typing import Any

from aiocache_pe.exceptions import UnstableIdentityError
from aiocache_pe.keys.canonical import canonicalize, canonicalize_call
from aiocache_pe.keys.receivers import Receivers
from aiocache_pe.keys.short_keys import make_short_key
from aiocache_pe.keys.signatures import Args, Binder, Kwargs

_MARSHAL_VERSION = 2  # later versions write references, and equal values in several ways
_MAX_ARGUMENT_BYTES = 16_384  # of a call that is memoized
_MAX_MEMO_BYTES = 8 * 1024 * 1024  # for the keys of one function
_MAX_SEEN = 8192  # calls, of which only a hash is kept
_SCALARS = frozenset((str, int, float, bool, type(None)))
_CONTAINERS = frozenset((list, tuple, dict))


def make_cache_key(*args: Any, **kwargs: Any) -> str:
    """Return a deterministic key of any arguments: the same in every process, on every Python.

    Args:
        args: values with a stable identity; see `aiocache_pe.keys.canonical.canonicalize`.
        kwargs: named values with a stable identity; their order does not matter.

    Returns:
        A short key: the readable beginning of the first text, and 32 hex digits.

    Raises:
        UnstableIdentityError: an argument has no identity that outlives the process.

    Example:
        >>> make_cache_key("What is love?", model="gpt", n=1)
        'What is love?:c755cd2cf7977fe19d59c984b4817bff'
    """
    return make_short_key(canonicalize((args, kwargs), path="arguments"), args)


class CallKey:
    """Factory of the keys of one function's calls; all keys begin with ``prefix``.

    Example:
        >>> def search(query, limit=10): ...
        >>> make_key = CallKey(search, prefix="search:").make_key
        >>> make_key(("cats",), {}) == make_key((), {"limit": 10, "query": "cats"})
        True
    """

    __slots__ = (
        *("_binder", "_bind", "_ignores", "_known", "_memo", "_memo_bytes", "_prefix"),
        *("_receivers", "_seen"),
    )

    def __init__(
        self, function: Callable[..., Any], *, prefix: str, ignore: Collection[str] = ()
    ) -> None:
        self._prefix = prefix
        self._binder = Binder(function, ignore)
        self._ignores = bool(ignore)
        self._bind = self._binder.bind if self._ignores else self._binder.bind_all
        self._receivers = None if self._binder.receiver is None else Receivers(function)
        self._known = {
            name: (value, _canonicalize_default(name, value))
            for name, value in self._binder.defaults.items()
            if type(value) in _SCALARS or _is_marker(value)
        }
        self._memo: dict[bytes, str] = {}
        self._memo_bytes = 0
        self._seen: set[int] = set()

    def make_key(self, args: Args, kwargs: Kwargs) -> str:
        """Return the key of a call.

        Raises:
            TypeError: the arguments do not match the function's signature.
            UnstableIdentityError: an argument has no identity that outlives the process.
        """
        relevant: tuple[Any, ...] = (
            self._binder.drop_ignored(args, kwargs) if self._ignores else (args, kwargs)
        )
        if self._receivers is not None and args:
            (receiver, *others), named = relevant
            relevant = (others, named, *self._receivers.read(receiver))
        try:
            marshalled = dumps(relevant, _MARSHAL_VERSION)
        except ValueError:  # a value that only `canonicalize_call` can write
            return self._compute(args, kwargs)
        return self._memo.get(marshalled) or self._memoize(marshalled, relevant, args, kwargs)

    def _memoize(self, marshalled: bytes, relevant: Args, args: Args, kwargs: Kwargs) -> str:
        """Compute a key, and memoize it if the call was seen before."""
        key = self._compute(args, kwargs)
        if len(marshalled) > _MAX_ARGUMENT_BYTES:
            return key

        mark = hash(marshalled)
        if mark not in self._seen:
            if len(self._seen) >= _MAX_SEEN:
                self._seen.clear()
            self._seen.add(mark)
        elif _is_plain(relevant):
            if self._memo_bytes > _MAX_MEMO_BYTES:
                self._memo.clear()
                self._memo_bytes = 0
            self._memo_bytes += len(marshalled) + len(key) + 200
            self._memo[marshalled] = key
        return key

    def _compute(self, args: Args, kwargs: Kwargs) -> str:
        named = self._bind(args, kwargs)
        name = self._binder.receiver
        if name is not None and self._receivers is not None:
            named[name] = self._receivers.identify(named[name])
        return self._prefix + make_short_key(canonicalize_call(named, self._known), named.values())


def _canonicalize_default(name: str, default: Any) -> str:
    try:
        return canonicalize_call({name: default}, {})
    except UnstableIdentityError:
        return f"{name}=default;"


def _is_marker(default: Any) -> bool:
    """Return whether a default has no state and only marks that no argument was passed.

    Examples are ``object()`` and the ``NOT_GIVEN`` of SDKs.
    """
    cls: Any = type(default)
    if cls.__new__ is not object.__new__ or hasattr(cls, "__cache_key__"):
        return False
    state = object.__getstate__(default)
    # The OpenAI SDK sets `__module__` on every object that it exports.
    return state is None or (type(state) is dict and state.keys() <= {"__module__"})


def _is_plain(value: Any) -> bool:
    """Return whether `marshal` writes this container, and no other value, as these bytes.

    It writes any object with a buffer, such as an array, as if it were bytes. Arguments with
    bytes are not memoized, so no such object finds another one's key.
    """
    if type(value) is dict:
        if not _SCALARS.issuperset(map(type, value)):
            return False
        value = value.values()
    other_types = set(map(type, value)) - _SCALARS
    if not other_types:
        return True
    if not other_types <= _CONTAINERS:
        return False
    return all(_is_plain(item) for item in value if type(item) in _CONTAINERS)
