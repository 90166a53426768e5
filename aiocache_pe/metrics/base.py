"""Metrics of a cache, the measurements in its events, and the protocol of a sink.

The names follow the cache meters of Micrometer. The labels are the store, the namespace, the tier
and other words out of small sets. No label contains a key, and the number of namespaces is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple, Protocol
from weakref import WeakKeyDictionary

from aiocache_pe import events
from aiocache_pe.events import Event
from aiocache_pe.eviction.bounded_map import BoundedMap

OTHER_NAMESPACES = "(other)"
"""The label of all namespaces beyond the bound."""

BUCKETS = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0),
)
"""Upper bounds of the buckets of a histogram, in seconds: a read of a store to a slow model."""

_COMMON = ("store", "namespace")


class Metric(NamedTuple):
    """A metric.

    Attributes:
        name: its name with dots, as OpenTelemetry and StatsD have it.
        kind: a counter, a histogram of seconds, or a gauge.
        description: the description for readers.
        labels: the names of its labels.
    """

    name: str
    kind: Literal["counter", "histogram", "gauge"]
    description: str
    labels: tuple[str, ...] = _COMMON

    @property
    def prometheus_name(self) -> str:
        """Return the name with the suffixes that Prometheus demands."""
        suffix = {"counter": "_total", "histogram": "_seconds", "gauge": ""}[self.kind]
        return self.name.replace(".", "_") + suffix


GETS = Metric("cache.gets", "counter", "Reads.", (*_COMMON, "tier", "result"))
STALE_HITS = Metric("cache.stale.hits", "counter", "Reads that served an expired entry.")
JOINED = Metric("cache.joined", "counter", "Callers of a computation that was running already.")
PUTS = Metric("cache.puts", "counter", "Entries that were written.")
EVICTIONS = Metric("cache.evictions", "counter", "Entries removed to stay within a bound.")
REMOVALS = Metric(
    "cache.removals", "counter", "Entries removed for other reasons.", (*_COMMON, "cause")
)
UNSTORABLE = Metric("cache.unstorable", "counter", "Computed values that no codec can hold.")
ERRORS = Metric("cache.errors", "counter", "Failed operations.", (*_COMMON, "operation"))
REFRESHES = Metric("cache.refreshes", "counter", "Refreshes started in the background.")
REFRESH_FAILURES = Metric("cache.refresh.failures", "counter", "Refreshes that failed.")
SAVED_SECONDS = Metric("cache.saved.seconds", "counter", "Computing time that hits saved.")
SAVED_TOKENS = Metric(
    "cache.saved.tokens", "counter", "Tokens of models that hits saved.", (*_COMMON, "direction")
)
SAVED_MONEY = Metric("cache.saved.money", "counter", "Price of the tokens that hits saved.")
GET_DURATION = Metric(
    "cache.get.duration",
    "histogram",
    "Reads that waited for the store.",
    (*_COMMON, "result"),
)
PUT_DURATION = Metric("cache.put.duration", "histogram", "Writes of an entry.")
LOAD_DURATION = Metric(
    "cache.load.duration", "histogram", "Computations of a value.", (*_COMMON, "result")
)
BREAKER_OPEN = Metric(
    "cache.breaker.open", "gauge", "1 while the fallback store serves, otherwise 0.", ("store",)
)
BREAKER_OPENINGS = Metric("cache.breaker.openings", "counter", "Outages of a store.", ("store",))
OUTAGE_SECONDS = Metric(
    "cache.outage.seconds", "counter", "Duration of the outages that have ended.", ("store",)
)
SIZE = Metric("cache.size", "gauge", "Entries in the memory tier.", ("store", "tier"))
SIZE_BYTES = Metric("cache.size.bytes", "gauge", "Bytes in the memory tier.", ("store", "tier"))

METRICS = (
    *(GETS, STALE_HITS, JOINED, PUTS, EVICTIONS, REMOVALS, UNSTORABLE, ERRORS),
    *(REFRESHES, REFRESH_FAILURES, SAVED_SECONDS, SAVED_TOKENS, SAVED_MONEY),
    *(GET_DURATION, PUT_DURATION, LOAD_DURATION),
    *(BREAKER_OPEN, BREAKER_OPENINGS, OUTAGE_SECONDS, SIZE, SIZE_BYTES),
)
"""All metrics. Those of `PULLED` are read from the caches, and all others measured in events."""

PULLED = (SIZE, SIZE_BYTES)
"""Metrics that are read when a system asks for them."""

Measurement = tuple[Metric, float, tuple[str, ...]]
"""A metric, the amount to add, to observe or to set, and the values of the labels."""


class Sink(Protocol):
    """A system that receives the events of caches."""

    def handle(self, event: Event, store: str, namespace: str) -> None:
        """Receive an event, in its thread; the call must not wait.

        Args:
            event: the event.
            store: the name of the store.
            namespace: the label of the namespace, which is one of a bounded number.
        """

    def close(self) -> None:
        """Release all resources; called when no cache uses the sink any more."""


class NamespaceLabels:
    """Labels of namespaces: their names up to a number, and one label for all others."""

    def __init__(self) -> None:
        self.limit = 0
        self._names = {"": ""}  # the name of events that concern the whole store

    def find(self, name: str) -> str:
        """Return the label of a namespace."""
        label = self._names.get(name)
        if label is None:
            if len(self._names) > self.limit:
                return OTHER_NAMESPACES
            self._names[name] = label = name
        return label


class TierSizes:
    """Sizes of the memory tiers of all caches that a sink observes."""

    def __init__(self) -> None:
        self._stores: WeakKeyDictionary[BoundedMap[Any], str] = WeakKeyDictionary()

    def add(self, tier: BoundedMap[Any], store: str) -> None:
        """Observe one more tier over a store, as long as the tier exists."""
        self._stores[tier] = store

    def discard(self, tier: BoundedMap[Any]) -> None:
        """End the observation of a tier."""
        self._stores.pop(tier, None)

    def measure(self) -> Iterator[Measurement]:
        """Yield the number of entries and of bytes in the tiers over each store."""
        totals: dict[str, tuple[int, int]] = {}
        for tier, store in list(self._stores.items()):
            entries, size = totals.get(store, (0, 0))
            totals[store] = entries + len(tier.nodes), size + tier.total_size
        for store, (entries, size) in totals.items():
            yield SIZE, entries, (store, "memory")
            yield SIZE_BYTES, size, (store, "memory")


def measure(event: Event, store: str, namespace: str) -> Iterator[Measurement]:
    """Yield the measurements in an event; the arguments are those of `Sink.handle`."""
    function = _MEASURE.get(type(event))
    return iter(()) if function is None else function(event, (store, namespace))


def _measure_hit(event: events.Hit, labels: tuple[str, ...]) -> Iterator[Measurement]:
    tier = event.tier or "none"
    yield GETS, 1, (*labels, tier, "hit")
    if tier not in ("memory", "none"):
        yield GET_DURATION, event.seconds, (*labels, "hit")
    yield from _measure_savings(event, labels)


def _measure_savings(
    event: events.Hit | events.Saved, labels: tuple[str, ...]
) -> Iterator[Measurement]:
    if event.seconds_saved:
        yield SAVED_SECONDS, event.seconds_saved, labels
    if event.input_tokens_saved:
        yield SAVED_TOKENS, event.input_tokens_saved, (*labels, "input")
    if event.output_tokens_saved:
        yield SAVED_TOKENS, event.output_tokens_saved, (*labels, "output")
    if event.money_saved:
        yield SAVED_MONEY, event.money_saved, labels


def _measure_miss(event: events.Miss, labels: tuple[str, ...]) -> Iterator[Measurement]:
    yield GETS, 1, (*labels, "none", "miss")
    if event.seconds:
        yield GET_DURATION, event.seconds, (*labels, "miss")


def _measure_stored(event: events.Stored, labels: tuple[str, ...]) -> Iterator[Measurement]:
    yield PUTS, 1, labels
    yield PUT_DURATION, event.seconds, labels


def _measure_removed(event: events.Removed, labels: tuple[str, ...]) -> Iterator[Measurement]:
    if event.cause == "evicted":
        yield EVICTIONS, event.count, labels
    else:
        yield REMOVALS, event.count, (*labels, event.cause)


def _measure_breaker(
    event: events.BreakerOpened | events.BreakerClosed, labels: tuple[str, ...]
) -> Iterator[Measurement]:
    store = labels[:1]
    if isinstance(event, events.BreakerOpened):
        yield BREAKER_OPENINGS, 1, store
        yield BREAKER_OPEN, 1, store
    else:
        yield OUTAGE_SECONDS, event.seconds, store
        yield BREAKER_OPEN, 0, store


def _measure_load(
    event: events.Loaded | events.LoadFailed, labels: tuple[str, ...]
) -> Iterator[Measurement]:
    result = "success" if isinstance(event, events.Loaded) else "failure"
    yield LOAD_DURATION, event.seconds, (*labels, result)


def _count(metric: Metric) -> Callable[[Any, tuple[str, ...]], Iterator[Measurement]]:
    return lambda event, labels: iter(((metric, 1, labels),))


_MEASURE: dict[type[Event], Callable[[Any, tuple[str, ...]], Iterator[Measurement]]] = {
    events.Hit: _measure_hit,
    events.Miss: _measure_miss,
    events.Stale: _count(STALE_HITS),
    events.Joined: _count(JOINED),
    events.Saved: _measure_savings,
    events.Stored: _measure_stored,
    events.Removed: _measure_removed,
    events.Loaded: _measure_load,
    events.LoadFailed: _measure_load,
    events.Unstorable: _count(UNSTORABLE),
    events.RefreshStarted: _count(REFRESHES),
    events.RefreshFailed: _count(REFRESH_FAILURES),
    events.BackendFailed: lambda event, labels: iter(((ERRORS, 1, (*labels, event.verb)),)),
    events.BreakerOpened: _measure_breaker,
    events.BreakerClosed: _measure_breaker,
}
