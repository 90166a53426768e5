"""Base classes of decorated functions: keys, the cache, counting, and binding as a method.

The subclasses differ in the way they wait: see `functions` and `streams`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial, update_wrapper
from glob import escape
from types import FunctionType
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    ParamSpec,
    Self,
    TypeVar,
    cast,
    overload,
)

from aiocache_pe import context
from aiocache_pe.cache import sync_manager as sync
from aiocache_pe.cache.manager import CacheManager
from aiocache_pe.codecs.classes.registry import register_annotation
from aiocache_pe.context import NO_CONTROL, Call, Control
from aiocache_pe.decorators.closures import warn_of_shared_results
from aiocache_pe.decorators.methods import AsyncCachedMethod, CachedMethod
from aiocache_pe.engine.stats import CacheInfo
from aiocache_pe.keys.class_schemas import render_result
from aiocache_pe.keys.code_digest import CodeDigest, watch_constants
from aiocache_pe.keys.constant_reads import Read
from aiocache_pe.keys.key_template import CallTags
from aiocache_pe.keys.qualified_names import get_qualified_name
from aiocache_pe.keys.signatures import (
    Args,
    Kwargs,
    get_annotations,
    get_return_annotation,
    unbind,
)
from aiocache_pe.loading.copying import Outcome
from aiocache_pe.loading.loader import Loader
from aiocache_pe.loading.options import LoadPolicy, LoadRequest
from aiocache_pe.loading.previous import PREVIOUS, Previous, has_previous_parameter
from aiocache_pe.loading.watch import Watch
from aiocache_pe.runtime.threads import call_in_thread
from aiocache_pe.sentinels import PENDING, Sentinel

if TYPE_CHECKING:
    from aiocache_pe.decorators.settings import KeyMaker, Settings

P = ParamSpec("P")
Q = ParamSpec("Q")
T = TypeVar("T")
R = TypeVar("R", covariant=True)  # noqa: PLC0105 - the usual name of a result type
_MAX_STARTS = 100  # beginnings of keys that `cache_clear` removes; the oldest are forgotten
_LIKE_FUNCTIONS = frozenset(("__code__", "__defaults__", "__kwdefaults__", "__globals__"))


class DecoratedFunction(Generic[P, R]):
    """A decorated function of any kind; ``__wrapped__`` is the function itself."""

    __wrapped__: Callable[P, R]
    __name__: str
    __qualname__: str
    _peek: Callable[[str], Any]
    _join: Callable[[str], Coroutine[Any, Any, Any] | None]
    _loader: Loader
    _policy: LoadPolicy
    _cache: CacheManager

    def __init__(self, function: Callable[P, R], settings: Settings) -> None:
        self._has_previous = has_previous_parameter(function)
        if self._has_previous and settings.key is None:
            settings = replace(settings, ignore={*settings.ignore, PREVIOUS})
        update_wrapper(self, function)
        # From Python 3.14 on, update_wrapper omits the annotations.
        self.__annotations__ = get_annotations(function)
        self._function: Callable[..., Any] = function
        self._settings = settings
        self._make_tags = CallTags(settings.tags, function).make_tags
        settings.make_key_start(function)  # raises here, not at the first call
        settings.choose_key_maker(function)
        # Without `key`, the bound arguments of a partial object count like the others.
        plain = unbind(function)[0] if settings.key is None else function
        self._digest = CodeDigest(plain) if settings.counts_code else None
        # A list in a closure may have grown since a key was made of it.
        self._starts: dict[str, None] = {}
        self._key: KeyMaker = self._first_key
        self._hits = self._misses = self._unstorable = 0

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return the cached result of a call, or call the function."""
        raise NotImplementedError

    def refresh(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function and store its result, even if a result is stored."""
        raise NotImplementedError

    def _list_keys(self, args: Args, kwargs: Kwargs) -> list[str]:
        return [self._plain_key(args, kwargs)]

    async def _warm(self, args: Args, kwargs: Kwargs, *, refresh: bool) -> None:
        """Fill the entries of a call, or refresh them; the result is dropped."""
        await self._consume(partial(self.refresh if refresh else self, *args, **kwargs))

    def _get_lifetime(self) -> float | None:
        """Return the lifetime of results; ``None`` for no end, or if it depends on the result."""
        self._bound_cache()
        return None if callable(self._policy.ttl) else self._policy.ttl

    async def _consume(self, call: Callable[[], Any]) -> None:
        raise NotImplementedError

    def cache_info(self) -> CacheInfo:
        """Return the counts of this process, and the number of results in memory."""
        if self._key == self._first_key:  # not called yet
            return CacheInfo(self._hits, self._misses)
        held = self._loader.namespace.count_in_memory(self._make_key_start()[0])
        bound = self._loader.max_entries
        return CacheInfo(self._hits, self._misses, bound, held, self._unstorable)

    def _plain_key(self, args: Args, kwargs: Kwargs) -> str:
        key, control = self._key(args, kwargs), context.current_control()
        if control is not None:
            key = control.choose_key(key)
        return key[len(self._loader.namespace.prefix) :]

    def _bound_cache(self) -> CacheManager:
        if self._key == self._first_key:
            self._bind()
        return self._cache

    def _first_key(self, args: Args, kwargs: Kwargs) -> str:
        self._bind()
        return self._key(args, kwargs)

    def _bind(self) -> None:
        """Find the cache, at the first call: at import it may not be configured yet."""
        cache = self._settings.find_cache()
        loader = cache.loader
        self._cache, self._loader, self._peek = cache, loader, loader.namespace.peek
        policy = self._settings.make_policy(cache)._replace(on_unstorable=self._note_unstorable)
        self._policy = self._adapt_policy(policy)
        if self._policy.refresh_ahead is not None:
            self._peek = lambda key: loader.peek_entry(key, self._policy)
        self._join = loader.computer.make_join(self._policy)
        register_annotation(get_return_annotation(self._function))
        self._bind_key()

    def _bind_key(self) -> None:
        """Choose the key maker for the code of the function and the constants that it reads."""
        start, reads = self._make_key_start()
        self._starts[start] = None
        while len(self._starts) > _MAX_STARTS:
            self._starts.pop(next(iter(self._starts)), None)
        warn_of_shared_results(self._loader.namespace, self._function, start, reads)
        start = self._loader.namespace.prefix + start
        make_key = self._settings.choose_key_maker(self._function, start)

        def bind_again(args: Args, kwargs: Kwargs) -> str:
            self._bind_key()
            return self._key(args, kwargs)

        self._key = watch_constants(reads, make_key, bind_again)

    def _make_key_start(self) -> tuple[str, list[Read]]:
        """Return the beginning of all keys, and the constants that are part of it."""
        if self._digest is None:
            return self._settings.make_key_start(self._function), []
        annotation = get_return_annotation(self._function)
        digest, reads = self._digest.compute(lambda package: render_result(annotation, package))
        return self._settings.make_key_start(self._function, digest), reads

    def _note_unstorable(self, error: Exception) -> str:
        self._unstorable += 1
        return f"function {get_qualified_name(self._function)}"

    def _adapt_policy(self, policy: LoadPolicy) -> LoadPolicy:
        """Return the policy for the stored form of a result."""
        return policy

    def _look_up(self, control: Control, args: Args, kwargs: Kwargs) -> tuple[str, Any]:
        """Return the key of a call under some controls, and its value or a sentinel.

        A hit is counted. The value is `PENDING` if a control needs the entry of the value.
        """
        key = control.choose_key(self._key(args, kwargs))  # the first call finds the loader here
        is_plain = control.mode is None and control.max_age is None and control.calls is None
        value = self._peek(key) if is_plain else PENDING
        self._hits += value.__class__ is not Sentinel
        return key, value

    def _watch(self, control: Control) -> Watch:
        """Return the watch of a call that is made under some controls."""
        return Watch(control, f"{self.__module__}.{self.__qualname__}")

    def _make_factory(self, args: Args, kwargs: Kwargs) -> Callable[..., Any]:
        """Return a function that counts a miss and calls the decorated function."""

        def factory() -> Any:
            self._misses += 1
            return self._function(*args, **kwargs)

        def factory_with(previous: Previous[Any] | None) -> Any:
            self._misses += 1
            return self._function(*args, **{**kwargs, PREVIOUS: previous})

        return factory_with if self._has_previous else factory

    def _make_request(self, key: str, args: Args, kwargs: Kwargs) -> LoadRequest:
        factory, policy = self._make_factory(args, kwargs), self._policy
        call = None if context.current_cassette() is None else self._make_call(args, kwargs)
        return LoadRequest(key, factory, policy, self._make_tags(args, kwargs), None, call)

    def _count(self, outcome: Outcome) -> Any:
        """Count a hit, unless the function was called, and return the value."""
        self._hits += outcome.source != "miss"
        return outcome.value

    def _make_call(self, args: Args, kwargs: Kwargs, control: Control | None = None) -> Call:
        """Return the name and arguments under which a call is recorded."""
        control = control or context.current_control() or NO_CONTROL
        # A recording of an older code is still replayed, so its key is without the digest.
        settings, function = self._settings, self._function
        start = settings.make_key_start(function)
        prefix = self._bound_cache().loader.namespace.prefix
        make_key = settings.choose_key_maker(function, prefix + start)
        arguments = settings.name_arguments(function, args, kwargs)
        name = start.removesuffix(":")
        key = control.choose_key(make_key(args, kwargs))
        if control.sample:
            arguments = {"sample": control.sample, **arguments}
        return Call(key, name, function.__name__, arguments)

    def _list_patterns(self) -> list[str]:
        """Return the patterns of the keys that this function has made, or would make now."""
        starts = [*self._starts, self._make_key_start()[0]]
        return [escape(start) + "*" for start in dict.fromkeys(starts)]

    def __repr__(self) -> str:
        return f"<cached {self._function!r}>"

    def __reduce__(self) -> str:
        return self.__qualname__  # pickled by name, like a function

    if not TYPE_CHECKING:  # a type checker would accept any name

        def __getattr__(self, name: str) -> Any:
            # `inspect` regards an object with these attributes as a function.
            if name in _LIKE_FUNCTIONS:
                return getattr(self._function, name)
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


def name_coroutines(kind: type[T], function: Any) -> type[T]:
    """Return a class of decorated functions with coroutines that have the name of the function.

    Python names the coroutine in its warning about a missing ``await``. A call of a wrapper that
    renames the coroutine would make each hit slower.
    """
    name = function.__qualname__
    renamed = {"__module__": kind.__module__}
    for method_name in ("__call__", "refresh", "invalidate", "cache_clear"):
        method = getattr(kind, method_name)
        if inspect.iscoroutinefunction(method):
            suffix = "" if method_name == "__call__" else f".{method_name}"
            renamed[method_name] = _rename(method, name + suffix)
    return cast("type[T]", type(kind.__name__, (kind,), renamed))


def _rename(method: Any, name: str) -> Any:
    """Return a copy of a method with another qualified name."""
    renamed = FunctionType(
        method.__code__, method.__globals__, method.__name__, None, method.__closure__
    )
    renamed.__doc__, renamed.__annotations__ = method.__doc__, method.__annotations__
    renamed.__qualname__ = name
    return renamed


class BlockingDecorated(DecoratedFunction[P, R]):
    """A decorated plain function or generator: it blocks."""

    @property
    def cache(self) -> sync.CacheManager:
        """Blocking manager of the cache that holds the results."""
        return sync.CacheManager.of(self._bound_cache())

    def cache_clear(self) -> int:
        """Remove all results of this function; return their number."""
        cache = self.cache
        return sum(cache.invalidate(pattern) for pattern in self._list_patterns())

    async def _consume(self, call: Callable[[], Any]) -> None:
        await call_in_thread(call)

    def _check_result(self, result: Any) -> Any:
        """Return the result of the function, unless it is a coroutine."""
        if inspect.iscoroutine(result):
            result.close()
            raise TypeError(
                f"{self.__qualname__}() is not an async function but returned a coroutine; "
                "decorate the async function itself, or an `async def` that awaits this"
            )
        return result


class AsyncDecorated(DecoratedFunction[P, R]):
    """A decorated async function or generator: it is awaited."""

    @property
    def cache(self) -> CacheManager:
        """Manager of the cache that holds the results."""
        return self._bound_cache()

    async def cache_clear(self) -> int:
        """Remove all results of this function; return their number."""
        cache = self.cache
        return sum([await cache.invalidate(pattern) for pattern in self._list_patterns()])

    async def _consume(self, call: Callable[[], Any]) -> None:
        await call()


class CachedFunction(BlockingDecorated[P, R]):
    """A decorated plain function or generator.

    Example:
        >>> from aiocache_pe import cached
        >>> @cached(ttl="1h", backend="memory")
        ... def double(number: int) -> int:
        ...     return 2 * number
        >>> double(21), double(number=21)
        (42, 42)
        >>> double.cache_info()
        CacheInfo(hits=1, misses=1, maxsize=None, currsize=1, unstorable=0)
        >>> double.invalidate(21), double.cache_clear()
        (True, 0)
    """

    def cache_key(self, /, *args: P.args, **kwargs: P.kwargs) -> str:
        """Return the key of a call, as ``cache.get`` takes it."""
        return self._plain_key(args, kwargs)

    def invalidate(self, /, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Remove the result of one call; return whether there was one."""
        return self.cache.delete(self.cache_key(*args, **kwargs))

    @overload
    def __get__(
        self: CachedFunction[Concatenate[Any, Q], R], instance: object, owner: type | None = None, /
    ) -> CachedMethod[Q, P, R]: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None, /) -> Self: ...
    def __get__(self, instance: Any, owner: type | None = None, /) -> Any:
        """Return the function as a method of an instance."""
        return self if instance is None else CachedMethod(self, instance)


class AsyncCachedFunction(AsyncDecorated[P, R]):
    """A decorated async function or async generator.

    Example:
        >>> from aiocache_pe import cached
        >>> @cached(ttl="1h", cache=cache)
        ... async def double(number: int) -> int:
        ...     return 2 * number
        >>> run(double(21)), run(double(number=21))
        (42, 42)
        >>> double.cache_info()
        CacheInfo(hits=1, misses=1, maxsize=None, currsize=1, unstorable=0)
        >>> run(double.invalidate(21)), run(double.cache_clear())
        (True, 0)
    """

    def cache_key(self, /, *args: P.args, **kwargs: P.kwargs) -> str:
        """Return the key of a call, as ``cache.get`` takes it."""
        return self._plain_key(args, kwargs)

    async def invalidate(self, /, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Remove the result of one call; return whether there was one."""
        return await self.cache.delete(self.cache_key(*args, **kwargs))

    @overload
    def __get__(
        self: AsyncCachedFunction[Concatenate[Any, Q], R],
        instance: object,
        owner: type | None = None,
        /,
    ) -> AsyncCachedMethod[Q, P, R]: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None, /) -> Self: ...
    def __get__(self, instance: Any, owner: type | None = None, /) -> Any:
        """Return the function as a method of an instance."""
        return self if instance is None else AsyncCachedMethod(self, instance)
