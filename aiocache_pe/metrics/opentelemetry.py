"""OpenTelemetry: metrics, and spans after the cache schema of Sentry.

A span is created when its operation has ended, so that nothing is kept while it runs. Its start is
the end less the duration. The parent is the span that is active where the call is made.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from hashlib import blake2b
from threading import local
from typing import Any

from aiocache_pe import events
from aiocache_pe.events import Event
from aiocache_pe.exceptions import MissingDependencyError
from aiocache_pe.metrics.base import (
    BUCKETS,
    METRICS,
    PULLED,
    SIZE_BYTES,
    Metric,
    TierSizes,
    measure,
)
from aiocache_pe.runtime.fork import reset_after_fork

try:
    from opentelemetry import metrics, trace
    from opentelemetry.metrics import CallbackOptions, Observation
    from opentelemetry.trace import Status, StatusCode
except ImportError as error:
    raise MissingDependencyError("instrument(opentelemetry=True)", extra="opentelemetry") from error

_SCOPE = "aiocache_pe"
Record = Callable[[float, dict[str, str]], object]


class _Queue(local):
    """The events of one thread, and whether it delivers some now."""

    def __init__(self) -> None:
        self.events: deque[tuple[Event, str, str]] = deque()
        self.is_busy = False


class OpenTelemetrySink:
    """Instruments and a tracer of the given providers, for any number of caches.

    The sums of counters are kept here, and the SDK asks for them when it exports. Adding to a
    counter of the SDK would take ten times as long as a hit in memory.

    A signal handler that makes a cached call would wait for a lock of the SDK that its own thread
    holds. So an event of a handler that interrupts the delivery of another one waits in a queue.

    Args:
        meter_provider: makes the instruments; ``None`` for the global one.
        tracer_provider: makes the spans; ``None`` for the global one.
        span_keys: whether spans contain keys as they are, instead of digests.
        sizes: the sizes of the memory tiers.
    """

    def __init__(
        self, meter_provider: Any, tracer_provider: Any, sizes: TierSizes, *, span_keys: bool
    ) -> None:
        meter = metrics.get_meter(_SCOPE, meter_provider=meter_provider)
        self._tracer = trace.get_tracer(_SCOPE, tracer_provider=tracer_provider)
        self._sizes = sizes
        self._span_keys = span_keys
        self._queue = _Queue()
        self._totals: dict[Metric, dict[tuple[str, ...], float]] = {}
        self._records: dict[Metric, Record] = {}
        for metric in METRICS:
            details = metric.name, _get_unit(metric), metric.description
            if metric.kind == "histogram":
                self._records[metric] = meter.create_histogram(
                    *details, explicit_bucket_boundaries_advisory=list(BUCKETS)
                ).record
                continue
            self._totals[metric] = {}
            is_counter = metric.kind == "counter"
            create = (
                meter.create_observable_counter if is_counter else meter.create_observable_gauge
            )
            create(details[0], [partial(self._observe, metric)], *details[1:])
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Begin at zero in a child."""
        for totals in self._totals.values():
            totals.clear()

    def handle(self, event: Event, store: str, namespace: str) -> None:
        """See `Sink.handle`."""
        queue = self._queue
        queue.events.append((event, store, namespace))
        if queue.is_busy:  # this thread was interrupted below
            return
        try:
            queue.is_busy = True
            while queue.events:
                self._record(*queue.events.popleft())
        finally:
            queue.is_busy = False

    def _record(self, event: Event, store: str, namespace: str) -> None:
        for metric, amount, labels in measure(event, store, namespace):
            record = self._records.get(metric)
            if record is not None:
                record(amount, _make_attributes(metric, labels))
                continue
            totals = self._totals[metric]
            if metric.kind == "gauge":
                totals[labels] = amount
            else:
                totals.setdefault(labels, 0)
                totals[labels] += amount  # as in `Counters`, without a lock
        operation = _OPERATIONS.get(type(event))
        if operation is not None:
            self._add_span(operation, event, store, namespace)

    def _add_span(self, operation: str, event: Event, store: str, namespace: str) -> None:
        end = time.time_ns()
        seconds = getattr(event, "seconds", 0.0)
        attributes: dict[str, Any] = {"cache.store": store, "cache.namespace": namespace}
        if event.key:
            attributes["cache.key"] = [event.key if self._span_keys else _hash_key(event.key)]
        if operation == "cache.get":
            attributes["cache.hit"] = isinstance(event, events.Hit)
        if isinstance(event, events.Hit) and event.tier:
            attributes["cache.tier"] = event.tier
        if isinstance(event, events.Stored):
            attributes["cache.item_size"] = event.size_bytes
        start = end - int(seconds * 1e9)
        span = self._tracer.start_span(operation, start_time=start, attributes=attributes)
        failure = getattr(event, "error", None)
        if failure is not None:
            span.set_attribute("error.type", type(failure).__qualname__)
            span.set_status(Status(StatusCode.ERROR))
        span.end(end)

    def _observe(self, metric: Metric, options: CallbackOptions) -> Iterable[Observation]:
        if metric in PULLED:
            amounts = {
                labels: size for each, size, labels in self._sizes.measure() if each is metric
            }
        else:
            amounts = self._totals[metric].copy()
        for labels, amount in amounts.items():
            yield Observation(amount, _make_attributes(metric, labels))

    def close(self) -> None:
        """See `Sink.close`; instruments of a meter cannot be removed, and are used again."""


_OPERATIONS: dict[type[Event], str] = {
    events.Hit: "cache.get",
    events.Miss: "cache.get",
    events.Stored: "cache.put",
    events.Removed: "cache.remove",
    events.Loaded: "cache.load",
    events.LoadFailed: "cache.load",
    events.RefreshFailed: "cache.refresh",
}


def _hash_key(key: str) -> str:
    return blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _make_attributes(metric: Metric, labels: tuple[str, ...]) -> dict[str, str]:
    return dict(zip(metric.labels, labels, strict=True))


def _get_unit(metric: Metric) -> str:
    if metric.kind == "histogram" or metric.name.endswith(".seconds"):
        return "s"
    return "By" if metric is SIZE_BYTES else ""
