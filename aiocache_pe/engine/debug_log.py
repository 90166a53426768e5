"""Log lines at DEBUG for hits, misses, stale hits and stored entries.

The log is a subscriber of the events, so a hit costs nothing while the level is higher. The level
may change at any time. It is checked at misses, at writes and at the first hit of an entry since
the last report, so that no further check is needed at every hit.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from aiocache_pe.events import Event, EventBus, Hit, Miss, Stale, Stored
from aiocache_pe.runtime.log_forwarding import is_emitting, mark_emission

logger = logging.getLogger("aiocache_pe")
_WORDS: dict[type[Event], str] = {Hit: "hit", Miss: "miss", Stale: "stale", Stored: "stored"}


class DebugLog:
    """Writer of the log lines of one engine.

    Args:
        events: the events of the engine.
        store: the name of the store, for the lines.
    """

    def __init__(self, events: EventBus, store: str) -> None:
        self._events = events
        self._store = store
        self._subscriptions: list[Callable[[], None]] = []

    def check_level(self) -> None:
        """Start or stop to write lines, if the level of the logger has changed."""
        if logger.isEnabledFor(logging.DEBUG):
            if not self._subscriptions:
                subscribe = self._events.subscribe
                self._subscriptions = [subscribe(kind, self._log) for kind in _WORDS]
        elif self._subscriptions:
            subscriptions, self._subscriptions = self._subscriptions, []
            for unsubscribe in subscriptions:
                unsubscribe()

    def _log(self, event: Event) -> None:
        if is_emitting.get():  # a handler of the log uses the cache
            return
        with mark_emission():
            logger.debug(
                "store %s of namespace %r: %s, key %r",
                *(self._store, event.namespace, _WORDS[type(event)], event.key),
            )
