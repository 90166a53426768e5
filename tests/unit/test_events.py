"""Events: delivered in order, to subscribers of their class, without harm to the caller."""

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


def test_a_subscriber_gets_events_of_its_class_only() -> None:
    bus, seen = EventBus(), list[Event]()
    bus.subscribe(Stored, seen.append)
    bus.subscribe(Miss, seen.append)
    bus.emit(Hit("default", "k"))
    bus.emit(Miss("default", "k"))
    assert seen == [Miss("default", "k")]


def test_a_subscriber_to_the_base_class_gets_all_events_in_order() -> None:
    bus, seen = EventBus(), list[str]()
    bus.subscribe(Miss, lambda _: seen.append("first"))
    unsubscribe = bus.subscribe(Event, lambda event: seen.append(type(event).__name__))
    bus.subscribe(Miss, lambda _: seen.append("last"))
    events = [Hit("a", "k"), Miss("a", "k"), Removed("a", "k", "expired"), Stored("a", "k", 1)]
    for event in events:
        bus.emit(event)
    assert seen == ["Hit", "first", "Miss", "last", "Removed", "Stored"]
    unsubscribe()
    unsubscribe()  # has no effect
    assert list(bus.subscribed) == [Miss]


def test_a_raising_subscriber_to_the_base_class_is_dropped_from_all_classes() -> None:
    bus = EventBus()

    def fail(event: Event) -> None:
        raise ZeroDivisionError(event.key)

    bus.subscribe(Event, fail)
    bus.emit(Hit("default", "k"))
    assert list(bus.subscribed) == []


def test_a_class_is_subscribed_until_its_last_subscriber_unsubscribes() -> None:
    bus = EventBus()
    unsubscribe_first = bus.subscribe(Hit, print)
    unsubscribe_second = bus.subscribe(Hit, repr)
    assert Hit in bus.subscribed
    unsubscribe_first()
    assert Hit in bus.subscribed
    unsubscribe_second()
    assert Hit not in bus.subscribed
    unsubscribe_second()  # has no effect


def test_unsubscribing_ends_one_of_several_subscriptions_of_a_handler() -> None:
    bus, seen = EventBus(), list[Event]()
    unsubscribe_first = bus.subscribe(Hit, seen.append)
    bus.subscribe(Hit, seen.append)
    same_handler = seen.append
    bus.subscribe(Hit, same_handler)
    unsubscribe_last = bus.subscribe(Hit, same_handler)
    unsubscribe_last()
    unsubscribe_last()
    unsubscribe_first()
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
    assert "raised on Removed and is dropped (namespace 'default', key 'k')" in record.getMessage()
    assert record.exc_info is not None


def test_a_subscriber_can_unsubscribe_while_it_is_called() -> None:
    bus, seen = EventBus(), list[str]()

    def handle_once(event: Event) -> None:
        seen.append(event.key)
        unsubscribe()

    unsubscribe = bus.subscribe(Hit, handle_once)
    bus.emit(Hit("default", "a"))
    bus.emit(Hit("default", "b"))
    assert seen == ["a"]
