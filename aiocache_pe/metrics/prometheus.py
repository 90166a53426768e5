"""Prometheus: metrics of the client library, and a collector that exports them.

With ``PROMETHEUS_MULTIPROC_DIR``, the client library keeps the numbers of each process in a file of
that directory, and its `MultiProcessCollector` sums them up at a scrape. Without the variable, the
collector below exports the numbers of this process.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from aiocache_pe.events import Event
from aiocache_pe.exceptions import MissingDependencyError
from aiocache_pe.metrics.base import (
    BUCKETS,
    METRICS,
    PULLED,
    Metric,
    TierSizes,
    measure,
)
from aiocache_pe.runtime.fork import hold_during_fork, reset_after_fork

try:
    from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, values
    from prometheus_client.metrics_core import GaugeMetricFamily
    from prometheus_client.metrics_core import Metric as Family
except ImportError as error:
    raise MissingDependencyError("instrument(prometheus=...)", extra="prometheus") from error


class PrometheusSink:
    """Collector of one registry, for any number of caches.

    The client library protects each number by a lock. A signal handler that makes a cached call
    would wait for a lock that its own thread holds, and a forked child for one that no thread
    releases. So one lock, which is free during a fork, surrounds all work. An event of a signal
    handler that interrupts this work waits in a queue.

    Args:
        registry: exports the metrics.
        sizes: the sizes of the memory tiers.

    Raises:
        ValueError: the registry has another metric with one of the names.
    """

    def __init__(self, registry: CollectorRegistry, sizes: TierSizes) -> None:
        self._registry = registry
        self._sizes = sizes
        self._metrics = {metric: _make_metric(metric) for metric in METRICS if metric not in PULLED}
        self._changes: dict[tuple[Metric, tuple[str, ...]], Callable[[float], object]] = {}
        self._queue: deque[tuple[Event, str, str]] = deque()
        self._is_busy = False
        self._lock = threading.RLock()
        self._is_shared = bool(getattr(values.ValueClass, "_multiprocess"))  # noqa: B009 - it has no public name
        if not self._is_shared:  # else the user's MultiProcessCollector exports the files
            registry.register(self)
        hold_during_fork(self._lock)
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Begin at zero in a child; the files of several processes begin so by themselves."""
        self._queue.clear()  # threads of the parent deliver these events
        if not self._is_shared:
            self._changes.clear()
            for metric in self._metrics.values():
                metric.clear()

    def handle(self, event: Event, store: str, namespace: str) -> None:
        """See `Sink.handle`."""
        self._queue.append((event, store, namespace))
        with self._lock:
            if self._is_busy:  # a signal handler has interrupted this thread below
                return
            try:
                self._is_busy = True
                self._deliver()
            finally:
                self._is_busy = False

    def _deliver(self) -> None:
        queue = self._queue
        while queue:
            for metric, amount, labels in measure(*queue.popleft()):
                change = self._changes.get((metric, labels)) or self._add(metric, labels)
                change(amount)

    def _add(self, metric: Metric, labels: tuple[str, ...]) -> Callable[[float], object]:
        child = self._metrics[metric].labels(*labels)
        change = {"counter": "inc", "histogram": "observe", "gauge": "set"}[metric.kind]
        return self._changes.setdefault((metric, labels), getattr(child, change))

    def collect(self) -> Iterator[Family]:
        """Yield the metrics; the registry calls it at a scrape."""
        found: list[Family] = []
        with self._lock:
            if self._is_busy:  # a scrape by a signal handler that has interrupted this thread
                return
            try:
                self._is_busy = True
                for metric in self._metrics.values():
                    found += metric.collect()
                self._deliver()
            finally:
                self._is_busy = False
        sizes = {each: _make_family(each) for each in PULLED}
        for pulled, amount, labels in self._sizes.measure():
            sizes[pulled].add_metric(labels, amount)
        yield from (*found, *sizes.values())

    def describe(self) -> Iterator[Family]:
        """Yield the metrics without numbers; the registry checks their names."""
        for metric in self._metrics.values():
            yield from metric.describe()
        yield from map(_make_family, PULLED)

    def close(self) -> None:
        """Remove the collector from its registry; see `Sink.close`."""
        if not self._is_shared:
            self._registry.unregister(self)


def find_registry(prometheus: Any) -> CollectorRegistry:
    """Return the registry to use: the given one, or that of the client library for ``True``.

    Raises:
        TypeError: the argument is neither.
    """
    if prometheus is True:
        return REGISTRY
    if not isinstance(prometheus, CollectorRegistry):
        raise TypeError(
            "prometheus must be True or a CollectorRegistry of prometheus_client; "
            f"got {type(prometheus).__name__}: {prometheus!r:.80}"
        )
    return prometheus


def _make_metric(metric: Metric) -> Counter | Gauge | Histogram:
    name, labels = metric.prometheus_name, metric.labels
    if metric.kind == "counter":
        return Counter(name, metric.description, labels, registry=None)
    if metric.kind == "histogram":
        return Histogram(name, metric.description, labels, registry=None, buckets=BUCKETS)
    mode: Any = "livemax"
    return Gauge(name, metric.description, labels, registry=None, multiprocess_mode=mode)


def _make_family(metric: Metric) -> GaugeMetricFamily:
    return GaugeMetricFamily(metric.prometheus_name, metric.description, labels=metric.labels)
