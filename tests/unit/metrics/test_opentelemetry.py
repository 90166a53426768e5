"""OpenTelemetry: metrics and spans, as the exporters of the SDK receive them."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from aiocache_pe import CacheManager, instrument, sync
from aiocache_pe.testing.fake_clock import FakeClock

pytest.importorskip("opentelemetry.sdk")

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

NAMES = {"store": "memory", "namespace": "default"}


class Telemetry:
    """Providers with exporters in memory."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.exporter = InMemorySpanExporter()
        self.meters = MeterProvider([self.reader])
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.options: dict[str, Any] = {
            "opentelemetry": True,
            "meter_provider": self.meters,
            "tracer_provider": self.tracers,
        }

    def read(self, name: str) -> list[tuple[dict[str, Any], float]]:
        """Return the attributes and the value, or the sum, of each point of a metric."""
        data = self.reader.get_metrics_data()
        return [
            (
                dict(point.attributes or {}),
                float(getattr(point, "sum", getattr(point, "value", 0.0))),
            )
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


async def test_metrics_and_spans_describe_the_calls(telemetry: Telemetry, clock: FakeClock) -> None:
    def slow() -> int:
        clock.advance(2)
        return 1

    tracer = telemetry.tracers.get_tracer("test")
    async with CacheManager("memory", clock=clock) as cache:
        with instrument(cache, **telemetry.options), tracer.start_as_current_span("request"):
            for _ in range(2):
                await cache.get_or_set("the key", slow)
            with pytest.raises(ZeroDivisionError):
                await cache.get_or_set("failing", lambda: 1 // 0)
            await cache.delete("the key")

    miss, hit = {**NAMES, "tier": "none", "result": "miss"}, {**NAMES, "tier": "memory"}
    assert telemetry.read("cache.gets") == [(miss, 2), ({**hit, "result": "hit"}, 1)]
    assert telemetry.read("cache.load.duration")[0] == ({**NAMES, "result": "success"}, 2.0)
    assert telemetry.read("cache.saved.seconds") == [(NAMES, 2.0)]

    *spans, request = telemetry.exporter.get_finished_spans()
    names = ["cache.get", "cache.load", "cache.put", "cache.get"]
    assert [span.name for span in spans] == [*names, "cache.get", "cache.load", "cache.remove"]
    assert request.context is not None
    assert {span.parent.span_id for span in spans if span.parent} == {request.context.span_id}
    attributes = [dict(span.attributes or {}) for span in spans]
    assert [each["cache.hit"] for each in attributes if "cache.hit" in each] == [False, True, False]
    assert attributes[2]["cache.item_size"] == 1
    assert attributes[3]["cache.tier"] == "memory"
    assert "the key" not in str(attributes)
    assert len({str(each["cache.key"]) for each in attributes}) == 2
    load = spans[1]
    assert (load.end_time or 0) - (load.start_time or 0) == 2_000_000_000
    assert attributes[5]["error.type"] == "ZeroDivisionError"
    assert not spans[5].status.is_ok


def test_keys_are_shown_on_request(telemetry: Telemetry) -> None:
    cache = sync.CacheManager("memory")
    with instrument(cache, **telemetry.options, span_keys=True):
        cache.get("the key")
    [span] = telemetry.exporter.get_finished_spans()
    assert dict(span.attributes or {})["cache.key"] == ("the key",)


def test_instruments_are_used_again_after_the_end(telemetry: Telemetry) -> None:
    cache = sync.CacheManager("file", memory_max_bytes=1_000_000)
    for _ in range(2):
        with instrument(cache, **telemetry.options):
            cache.get("absent")
            assert len(telemetry.read("cache.size")) == 1
        cache.get("absent")
        assert telemetry.read("cache.size") == []
    assert [value for _, value in telemetry.read("cache.gets")] == [2]


def test_a_signal_handler_that_interrupts_the_delivery_loses_no_count(
    telemetry: Telemetry,
) -> None:
    cache, calls = sync.CacheManager("memory"), 0
    cache.set("k", 1)

    def get(*_: object) -> None:
        nonlocal calls
        calls += 1
        cache.get("k")

    before = signal.signal(signal.SIGALRM, get)
    try:
        with instrument(cache, **telemetry.options):
            signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
            for _ in range(2000):
                get()
            signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert [value for _, value in telemetry.read("cache.gets")] == [calls]
