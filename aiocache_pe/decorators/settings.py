"""Settings of the decorators, checked at the decoration, not at the first call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self, TypedDict

from aiocache_pe._validation import check_names, check_plain_function
from aiocache_pe.cache import sync_manager
from aiocache_pe.cache.default_cache import get_cache
from aiocache_pe.cache.manager import CacheManager
from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.keys.call_key import CallKey
from aiocache_pe.keys.key_template import Template, make_key_by
from aiocache_pe.keys.qualified_names import get_qualified_name
from aiocache_pe.keys.signatures import Args, Kwargs
from aiocache_pe.keys.store_keys import check_tags, describe, make_namespace_prefix
from aiocache_pe.loading.options import DEFAULT_POLICY, LoadOptions, LoadPolicy, parse_options
from aiocache_pe.sentinels import DEFAULT, Default
from aiocache_pe.ttl import TTL, parse_ttl

KeyMaker = Callable[[Args, Kwargs], str]
"""Function from the arguments of a call to its key."""


class StorageOptions(TypedDict, total=False):
    """Settings of `aiocache_pe.cached` and `aiocache_pe.cached_batch`, which describe them."""

    ttl: TTL | Default | Callable[[Any], TTL]
    key_prefix: str | None
    key: str | Callable[..., Any] | None
    ignore: Iterable[str]
    version: str | int | None
    namespace: str | None
    tags: Iterable[str]
    cache_if: Callable[[Any], object] | None
    cache_none: bool
    backend: str | None
    cache: CacheManager | sync_manager.CacheManager | None


class CachedOptions(StorageOptions, LoadOptions, total=False):
    """Settings of `aiocache_pe.cached`, which describes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one decorated function, checked; see `aiocache_pe.cached`."""

    ttl: TTL | Default | Callable[[Any], TTL] = DEFAULT
    key_prefix: str | None = None
    key: str | Callable[..., Any] | None = None
    ignore: Iterable[str] = ()
    version: str | int | None = None
    namespace: str | None = None
    tags: Iterable[str] = ()
    cache_if: Callable[[Any], object] | None = None
    cache_none: bool = True
    options: LoadPolicy = DEFAULT_POLICY
    backend: str | None = None
    cache: CacheManager | sync_manager.CacheManager | None = None

    @classmethod
    def build(cls, decorator: str, settings: Mapping[str, Any], accepted: Iterable[str]) -> Self:
        """Return the settings in keyword arguments, of which the decorator accepts some names."""
        check_names(decorator, settings, accepted)
        load: Any = {
            name: settings[name] for name in LoadOptions.__annotations__ if name in settings
        }
        rest = {name: value for name, value in settings.items() if name not in load}
        return cls(options=parse_options(load), **rest)

    def __post_init__(self) -> None:
        if not callable(self.ttl) and self.ttl is not DEFAULT:
            LoadPolicy.build(parse_ttl(self.ttl), None, self.options)
        self._check("key_prefix", "a str", str | None)
        self._check("cache_none", "True or False", bool)
        self._check("cache", "a CacheManager", CacheManager | sync_manager.CacheManager | None)
        if self.backend is not None and not isinstance(self.backend, str):
            raise TypeError(
                f"backend must be a name or a URL; got {describe(self.backend)}; "
                "for a store object of your own pass cache=CacheManager(object)"
            )
        if self.cache is not None and self.backend is not None:
            raise ConfigurationError("cache= and backend= name two stores; give one of them")
        if isinstance(self.version, bool) or not isinstance(self.version, str | int | None):
            raise TypeError(f"version must be a str or an int; got {describe(self.version)}")
        if self.namespace is not None:
            make_namespace_prefix(self.namespace)
        self._check_functions()
        object.__setattr__(self, "ignore", _check_names(self.ignore))
        object.__setattr__(self, "tags", check_tags(self.tags))
        if self.ignore and self.key is not None:
            raise ConfigurationError(
                "ignore= has no meaning beside key=, which selects the parameters itself"
            )

    def _check_functions(self) -> None:
        if self.key is not None and not isinstance(self.key, str) and not callable(self.key):
            raise TypeError(
                "key must be a template such as '{prompt}:{model}' or a function of the call's "
                f"arguments; got {describe(self.key)}"
            )
        if self.cache_if is not None and not callable(self.cache_if):
            got = describe(self.cache_if)
            raise TypeError(f"cache_if must be a function of the result; got {got}")
        for name in ("ttl", "key", "cache_if"):
            if callable(value := getattr(self, name)):
                check_plain_function(name, value)

    def find_cache(self) -> CacheManager:
        """Return the cache to use; the shared cache of the process is made at the first call."""
        cache = sync_manager.get_async_manager(self.cache or get_cache(self.backend))
        return cache if self.namespace is None else cache.namespace(self.namespace)

    def make_key_start(self, function: Callable[..., Any]) -> str:
        """Return the beginning of all keys of a function."""
        if self.key_prefix is None:
            if "<lambda>" in function.__qualname__:
                raise ConfigurationError(
                    "a lambda has no name that distinguishes its entries from those of another "
                    "lambda; give key_prefix=, or define a function"
                )
            begin = get_qualified_name(function)
        elif self.key is None:
            begin = f"{self.key_prefix}:{function.__qualname__}"
        else:
            begin = self.key_prefix
        return f"{begin}:" if self.version is None else f"{begin}@{self.version}:"

    def choose_key_maker(self, function: Any, store_prefix: str = "") -> KeyMaker:
        """Return a function that makes the keys of a function's calls.

        Without ``store_prefix``, the beginning of store keys, it makes keys as users see them.
        """
        start, build = store_prefix + self.make_key_start(function), self.key
        if isinstance(build, str):
            return Template(build, function, prefix=start).make_key
        if build is not None:
            return lambda args, kwargs: start + make_key_by(build, args, kwargs)

        # The key of a bound method is that of its class's function if the instance is part of it.
        instance = getattr(function, "__self__", None)
        is_bound = hasattr(function, "__func__") and hasattr(type(instance), "__cache_key__")
        plain = function.__func__ if is_bound else function
        make_key = CallKey(plain, prefix=start, ignore=frozenset(self.ignore)).make_key
        return (lambda args, kwargs: make_key((instance, *args), kwargs)) if is_bound else make_key

    def make_policy(self, cache: CacheManager) -> LoadPolicy:
        """Return the policy for results in a cache."""
        ttl = cache.loader.check_ttl(self.ttl)
        return LoadPolicy.build(ttl, self._make_condition(), self.options)

    def _make_condition(self) -> Callable[[Any], object] | None:
        cache_if = self.cache_if
        if self.cache_none:
            return cache_if
        if cache_if is None:
            return lambda result: result is not None
        return lambda result: result is not None and cache_if(result)

    def _check(self, name: str, expected: str, kind: Any) -> None:
        value = getattr(self, name)
        if not isinstance(value, kind):
            raise TypeError(f"{name} must be {expected}; got {describe(value)}")


def check_function(function: Any, decorator: str) -> None:
    """Raise `TypeError` unless an object is a function with a name."""
    if isinstance(function, property):
        raise TypeError(
            f"{decorator} must decorate a function; write it below @property, not above"
        )
    if not callable(function) or isinstance(function, type):
        raise TypeError(f"{decorator} must decorate a function; got {function!r:.80}")
    if not hasattr(function, "__qualname__"):
        raise TypeError(
            f"{decorator} must decorate a function with a name; got {function!r:.80}; define a "
            "function that calls it"
        )


def _check_names(ignore: object) -> frozenset[str]:
    if isinstance(ignore, str) or not isinstance(ignore, Iterable):
        raise TypeError(f"ignore must be an iterable of parameter names; got {describe(ignore)}")
    names = frozenset[Any](ignore)
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"ignore must hold parameter names of type str; got {describe(name)}")
    return names
