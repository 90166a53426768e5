"""Events: in order, exactly to whom it concerns, and harmless to the host."""

from __future__ import annotations

import logging

import pytest

from aiocache_pe.events import Event, EventBus, Hit, Miss, Removed, Stored


def test_events_arrive_in_the_order_of_subscription() -> None:
    bus, seen = EventBus(), list[str]()
    bus.subscribe(Hit, lambda event: seen.append(f"first {event.key}"))
    bus.subscribe(Hit, lambda event: seen.append(f"second {event.key}"))
    bus.emit(Hit("default", "k"))
    assert seen == ["first k", "second k"]


def test_a_subscriber_gets_its_own_kind_only() -> None:
    bus, seen = EventBus(), list[Event]()
    bus.subscribe(Stored, seen.append)
    bus.subscribe(Miss, seen.append)
    bus.emit(Hit("default", "k"))
    bus.emit(Miss("default", "k"))
    assert seen == [Miss("default", "k")]


def test_a_subscriber_to_events_gets_all_kinds_in_turn_with_the_others() -> None:
    bus, seen = EventBus(), list[str]()
    bus.subscribe(Miss, lambda _: seen.append("first"))
    leave = bus.subscribe(Event, lambda event: seen.append(type(event).__name__))
    bus.subscribe(Miss, lambda _: seen.append("last"))
    told = [Hit("a", "k"), Miss("a", "k"), Removed("a", "k", "expired"), Stored("a", "k", 1)]
    for event in told:
        bus.emit(event)
    assert seen == ["Hit", "first", "Miss", "last", "Removed", "Stored"]
    leave()
    leave()  # harmless
    assert list(bus.wanted) == [Miss]


def test_a_subscriber_to_events_that_raises_is_dropped_from_all_kinds() -> None:
    bus = EventBus()

    def fail(event: Event) -> None:
        raise ZeroDivisionError(event.key)

    bus.subscribe(Event, fail)
    bus.emit(Hit("default", "k"))
    assert list(bus.wanted) == []


def test_nobody_is_asked_after_the_last_one_left() -> None:
    bus = EventBus()
    leave = [bus.subscribe(Hit, print), bus.subscribe(Hit, repr)]
    assert Hit in bus.wanted
    leave[0]()
    assert Hit in bus.wanted
    leave[1]()
    assert Hit not in bus.wanted
    leave[1]()  # harmless


def test_leaving_ends_one_subscription_of_several() -> None:
    bus, seen = EventBus(), list[Event]()
    leave, _ = bus.subscribe(Hit, seen.append), bus.subscribe(Hit, seen.append)
    keep = seen.append
    bus.subscribe(Hit, keep)
    leave_again = bus.subscribe(Hit, keep)
    leave_again()
    leave_again()
    leave()
    bus.emit(Hit("default", "k"))
    assert len(seen) == 2


def test_a_raising_subscriber_is_logged_and_dropped(caplog: pytest.LogCaptureFixture) -> None:
    bus, seen = EventBus(), list[Event]()

    def fail(event: Event) -> None:
        raise ZeroDivisionError(event.key)

    bus.subscribe(Removed, fail)
    bus.subscribe(Removed, seen.append)
    with caplog.at_level(logging.ERROR, "aiocache_pe"):
        for _ in range(3):
            bus.emit(Removed("default", "k", "deleted"))
    assert len(seen) == 3
    [record] = caplog.records
    assert "raised on Removed and is dropped" in record.getMessage()
    assert record.exc_info is not None


def test_a_subscriber_may_leave_while_it_is_called() -> None:
    bus, seen = EventBus(), list[str]()

    def once(event: Event) -> None:
        seen.append(event.key)
        leave()

    leave = bus.subscribe(Hit, once)
    bus.emit(Hit("default", "a"))
    bus.emit(Hit("default", "b"))
    assert seen == ["a"]
