"""Structured logs: one record for each event, through `logging` or structlog.

A record of `logging` has the fields as attributes, such as ``cache_tier``, for a formatter that
writes JSON. An error is logged by its class only, because its message may contain a secret.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import asdict

from aiocache_pe import events
from aiocache_pe.events import Event
from aiocache_pe.exceptions import MissingDependencyError
from aiocache_pe.runtime.log_forwarding import is_emitting, mark_emission

logger = logging.getLogger("aiocache_pe")
Write = Callable[[int, str, Mapping[str, Any]], object]

_NAMES: dict[type[Event], str] = {
    events.Hit: "hit",
    events.Miss: "miss",
    events.Stale: "stale",
    events.Joined: "joined",
    events.Saved: "saved",
    events.Stored: "stored",
    events.Removed: "removed",
    events.Loaded: "loaded",
    events.LoadFailed: "load failed",
    events.Unstorable: "unstorable",
    events.RefreshStarted: "refresh started",
    events.RefreshFailed: "refresh failed",
    events.BackendFailed: "store failed",
    events.BreakerOpened: "breaker opened",
    events.BreakerClosed: "breaker closed",
}
_FAILURES = (
    *(events.LoadFailed, events.Unstorable, events.RefreshFailed, events.BackendFailed),
    events.BreakerOpened,
)


class LogSink:
    """Writer of records; an event that a handler of the log causes is not logged.

    Args:
        write: writes a record of a level, a name and fields.
        is_enabled: returns whether records of a level are written.
    """

    def __init__(self, write: Write, is_enabled: Callable[[int], bool]) -> None:
        self._write = write
        self._is_enabled = is_enabled

    def handle(self, event: Event, store: str, namespace: str) -> None:
        """See `Sink.handle`."""
        level = logging.WARNING if isinstance(event, _FAILURES) else logging.INFO
        if is_emitting.get() or not self._is_enabled(level):
            return
        fields = {"store": store, **asdict(event)}
        if "error" in fields:
            fields["error"] = type(fields["error"]).__name__
        with mark_emission():
            self._write(level, _NAMES[type(event)], fields)

    def close(self) -> None:
        """See `Sink.close`; there is nothing to release."""


def make_sink(kind: str) -> LogSink:
    """Return the sink of a kind: ``"logging"`` or ``"structlog"``.

    Raises:
        MissingDependencyError: structlog is not installed.
    """
    if kind == "logging":
        return LogSink(_write_record, logger.isEnabledFor)
    return LogSink(_make_structlog_writer(), lambda level: True)


def _write_record(level: int, name: str, fields: Mapping[str, Any]) -> None:
    extra = {f"cache_{field}": value for field, value in fields.items()}
    place = fields["store"], fields["namespace"], fields["key"]
    message = "store %s of namespace %r: %s, key %r"
    logger.log(level, message, *place[:2], name, place[2], extra={"cache_event": name, **extra})


def _make_structlog_writer() -> Write:
    try:
        import structlog  # noqa: PLC0415 - an optional package
    except ImportError as error:
        raise MissingDependencyError('instrument(logs="structlog")', extra="structlog") from error
    structured = structlog.get_logger("aiocache_pe")

    def write(level: int, name: str, fields: Mapping[str, Any]) -> None:
        structured.log(level, f"cache {name}", **fields)

    return write
