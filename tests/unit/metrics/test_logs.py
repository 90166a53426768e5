"""Structured logs: one record for each event, with its fields and without messages of errors."""

from __future__ import annotations

import logging

import pytest

from aiocache_pe import instrument, sync
from aiocache_pe.metrics.logs import make_sink
from tests.support.events import EVENTS


def test_a_record_of_logging_has_the_fields_of_the_event(caplog: pytest.LogCaptureFixture) -> None:
    cache = sync.CacheManager("memory")
    cache.set("k", 1)
    with caplog.at_level(logging.INFO, "aiocache_pe"), instrument(cache, logs=True):
        cache.get("k")
    [record] = caplog.records
    assert record.getMessage() == "store memory of namespace 'default': hit, key 'k'"
    fields = {name: value for name, value in vars(record).items() if name.startswith("cache_")}
    assert fields.pop("cache_seconds") >= 0
    assert fields == {
        "cache_event": "hit",
        "cache_store": "memory",
        "cache_namespace": "default",
        "cache_key": "k",
        "cache_tier": "memory",
        "cache_seconds_saved": 0.0,
        "cache_input_tokens_saved": 0,
        "cache_output_tokens_saved": 0,
        "cache_money_saved": 0.0,
    }


def test_failures_are_warnings_that_name_the_class_of_the_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sink = make_sink("logging")
    with caplog.at_level(logging.INFO, "aiocache_pe"):
        for event in EVENTS:
            sink.handle(event, "file", "search")
    assert len(caplog.records) == len(EVENTS)
    failures = [record for record in caplog.records if hasattr(record, "cache_error")]
    assert {vars(record)["cache_error"] for record in failures} == {"ConnectionError"}
    assert {record.levelno for record in failures} == {logging.WARNING}
    assert "secret" not in caplog.text + str([vars(record) for record in caplog.records])


def test_a_handler_of_the_log_may_use_the_cache(caplog: pytest.LogCaptureFixture) -> None:
    cache = sync.CacheManager("memory")

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            cache.get("used by the handler")

    handler, logger = Handler(), logging.getLogger("aiocache_pe")
    logger.addHandler(handler)
    try:
        with caplog.at_level(logging.INFO, "aiocache_pe"), instrument(cache, logs=True):
            cache.get("k")
    finally:
        logger.removeHandler(handler)
    assert [vars(record)["cache_key"] for record in caplog.records] == ["k"]


def test_structlog_gets_the_fields_of_the_event() -> None:
    structlog = pytest.importorskip("structlog")
    cache = sync.CacheManager("memory")
    with structlog.testing.capture_logs() as entries, instrument(cache, logs="structlog"):
        cache.get("k")
    assert entries == [
        {
            "event": "cache miss",
            "log_level": "info",
            "store": "memory",
            "namespace": "default",
            "key": "k",
            "seconds": 0.0,
        }
    ]
