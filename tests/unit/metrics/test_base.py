"""Measurements: each event has some, and no label contains a key."""

from __future__ import annotations

import pytest

from aiocache_pe.events import Event
from aiocache_pe.metrics.base import METRICS, OTHER_NAMESPACES, NamespaceLabels, measure
from tests.support.events import EVENTS


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_each_event_is_measured_and_no_label_has_its_key(event: Event) -> None:
    measurements = list(measure(event, "file", "search"))
    assert measurements
    for metric, amount, labels in measurements:
        assert metric in METRICS
        assert amount >= 0
        assert len(labels) == len(metric.labels)
        assert labels[:2] == ("file", "search")[: len(labels)]
        assert event.key not in labels


def test_all_events_are_covered() -> None:
    assert {type(event) for event in EVENTS} == set(Event.__subclasses__())


def test_the_names_of_metrics_are_unique() -> None:
    names = [metric.prometheus_name for metric in METRICS]
    assert len(set(names)) == len(names)


def test_namespaces_beyond_the_bound_share_a_label() -> None:
    labels = NamespaceLabels()
    labels.limit = 2
    found = [labels.find(name) for name in ("a", "b", "c", "", "a", "d", "b")]
    assert found == ["a", "b", OTHER_NAMESPACES, "", "a", OTHER_NAMESPACES, "b"]
