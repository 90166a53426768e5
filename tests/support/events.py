"""Events of all classes, for tests of their subscribers."""

from __future__ import annotations

from aiocache_pe import events
from aiocache_pe.events import Event

ERROR = ConnectionError("the secret word")

EVENTS: tuple[Event, ...] = (
    events.Hit("search", "the key", "file", 0.25, 3.0, 10, 20, 0.5),
    events.Stale("search", "the key", 5.0, 0.5),
    events.Joined("search", "the key", 1.5),
    events.Saved("search", "the key", 6.0, 20, 40, 1.0),
    events.Miss("search", "the key", 0.75),
    events.Stored("search", "the key", 100, 0.125),
    events.Removed("search", "the key", "evicted"),
    events.Loaded("search", "the key", 2.0),
    events.LoadFailed("search", "the key", ERROR, 2.5),
    events.Unstorable("search", "the key", ERROR),
    events.RefreshStarted("search", "the key"),
    events.RefreshFailed("search", "the key", ERROR, 4.0),
    events.BackendFailed("search", "", "read", ERROR),
    events.BreakerOpened("", "", ERROR),
    events.BreakerClosed("", "", 12.0),
)
