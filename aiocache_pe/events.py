"""What happens in a cache, told to whoever subscribed.

Metrics, logs and dashboards hang here and nowhere else. Nothing is built for an event
that nobody asked for, and a subscriber that raises is logged and dropped: it cannot
break a cached call.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import msgspec

from aiocache_pe._validation import check_plain

logger = logging.getLogger("aiocache_pe")

Cause = Literal["deleted", "expired", "evicted", "cleared"]


class Event(msgspec.Struct, frozen=True):
    """Something that happened to one key.

    Attributes:
        namespace: the namespace it happened in.
        key: the key, without its namespace; empty where a whole namespace is meant.
    """

    namespace: str
    key: str


class Hit(Event, frozen=True):
    """A read found a live entry."""


class Stale(Event, frozen=True):
    """A hit was on an expired entry. ``seconds``: for how long it had been expired."""

    seconds: float


class Miss(Event, frozen=True):
    """A read found none."""


class Stored(Event, frozen=True):
    """An entry was written. ``size_bytes``: its record's payload."""

    size_bytes: int


class Removed(Event, frozen=True):
    """Entries went away. ``cause``: why; ``count``: how many."""

    cause: Cause
    count: int = 1


class Loaded(Event, frozen=True):
    """A factory computed a value. ``seconds``: how long it took."""

    seconds: float


class LoadFailed(Event, frozen=True):
    """A factory raised, also in the background, or took too long there. ``error``: what."""

    error: BaseException


class BackendFailed(Event, frozen=True):
    """The store failed and the call went on without it. ``verb``: what was asked of it."""

    verb: str
    error: BaseException


E = TypeVar("E", bound=Event)
Handler = Callable[[Any], object]


class _Subscription:
    """One of perhaps several of the same handler, told apart by being this very object."""

    __slots__ = ("handler",)

    def __init__(self, handler: Handler) -> None:
        self.handler = handler


class EventBus:
    """Hands events to subscribers, in the order they subscribed.

    Attributes:
        wanted: the kinds that somebody listens to, now; an event need not be built for nobody.

    Example:
        >>> bus = EventBus()
        >>> unsubscribe = bus.subscribe(Miss, print)
        >>> bus.emit(Miss("default", "greeting"))
        Miss(namespace='default', key='greeting')
        >>> unsubscribe()
        >>> Miss in bus.wanted
        False
    """

    __slots__ = ("_handlers", "wanted")

    def __init__(self) -> None:
        self._handlers: dict[type[Event], tuple[_Subscription, ...]] = {}
        self.wanted = self._handlers.keys()

    def subscribe(self, kind: type[E], handler: Callable[[E], object]) -> Callable[[], None]:
        """Call ``handler`` with every event of exactly this kind.

        Args:
            kind: the event class; `Event` stands for all of them.
            handler: called in the thread where the event happens; it must not block.

        Returns:
            A function that ends the subscription; calling it twice is harmless.

        Raises:
            TypeError: it is no event class, or the handler cannot be called, or is async.
        """
        if not isinstance(kind, type) or not issubclass(kind, Event):
            raise TypeError(f"a kind of event is a class of aiocache_pe.events, not {kind!r:.80}")
        check_plain("a handler", handler)
        subscription = _Subscription(handler)
        for each in Event.__subclasses__() if kind is Event else (kind,):
            self._handlers[each] = (*self._handlers.get(each, ()), subscription)
        return lambda: self._drop(subscription)

    def emit(self, event: Event) -> None:
        """Hand an event to its subscribers; one that raises is logged and dropped."""
        kind = type(event)
        for subscription in self._handlers.get(kind, ()):
            try:
                subscription.handler(event)
            except Exception:
                logger.exception(
                    "subscriber %r raised on %s and is dropped", subscription.handler, kind.__name__
                )
                self._drop(subscription)

    def _drop(self, subscription: _Subscription) -> None:
        for kind, there in list(self._handlers.items()):
            left = tuple(one for one in there if one is not subscription)
            if left:
                self._handlers[kind] = left
            else:
                self._handlers.pop(kind, None)
