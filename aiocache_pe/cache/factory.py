"""Factory of a manager's parts: the only module that names concrete stores and policies.

An argument takes precedence over an environment variable. An invalid setting raises here, at once,
with the accepted values.
"""

from __future__ import annotations

import importlib
import logging
import os
import re
import shlex
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Literal, TypedDict
from zlib import crc32

from aiocache_pe import backends
from aiocache_pe._validation import check_names
from aiocache_pe.backends.base import DEFAULT_MAX_BYTES, Backend
from aiocache_pe.backends.private_files import FALLBACK_PREFIX, JOURNALS_NAME
from aiocache_pe.clock import Clock, SystemClock
from aiocache_pe.codecs.pipeline import Pipeline
from aiocache_pe.engine.engine import Engine
from aiocache_pe.engine.memory_entry import MemoryEntry
from aiocache_pe.eviction.bounded_map import BoundedMap
from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.keys.store_keys import make_namespace_prefix
from aiocache_pe.loading.shared_state import SharedState
from aiocache_pe.usage.prices import Prices, PriceTable, read_prices
from aiocache_pe.usage.savings import SavingsEstimator


def _make_policy(path: str) -> Any:
    module, _, cls = path.partition(":")
    return getattr(importlib.import_module(module), cls)()


logger = logging.getLogger("aiocache_pe")
ENTRY_POINTS = "aiocache_pe.backends"
DEFAULT_DIRECTORY = "data/cache"
DEFAULT_MEMORY_BYTES = 64 * 1024 * 1024
LEGACY_FILE = "cache.json"
"""Name of the file of old synchronous cache managers, in their directory."""
DEFAULT_REDIS_URL = "redis://localhost:6379/0"
BACKENDS = ("file", "redis", "memory", "null")
_REDIS_SCHEME = re.compile(r"unix|rediss?(\+sentinel|\+cluster)?")
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
FILE_EVICTIONS = ("adaptive", "lfu", "lru")
_TRUE_WORDS, _FALSE_WORDS = ("1", "true", "yes", "on"), ("0", "false", "no", "off")
_reported_legacy_files = set[str]()
_BACKEND_METHODS = ("read", "write", "delete", "update", "scan", "clear", "close")


class StoreSettings(TypedDict, total=False):
    """Settings of `CacheManager` that its namespaces share; the manager describes them."""

    directory: str | os.PathLike[str] | None
    redis_url: str | None
    max_entries: int | None
    max_bytes: int | None
    eviction: str | None
    memory_max_bytes: int
    compression: str | None
    secret: str | bytes | None
    fallback: Literal["file"] | None
    prices: Prices | None
    clock: Clock | None


def build(backend: str | Backend | None, settings: StoreSettings) -> SharedState:
    """Build the parts that the namespaces of a manager share."""
    check_names("CacheManager", settings, ("namespace", "ttl", *StoreSettings.__annotations__))
    directory, redis_url = settings.get("directory"), settings.get("redis_url")
    eviction, fallback = settings.get("eviction"), settings.get("fallback", "file")
    secret, prices = settings.get("secret"), settings.get("prices")
    make_policy = _find_policy(eviction)
    bounds = {
        "max_entries": _check_bound("max_entries", settings.get("max_entries")),
        "max_bytes": _check_bound("max_bytes", settings.get("max_bytes")),
    }
    tier_bytes = settings.get("memory_max_bytes", DEFAULT_MEMORY_BYTES)
    tier_bytes = _check_bound("memory_max_bytes", tier_bytes, minimum=0) or 0
    if fallback not in ("file", None):
        raise ConfigurationError(f"fallback must be 'file' or None; got {fallback!r:.80}")
    clock = settings.get("clock")
    time = SystemClock() if clock is None else clock
    _check_clock(time)

    chosen = _choose_backend(backend, redis_url)
    if _is_disabled():
        store: Backend = backends.NullBackend()
    elif isinstance(chosen, str) and _is_redis(chosen):
        _refuse_bounds(bounds, "the Redis store")
        url = _resolve_redis_url(chosen, redis_url)
        store = backends.RedisBackend(url, clock=time, tracking=tier_bytes > 0)
        if fallback is not None:
            store = _add_fallback(store, directory, time)
    elif isinstance(chosen, str) and chosen.partition("://")[0] == "file":
        order = _check_file_eviction(eviction, bounds)
        if "max_bytes" not in settings:
            bounds["max_bytes"] = DEFAULT_MAX_BYTES
        folder = _resolve_directory(chosen, directory)
        _report_legacy_file(folder)
        files = backends.FileBackend(folder, **bounds, eviction=order)
        store = _replace_unusable(files, bounds["max_entries"], tier_bytes, make_policy, time)
    else:
        store = _make_store(chosen, directory, eviction, bounds, time)

    if secret is None:
        secret = os.environ.get("AIOCACHE_PE_SECRET") or None
    pipeline = Pipeline(compression=settings.get("compression"), secret=secret)
    tier = _make_tier(make_policy, tier_bytes)
    if prices is None:
        path = os.environ.get("AIOCACHE_PE_PRICES")
        prices = read_prices(path) if path else {}
    estimator = SavingsEstimator(PriceTable(prices))
    engine = Engine(store, pipeline, time, tier, estimator.estimate)
    owns_backend = backend is None or isinstance(backend, str)
    return SharedState(engine, owns_backend=owns_backend, settings={"backend": backend, **settings})


def resolve_namespace(name: str | None) -> str:
    """Return the name of a namespace: the given one, the environment's, or ``"default"``."""
    resolved = os.environ.get("AIOCACHE_PE_NAMESPACE") or "default" if name is None else name
    make_namespace_prefix(resolved)
    return resolved


def find_directory(store: Backend) -> str | None:
    """Return the directory of a file store; ``None`` for any other store."""
    return store.directory if isinstance(store, backends.FileBackend) else None


def find_obstacle(store: Backend) -> str:
    """Return the reason for which a file store cannot use its directory; empty if it can."""
    return store.find_obstacle() if isinstance(store, backends.FileBackend) else ""


def _is_redis(backend: str) -> bool:
    scheme, separator, _ = backend.partition("://")
    return _REDIS_SCHEME.fullmatch(scheme) is not None if separator else backend == "redis"


def _choose_backend(backend: str | Backend | None, redis_url: str | None) -> str | Backend:
    if backend is None:
        if redis_url is not None:
            return "redis"
        return os.environ.get("AIOCACHE_PE_BACKEND") or "file"
    if redis_url is not None and not (isinstance(backend, str) and _is_redis(backend)):
        other = repr(backend.partition("://")[0]) if isinstance(backend, str) else "an object"
        raise ConfigurationError(
            f"redis_url must not be given with another store; backend is {other}"
        )
    return backend


def _is_disabled() -> bool:
    value = os.environ.get("AIOCACHE_PE_DISABLE", "").strip().lower()
    if value not in ("", *_TRUE_WORDS, *_FALSE_WORDS):
        raise ConfigurationError(
            f"AIOCACHE_PE_DISABLE must be one of {_join_names(_TRUE_WORDS + _FALSE_WORDS)}, "
            f"or empty; got {value!r:.80}"
        )
    return value in _TRUE_WORDS


def _resolve_redis_url(backend: str, redis_url: str | None) -> str:
    if "://" in backend:
        if redis_url is not None:
            raise ConfigurationError(
                "redis_url must not be given with a Redis URL as backend; name the server once"
            )
        return backend
    url: Any = redis_url or os.environ.get("REDIS_URL") or DEFAULT_REDIS_URL
    if not isinstance(url, str):
        raise ConfigurationError(f"redis_url must be a str; got {type(url).__name__}")
    return url


def _add_fallback(
    store: Backend, directory: str | os.PathLike[str] | None, clock: Clock
) -> Backend:
    # A directory of its own: other entries in the directory may be older than those in Redis.
    name = f"{FALLBACK_PREFIX}{crc32(repr(store).encode()):08x}"
    folder = f"{_resolve_directory('file', directory)}/{name}"
    second = backends.FileBackend(folder, max_bytes=DEFAULT_MAX_BYTES)
    return backends.FallbackBackend(store, second, f"{folder}/{JOURNALS_NAME}", clock=clock)


def _make_store(
    backend: str | Backend,
    directory: str | os.PathLike[str] | None,
    eviction: str | None,
    bounds: dict[str, int | None],
    clock: Clock,
) -> Backend:
    if not isinstance(backend, str):
        _check_backend(backend)
        _refuse_bounds(bounds, "a backend object")
        _refuse_directory(directory, "a backend object")
        return backend

    scheme, _, rest = backend.partition("://")
    if scheme in ("memory", "null") and rest:
        raise ConfigurationError(
            f"backend must be '{scheme}' or '{scheme}://'; got {backend!r:.200}; "
            "pass settings as arguments"
        )
    if scheme == "memory":
        _refuse_directory(directory, "the memory store")
        policy = _find_policy(eviction)
        return backends.MemoryBackend(**bounds, policy=policy, clock=clock)

    # Only the part before the first colon: a password may follow, if a slash is missing.
    visible = scheme.partition(":")[0][:40]
    make_store = backends.NullBackend if scheme == "null" else _find_entry_point(scheme, backend)
    if make_store is None:
        raise ConfigurationError(
            f"backend must be one of {_join_names(BACKENDS)}, a URL such as file:///path, "
            "redis://host or memory://, a Backend object, or a URL with a scheme that is "
            f"registered as an entry point in the group {ENTRY_POINTS!r} (directory= names the "
            f"directory of the file store); got {visible!r}"
        )
    _refuse_bounds(bounds, f"the {visible} store")
    _refuse_directory(directory, f"the {visible} store")
    store: Backend = make_store()
    _check_backend(store)
    return store


def _find_entry_point(scheme: str, url: str) -> Callable[[], Backend] | None:
    """Return a function that makes the store of a registered scheme; ``None`` for another one."""
    from importlib.metadata import entry_points  # noqa: PLC0415 - a fifth of the import time

    for entry_point in entry_points(group=ENTRY_POINTS, name=scheme):
        return partial(entry_point.load(), url)
    return None


def find_legacy_file(directory: str) -> tuple[str, str] | None:
    """Return the path of an old cache manager's file, and the advice to import it."""
    path = os.path.join(directory, LEGACY_FILE)  # noqa: PTH118 - a directory is a str here
    if not os.path.isfile(path):  # noqa: PTH113 - as above
        return None
    return path, (
        f"import its entries with: aiocache-pe --directory {shlex.quote(directory)} import "
        f"--format legacy-json {shlex.quote(path)}"
    )


def _report_legacy_file(directory: str) -> None:
    """Log once that the entries of an old cache manager's file are not used."""
    found = find_legacy_file(directory)
    if found is not None and found[0] not in _reported_legacy_files:
        _reported_legacy_files.add(found[0])
        logger.warning(
            "file store: %s is the file of an old cache manager, and its entries are not used; "
            "%s; then move the file away",
            *found,
        )


def _make_tier(make_policy: Callable[[], Any], max_bytes: int) -> BoundedMap[MemoryEntry] | None:
    """Return a memory tier of this size, ``None`` for 0 bytes.

    Its objects may take eleven twelfths: the allocator loses the rest to gaps between objects.
    """
    return BoundedMap(make_policy(), max_bytes=max_bytes - max_bytes // 12) if max_bytes else None


def _replace_unusable(
    store: backends.FileBackend,
    max_entries: int | None,
    max_bytes: int,
    policy: Callable[[], Any],
    clock: Clock,
) -> Backend:
    """Return a file store, or a store in memory if its directory cannot be used."""
    obstacle = store.find_obstacle() if max_bytes else ""
    if not obstacle:
        return store

    # Few processes need it, and the store in memory with it.
    from aiocache_pe.backends.unwritable_directory import UnwritableFileBackend  # noqa: PLC0415

    return UnwritableFileBackend(
        store,
        obstacle,
        max_entries=max_entries,
        max_bytes=max_bytes,
        policy=policy,
        clock=clock,
    )


def _resolve_directory(backend: str, directory: str | os.PathLike[str] | None) -> str:
    if backend != "file":
        from urllib.parse import unquote, urlsplit  # noqa: PLC0415 - needed for URLs only

        parts = urlsplit(backend)
        if parts.netloc not in ("", "localhost") or not parts.path:
            raise ConfigurationError(
                "backend must be the URL of an absolute local path, such as "
                f"file:///absolute/path; got {backend!r:.200}"
            )
        if parts.query or parts.fragment:
            raise ConfigurationError(
                f"backend must be a file URL without query and fragment; got {backend!r:.200}; "
                "pass settings as arguments, and write ? and # in a path as %3F and %23"
            )
        _refuse_directory(directory, "a file URL")
        directory = unquote(parts.path)
    elif directory is None:
        directory = os.environ.get("AIOCACHE_PE_DIRECTORY") or DEFAULT_DIRECTORY

    if not isinstance(directory, str | os.PathLike):
        raise ConfigurationError(
            "directory must be a str or a path object; "
            f"got {type(directory).__name__}: {directory!r:.80}"
        )
    path = os.fspath(directory)
    if not isinstance(path, str) or not path or "\0" in path:
        raise ConfigurationError(
            f"directory must be a non-empty str without null characters; got {path!r:.80}"
        )
    return os.path.expanduser(path)  # noqa: PTH111 - leaves ~unknown as it is, Path raises


def _find_policy(eviction: str | None) -> Callable[[], Any]:
    name = "adaptive" if eviction is None else eviction
    if not isinstance(name, str) or name not in POLICIES:
        raise ConfigurationError(
            f"eviction must be one of {_join_names(POLICIES)}; got {eviction!r:.80}"
        )
    return POLICIES[name]


def _check_file_eviction(eviction: str | None, bounds: dict[str, int | None]) -> str:
    """Return the eviction order of a file store; most policies need every hit."""
    if eviction in FILE_EVICTIONS:
        return eviction
    if eviction is None or not any(bounds.values()):
        return "adaptive"  # the other policies then concern the memory tier
    raise ConfigurationError(
        f"eviction of a bounded file store must be one of {_join_names(FILE_EVICTIONS)}; "
        f"got {eviction!r}, which works in memory only"
    )


def _check_bound(name: str, value: Any, *, minimum: int = 1) -> int | None:
    if value is None and minimum:
        return None
    if type(value) is not int or value < minimum:
        no_bound = ", or None for no bound" if minimum else ""
        raise ConfigurationError(
            f"{name} must be an int of at least {minimum}{no_bound}; "
            f"got {type(value).__name__}: {value!r:.80}"
        )
    return value


def _check_clock(clock: Clock) -> None:
    if not all(callable(getattr(clock, name, None)) for name in ("time", "monotonic")):
        raise ConfigurationError(
            "clock must have the methods time() and monotonic(); "
            f"got {type(clock).__name__}: {clock!r:.80}"
        )


def _check_backend(backend: Any) -> None:
    if isinstance(backend, type):
        raise ConfigurationError(
            f"backend must be an object; got the class {backend.__name__}; "
            f"create one with {backend.__name__}(...)"
        )
    missing = [name for name in _BACKEND_METHODS if not callable(getattr(backend, name, None))]
    if missing:
        raise ConfigurationError(
            f"backend must be one of {_join_names(BACKENDS)}, a URL, or an object with the methods "
            f"of aiocache_pe.backends.Backend; got {type(backend).__name__} without "
            f"{_join_names(missing)}"
        )


def _refuse_bounds(bounds: dict[str, int | None], place: str) -> None:
    for name, value in bounds.items():
        if value is not None:
            raise ConfigurationError(
                f"{name} must not be given with {place}; it bounds the file store and the "
                "memory store only"
            )


def _refuse_directory(directory: object, place: str) -> None:
    if directory is not None:
        raise ConfigurationError(f"directory must not be given with {place}; got {directory!r:.80}")


def _join_names(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))
