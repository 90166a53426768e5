"""Events of a cache, and the bus that delivers them to subscribers.

Metrics, logs and dashboards are built on these events only. An event without a subscriber is
never created. A subscriber that raises is logged and dropped, so it cannot break a cached call. A
subscriber runs in the thread of the event, so a subscriber that blocks delays the call.

=====================================  =========================================================
event                                  moment
=====================================  =========================================================
`Hit`, `Miss`                          each read is one of them
`Stale`, `Joined`                      follows the `Hit` of a value that is expired, or that
                                       another caller has computed
`Saved`                                the savings of callers that joined a stream are known
`Stored`, `Removed`                    entries were written or removed
`Loaded`, `LoadFailed`                 a factory has ended
`Unstorable`                           a computed value could not be stored
`RefreshStarted`, `RefreshFailed`      a refresh in the background
`BackendFailed`                        an operation of the store has failed
`BreakerOpened`, `BreakerClosed`       the store became unavailable, and available again
=====================================  =========================================================

Durations are in seconds by the clock of the cache.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Literal, TypeVar

import msgspec

from aiocache_pe._validation import check_plain_function

logger = logging.getLogger("aiocache_pe")

Cause = Literal["deleted", "expired", "evicted", "cleared"]


class Event(msgspec.Struct, frozen=True):
    """Base class of all events.

    Attributes:
        namespace: the namespace of the entry.
        key: the key without its namespace; empty if the event concerns a whole namespace.

    The namespace is empty, too, if the event concerns the whole store.
    """

    namespace: str
    key: str


class Hit(Event, frozen=True):
    """A read that found a value, also a stale one or that of another caller's computation.

    Attributes:
        tier: ``"memory"``, or the name of the store that answered; empty if the value is that of
            another caller's computation and no entry was read.
        seconds: duration of the read; of several entries that were read at once, of all of them.
        seconds_saved: duration of the computation that was not made.
        input_tokens_saved: tokens that were not sent to a model.
        output_tokens_saved: tokens that a model did not generate.
        money_saved: price of these tokens.
    """

    tier: str = ""
    seconds: float = 0.0
    seconds_saved: float = 0.0
    input_tokens_saved: int = 0
    output_tokens_saved: int = 0
    money_saved: float = 0.0


class Stale(Event, frozen=True):
    """A hit on an expired entry that was served stale.

    Attributes:
        expired_for: seconds since the entry expired.
        seconds: duration of the call, which may have waited for a newer value.
    """

    expired_for: float
    seconds: float = 0.0


class Joined(Event, frozen=True):
    """A caller that received the result of a computation that another caller had started.

    Attributes:
        seconds: time that the caller waited; zero for a stream, which is shared while it runs.
    """

    seconds: float = 0.0


class Saved(Event, frozen=True):
    """Savings of callers that joined a stream, which are known at its end.

    Attributes:
        seconds_saved: sum of the durations of the computations that were not made.
        input_tokens_saved: tokens that were not sent to a model.
        output_tokens_saved: tokens that a model did not generate.
        money_saved: price of these tokens.
    """

    seconds_saved: float
    input_tokens_saved: int = 0
    output_tokens_saved: int = 0
    money_saved: float = 0.0


class Miss(Event, frozen=True):
    """A read that found no entry.

    Attributes:
        seconds: time until the caller knew that, with the wait for a lease; zero if that needed
            no waiting.
    """

    seconds: float = 0.0


class Stored(Event, frozen=True):
    """An entry that was written.

    Attributes:
        size_bytes: size of its record's payload.
        seconds: duration of the write, divided by the number of entries that it wrote.
    """

    size_bytes: int
    seconds: float = 0.0


class Unstorable(Event, frozen=True):
    """A computed value that no codec can hold exactly; its caller received it.

    Attributes:
        error: the exception, which names the type and the remedies.
    """

    error: BaseException


class Removed(Event, frozen=True):
    """Entries that were removed.

    Attributes:
        cause: the reason.
        count: number of entries.
    """

    cause: Cause
    count: int = 1


class Loaded(Event, frozen=True):
    """A value that a factory computed.

    Attributes:
        seconds: duration of the computation.
    """

    seconds: float


class LoadFailed(Event, frozen=True):
    """A factory that raised, or that took too long in the background.

    Attributes:
        error: the exception.
        seconds: duration of the computation.
    """

    error: BaseException
    seconds: float = 0.0


class RefreshStarted(Event, frozen=True):
    """A refresh that has started in the background; `Loaded` reports its success."""


class RefreshFailed(Event, frozen=True):
    """A refresh in the background that raised, or that was cancelled at the end of the cache.

    Attributes:
        error: the exception.
        seconds: duration of the refresh.
    """

    error: BaseException
    seconds: float = 0.0


class BackendFailed(Event, frozen=True):
    """A store operation that failed; the call continued without the store.

    Attributes:
        verb: the operation.
        error: the exception.
    """

    verb: str
    error: BaseException


class BreakerOpened(Event, frozen=True):
    """A store that became unavailable, so that its fallback store serves.

    Attributes:
        error: the reason.
    """

    error: BaseException


class BreakerClosed(Event, frozen=True):
    """A store that is available again, after its fallback store has served.

    Attributes:
        seconds: duration of the outage, by the clock of the system.
    """

    seconds: float


E = TypeVar("E", bound=Event)
Handler = partial[object]


class EventBus:
    """Delivery of events to handlers, in the order of their subscriptions.

    Attributes:
        subscribed: a live view of the event classes that have a subscriber. A caller creates
            an event only if its class is there.

    Example:
        >>> bus = EventBus()
        >>> unsubscribe = bus.subscribe(Miss, print)
        >>> bus.emit(Miss("default", "greeting"))
        Miss(namespace='default', key='greeting', seconds=0.0)
        >>> unsubscribe()
        >>> Miss in bus.subscribed
        False
    """

    __slots__ = ("__weakref__", "_subscriptions", "subscribed")

    def __init__(self) -> None:
        self._subscriptions: dict[type[Event], tuple[Handler, ...]] = {}
        self.subscribed = self._subscriptions.keys()

    def subscribe(self, kind: type[E], handler: Callable[[E], object]) -> Callable[[], None]:
        """Call a handler with every event of exactly one class.

        Args:
            kind: the event class; `Event` stands for all of them.
            handler: called in the thread of the event; it must not block.

        Returns:
            A function that ends the subscription; further calls of it have no effect.

        Raises:
            TypeError: ``kind`` is no event class, or the handler is async or not callable.
        """
        if not isinstance(kind, type) or not issubclass(kind, Event):
            raise TypeError(f"kind must be a class of aiocache_pe.events; got {kind!r:.80}")
        check_plain_function("handler", handler)
        subscription = partial(handler)  # one handler may be subscribed several times
        for each in Event.__subclasses__() if kind is Event else (kind,):
            self._subscriptions[each] = (*self._subscriptions.get(each, ()), subscription)
        return lambda: self._drop(subscription)

    def emit(self, event: Event) -> None:
        """Deliver an event to its subscribers; a subscriber that raises is logged and dropped."""
        kind = type(event)
        for subscription in self._subscriptions.get(kind, ()):
            try:
                subscription(event)
            except Exception:
                logger.exception(
                    "subscriber %r raised on %s and is dropped (namespace %r, key %r)",
                    *(subscription.func, kind.__name__, event.namespace, event.key),
                )
                self._drop(subscription)

    def _drop(self, subscription: Handler) -> None:
        for kind, subscriptions in list(self._subscriptions.items()):
            remaining = tuple(each for each in subscriptions if each is not subscription)
            if remaining:
                self._subscriptions[kind] = remaining
            else:
                self._subscriptions.pop(kind, None)
