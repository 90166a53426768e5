"""From arguments, environment and URLs to objects: the one place that names classes.

What is given as an argument counts; what is not, the environment may say. A setting
that cannot work is refused here, at once, with the values that are accepted.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from zlib import crc32

from aiocache_pe import backends
from aiocache_pe.backends.base import Backend
from aiocache_pe.clock import Clock, SystemClock
from aiocache_pe.codecs.pipeline import Pipeline
from aiocache_pe.engine.engine import Engine
from aiocache_pe.engine.memory_entry import MemoryEntry
from aiocache_pe.engine.token_savings import Prices, PriceTable, SavingsEstimator, read_prices
from aiocache_pe.eviction.bounded_map import BoundedMap
from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.keys.store_keys import make_namespace_prefix
from aiocache_pe.loading.shared_state import SharedState


def _make_policy(path: str) -> Any:
    """Make an eviction policy; its module is imported only when it is wanted."""
    module, _, cls = path.partition(":")
    return getattr(importlib.import_module(module), cls)()


ENTRY_POINTS = "aiocache_pe.backends"
DEFAULT_DIRECTORY = "data/cache"
DEFAULT_REDIS = "redis://localhost:6379/0"
BACKENDS = ("file", "redis", "memory", "null")
REDIS = (
    "redis",
    "rediss",
    "unix",
    "redis+sentinel",
    "rediss+sentinel",
    "redis+cluster",
    "rediss+cluster",
)
POLICIES: dict[str, Callable[[], Any]] = {
    name: partial(_make_policy, path)
    for name, path in {
        "adaptive": "aiocache_pe.eviction.adaptive:Adaptive",
        "fifo": "aiocache_pe.eviction.fifo:Fifo",
        "lfu": "aiocache_pe.eviction.lfu:Lfu",
        "lirs": "aiocache_pe.eviction.lirs:Lirs",
        "lru": "aiocache_pe.eviction.lru:Lru",
        "s3fifo": "aiocache_pe.eviction.s3fifo:S3Fifo",
        "tinylfu": "aiocache_pe.eviction.tinylfu:TinyLfu",
    }.items()
}
FILE_EVICTIONS = ("adaptive", "fifo", "lfu", "lru", "s3fifo")
_ON, _OFF = ("1", "true", "yes", "on"), ("", "0", "false", "no", "off")
_VERBS = ("read", "write", "delete", "update", "scan", "clear", "close")


def build(
    *,
    backend: str | Backend | None,
    directory: str | os.PathLike[str] | None,
    redis_url: str | None,
    max_entries: int | None,
    max_bytes: int | None,
    eviction: str | None,
    memory_max_bytes: int,
    compression: str | None,
    secret: str | bytes | None,
    fallback: str | None,
    prices: Prices | None,
    clock: Clock | None,
) -> SharedState:
    """Make what a manager needs; the arguments are those of `CacheManager`.

    Raises:
        ConfigurationError: a setting cannot work.
    """
    settings = dict(locals())
    policy = _policy(eviction)
    bounds = {
        "max_entries": _count("max_entries", max_entries),
        "max_bytes": _count("max_bytes", max_bytes),
    }
    tier_bytes = _count("memory_max_bytes", memory_max_bytes, least=0) or 0
    if fallback not in ("file", None):
        raise ConfigurationError(f"fallback {fallback!r} is not known; accepted: 'file' and None")
    owned = backend is None or isinstance(backend, str)
    time = SystemClock() if clock is None else _clock(clock)
    chosen = _chosen(backend, redis_url)
    store = _disabled()
    if store is None and isinstance(chosen, str) and is_redis(chosen):
        _no_bounds(bounds, "the Redis store")
        store = _redis(chosen, redis_url, directory, fallback, time, tracking=tier_bytes > 0)
    elif store is None:
        store = _backend(chosen, directory, eviction, bounds, time)
    pipeline = Pipeline(
        compression=compression,
        secret=os.environ.get("AIOCACHE_PE_SECRET") or None if secret is None else secret,
    )
    tier = BoundedMap[MemoryEntry](policy(), max_bytes=tier_bytes) if tier_bytes else None
    engine = Engine(store, pipeline, time, tier, SavingsEstimator(_prices(prices)).estimate)
    return SharedState(engine, owns_backend=owned, settings=settings)


def namespace(name: str | None) -> str:
    """The namespace given, or the environment's, or ``"default"``.

    Raises:
        TypeError, InvalidKeyError: it cannot be one.
    """
    chosen = os.environ.get("AIOCACHE_PE_NAMESPACE") or "default" if name is None else name
    make_namespace_prefix(chosen)
    return chosen


def _prices(prices: Prices | None) -> PriceTable:
    path = os.environ.get("AIOCACHE_PE_PRICES") if prices is None else None
    if prices is None:
        prices = read_prices(path) if path else {}
    return PriceTable(prices)


def is_redis(backend: str) -> bool:
    """Whether a backend's name or URL is Redis'."""
    scheme, separator, _ = backend.partition("://")
    return scheme in REDIS if separator else backend == "redis"


def _chosen(backend: str | Backend | None, redis_url: str | None) -> str | Backend:
    """Which store is meant."""
    if backend is None:
        if redis_url is not None:
            return "redis"
        return os.environ.get("AIOCACHE_PE_BACKEND") or "file"
    if redis_url is not None and not (isinstance(backend, str) and is_redis(backend)):
        other = repr(backend.partition("://")[0]) if isinstance(backend, str) else "an object"
        raise ConfigurationError(f"redis_url names a Redis server, and backend is {other}")
    return backend


def _redis(
    backend: str,
    redis_url: str | None,
    directory: str | os.PathLike[str] | None,
    fallback: str | None,
    clock: Clock,
    *,
    tracking: bool,
) -> Backend:
    """The Redis store, with one of files to use while the server is away."""
    if "://" in backend:
        if redis_url is not None:
            raise ConfigurationError("the server is named twice, by backend and by redis_url")
        url: Any = backend
    else:
        url = redis_url or os.environ.get("REDIS_URL") or DEFAULT_REDIS
    if not isinstance(url, str):
        raise ConfigurationError(f"redis_url is a URL, not {type(url).__name__}")
    store = _store("RedisBackend", url, clock=clock, tracking=tracking)
    if fallback is None:
        return store
    # Of its own: what else is in the directory may be older than what Redis holds.
    folder = f"{_directory('file', directory)}/.fallback-{crc32(repr(store).encode()):08x}"
    files = _store("FileBackend", folder)
    return _store("FallbackBackend", store, files, f"{folder}/.journals")


def _backend(
    backend: str | Backend,
    directory: str | os.PathLike[str] | None,
    eviction: str | None,
    bounds: dict[str, int | None],
    clock: Clock,
) -> Backend:
    if not isinstance(backend, str):
        _check_object(backend)
        _no_bounds(bounds, "a backend object")
        _no_directory(directory, "a backend object")
        return backend
    scheme, _, _ = backend.partition("://")
    if scheme in ("memory", "null"):
        _nothing_after(backend)
    if scheme == "memory":
        _no_directory(directory, "the memory store")
        return _store("MemoryBackend", **bounds, policy=_policy(eviction), clock=clock)
    if scheme == "file":
        order = _order(eviction, bounds)
        return _store("FileBackend", _directory(backend, directory), **bounds, **order)
    _no_bounds(bounds, f"the {scheme} store")
    _no_directory(directory, f"the {scheme} store")
    if scheme == "null":
        return _store("NullBackend")
    for made in _registered(scheme, backend):
        _check_object(made)
        return made
    shown = scheme.partition(":")[0][:40]  # a slash that is missing may stand before a password
    raise ConfigurationError(
        f"backend {shown!r} is not known; accepted: {_listed(BACKENDS)}, their URLs "
        f"(file:///path, redis://, memory://), a Backend object, and schemes registered as "
        f"entry points in the group {ENTRY_POINTS!r}"
    )


def _registered(scheme: str, url: str) -> Iterator[Backend]:
    """The store of a third party that registered this scheme, if one did."""
    from importlib.metadata import entry_points  # noqa: PLC0415 - a fifth of the import time

    for point in entry_points(group=ENTRY_POINTS, name=scheme):
        yield point.load()(url)


def _directory(backend: str, directory: str | os.PathLike[str] | None) -> str:
    if backend != "file":
        from urllib.parse import unquote, urlsplit  # noqa: PLC0415 - needed for URLs only

        parts = urlsplit(backend)
        if parts.netloc not in ("", "localhost") or not parts.path:
            raise ConfigurationError(
                f"{backend!r} names no local path; accepted: file:///absolute/path"
            )
        if parts.query or parts.fragment:
            raise ConfigurationError(
                f"{backend!r} has more than a path; settings are arguments, and in a path ? and # "
                "are written %3F and %23"
            )
        _no_directory(directory, "a file URL")
        directory = unquote(parts.path)
    elif directory is None:
        directory = os.environ.get("AIOCACHE_PE_DIRECTORY") or DEFAULT_DIRECTORY
    if not isinstance(directory, str | os.PathLike):
        raise ConfigurationError(
            f"directory is a path, not {type(directory).__name__}: {directory!r:.80}"
        )
    path = os.fspath(directory)
    if not isinstance(path, str) or not path or "\0" in path:
        raise ConfigurationError(f"directory {path!r} is not a path; accepted: a non-empty str")
    return os.path.expanduser(path)  # noqa: PTH111 - leaves ~nobody as it is, Path raises


def _disabled() -> Backend | None:
    value = os.environ.get("AIOCACHE_PE_DISABLE", "").strip().lower()
    if value in _OFF:
        return None
    if value in _ON:
        return _store("NullBackend")
    raise ConfigurationError(
        f"AIOCACHE_PE_DISABLE={value!r} is not known; accepted: {_listed(_ON + _OFF[1:])}"
    )


def _store(name: str, *args: Any, **settings: Any) -> Backend:
    made: Backend = getattr(backends, name)(*args, **settings)
    return made


def _policy(eviction: str | None) -> Callable[[], Any]:
    chosen = "adaptive" if eviction is None else eviction
    if not isinstance(chosen, str) or chosen not in POLICIES:
        raise ConfigurationError(
            f"eviction {eviction!r} is not known; accepted: {_listed(POLICIES)}"
        )
    return POLICIES[chosen]


def _order(eviction: str | None, bounds: dict[str, int | None]) -> dict[str, str]:
    """By what a bounded directory chooses; most policies need to be told of every hit."""
    if eviction is None or not any(bounds.values()):
        return {}
    if eviction not in FILE_EVICTIONS:
        raise ConfigurationError(
            f"eviction {eviction!r} works in memory only; for a bounded file store accepted: "
            f"{_listed(FILE_EVICTIONS)}"
        )
    return {"eviction": eviction}


def _count(name: str, value: Any, *, least: int = 1) -> int | None:
    if value is None and least:
        return None
    if type(value) is not int or value < least:
        nothing = ", or None for no bound" if least else ""
        raise ConfigurationError(
            f"{name} {value!r} is not accepted; an int of at least {least}{nothing}"
        )
    return value


def _clock(clock: Clock) -> Clock:
    if not callable(getattr(clock, "time", None)) or not callable(
        getattr(clock, "monotonic", None)
    ):
        raise ConfigurationError(f"clock {clock!r:.80} has no time() and monotonic()")
    return clock


def _check_object(backend: Any) -> None:
    if isinstance(backend, type):
        raise ConfigurationError(
            f"backend is a class, {backend.__name__}; give an object of it, {backend.__name__}(...)"
        )
    missing = [verb for verb in _VERBS if not callable(getattr(backend, verb, None))]
    if missing:
        raise ConfigurationError(
            f"backend {type(backend).__name__} lacks {_listed(missing)}; accepted: "
            f"{_listed(BACKENDS)}, a URL, or an object with the verbs of protocols.Backend"
        )


def _no_bounds(bounds: dict[str, int | None], where: str) -> None:
    for name, value in bounds.items():
        if value is not None:
            raise ConfigurationError(
                f"{name} bounds the file store and the memory store; {where} cannot be bounded here"
            )


def _nothing_after(url: str) -> None:
    scheme, _, rest = url.partition("://")
    if rest:
        raise ConfigurationError(f"{url!r} goes on after {scheme}://; settings are arguments")


def _no_directory(directory: object, where: str) -> None:
    if directory is not None:
        raise ConfigurationError(f"directory={directory!r} means nothing to {where}")


def _listed(names: Any) -> str:
    return ", ".join(repr(name) for name in names)
