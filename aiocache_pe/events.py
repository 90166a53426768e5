"""Events of a cache, and the bus that delivers them to subscribers.

Metrics, logs and dashboards are built on these events only. An event without a subscriber is
never created. A subscriber that raises is logged and dropped, so it cannot break a cached call.
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
    """

    namespace: str
    key: str


class Hit(Event, frozen=True):
    """A read that found a live entry."""


class Stale(Event, frozen=True):
    """A hit on an expired entry that was served stale.

    Attributes:
        seconds: time since the entry expired.
    """

    seconds: float


class Miss(Event, frozen=True):
    """A read that found no entry."""


class Stored(Event, frozen=True):
    """An entry that was written.

    Attributes:
        size_bytes: size of its record's payload.
    """

    size_bytes: int


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
    """

    error: BaseException


class BackendFailed(Event, frozen=True):
    """A store operation that failed; the call continued without the store.

    Attributes:
        verb: the operation.
        error: the exception.
    """

    verb: str
    error: BaseException


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
        Miss(namespace='default', key='greeting')
        >>> unsubscribe()
        >>> Miss in bus.subscribed
        False
    """

    __slots__ = ("_subscriptions", "subscribed")

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
