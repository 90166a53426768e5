"""Instrumentation of caches: subscribes the sinks of metrics, spans and logs to their events."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable
from functools import partial
from importlib import import_module
from typing import Any, Literal, Self
from weakref import WeakKeyDictionary

from aiocache_pe.cache.manager import CacheManager
from aiocache_pe.cache.sync_manager import CacheManager as SyncCacheManager
from aiocache_pe.cache.sync_manager import get_async_manager
from aiocache_pe.events import Event, EventBus
from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.loading.loader import Loader
from aiocache_pe.metrics.base import NamespaceLabels, Sink, TierSizes
from aiocache_pe.runtime.fork import hold_during_fork

VARIABLE = "AIOCACHE_PE_INSTRUMENT"
"""Variable of the environment that instruments all caches of a process."""

_WORDS = ("prometheus", "opentelemetry", "logs", "structlog")
_DEFAULT_NAMESPACES = 100
_lock = threading.RLock()
hold_during_fork(_lock)


class _SharedSink:
    """A sink that all caches of the process with the same settings share.

    Attributes:
        namespaces: the labels of their namespaces.
    """

    def __init__(self, make: Callable[[TierSizes], Sink]) -> None:
        self.namespaces = NamespaceLabels()
        self._sizes = TierSizes()
        self._sink = make(self._sizes)
        self._uses: WeakKeyDictionary[EventBus, int] = WeakKeyDictionary()
        self._ends: WeakKeyDictionary[EventBus, Callable[[], None]] = WeakKeyDictionary()

    @property
    def is_used(self) -> bool:
        """Return whether a cache uses the sink."""
        return bool(self._uses)

    def attach(self, loader: Loader) -> None:
        """Subscribe to the events of a cache; a second subscription delivers none twice."""
        bus, store = loader.event_bus, loader.namespace.store_name
        uses = self._uses.get(bus, 0)
        if not uses:
            self._ends[bus] = bus.subscribe(Event, partial(self._handle, store))
            if loader.memory_tier is not None:
                self._sizes.add(loader.memory_tier, store)
        self._uses[bus] = uses + 1

    def detach(self, loader: Loader) -> None:
        """Undo one call of `attach`."""
        bus = loader.event_bus
        self._uses[bus] -= 1
        if not self._uses[bus]:
            del self._uses[bus]
            self._ends.pop(bus)()
            if loader.memory_tier is not None:
                self._sizes.discard(loader.memory_tier)

    def close(self) -> None:
        """Close the sink."""
        self._sink.close()

    def _handle(self, store: str, event: Event) -> None:
        self._sink.handle(event, store, self.namespaces.find(event.namespace))


_sinks: dict[tuple[Hashable, ...], _SharedSink] = {}


class Instrumentation:
    """Instrumentation of one cache, until `close` or the end of a ``with`` block.

    Example:
        >>> from aiocache_pe import instrument
        >>> with instrument(cache, logs=True):
        ...     run(cache.get("absent"))
    """

    def __init__(self, loader: Loader) -> None:
        self._loader = loader
        self._keys: list[tuple[Hashable, ...]] = []

    def add(self, key: tuple[Hashable, ...], make: Callable[[TierSizes], Sink], limit: int) -> None:
        """Subscribe a sink, which is made at its first use; all arguments identify the sink."""
        with _lock:
            shared = _sinks.get(key)
            if shared is None:
                shared = _sinks[key] = _SharedSink(make)
            shared.namespaces.limit = max(shared.namespaces.limit, limit)
            shared.attach(self._loader)
            self._keys.append(key)

    def close(self) -> None:
        """End the subscriptions; sinks that no other cache uses release their resources.

        Further calls have no effect.
        """
        with _lock:
            while self._keys:
                key = self._keys.pop()
                shared = _sinks[key]
                shared.detach(self._loader)
                # The instruments of OpenTelemetry cannot be removed, so the sink is used again.
                if not shared.is_used and key[0] != "opentelemetry":
                    _sinks.pop(key).close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def instrument(
    cache: CacheManager | SyncCacheManager,
    *,
    prometheus: Any = False,
    opentelemetry: bool = False,
    statsd: str | None = None,
    logs: bool | Literal["structlog"] = False,
    max_namespaces: int = _DEFAULT_NAMESPACES,
    span_keys: bool = False,
    meter_provider: Any = None,
    tracer_provider: Any = None,
) -> Instrumentation:
    """Report the events of a cache as metrics, spans and log lines.

    Caches of one process share the metrics. Their labels are the store, the namespace, the tier and
    the result. All namespaces of the cache are reported. Instrumenting a cache again counts nothing
    twice.

    Args:
        cache: the cache, async or blocking.
        prometheus: ``True`` for the default registry of prometheus_client, or a
            ``CollectorRegistry``. With ``PROMETHEUS_MULTIPROC_DIR``, the numbers are in its files.
        opentelemetry: whether to make metrics and spans of OpenTelemetry.
        statsd: ``"host:port"`` of a server that reads DogStatsD lines by UDP.
        logs: ``True`` for records of `logging`, or ``"structlog"``.
        max_namespaces: number of namespaces with a label of their own; all others share one.
        span_keys: whether spans contain keys as they are; by default they contain digests.
        meter_provider: the provider of OpenTelemetry's metrics; ``None`` for the global one.
        tracer_provider: the provider of OpenTelemetry's spans; ``None`` for the global one.

    Returns:
        The instrumentation; its ``close()`` ends the reports.

    Raises:
        ConfigurationError: no sink is chosen, or a setting is invalid.
        MissingDependencyError: a package is missing; the message names the extra.
        TypeError: ``cache`` is no manager, or ``prometheus`` is no registry.
        ValueError: the registry has other metrics with the same names.

    Example:
        >>> from aiocache_pe import instrument
        >>> instrumentation = instrument(cache, logs=True)
        >>> run(cache.get("absent"))
        >>> instrumentation.close()
    """
    loader = get_async_manager(cache).loader
    if type(max_namespaces) is not int or max_namespaces < 1:
        raise ConfigurationError(
            f"max_namespaces must be an int of 1 or more; got {max_namespaces!r}"
        )
    if logs not in (False, True, "structlog"):
        raise ConfigurationError(f'logs must be True, False or "structlog"; got {logs!r:.80}')
    chosen: list[tuple[tuple[Hashable, ...], Callable[[TierSizes], Sink]]] = []
    if prometheus is not False:
        module = _load("prometheus")
        registry = module.find_registry(prometheus)
        chosen.append((("prometheus", registry), partial(module.PrometheusSink, registry)))
    if opentelemetry:
        providers = meter_provider, tracer_provider
        make = partial(_load("opentelemetry").OpenTelemetrySink, *providers, span_keys=span_keys)
        chosen.append((("opentelemetry", *providers, span_keys), make))
    if statsd is not None:
        module = _load("statsd")
        chosen.append((("statsd", statsd), lambda sizes: module.StatsdSink(statsd)))
    if logs:
        kind, make_logs = "logging" if logs is True else logs, _load("logs").make_sink
        chosen.append((("logs", kind), lambda sizes: make_logs(kind)))
    if not chosen:
        raise ConfigurationError(
            "instrument needs a sink: prometheus=True, opentelemetry=True, "
            'statsd="127.0.0.1:8125", logs=True or logs="structlog"'
        )
    instrumentation = Instrumentation(loader)
    try:
        for key, make_sink in chosen:
            instrumentation.add(key, make_sink, max_namespaces)
    except BaseException:
        instrumentation.close()
        raise
    return instrumentation


def instrument_by_environment(cache: CacheManager) -> None:
    """Instrument a cache with the sinks that `VARIABLE` names, separated by commas.

    Raises:
        ConfigurationError: a name is unknown.
        MissingDependencyError: a package is missing; the message names the extra.
    """
    for word in filter(None, map(str.strip, os.environ.get(VARIABLE, "").split(","))):
        name, _, address = word.partition("=")
        if name == "statsd" and address:
            instrument(cache, statsd=address)
        elif word == "structlog":
            instrument(cache, logs="structlog")
        elif word in _WORDS:
            options: dict[str, Any] = {word: True}
            instrument(cache, **options)
        else:
            raise ConfigurationError(
                f"{VARIABLE} must be a list of {', '.join(_WORDS)} and statsd=host:port, separated "
                f"by commas; got {word!r:.80}"
            )


def _load(name: str) -> Any:
    return import_module(f"aiocache_pe.metrics.{name}")
