"""Wrong values for every public argument, with the errors that they raise.

``python -m tests.behaviour.test_bad_input`` prints the table.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Callable
from typing import Any

import pytest

from aiocache_pe import (
    CacheManager,
    ConfigurationError,
    InvalidKeyError,
    SecretRequiredError,
    SerializationError,
    UnstableIdentityError,
    cached,
    cached_batch,
    get_cache,
    make_cache_key,
    register,
)
from aiocache_pe.backends.memory import MemoryBackend
from aiocache_pe.cache.factory import StoreSettings
from aiocache_pe.events import Miss
from aiocache_pe.integrations.httpx2 import AsyncCacheTransport
from aiocache_pe.testing.fake_clock import FakeClock
from tests.support.bad_values import (
    BAD_COUNTS,
    BAD_INTS,
    BAD_KEY_LISTS,
    BAD_KEYS,
    BAD_TAGS,
    BAD_TTLS,
    LONG_TEXT,
    Case,
    make_cases,
)
from tests.support.broken_backends import SecretlessBackend


class Plain:
    """A class that is equal only to itself and that only pickle can store."""

    def __repr__(self) -> str:
        return "Plain()"


async def hello(name: Any) -> str:
    return "hello"


PLAIN = Plain()
LAMBDA: Callable[[], None] = lambda: None  # noqa: E731 - the table shows it as a lambda


KEYED = (
    "cache.get(value)",
    "cache.set(value, 1)",
    "cache.add(value, 1)",
    "cache.delete(value)",
    "cache.exists(value)",
    "cache.get_ttl(value)",
    "cache.touch(value, 1)",
    "cache.pop(value)",
    "cache.incr(value)",
    "cache.decr(value)",
    "cache.entry(value)",
    "cache.get_or_set(value, LAMBDA)",
)
TIMED = (
    "cache.set('k', 1, ttl=value)",
    "cache.add('k', 1, ttl=value)",
    "cache.set_many({'k': 1}, ttl=value)",
    "cache.touch('k', value)",
    "cache.incr('k', ttl=value)",
    "cache.decr('k', ttl=value)",
    "cache.get_or_set('k', LAMBDA, ttl=value)",
    "CacheManager('memory', ttl=value)",
    "cached(ttl=value)",
)
TAGGED = (
    "cache.set('k', 1, tags=value)",
    "cache.add('k', 1, tags=value)",
    "cache.set_many({'k': 1}, tags=value)",
    "cache.get_or_set('k', LAMBDA, tags=value)",
)
TABLE: list[Case] = [
    *(case for call in KEYED for case in make_cases(call, *BAD_KEYS)),
    *(case for call in TIMED for case in make_cases(call, *BAD_TTLS)),
    *(case for call in TAGGED for case in make_cases(call, *BAD_TAGS)),
    *make_cases("cache.get_many(value)", *BAD_KEY_LISTS),
    *make_cases("cache.delete_many(value)", *BAD_KEY_LISTS),
    *make_cases(
        "cache.set_many(value)",
        ([("k", 1)], TypeError, "mapping must be a mapping from keys to values; got list"),
        ({7: 1}, TypeError, "key must be a str; got int"),
    ),
    *make_cases("cache.incr('k', value)", *BAD_INTS),
    *make_cases("cache.incr('k', initial=value)", *BAD_INTS),
    *make_cases("cache.decr('k', value)", *BAD_INTS),
    *make_cases("cache.decr('k', initial=value)", *BAD_INTS),
    *make_cases(
        "cache.set('k', value)",
        (PLAIN, SecretRequiredError, "only pickle can hold this Plain, since"),
        (LAMBDA, SerializationError, "lambda"),
    ),
    *make_cases(
        "cache.get_or_set('k', value)",
        (7, TypeError, "factory must be a function; got int: 7"),
        (None, TypeError, "factory must be a function; got NoneType"),
    ),
    *make_cases("cache.invalidate(value)", *BAD_KEYS[:3]),
    *make_cases("cache.keys(value)", *BAD_KEYS[:3]),
    *make_cases(
        "cache.delete_by_tag(value)",
        (7, TypeError, "tag must be a str; got int"),
        ("", InvalidKeyError, "tag must have at least 1 character"),
    ),
    *make_cases(
        "cache.namespace(value)",
        (7, TypeError, "namespace must be a str; got int: 7"),
        ("", InvalidKeyError, "namespace must have 1 to 200 characters; got 0"),
        ("x" * 201, InvalidKeyError, "namespace must have 1 to 200 characters; got 201"),
    ),
    *make_cases(
        "cache.subscribe(Miss, value)",
        (None, TypeError, "handler must be a function; got NoneType"),
    ),
    *make_cases(
        "cache.subscribe(value, print)",
        ("Miss", TypeError, "kind must be a class of aiocache_pe.events; got 'Miss'"),
        (int, TypeError, "kind must be a class of aiocache_pe.events; got"),
    ),
    *make_cases("cache.lock(value)", *BAD_KEYS),
    *make_cases(
        "cache.lock('k', wait=value)",
        (0, ConfigurationError, "wait must be a positive number of seconds, "),
        ("soon", ConfigurationError, "wait must be a positive number of seconds, "),
    ),
    *make_cases(
        "CacheManager(value)",
        ("http://host", ConfigurationError, "backend must be one of 'file', 'redis', "),
        ("disk", ConfigurationError, "backend must be one of 'file', 'redis', 'memory', "),
        (7, ConfigurationError, "got int without 'read', 'write'"),
        (MemoryBackend, ConfigurationError, "backend must be an object; got the class "),
        ("redis://h:port", ConfigurationError, "the redis URL must have the form redis://"),
        ("file://host/x", ConfigurationError, "the URL of an absolute local path, such as "),
    ),
    *make_cases(
        "CacheManager(value, directory='cache', max_bytes=10)",
        ("http://host", ConfigurationError, "backend must be one of 'file', 'redis', "),
    ),
    *make_cases(
        "CacheManager(**{value: 1})",
        ("shards", TypeError, "CacheManager has no setting 'shards'; it accepts namespace, "),
        ("maxsize", TypeError, "use max_entries=; it accepts namespace, "),
        ("size_limit", TypeError, "use max_bytes=; it accepts "),
        ("default_timeout", TypeError, "use ttl=; it accepts "),
        ("cache_dir", TypeError, "use directory=; it accepts "),
        ("url", TypeError, "use redis_url=; it accepts "),
    ),
    *make_cases(
        "cached(**{value: 1})",
        ("shards", TypeError, "cached has no setting 'shards'; it accepts ttl, "),
        ("expire", TypeError, "cached has no setting 'expire'; use ttl=; it accepts ttl, "),
        ("timeout", TypeError, "use ttl=; it accepts "),
        ("TTL", TypeError, "cached has no setting 'TTL'; use ttl=; it accepts "),
        ("key_builder", TypeError, "use key=; it accepts "),
        ("prefix", TypeError, "use key_prefix=; it accepts "),
        ("maxsize", TypeError, "use max_entries= of CacheManager; it accepts "),
        ("directory", TypeError, "use directory= of CacheManager; it accepts "),
    ),
    *make_cases(
        "cached_batch(**{value: 1})",
        ("expire", TypeError, "cached_batch has no setting 'expire'; use ttl=; it accepts ttl, "),
    ),
    *make_cases(
        "cache.get_or_set('k', int, **{value: 1})",
        ("expire", TypeError, "get_or_set has no setting 'expire'; use ttl=; it accepts ttl, "),
        ("shards", TypeError, "get_or_set has no setting 'shards'; it accepts ttl, tags, "),
    ),
    *make_cases(
        "CacheManager(directory=value)",
        (7, ConfigurationError, "directory must be a str or a path object; got int: 7"),
        ("", ConfigurationError, "directory must be a non-empty str"),
    ),
    *make_cases("CacheManager('memory', max_entries=value)", *BAD_COUNTS),
    *make_cases("CacheManager('memory', max_bytes=value)", *BAD_COUNTS),
    *make_cases(
        "CacheManager(memory_max_bytes=value)",
        (None, ConfigurationError, "memory_max_bytes must be an int of at least 0; got NoneType"),
        (-1, ConfigurationError, "memory_max_bytes must be an int of at least 0; got int: -1"),
    ),
    *make_cases(
        "CacheManager('memory', prices=value)",
        ([("a", 1)], ConfigurationError, "prices must be a mapping from model names to prices; "),
        ({"small": 1}, ConfigurationError, "price of 'small' must be Price(input="),
        ({1: {"input": 1}}, ConfigurationError, "a model name in prices must be a str; got int: 1"),
    ),
    *make_cases(
        "CacheManager(eviction=value)",
        (
            "best",
            ConfigurationError,
            "eviction must be one of 'adaptive', 'fifo', 'lfu', ",
        ),
    ),
    *make_cases(
        "CacheManager(compression=value)",
        ("brotli", ConfigurationError, "brotli"),
        (9, ConfigurationError, "9"),
    ),
    *make_cases(
        "CacheManager(secret=value)",
        ("", ConfigurationError, "secret must not be empty; use text or bytes"),
        (7, ConfigurationError, "secret must be bytes, str or None; got int"),
    ),
    *make_cases(
        "CacheManager(fallback=value)",
        ("memory", ConfigurationError, "fallback must be 'file' or None; got 'memory'"),
    ),
    *make_cases(
        "CacheManager(clock=value)",
        (7, ConfigurationError, "clock must have the methods time() and monotonic(); got int: 7"),
    ),
    *make_cases(
        "CacheManager(redis_url=value)",
        ("http://host", ConfigurationError, "the scheme of a Redis URL must be one of redis://"),
        (7, ConfigurationError, "redis_url must be a str; got int"),
    ),
    *make_cases(
        "CacheManager(namespace=value)",
        (7, TypeError, "namespace must be a str; got int"),
        ("", InvalidKeyError, "namespace must have 1 to 200 characters; got 0"),
    ),
    *make_cases(
        "get_cache(value)",
        ("disk", ConfigurationError, "; got 'disk'"),
        ("", ConfigurationError, "; got ''"),
    ),
    *make_cases(
        "get_cache(redis_url=value)",
        ("host:6379", ConfigurationError, "the scheme of a Redis URL must be one of"),
    ),
    *make_cases(
        "cached(value)",
        (7, TypeError, "@cached must decorate a function; got 7"),
        (int, TypeError, "@cached must decorate a function; got <class 'int'>"),
        (LAMBDA, ConfigurationError, "a lambda has no name that distinguishes its entries from"),
        (min, ConfigurationError, "the signature of min cannot be read; wrap it in a function"),
    ),
    *make_cases("cached(key_prefix=value)", (7, TypeError, "key_prefix must be a str; got int: 7")),
    *make_cases(
        "cached(cache=value)", ("file", TypeError, "cache must be a CacheManager; got str: 'file'")
    ),
    *make_cases(
        "cached(backend=value)", (7, TypeError, "backend must be a name or a URL; got int: 7")
    ),
    *make_cases(
        "cached(key=value)(hello)",
        (7, TypeError, "key must be a template such as '{prompt}:{model}' or a function"),
        ("{nme}", ConfigurationError, "got {nme} in '{nme}'; accepted: 'name'"),
        ("{}", ConfigurationError, "a field of key must name a parameter of the function; got {}"),
        ("{name", ConfigurationError, "key must be a valid format string; got '{name': "),
        ("{name:{name}}", ConfigurationError, "must name a parameter of the function; got {name}"),
    ),
    *make_cases(
        "cached(ignore=value)(hello)",
        ("name", TypeError, "ignore must be an iterable of parameter names; got str: 'name'"),
        (7, TypeError, "ignore must be an iterable of parameter names; got int: 7"),
        ([7], TypeError, "ignore must hold parameter names of type str; got int: 7"),
        (["nme"], ConfigurationError, "parameters of hello; got 'nme'; accepted: 'name'"),
    ),
    *make_cases(
        "cached(ignore=['name'], key=value)", ("{name}", ConfigurationError, "beside key=")
    ),
    *make_cases(
        "cached(version=value)",
        (1.5, TypeError, "version must be a str or an int; got float: 1.5"),
        (True, TypeError, "version must be a str or an int; got bool: True"),
    ),
    *make_cases(
        "cached(namespace=value)",
        (7, TypeError, "namespace must be a str; got int: 7"),
        ("", InvalidKeyError, "namespace must have 1 to 200 characters; got 0"),
    ),
    *make_cases(
        "cached(tags=value)(hello)",
        ("news", TypeError, "tags must be an iterable of str; got str: 'news'"),
        ([""], InvalidKeyError, "tag must have at least 1 character"),
        (["user:{id}"], ConfigurationError, "must name a parameter of the function; got {id}"),
    ),
    *make_cases(
        "cached(cache_if=value)",
        (True, TypeError, "cache_if must be a function of the result"),
        (hello, TypeError, "cache_if must be a plain function, because its result is needed"),
    ),
    *make_cases("cached(ttl=value)", (hello, TypeError, "ttl must be a plain function, because")),
    *make_cases("cached(key=value)", (hello, TypeError, "key must be a plain function, because")),
    *make_cases(
        "cache.get_or_set('k', int, value)",
        (hello, TypeError, "ttl must be a plain function, because its result"),
    ),
    *make_cases(
        "AsyncCacheTransport(cacheable=value)",
        (hello, TypeError, "cacheable must be a plain function, because its result"),
        ("POST", TypeError, "cacheable must be a function; got str: 'POST'"),
    ),
    *make_cases(
        "AsyncCacheTransport(tags=value)", ("llm", TypeError, "tags must be an iterable of str")
    ),
    *make_cases(
        "cached(cache_none=value)", ("no", TypeError, "cache_none must be True or False; got str")
    ),
    *make_cases(
        "cached(cache=cache, backend=value)", ("file", ConfigurationError, "give one of them")
    ),
    *make_cases(
        "cached(cache=cache)(hello)(value)",
        (PLAIN, UnstableIdentityError, "has no identity that outlives the process"),
    ),
    *make_cases(
        "cached(cache=cache)(hello)(1, value)",
        (2, TypeError, "too many positional arguments"),
    ),
    *make_cases(
        "make_cache_key(value)",
        (PLAIN, UnstableIdentityError, "arguments[0][0] is a "),
        (LAMBDA, UnstableIdentityError, "has no identity that outlives the process"),
    ),
    *make_cases(
        "register(value)",
        (
            7,
            TypeError,
            "cls must be a dataclass, pydantic model, attrs class, msgspec struct, enum or named ",
        ),
        (Plain, TypeError, "cls must be a dataclass, pydantic model, attrs class"),
    ),
    *make_cases(
        "FakeClock().advance(value)", (-1, ValueError, "seconds must not be negative; got -1")
    ),
]
NAMES: dict[str, Any] = {
    "AsyncCacheTransport": AsyncCacheTransport,
    "CacheManager": CacheManager,
    "FakeClock": FakeClock,
    "LAMBDA": LAMBDA,
    "Miss": Miss,
    "cached": cached,
    "cached_batch": cached_batch,
    "get_cache": get_cache,
    "hello": hello,
    "make_cache_key": make_cache_key,
    "register": register,
}


async def catch_error(case: Case) -> Exception | None:
    """Return the exception that a call raises, or ``None``."""
    async with CacheManager(SecretlessBackend()) as cache:
        try:
            result = eval(case.call, NAMES | {"cache": cache, "value": case.value})
            if inspect.isawaitable(result):
                await result
            elif inspect.isasyncgen(result):
                await anext(result)
        except Exception as error:  # noqa: BLE001 - the test compares its type
            return error
    return None


@pytest.mark.parametrize("case", TABLE, ids=Case.describe)
async def test_a_wrong_value_raises_an_error_that_explains_it(
    case: Case, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    error = await catch_error(case)
    assert error is not None, "nothing was raised"
    assert isinstance(error, case.error), repr(error)
    assert case.message in str(error)
    assert len(str(error)) < 500  # no error quotes a whole document


def list_parameters(function: Callable[..., Any]) -> set[str]:
    return set(inspect.signature(function).parameters) - {"self", "default", "args", "kwargs"}


def test_the_table_covers_every_argument() -> None:
    calls = " ".join({case.call for case in TABLE})
    settings = list_parameters(CacheManager.__init__) - {"backend", "settings"}
    settings |= StoreSettings.__annotations__.keys()
    missing = {f"CacheManager({name}=" for name in settings if f"{name}=value" not in calls}
    verbs = dict(inspect.getmembers(CacheManager, inspect.isfunction))
    without = {"clear", "cleanup_expired", "get_stats", "namespaces", "close"}
    for name in verbs:
        if not name.startswith("_") and name not in without and f"cache.{name}(" not in calls:
            missing.add(name)
    assert missing == set()


def main() -> None:
    """Print the table as Markdown."""
    lines = ["| call | error | message |", "| --- | --- | --- |"]
    for case in TABLE:
        error = asyncio.run(catch_error(case))
        message = str(error).replace("|", "\\|").replace(LONG_TEXT, "x…")
        lines.append(f"| `{case.describe()}` | {type(error).__name__} | {message} |")
    sys.stdout.write("\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
