"""What `cached` is told about a function: checked where it is decorated, not at the first call."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from aiocache_pe._validation import check_plain_function
from aiocache_pe.cache import sync_manager
from aiocache_pe.cache.default_cache import get_cache
from aiocache_pe.cache.manager import CacheManager
from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.keys.call_key import BoundKey, CallKey
from aiocache_pe.keys.key_template import BuiltKey, TemplateKey
from aiocache_pe.keys.qualified_names import get_qualified_name
from aiocache_pe.keys.store_keys import check_tags, make_namespace_prefix
from aiocache_pe.loading.options import DEFAULT_POLICY, LoadPolicy
from aiocache_pe.sentinels import DEFAULT, Default
from aiocache_pe.ttl import TTL, parse_ttl


class Keys(Protocol):
    """Makes the keys of one function's calls."""

    def make_key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """The key of a call."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one decoration; see `aiocache_pe.cached` for what they mean.

    Raises:
        TypeError: one has the wrong type.
        ConfigurationError: one cannot work, or not together with another.
        InvalidTTLError: the time to live means nothing.
    """

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

    def __post_init__(self) -> None:
        if not callable(self.ttl) and self.ttl is not DEFAULT:
            LoadPolicy.build(parse_ttl(self.ttl), None, self.options)
        self._check("key_prefix", "a str", str | None)
        self._check("cache_none", "True or False", bool)
        self._check("cache", "a CacheManager", CacheManager | sync_manager.CacheManager | None)
        if self.backend is not None and not isinstance(self.backend, str):
            raise TypeError(
                f"backend is a name or a URL, not {_shown(self.backend)}; "
                "for an object of your own pass cache=CacheManager(object)"
            )
        if self.cache is not None and self.backend is not None:
            raise ConfigurationError("cache= and backend= name two stores; give one of them")
        if isinstance(self.version, bool) or not isinstance(self.version, str | int | None):
            raise TypeError(f"version is a str or an int, not {_shown(self.version)}")
        if self.namespace is not None:
            make_namespace_prefix(self.namespace)
        self._check_functions()
        object.__setattr__(self, "ignore", _names(self.ignore))
        object.__setattr__(self, "tags", check_tags(self.tags))
        if self.ignore and self.key is not None:
            raise ConfigurationError(
                "ignore= has no meaning beside key=, which says itself what counts"
            )

    def _check_functions(self) -> None:
        if self.key is not None and not isinstance(self.key, str) and not callable(self.key):
            raise TypeError(
                f"key is a template such as '{{prompt}}:{{model}}' or a function of the call's "
                f"arguments, not {_shown(self.key)}"
            )
        if self.cache_if is not None and not callable(self.cache_if):
            raise TypeError(f"cache_if is a function of the result, not {_shown(self.cache_if)}")
        for name in ("ttl", "key", "cache_if"):
            if callable(value := getattr(self, name)):
                check_plain_function(name, value)

    def find_cache(self) -> CacheManager:
        """The cache to use; the process's shared one is made when it is first asked for."""
        cache = self.cache or get_cache(self.backend)
        if isinstance(cache, sync_manager.CacheManager):
            cache = cache.asynchronous
        return cache if self.namespace is None else cache.namespace(self.namespace)

    def start(self, function: Callable[..., Any]) -> str:
        """What all keys of a function begin with.

        Raises:
            ConfigurationError: the function has no name to tell it from others.
        """
        if self.key_prefix is None:
            if "<lambda>" in function.__qualname__:
                raise ConfigurationError(
                    "a lambda has no name to tell its entries from those of another; "
                    "give key_prefix=, or define a function"
                )
            begin = get_qualified_name(function)
        elif self.key is None:
            begin = f"{self.key_prefix}:{function.__qualname__}"
        else:
            begin = self.key_prefix
        return f"{begin}:" if self.version is None else f"{begin}@{self.version}:"

    def keys(self, function: Callable[..., Any], store_prefix: str = "") -> Keys:
        """What makes the keys of a function's calls.

        Args:
            function: whose calls.
            store_prefix: put in front, to make store keys at once.

        Raises:
            ConfigurationError: a name in ``ignore`` or ``key`` is none of its parameters.
        """
        start = store_prefix + self.start(function)
        if self.key is None:
            make = BoundKey if _is_of_one_that_counts(function) else CallKey
            return make(function, prefix=start, ignore=frozenset(self.ignore))
        if isinstance(self.key, str):
            return TemplateKey(self.key, function, start)
        return BuiltKey(self.key, start)

    def policy(self, cache: CacheManager) -> LoadPolicy:
        """On which terms results are stored."""
        return LoadPolicy.build(cache.loader.check_ttl(self.ttl), self._wanted(), self.options)

    def _wanted(self) -> Callable[[Any], object] | None:
        cache_if = self.cache_if
        if self.cache_none:
            return cache_if
        if cache_if is None:
            return lambda result: result is not None
        return lambda result: result is not None and cache_if(result)

    def _check(self, name: str, what: str, kind: Any) -> None:
        value = getattr(self, name)
        if not isinstance(value, kind):
            raise TypeError(f"{name} is {what}, not {_shown(value)}")


def check_function(function: Any, decorator: str) -> None:
    """Check that something can be decorated.

    Raises:
        TypeError: it is no function, or none with a name.
    """
    if isinstance(function, property):
        raise TypeError(f"{decorator} takes a function, so it stands below @property, not above")
    if not callable(function) or isinstance(function, type):
        raise TypeError(f"{decorator} takes a function, not {function!r:.80}")
    if not hasattr(function, "__qualname__"):
        raise TypeError(
            f"{decorator} takes a function with a name, not {function!r:.80}; define one that "
            "calls it"
        )


def _is_of_one_that_counts(function: Callable[..., Any]) -> bool:
    """Whether this is a method that has its ``self`` already, and that tells what it is."""
    instance = getattr(function, "__self__", None)
    return hasattr(function, "__func__") and hasattr(type(instance), "__cache_key__")


def _names(ignore: object) -> frozenset[str]:
    if isinstance(ignore, str) or not isinstance(ignore, Iterable):
        raise TypeError(f"ignore is an iterable of parameter names, not {_shown(ignore)}")
    names = frozenset[Any](ignore)
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"a parameter's name to ignore is a str, not {_shown(name)}")
    return names


def _shown(value: object) -> str:
    return f"{type(value).__name__}: {value!r:.80}"
