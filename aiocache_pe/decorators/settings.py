"""Settings of the decorators, checked at the decoration, not at the first call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self, TypedDict

from aiocache_pe._validation import check_names, check_plain_function
from aiocache_pe.cache import sync_manager
from aiocache_pe.cache.default_cache import get_cache
from aiocache_pe.cache.manager import CacheManager
from aiocache_pe.decorators.route_order import check_order
from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.keys.call_key import CallKey
from aiocache_pe.keys.key_template import Template, make_key_by
from aiocache_pe.keys.qualified_names import get_qualified_name
from aiocache_pe.keys.short_keys import make_printable
from aiocache_pe.keys.signatures import Args, Binder, Kwargs, complete_call, unbind
from aiocache_pe.keys.store_keys import check_tags, describe, make_namespace_prefix
from aiocache_pe.keys.value_parts import get_value_parts
from aiocache_pe.loading.options import DEFAULT_POLICY, LoadOptions, LoadPolicy, parse_options
from aiocache_pe.loading.sampling import check_samples
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

    samples: int | None


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
    samples: int | None = None

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
        if self.samples is not None:
            check_samples(self.samples)
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

    def make_key_start(self, function: Callable[..., Any], digest: str = "") -> str:
        """Return the beginning of all keys of a function.

        Args:
            function: the function.
            digest: the digest of its code, for keys without a version.

        Raises:
            ConfigurationError: the function has no name of its own.
        """
        if self.key_prefix is None:
            if "<lambda>" in function.__qualname__:
                raise ConfigurationError(
                    "a lambda has no name that distinguishes its entries from those of another "
                    "lambda; give key_prefix=, or define a function"
                )
            begin = make_printable(get_qualified_name(function))
        elif self.key is None:
            begin = f"{self.key_prefix}:{function.__qualname__}"
        else:
            begin = self.key_prefix
        version = digest if self.version is None else self.version
        return f"{begin}:" if version == "" else f"{begin}@{version}:"

    @property
    def counts_code(self) -> bool:
        """Return whether the digest of the function's code is part of its keys.

        With both ``key_prefix`` and ``key``, the user chooses whole keys.
        """
        return self.version is None and (self.key_prefix is None or self.key is None)

    def choose_key_maker(self, function: Any, start: str = "") -> KeyMaker:
        """Return a function that makes the keys of a function's calls; all begin with ``start``.

        Raises:
            ConfigurationError: a name in ``ignore`` or ``key`` is not a parameter.
        """
        build = self.key
        if isinstance(build, str):
            return Template(build, function, prefix=start).make_key
        if build is not None:
            return lambda args, kwargs: start + make_key_by(build, args, kwargs)

        # The arguments that are bound to a method or partial object count like the others.
        plain, bound, named = unbind(function)
        make_key = CallKey(plain, prefix=start, ignore=frozenset(self.ignore)).make_key
        if not bound and not named:
            return make_key
        return lambda args, kwargs: make_key(complete_call(bound, args), named | kwargs)

    def name_arguments(self, function: Any, args: Args, kwargs: Kwargs) -> Kwargs:
        """Return the arguments of a call that describe it, by the names of the parameters.

        A receiver describes a call only if it is a value.
        """
        plain, bound, named = unbind(function)
        binder = Binder(plain, frozenset(self.ignore))
        arguments = binder.bind(complete_call(bound, args), named | kwargs)
        receiver = arguments.get(binder.receiver or "")
        if isinstance(receiver, type) or get_value_parts(receiver) is None:
            arguments.pop(binder.receiver or "", None)
        return arguments

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
            advice = "; backend= takes a name or a URL" if name == "cache" else ""
            raise TypeError(f"{name} must be {expected}; got {describe(value)}{advice}")


def check_function(function: Any, decorator: str) -> None:
    """Raise `TypeError` unless an object is a function with a name."""
    if isinstance(function, property):
        raise TypeError(
            f"{decorator} must decorate a function; write it below @property, not above"
        )
    if not callable(function) or isinstance(function, type):
        raise TypeError(
            f"{decorator} must decorate a function; got {function!r:.80}; settings have names, as "
            f"in {decorator}(ttl=60)"
        )
    check_order(function, decorator)
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
